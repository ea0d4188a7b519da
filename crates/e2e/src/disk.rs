//! Reads files of a built image with the tools of its file system. Only tests do that: the product
//! never parses a guest's file system.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

/// The root file system of an image, read with debugfs.
pub struct InImage {
    _dir: tempfile::TempDir,
    root: PathBuf,
}

impl InImage {
    /// Opens the last partition of the image.
    pub fn open(image: &Path, format: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = copy(image, format, &dir.path().join("disk.raw")).root;
        Self { _dir: dir, root }
    }

    /// A file's content; empty if the file is missing.
    pub fn read(&self, path: &str) -> String {
        self.debugfs(&format!("cat {path}"))
    }

    /// The names in a folder, without `.` and `..`; empty if the folder is missing.
    pub fn list(&self, path: &str) -> Vec<String> {
        let listing = self.debugfs(&format!("ls -p {path}"));
        let names = listing.lines().filter_map(|line| line.split('/').nth(5));
        names.filter(|name| !matches!(*name, "" | "." | "..")).map(str::to_owned).collect()
    }

    fn debugfs(&self, request: &str) -> String {
        output(Command::new("debugfs").arg("-R").arg(request).arg(&self.root))
    }
}

/// The root file system in a raw copy of an image: its last partition.
pub struct Copied {
    /// The number of the partition.
    pub number: String,
    /// The file system as the tools of e2fsprogs name it.
    pub root: PathBuf,
}

/// Copies an image to a raw file.
pub fn copy(image: &Path, format: &str, raw: &Path) -> Copied {
    let mut convert = Command::new("qemu-img");
    output(convert.args(["convert", "-f", format, "-O", "raw"]).arg(image).arg(raw));
    let table = output(Command::new("sfdisk").arg("--json").arg(raw));
    let table: Value = serde_json::from_str(&table).unwrap();
    let partitions = table["partitiontable"]["partitions"].as_array().unwrap();
    let last = partitions.iter().max_by_key(|p| p["start"].as_u64()).unwrap();
    let node = last["node"].as_str().unwrap();
    let number = &node[node.trim_end_matches(|c: char| c.is_ascii_digit()).len()..];
    let offset = last["start"].as_u64().unwrap() * 512;
    let root = PathBuf::from(format!("{}?offset={offset}", raw.display()));
    Copied { number: number.to_owned(), root }
}

/// Gives a root file system another id, so that a guest with the original can have it too. The files
/// stay as they are.
pub fn rename(root: &Path) {
    // tune2fs requires a check. 1: it improved something.
    let checked = Command::new("e2fsck").arg("-fp").arg(root).output().unwrap();
    assert!(matches!(checked.status.code(), Some(0 | 1)), "{checked:?}");
    output(Command::new("tune2fs").args(["-U", "random"]).arg(root));
}

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
