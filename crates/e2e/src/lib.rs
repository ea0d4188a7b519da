//! The harness of the tests in `tests/it`, which run the executable with real machines.
//!
//! Tests share one cache below the user's cache folder, so that the source image and the first boot
//! are created once. Each test has its own data folder. A template's first customizer contains a
//! unique line, so that its steps are executed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test harness panics, starts the executable, reads the environment and prints skips"
)]

pub mod disk;
mod process;
pub mod rig;
mod service;
pub mod subnet;
mod template;
mod web;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;

pub use disk::InImage;
pub use process::{Running, running_machines, wait_for};
pub use service::Service;
pub use subnet::Subnet;
pub use template::{fresh, template, template_named};
pub use web::Web;

/// A data folder of one test, the shared cache, and the executable.
pub struct Lab {
    dir: tempfile::TempDir,
    cache: PathBuf,
    /// Leftovers of killed tests in the shared cache.
    left_before: BTreeSet<String>,
}

/// The result of a command.
pub struct Done {
    /// The exit code; -1 after a signal.
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Done {
    /// The JSON objects on standard output.
    pub fn events(&self) -> Vec<Value> {
        self.stdout.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The first object of a kind.
    pub fn event(&self, kind: &str) -> Value {
        let event = self.events().into_iter().find(|event| event["kind"] == kind);
        event.unwrap_or_else(|| panic!("no {kind} in:\n{}\n{}", self.stdout, self.stderr))
    }

    /// Fails the test unless the command succeeded.
    #[allow(
        clippy::must_use_candidate,
        clippy::return_self_not_must_use,
        reason = "often the last call of a test"
    )]
    pub fn ok(self) -> Self {
        assert_eq!(self.code, 0, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// The name of each step, and `done` or `cached`.
    pub fn steps(&self) -> Vec<(String, String)> {
        self.events()
            .iter()
            .filter(|event| event["kind"] == "stepFinished")
            .map(|event| (text(&event["step"]), text(&event["outcome"]["how"])))
            .collect()
    }
}

/// A JSON string's text.
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

impl Default for Lab {
    fn default() -> Self {
        Self::new()
    }
}

impl Lab {
    /// A lab with the shared cache.
    pub fn new() -> Self {
        let home = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).unwrap_or_else(|| {
            PathBuf::from(std::env::var_os("HOME").expect("HOME is set")).join(".cache")
        });
        let cache = home.join("goldsmith-e2e");
        std::fs::create_dir_all(&cache).unwrap();
        let left_before = left_in(&cache);
        Self { dir: tempfile::tempdir().unwrap(), cache, left_before }
    }

    /// A lab with its own empty cache.
    pub fn with_own_cache() -> Self {
        let lab = Self::new();
        let cache = lab.dir.path().join("cache");
        Self { cache, ..lab }
    }

    /// The same lab with another cache.
    pub fn with_cache(self, cache: PathBuf) -> Self {
        Self { cache, ..self }
    }

    /// The test's folder.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The cache folder.
    pub fn cache(&self) -> &Path {
        &self.cache
    }

    /// The data folder.
    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Writes a file into the test's folder.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// A command of the executable with this lab's folders and JSON output.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(executable());
        command
            .args(["--output", "json"])
            .arg("--cache-dir")
            .arg(&self.cache)
            .arg("--data-dir")
            .arg(self.data())
            .args(arguments)
            .current_dir(self.dir.path())
            .stdin(Stdio::null());
        command
    }

    /// Runs the executable to its end.
    pub fn run(&self, arguments: &[&str]) -> Done {
        let output = self.command(arguments).output().unwrap();
        Done {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Starts the executable and follows its output.
    pub fn start(&self, arguments: &[&str]) -> Running {
        Running::start(self.command(arguments))
    }

    /// Asserts that runs left nothing behind: no ledger row, no work folder, no machine of this lab.
    pub fn assert_clean(&self) {
        let ledger = self.data().join("ledger");
        let rows: Vec<_> =
            std::fs::read_dir(&ledger).map_or_else(|_| Vec::new(), |dir| dir.collect());
        assert!(rows.is_empty(), "the ledger holds {rows:?}");
        let left = left_in(&self.cache);
        let left: Vec<_> = left.difference(&self.left_before).collect();
        assert!(left.is_empty(), "left behind: {left:?}");
    }
}

/// Files in a cache that no run may leave behind, and machines that use the cache.
fn left_in(cache: &Path) -> BTreeSet<String> {
    let mut left: BTreeSet<String> = running_machines(cache).into_iter().collect();
    for (folder, prefix) in [("nodes", ".new-"), ("runs", ""), ("sources", ".work")] {
        let entries = entries(&cache.join(folder), prefix);
        left.extend(entries.iter().map(|entry| format!("{folder}/{entry}")));
    }
    left
}

/// Skips a test that needs root. As root it fails instead, so that no test is skipped.
pub fn skip_without_root(why: &str) {
    assert!(!rustix::process::geteuid().is_root(), "must not be skipped as root: {why}");
    println!("skipped: {why}");
}

fn entries(dir: &Path, prefix: &str) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return Vec::new();
    };
    entries
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with(prefix))
        .collect()
}

/// The executable that was built beside the tests.
pub fn executable() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let folder = tests.parent().and_then(Path::parent).expect("target/<profile>");
    let path = folder.join("goldsmith");
    assert!(path.exists(), "{} is missing: cargo build --bin goldsmith", path.display());
    path
}
