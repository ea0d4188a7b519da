//! Locks between processes: advisory, on files, gone with the process that held them.
//!
//! A lock file may be removed by who holds it exclusively, so whoever got a lock looks whether the file is
//! still the one of that name: otherwise another could lock its successor at the same time.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io,
    path::{Path, PathBuf},
};

use tokio::sync::oneshot;

use crate::image_file::partial::same_file;

/// An exclusive lock, held until dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// A shared lock that keeps a node from being evicted, held until dropped.
#[derive(Debug)]
pub struct UseLock {
    _file: File,
}

impl Lock {
    /// Takes the lock if nobody has it.
    pub fn try_take(path: &Path) -> io::Result<Option<Self>> {
        Ok(now(path, &File::try_lock)?.map(|file| Self { _file: file }))
    }

    /// Waits for the lock. Dropping the future gives up waiting.
    pub async fn take(path: PathBuf) -> io::Result<Self> {
        Ok(Self { _file: wait(path, File::lock).await? })
    }

    /// Waits for the lock, for what takes no time under it.
    pub(super) fn take_blocking(path: &Path) -> io::Result<Self> {
        Ok(Self { _file: in_time(path, &File::lock)? })
    }
}

impl UseLock {
    /// Waits until nobody holds the lock exclusively. Dropping the future gives up waiting.
    pub async fn take(path: PathBuf) -> io::Result<Self> {
        Ok(Self { _file: wait(path, File::lock_shared).await? })
    }

    /// Marks the thing as used. `None` when it is being evicted right now.
    pub fn try_take(path: &Path) -> io::Result<Option<Self>> {
        Ok(now(path, &File::try_lock_shared)?.map(|file| Self { _file: file }))
    }
}

/// The file, locked; `None` if somebody else has it.
fn now(path: &Path, lock: &dyn Fn(&File) -> Result<(), TryLockError>) -> io::Result<Option<File>> {
    loop {
        let file = open(path)?;
        match lock(&file) {
            Ok(()) if same_file(&file, path)? => return Ok(Some(file)),
            // Lock files are removed, under their lock, by who finds that they are of no use any more.
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(e)) => return Err(e),
        }
    }
}

/// The file, locked when nobody else has it any more.
fn in_time(path: &Path, lock: &dyn Fn(&File) -> io::Result<()>) -> io::Result<File> {
    loop {
        let file = open(path)?;
        lock(&file)?;
        if same_file(&file, path)? {
            return Ok(file);
        }
        // Removed meanwhile: whoever comes next locks another file of that name.
    }
}

async fn wait(path: PathBuf, lock: fn(&File) -> io::Result<()>) -> io::Result<File> {
    let (tx, rx) = oneshot::channel();
    // A thread of its own and not the runtime's pool: a waiter that was given up must not keep
    // the process from ending.
    std::thread::Builder::new().name("lock".into()).spawn(move || {
        let _ = tx.send(in_time(&path, &lock));
    })?;
    rx.await.map_err(|_| io::Error::other("the waiting thread ended"))?
}

fn open(path: &Path) -> io::Result<File> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_used_node_cannot_be_locked_for_eviction() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("locks/a");
        let user = UseLock::try_take(&path).unwrap().unwrap();
        let other = UseLock::try_take(&path).unwrap().unwrap();
        assert!(Lock::try_take(&path).unwrap().is_none());
        drop((user, other));
        assert!(Lock::try_take(&path).unwrap().is_some());
    }

    #[tokio::test]
    async fn a_waiter_gets_the_lock_when_it_is_released() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let first = Lock::try_take(&path).unwrap().unwrap();
        let second = tokio::spawn(Lock::take(path.clone()));
        drop(first);
        second.await.unwrap().unwrap();
    }

    #[test]
    fn a_lock_on_a_file_that_was_removed_before_it_was_got_is_tried_again_on_its_successor() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        // Opened; then the sweep is faster.
        let lock = |file: &File| {
            if std::fs::metadata(dir.path().join("b")).is_err() {
                std::fs::rename(dir.path().join("a"), dir.path().join("b")).unwrap();
            }
            file.try_lock()
        };
        let got = now(&path, &lock).unwrap().unwrap();
        assert!(same_file(&got, &path).unwrap());
        drop(got);
        std::fs::remove_file(dir.path().join("b")).unwrap();
        let got = in_time(&path, &|file: &File| lock(file).map_err(std::io::Error::from)).unwrap();
        assert!(same_file(&got, &path).unwrap());
    }
}
