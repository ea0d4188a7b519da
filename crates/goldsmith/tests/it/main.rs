//! Runs the executable: its output, its exit codes, and that bad input creates nothing.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests start the executable")]

mod az;
mod bad_input;
mod commands;
mod deployment_files;
mod descriptors;
mod serve;
mod subscriptions;
mod unwritable;

use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

/// A temporary folder with a cache and a data folder.
struct Sandbox {
    dir: tempfile::TempDir,
}

impl Sandbox {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_goldsmith"));
        command
            .env("GOLDSMITH_CACHE_DIR", self.dir.path().join("cache"))
            .env("GOLDSMITH_DATA_DIR", self.dir.path().join("data"))
            .current_dir(self.dir.path())
            .stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command().args(arguments).output().unwrap()
    }

    /// Asserts that there is no run, node or image.
    fn assert_nothing_created(&self) {
        for folder in ["cache/runs", "cache/nodes", "cache/sources", "data/ledger", "data/images"] {
            let left = entries(&self.dir.path().join(folder));
            assert!(left.is_empty(), "{folder}: {left:?}");
        }
    }
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return Vec::new();
    };
    entries.map(|entry| entry.unwrap().path()).collect()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
