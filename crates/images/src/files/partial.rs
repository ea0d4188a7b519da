//! Unfinished files.
//!
//! ```text
//! <dir>/<name>.goldsmith-<run id>.partial   written, locked by its maker
//! <dir>/<name>                              after one rename
//! ```
//!
//! Dropping an unfinished file removes it. If its maker was killed, its lock is free: the process
//! whose ledger records the path removes the file, and [`sweep`] removes those in the folders of
//! the layout.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;
use vm::may_wait;

use super::{rename_new, sync_parent};
use crate::absent::{entries_of_any, or_none, same_file};

const SUFFIX: &str = ".partial";

/// The name of `dest` while it is unfinished. It is known before the file exists, so that a ledger
/// can record it.
pub fn partial_path(dest: &Path, run_id: &str) -> PathBuf {
    let mut name = dest.file_name().map_or_else(OsString::new, ToOwned::to_owned);
    name.push(format!(".goldsmith-{run_id}{SUFFIX}"));
    dest.with_file_name(name)
}

/// Whether a file of that name is unfinished.
pub fn is_unfinished(name: &str) -> bool {
    name.contains(".goldsmith-") && name.ends_with(SUFFIX)
}

/// What happens to an existing file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// It stays, and `finish` fails with `AlreadyExists`.
    Keep,
    /// It is replaced.
    Replace,
}

/// A file that is being written.
#[derive(Debug)]
pub struct Partial {
    dest: PathBuf,
    path: PathBuf,
    file: File,
    finished: bool,
}

impl Partial {
    /// Creates the unfinished file for `dest` and locks it. Replaces a file that a dead process left
    /// under the same name.
    pub fn create(dest: &Path, run_id: &str) -> io::Result<Self> {
        may_wait(|| Self::with_mode(dest, run_id, 0o666))
    }

    pub(super) fn with_mode(dest: &Path, run_id: &str, mode: u32) -> io::Result<Self> {
        let path = partial_path(dest, run_id);
        let (mut new, mut left) = (OpenOptions::new(), OpenOptions::new());
        new.create_new(true).read(true).write(true).mode(mode);
        left.read(true).custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
        loop {
            let (file, is_new) = match new.open(&path) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                    let Some(left) = or_none(left.open(&path))? else { continue };
                    (left, false)
                }
                made => (made?, true),
            };
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    return Err(io::Error::new(
                        io::ErrorKind::ResourceBusy,
                        format!("{} is being written by another process", path.display()),
                    ));
                }
                Err(TryLockError::Error(error)) => {
                    if is_new {
                        fs::remove_file(&path)?;
                    }
                    return Err(error);
                }
            }
            // A sweep may have removed the file between the open and the lock.
            match same_file(&file, &path)? {
                true if is_new => {
                    return Ok(Self { dest: dest.to_owned(), path, file, finished: false });
                }
                true => fs::remove_file(&path)?,
                false => {}
            }
        }
    }

    /// The path to write to. Writers must not replace the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The open file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Syncs the file to the disk. This may take long; call it off the runtime.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    /// Gives the finished and synced file its name, by one rename.
    pub fn finish(mut self, existing: Existing) -> io::Result<()> {
        match existing {
            Existing::Replace => fs::rename(&self.path, &self.dest)?,
            Existing::Keep => rename_new(&self.path, &self.dest)?,
        }
        self.finished = true;
        sync_parent(&self.dest)
    }

    /// Writes the whole content and finishes the file. May wait; call it off the runtime.
    pub fn finish_with(self, content: &[u8], existing: Existing) -> io::Result<()> {
        (&self.file).write_all(content)?;
        self.sync()?;
        self.finish(existing)
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.finished {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Removes the unfinished files in `dir` whose makers are gone. Returns how many.
pub fn sweep(dir: &Path) -> io::Result<usize> {
    let mut removed = 0;
    for path in entries_of_any(dir)? {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if !is_unfinished(name) {
            continue;
        }
        let Ok(file) = File::open(&path) else {
            continue;
        };
        if file.try_lock().is_ok() && same_file(&file, &path)? {
            fs::remove_file(&path)?;
            removed += 1;
        }
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::absent::entries;

    #[test]
    fn dropped_partial_is_removed_and_finished_one_stays() {
        let dir = tempfile::tempdir().unwrap();
        let dest = dir.path().join("x.vhd");
        let partial = Partial::create(&dest, "r1").unwrap();
        assert_eq!(partial.path(), dir.path().join("x.vhd.goldsmith-r1.partial"));
        fs::write(partial.path(), "half").unwrap();
        drop(partial);
        assert!(entries(dir.path()).unwrap().is_empty());

        let partial = Partial::create(&dest, "r1").unwrap();
        fs::write(partial.path(), "whole").unwrap();
        partial.finish(Existing::Keep).unwrap();
        assert_eq!(entries(dir.path()).unwrap(), std::slice::from_ref(&dest));

        let partial = Partial::create(&dest, "r2").unwrap();
        let error = partial.finish(Existing::Keep).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&dest).unwrap(), "whole");
        assert_eq!(entries(dir.path()).unwrap(), [dest]);
    }

    #[test]
    fn sweep_removes_only_files_of_dead_makers() {
        let dir = tempfile::tempdir().unwrap();
        let alive = Partial::create(&dir.path().join("a"), "live").unwrap();
        fs::write(partial_path(&dir.path().join("b"), "dead"), "torn").unwrap();
        fs::write(dir.path().join("c.partial"), "somebody else's").unwrap();
        assert_eq!(sweep(dir.path()).unwrap(), 1);
        assert_eq!(entries(dir.path()).unwrap().len(), 2);
        assert!(alive.path().exists());
        assert_eq!(sweep(&dir.path().join("nowhere")).unwrap(), 0);
    }

    #[test]
    fn leftover_of_the_same_run_is_taken_over_unless_locked() {
        let dir = tempfile::tempdir().unwrap();
        let dest = dir.path().join("a");
        fs::write(partial_path(&dest, "r"), "torn").unwrap();
        let partial = Partial::create(&dest, "r").unwrap();
        assert_eq!(fs::read(partial.path()).unwrap(), b"");
        let busy = Partial::create(&dest, "r").unwrap_err();
        assert_eq!(busy.kind(), io::ErrorKind::ResourceBusy);
        assert!(partial.path().exists(), "the second try took nothing away");
    }
}
