//! The files of the repository: those that git tracks, and untracked ones that it does not ignore.

use std::{path::Path, process::Command};

use crate::Result;

#[derive(Debug, Default)]
pub(crate) struct Tree {
    pub(crate) files: Vec<File>,
}

#[derive(Debug)]
pub(crate) struct File {
    /// Relative to the repository, with slashes.
    pub(crate) path: String,
    pub(crate) bytes: usize,
    /// `None` if the content is not UTF-8.
    pub(crate) text: Option<String>,
}

impl Tree {
    pub(crate) fn load(repository: &Path) -> Result<Self> {
        let listed = Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(repository)
            .output()
            .map_err(|error| format!("cannot run git: {error}"))?;
        if !listed.status.success() {
            return Err(format!(
                "git ls-files: {}",
                String::from_utf8_lossy(&listed.stderr).trim()
            ));
        }
        let names = String::from_utf8(listed.stdout).map_err(|_| "a file name is not UTF-8")?;
        let mut files = Vec::new();
        for name in names.split_terminator('\0') {
            // A tracked file whose deletion is not committed yet is skipped.
            if let Ok(content) = std::fs::read(repository.join(name)) {
                files.push(File::new(name, content));
            }
        }
        Ok(Self { files })
    }

    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.files.iter().find(|file| file.path == path)?.text.as_deref()
    }

    pub(crate) fn contains(&self, path: &str) -> bool {
        self.files.iter().any(|file| file.path == path)
    }

    /// Path and text of the files whose path has a suffix.
    pub(crate) fn texts<'a>(&'a self, end: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.files
            .iter()
            .filter(move |file| file.path.ends_with(end))
            .filter_map(File::path_and_text)
    }
}

impl File {
    fn new(path: &str, content: Vec<u8>) -> Self {
        Self { path: path.to_owned(), bytes: content.len(), text: String::from_utf8(content).ok() }
    }

    pub(crate) fn path_and_text(&self) -> Option<(&str, &str)> {
        Some((&self.path, self.text.as_deref()?))
    }
}

/// A tree for the tests of the rules.
#[cfg(test)]
pub(crate) fn tree(files: &[(&str, &str)]) -> Tree {
    let files = files.iter().map(|(path, text)| File::new(path, text.as_bytes().to_vec()));
    Tree { files: files.collect() }
}
