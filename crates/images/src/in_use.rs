//! Locks for sources and downloads in use. Each entry has a lock of its own, as nodes have: users
//! hold it shared, eviction takes it exclusively, and the lock file's modification time is the time
//! of the last use.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use vm::may_wait;

use crate::{
    absent::or_none,
    layout::Layout,
    lock::{Lock, REMOVAL, UseLock},
};

/// The kinds of entry with such a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Source,
    Download,
}

impl Kind {
    const ALL: [Self; 2] = [Self::Source, Self::Download];

    fn prefix(self) -> &'static str {
        match self {
            Self::Source => "kept-source-",
            Self::Download => "kept-download-",
        }
    }

    /// The start of the name of a [partition's](crate::partition) mark.
    pub(crate) fn mark(self) -> &'static str {
        match self {
            Self::Source => "source-",
            Self::Download => "download-",
        }
    }

    /// The kind and the name that a mark stands for.
    pub(crate) fn of_mark(mark: &str) -> Option<(Self, &str)> {
        Self::ALL.into_iter().find_map(|kind| Some((kind, mark.strip_prefix(kind.mark())?)))
    }

    /// Whether the entry does not exist.
    pub(crate) fn is_gone(self, layout: &Layout, name: &str) -> bool {
        self.path(layout, name).symlink_metadata().is_err()
    }

    fn path(self, layout: &Layout, name: &str) -> PathBuf {
        match self {
            Self::Source => layout.sources().join(name),
            Self::Download => layout.downloads().join(name),
        }
    }
}

/// Protects an entry from eviction while it lives.
#[derive(Debug, Clone, Default)]
pub struct Hold {
    _lock: Option<Arc<UseLock>>,
}

/// A lock does not change the equality of values that contain one.
impl PartialEq for Hold {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Hold {}

fn lock_file(layout: &Layout, kind: Kind, name: &str) -> PathBuf {
    layout.locks().join(format!("{}{name}.lock", kind.prefix()))
}

/// Protects an entry, which may not exist yet, and records this use. Waits for an eviction in
/// progress, so the caller checks afterwards whether the entry still exists.
///
/// # Errors
/// The lock cannot be taken, or an eviction does not end.
pub async fn hold(layout: &Layout, kind: Kind, name: &str) -> io::Result<Hold> {
    let path = lock_file(layout, kind, name);
    let lock = UseLock::take(path.clone(), REMOVAL).await?;
    may_wait(|| File::open(&path)?.set_modified(SystemTime::now()))?;
    Ok(Hold { _lock: Some(Arc::new(lock)) })
}

/// When the entry was last used, or created if no use was recorded.
///
/// # Errors
/// The entry or its lock file cannot be read.
pub fn last_used(layout: &Layout, kind: Kind, name: &str) -> io::Result<SystemTime> {
    match or_none(fs::metadata(lock_file(layout, kind, name)))? {
        Some(noted) => noted.modified(),
        None => fs::metadata(kind.path(layout, name))?.modified(),
    }
}

/// Removes an entry, unless it is in use (`false`).
///
/// # Errors
/// The lock cannot be taken, or the entry cannot be removed.
pub fn evict(
    layout: &Layout,
    kind: Kind,
    name: &str,
    remove: impl FnOnce(&Path) -> io::Result<bool>,
) -> io::Result<bool> {
    match Lock::try_take(&lock_file(layout, kind, name))? {
        Some(_lock) => remove(&kind.path(layout, name)),
        None => Ok(false),
    }
}

/// Whether the lock file with that name belongs to an entry that is gone. `None` if it is not a
/// lock of this kind.
pub fn is_idle(layout: &Layout, lock_name: &str) -> Option<bool> {
    let of = |kind: Kind| Some((kind, lock_name.strip_prefix(kind.prefix())?));
    let (kind, name) = Kind::ALL.into_iter().find_map(of)?;
    Some(kind.is_gone(layout, name))
}
