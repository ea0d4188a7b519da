//! Removes obsolete lock files and notes.

use std::io;

use super::NodeStore;
use images::{
    absent::{entries, remove_file},
    digest::Key,
    in_use,
    layout::Layout,
    lock::Lock,
};

/// Removes the lock files of removed nodes and artifacts and of finished work, and the notes about
/// removed nodes and the fresh ones that superseded them. Locks that are held stay.
pub fn sweep(store: &NodeStore) -> io::Result<()> {
    sweep_locks(store)?;
    sweep_superseded(store)
}

fn sweep_locks(store: &NodeStore) -> io::Result<()> {
    for path in entries(&store.layout.locks())? {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let Some(name) = name.strip_suffix(".lock").filter(|name| is_idle(store, name)) else {
            continue;
        };
        // Checked again under the lock: a node is locked before it appears.
        if let Some(_lock) = Lock::try_take(&path)?
            && is_idle(store, name)
        {
            remove_file(&path)?;
        }
    }
    Ok(())
}

/// Whether a lock file that is not held carries no information. For a node, its time is that of the
/// last use.
fn is_idle(store: &NodeStore, name: &str) -> bool {
    if let Some(key) = name.strip_prefix("use-") {
        return Key::parse(key).is_some_and(|key| matches!(store.get(&key), Ok(None)));
    }
    if let Some(key) = name.strip_prefix("artifact-") {
        return !artifacts_of(&store.layout, key);
    }
    if let Some(idle) = in_use::is_idle(&store.layout, name) {
        return idle;
    }
    name.starts_with("make-") || name.starts_with("source-")
}

fn artifacts_of(layout: &Layout, key: &str) -> bool {
    layout.artifacts().join(key).symlink_metadata().is_ok()
}

/// Removes entries whose fresh node is gone. An entry stays while it hides an existing older node.
fn sweep_superseded(store: &NodeStore) -> io::Result<()> {
    let entries = entries(&store.layout.superseded())?;
    if entries.is_empty() {
        return Ok(());
    }
    let _alone = Lock::take_blocking(&store.superseding())?;
    for path in entries {
        let key = path.file_name().and_then(|name| Key::parse(name.to_str()?));
        // A file with any other name is unfinished and its process is gone.
        let leads = key.is_some_and(|key| {
            !matches!(store.get(&key), Ok(None))
                || !matches!(store.get(&store.current(key)), Ok(None))
        });
        if !leads {
            remove_file(&path)?;
        }
    }
    Ok(())
}
