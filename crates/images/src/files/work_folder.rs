//! Folders for incomplete content, beside the place that it is renamed to.
//!
//! Each is locked by its maker for as long as that lives. If the maker was killed, its lock is free,
//! and a sweep takes the folder over with [`WorkFolder::claim`].

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};

use crate::absent::{or_none, remove_tree, same_file};

/// A locked folder, removed on drop unless it got another name.
#[derive(Debug)]
pub struct WorkFolder {
    path: PathBuf,
    /// `None` once the folder must stay.
    lock: Option<File>,
}

impl WorkFolder {
    /// Creates one in `parent`, with a unique name after `prefix`.
    pub fn make(parent: &Path, prefix: &str) -> io::Result<Self> {
        fs::create_dir_all(parent)?;
        loop {
            let path = parent.join(format!("{prefix}{}", crate::new_run_id()));
            fs::create_dir(&path)?;
            // A sweep may be faster and remove it.
            if let Some(made) = Self::claim(path)? {
                return Ok(made);
            }
        }
    }

    /// Takes over an existing one. `None` if its maker lives, or if it is gone.
    pub fn claim(path: PathBuf) -> io::Result<Option<Self>> {
        let Some(lock) = or_none(File::open(&path))? else { return Ok(None) };
        match lock.try_lock() {
            Ok(()) => Ok(same_file(&lock, &path)?.then_some(Self { path, lock: Some(lock) })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(e)) => Err(e),
        }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder stays: it has another name, or contains what must not be lost.
    pub fn leave(mut self) {
        self.lock = None;
    }

    /// Removes it and reports what a drop ignores.
    pub fn remove(self) -> io::Result<()> {
        let removed = remove_tree(&self.path);
        self.leave();
        removed
    }
}

impl Drop for WorkFolder {
    fn drop(&mut self) {
        if self.lock.is_some() {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}
