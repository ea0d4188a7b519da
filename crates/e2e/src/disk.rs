//! Reads files of a built image with the tools of its file system. Only tests do that: the product
//! never parses a guest's file system.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use sha2::{Digest, Sha256};

/// The root file system of an image, read with debugfs.
pub struct InImage {
    _dir: tempfile::TempDir,
    root: PathBuf,
}

impl InImage {
    /// Opens the last partition of the image.
    pub fn open(image: &Path, format: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let raw = dir.path().join("disk.raw");
        let mut convert = Command::new("qemu-img");
        convert.args(["convert", "-f", format, "-O", "raw"]).arg(image).arg(&raw);
        output(&mut convert);
        let table = output(Command::new("sfdisk").arg("--json").arg(&raw));
        let table: Value = serde_json::from_str(&table).unwrap();
        let partitions = table["partitiontable"]["partitions"].as_array().unwrap().clone();
        let last = partitions.iter().max_by_key(|p| p["start"].as_u64()).unwrap();
        let offset = last["start"].as_u64().unwrap() * 512;
        let root = PathBuf::from(format!("{}?offset={offset}", raw.display()));
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

    /// Every path with its type, mode, owner and content. Needs root, who can create files for any
    /// owner.
    pub fn files(&self) -> BTreeMap<String, String> {
        let copy = tempfile::tempdir().unwrap();
        self.debugfs(&format!("rdump / {}", copy.path().display()));
        let mut files = BTreeMap::new();
        let mut folders = vec![copy.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let meta = fs::symlink_metadata(&path).unwrap();
                let content = if meta.is_dir() {
                    folders.push(path.clone());
                    String::new()
                } else if meta.is_symlink() {
                    fs::read_link(&path).unwrap().display().to_string()
                } else {
                    hex::encode(Sha256::digest(fs::read(&path).unwrap()))
                };
                let name = format!("/{}", path.strip_prefix(copy.path()).unwrap().display());
                let facts = format!("{:o} {}:{} {content}", meta.mode(), meta.uid(), meta.gid());
                files.insert(name, facts);
            }
        }
        files
    }

    fn debugfs(&self, request: &str) -> String {
        output(Command::new("debugfs").arg("-R").arg(request).arg(&self.root))
    }
}

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
