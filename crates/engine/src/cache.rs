//! The cache as a whole: what is in it, and keeping it below its size.

use std::{
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use crate::{
    layout::Layout,
    node::{self, Evicted, Key, Lock, NodeStore, UseLock},
    validate,
};

/// What the parts of the cache take on disk, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    pub sources: u64,
    pub nodes: u64,
    pub artifacts: u64,
    pub downloads: u64,
    pub logs: u64,
}

/// Tells that this process works with the cache; until it is dropped, [`clear`] leaves alone what has
/// no lock of its own. `None` while somebody clears it.
pub fn in_use(layout: &Layout) -> io::Result<Option<UseLock>> {
    UseLock::try_take(&in_use_file(layout))
}

fn in_use_file(layout: &Layout) -> PathBuf {
    layout.locks().join("cache.lock")
}

/// Looks how much the cache takes.
pub fn usage(layout: &Layout) -> io::Result<Usage> {
    Ok(Usage {
        sources: tree(&layout.sources())?,
        nodes: tree(&layout.nodes())?,
        artifacts: tree(&layout.artifacts())?,
        downloads: tree(&layout.downloads())?,
        logs: tree(&layout.logs())?,
    })
}

/// Removes least recently used artifacts and nodes until they take at most `max_bytes` together. Of
/// these, artifacts get a quarter: they are quick to make again from a node, not the other way round. Locks and notes
/// of what is gone go too.
pub fn trim(layout: &Layout, max_bytes: u64) -> io::Result<Evicted> {
    let store = NodeStore::new(layout);
    let before = tree(&layout.artifacts())?;
    let artifacts = trim_artifacts(layout, max_bytes / 4)?;
    let nodes = node::evict(&store, max_bytes.saturating_sub(artifacts))?;
    validate::forget_gone(layout, &store)?;
    node::sweep(&store)?;
    let bytes = nodes.bytes + before.saturating_sub(artifacts);
    Ok(Evicted { left: nodes.left + artifacts, bytes, ..nodes })
}

/// Removes everything that can be made again: nodes, artifacts, downloads, logs and, with
/// `sources`, the source images too. What is in use stays.
pub fn clear(layout: &Layout, sources: bool) -> io::Result<Evicted> {
    let before = usage(layout)?;
    let mut evicted = trim(layout, 0)?;
    // What running builds fetched, log and stand on has no locks of its own.
    if let Some(_alone) = Lock::try_take(&in_use_file(layout))? {
        for dir in [
            layout.downloads(),
            layout.logs(),
            layout.history(),
            layout.superseded(),
            layout.validated(),
            layout.measured(),
        ] {
            remove_tree(&dir)?;
        }
        if sources && NodeStore::new(layout).all().is_empty() {
            remove_tree(&layout.sources())?;
        }
    }
    let after = usage(layout)?;
    let sum = |u: Usage| u.sources + u.nodes + u.artifacts + u.downloads + u.logs;
    evicted.bytes = sum(before).saturating_sub(sum(after));
    Ok(evicted)
}

fn trim_artifacts(layout: &Layout, max_bytes: u64) -> io::Result<u64> {
    let mut all: Vec<(PathBuf, SystemTime, u64)> = Vec::new();
    for entry in entries(&layout.artifacts())? {
        let used = fs::metadata(&entry)?.modified()?;
        let bytes = tree(&entry)?;
        all.push((entry, used, bytes));
    }
    all.sort_by_key(|(_, used, _)| *used);
    let mut left = all.iter().map(|(_, _, bytes)| bytes).sum();
    for (path, _, bytes) in all {
        if left <= max_bytes {
            break;
        }
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let lock = layout.locks().join(format!("artifact-{name}.lock"));
        if let Some(_lock) = Lock::try_take(&lock)? {
            fs::remove_dir_all(&path)?;
            left -= bytes;
        }
    }
    Ok(left)
}

/// Keys that artifacts are kept of.
pub fn artifact_keys(layout: &Layout) -> io::Result<HashSet<Key>> {
    let names = entries(&layout.artifacts())?;
    Ok(names.iter().filter_map(|path| Key::parse(path.file_name()?.to_str()?)).collect())
}

fn tree(dir: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for path in entries(dir)? {
        match fs::symlink_metadata(&path) {
            Ok(meta) if meta.is_dir() => bytes += tree(&path)?,
            Ok(meta) => bytes += std::os::unix::fs::MetadataExt::blocks(&meta) * 512,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
    }
    Ok(bytes)
}

fn entries(dir: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(dir) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect(),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(e) => Err(e),
    }
}

fn remove_tree(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}
