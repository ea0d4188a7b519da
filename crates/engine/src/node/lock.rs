//! Locks between processes: advisory, on files, gone with the process that held them.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io,
    path::{Path, PathBuf},
};

use tokio::sync::oneshot;

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
        let file = open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(e)) => Err(e),
        }
    }

    /// Waits for the lock. Dropping the future gives up waiting.
    pub async fn take(path: PathBuf) -> io::Result<Self> {
        Ok(Self { _file: wait(path, File::lock).await? })
    }
}

impl UseLock {
    /// Waits until nobody holds the lock exclusively. Dropping the future gives up waiting.
    pub async fn take(path: PathBuf) -> io::Result<Self> {
        Ok(Self { _file: wait(path, File::lock_shared).await? })
    }

    /// Marks the thing as used. `None` when it is being evicted right now.
    pub fn try_take(path: &Path) -> io::Result<Option<Self>> {
        let file = open(path)?;
        match file.try_lock_shared() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(e)) => Err(e),
        }
    }
}

async fn wait(path: PathBuf, lock: fn(&File) -> io::Result<()>) -> io::Result<File> {
    let (tx, rx) = oneshot::channel();
    // A thread of its own and not the runtime's pool: a waiter that was given up must not keep
    // the process from ending.
    std::thread::Builder::new().name("lock".into()).spawn(move || {
        let taken = open(&path).and_then(|file| lock(&file).map(|()| file));
        let _ = tx.send(taken);
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
}
