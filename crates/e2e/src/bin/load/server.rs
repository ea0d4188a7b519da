//! The measured server, with its own data folder.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use serde_json::Value;

/// A running `goldsmith serve`; ends when dropped.
pub(crate) struct Server {
    pub(crate) program: PathBuf,
    log: PathBuf,
    child: Child,
    dir: tempfile::TempDir,
    /// The object that it printed at its first start.
    pub(crate) ready: Value,
}

impl Server {
    /// Starts a server that writes its log, with the usual level, to a file.
    pub(crate) fn start(program: &Path, log: &Path, args: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        catalogue(dir.path());
        fs::write(dir.path().join("data/goldsmith.toml"), QUOTAS).unwrap();
        let (child, ready) = spawn(program, log, dir.path(), args);
        Self { program: program.to_owned(), log: log.to_owned(), child, dir, ready }
    }

    /// Ends the server like `systemctl stop`, runs `between` on its data folder, and restarts it.
    pub(crate) fn restart(&mut self, args: &[&str], between: impl FnOnce(&Path)) {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
        self.child.wait().unwrap();
        between(&self.data());
        let (child, ready) = spawn(&self.program, &self.log, self.dir.path(), args);
        self.child = child;
        self.ready["url"] = ready["url"].clone();
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// The certificate to trust.
    pub(crate) fn ca(&self) -> Vec<u8> {
        fs::read(self.dir.path().join("data/server/ca.pem")).unwrap()
    }

    pub(crate) fn text(&self, field: &str) -> &str {
        self.ready[field].as_str().unwrap_or_else(|| panic!("{field} in {}", self.ready))
    }

    /// The resident memory in MB.
    pub(crate) fn rss_mb(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        let kib: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        kib / 1024.0
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Limits above the defaults.
const QUOTAS: &str = "[limits]\nconnections-per-address = 1024\n\n[limits.quota]\n\
                      triggers-in-a-region = 100000\ntemplates = 100000\n\
                      resources-of-a-type = 100000\n";

fn spawn(program: &Path, log: &Path, dir: &Path, args: &[&str]) -> (Child, Value) {
    let log = fs::OpenOptions::new().append(true).create(true).open(log).unwrap();
    let mut child = Command::new(program)
        .args(["serve", "--listen", "127.0.0.1:0", "--backend", "scripted"])
        .args(["--output", "json", "--data-dir"])
        .arg(dir.join("data"))
        .arg("--cache-dir")
        .arg(dir.join("cache"))
        .args(args)
        .env_remove("GOLDSMITH_LOG")
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .unwrap_or_else(|e| panic!("{}: {e} (cargo build --release)", program.display()));
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let ready = serde_json::from_str(&line).expect("the server prints its address");
    (child, ready)
}

/// Creates a catalogue with one image, so that templates have a source.
fn catalogue(dir: &Path) {
    let data = dir.join("data");
    fs::create_dir_all(&data).unwrap();
    let disk = dir.join("tiny.qcow2");
    let created = Command::new("qemu-img")
        .args(["create", "-q", "-f", "qcow2"])
        .arg(&disk)
        .arg("64M")
        .status()
        .unwrap();
    assert!(created.success());
    let text = format!(
        "[[image]]\npublisher = \"Tests\"\noffer = \"tiny\"\nsku = \"1\"\ndescription = \"An empty disk\"\n\
         generation = 2\n\n[[image.file]]\nversion = \"1.0.0\"\npath = \"{}\"\nformat = \"qcow2\"\n",
        disk.display()
    );
    fs::write(data.join("catalogue.toml"), text).unwrap();
}
