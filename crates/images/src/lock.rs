//! Locks between processes: advisory, on files, released when the holding process ends.
//!
//! The exclusive holder may remove the lock file. So after taking a lock, a process checks that the
//! file still has that name: otherwise another process could lock the file's successor at the same
//! time.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use vm::may_wait;

use crate::absent::same_file;

/// For locks that are held only briefly. A longer wait means that the holder is stopped or stuck.
pub(crate) const MOMENT: Duration = Duration::from_secs(10);
/// For locks under which gigabytes may be removed.
pub const REMOVAL: Duration = Duration::from_secs(120);
/// Between two attempts: `flock` has no event that a deadline could be added to.
const PAUSE: Duration = Duration::from_millis(20);

/// An exclusive lock, held until dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// A shared lock that protects a node from eviction, held until dropped.
#[derive(Debug)]
pub struct UseLock {
    _file: File,
}

impl Lock {
    /// Takes the lock if it is free.
    pub fn try_take(path: &Path) -> io::Result<Option<Self>> {
        may_wait(|| Ok(now(path, &File::try_lock)?.map(|file| Self { _file: file })))
    }

    /// Waits for the lock, at most `limit`. Dropping the future gives up waiting.
    ///
    /// # Errors
    /// `TimedOut`, with the path.
    pub async fn take(path: PathBuf, limit: Duration) -> io::Result<Self> {
        Ok(Self { _file: wait(path, File::try_lock, limit).await? })
    }

    /// Waits at most a [`MOMENT`], for work that holds the lock only briefly. Call it off the
    /// runtime.
    ///
    /// # Errors
    /// `TimedOut`, with the path.
    pub fn take_blocking(path: &Path) -> io::Result<Self> {
        Self::take_within(path, MOMENT)
    }

    fn take_within(path: &Path, limit: Duration) -> io::Result<Self> {
        let started = Instant::now();
        loop {
            if let Some(lock) = Self::try_take(path)? {
                return Ok(lock);
            }
            if started.elapsed() >= limit {
                return Err(stuck(path, limit));
            }
            pause();
        }
    }
}

impl UseLock {
    /// Waits until the exclusive holder releases the lock, at most `limit`. Dropping the future
    /// gives up waiting.
    ///
    /// # Errors
    /// `TimedOut`, with the path.
    pub async fn take(path: PathBuf, limit: Duration) -> io::Result<Self> {
        Ok(Self { _file: wait(path, File::try_lock_shared, limit).await? })
    }

    /// Marks the thing as used. `None` if it is being evicted right now.
    pub fn try_take(path: &Path) -> io::Result<Option<Self>> {
        Ok(now(path, &File::try_lock_shared)?.map(|file| Self { _file: file }))
    }
}

/// Waits until the next attempt.
#[expect(clippy::disallowed_methods, reason = "called off the runtime, within a limit")]
pub(crate) fn pause() {
    std::thread::sleep(PAUSE);
}

/// The error after the limit. It names the process to look for.
fn stuck(path: &Path, limit: Duration) -> io::Error {
    let (path, secs) = (path.display(), limit.as_secs());
    let text = format!(
        "another process has held {path} for {secs} s: it is stopped or stuck (`fuser {path}` names it)"
    );
    io::Error::new(io::ErrorKind::TimedOut, text)
}

/// The locked file; `None` if another process holds the lock.
fn now(path: &Path, lock: &dyn Fn(&File) -> Result<(), TryLockError>) -> io::Result<Option<File>> {
    loop {
        let file = open(path)?;
        match lock(&file) {
            Ok(()) if same_file(&file, path)? => return Ok(Some(file)),
            // The holder of a lock removes a lock file that is no longer needed.
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(e)) => return Err(e),
        }
    }
}

async fn wait(
    path: PathBuf,
    lock: fn(&File) -> Result<(), TryLockError>,
    limit: Duration,
) -> io::Result<File> {
    let waiting = async {
        loop {
            if let Some(file) = may_wait(|| now(&path, &lock))? {
                return Ok(file);
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::time::timeout(limit, waiting).await.unwrap_or_else(|_| Err(stuck(&path, limit)))
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
    fn used_node_cannot_be_locked_for_eviction() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("locks/a");
        let user = UseLock::try_take(&path).unwrap().unwrap();
        let other = UseLock::try_take(&path).unwrap().unwrap();
        assert!(Lock::try_take(&path).unwrap().is_none());
        drop((user, other));
        assert!(Lock::try_take(&path).unwrap().is_some());
    }

    #[tokio::test]
    async fn waiter_gets_the_released_lock() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let first = Lock::try_take(&path).unwrap().unwrap();
        let second = tokio::spawn(Lock::take(path.clone(), MOMENT));
        drop(first);
        second.await.unwrap().unwrap();
    }

    #[test]
    fn lock_on_removed_file_is_retried_on_its_successor() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        // The file is open; then the sweep wins the race.
        let lock = |file: &File| {
            if std::fs::metadata(dir.path().join("b")).is_err() {
                std::fs::rename(dir.path().join("a"), dir.path().join("b")).unwrap();
            }
            file.try_lock()
        };
        let got = now(&path, &lock).unwrap().unwrap();
        assert!(same_file(&got, &path).unwrap());
    }

    #[tokio::test]
    async fn wait_ends_at_the_limit_and_names_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.lock");
        let _held = Lock::try_take(&path).unwrap().unwrap();
        let limit = Duration::from_millis(50);
        let errors = [
            Lock::take(path.clone(), limit).await.unwrap_err(),
            UseLock::take(path.clone(), limit).await.unwrap_err(),
            Lock::take_within(&path, limit).unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            assert!(error.to_string().contains("a.lock"), "{error}");
        }
    }
}
