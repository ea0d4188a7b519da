//! The cache as a whole: its content and its size limit.

mod trim;
mod verify;

use std::{fs, io, path::PathBuf, time::SystemTime};

pub use self::{
    trim::{Evicted, Remaining, Why},
    verify::{Damaged, Fate, Verification, verify},
};
use images::{
    absent::{bytes, entries, or_none, remove_tree},
    image_file::verified::Verified,
    layout::Layout,
    lock::Lock,
    partition,
};

use crate::{
    node::{self, NodeStore},
    passed,
};
use trim::Trim;

/// Bytes on disk of each part of the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    pub sources: u64,
    pub nodes: u64,
    pub artifacts: u64,
    pub downloads: u64,
    pub logs: u64,
}

/// Measures the cache.
pub fn usage(layout: &Layout) -> io::Result<Usage> {
    Ok(Usage {
        sources: bytes(&layout.sources())?,
        nodes: bytes(&layout.nodes())?,
        artifacts: bytes(&layout.artifacts())?,
        downloads: bytes(&layout.downloads())?,
        logs: bytes(&layout.logs())?,
    })
}

/// Evicts the least recently used entries, of any kind, until the cache takes at most `max_bytes`.
/// Artifacts get a quarter of that: making one from a node is quick, not the other way round. Locks
/// and notes of removed entries go too. Safe beside running builds. This may take long; call it off
/// the runtime.
pub fn trim(layout: &Layout, max_bytes: u64) -> io::Result<Evicted> {
    shrink(layout, max_bytes, true)
}

/// Removes everything that can be made again and is not in use; source images only with `sources`.
/// This may take long; call it off the runtime.
pub fn clear(layout: &Layout, sources: bool) -> io::Result<Evicted> {
    shrink(layout, 0, sources)
}

fn shrink(layout: &Layout, max_bytes: u64, sources: bool) -> io::Result<Evicted> {
    let store = NodeStore::new(layout);
    let before = bytes(&layout.artifacts())?;
    let (artifacts, kept) = trim_artifacts(layout, max_bytes / 4)?;
    let mut done = Trim::list(layout, sources)?.down_to(max_bytes.saturating_sub(artifacts))?;
    passed::forget_gone(layout, &store)?;
    partition::forget_gone(layout)?;
    Verified::new(layout).sweep()?;
    node::sweep(&store)?;
    done.bytes += before.saturating_sub(artifacts);
    done.left += artifacts;
    done.kept.extend(kept);
    Ok(done)
}

fn trim_artifacts(layout: &Layout, max_bytes: u64) -> io::Result<(u64, Vec<Remaining>)> {
    let mut all: Vec<(PathBuf, SystemTime, u64)> = Vec::new();
    for entry in entries(&layout.artifacts())? {
        // Another process trims at the same time.
        let Some(meta) = or_none(fs::metadata(&entry))? else { continue };
        let bytes = bytes(&entry)?;
        all.push((entry, meta.modified()?, bytes));
    }
    all.sort_by_key(|(_, used, _)| *used);
    let mut left = all.iter().map(|(_, _, bytes)| bytes).sum();
    let mut kept = Vec::new();
    for (path, _, bytes) in all {
        if left <= max_bytes {
            break;
        }
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if evict_artifacts(layout, name)? {
            left -= bytes;
        } else {
            kept.push(Remaining {
                kind: "artifact",
                name: name.to_owned(),
                bytes,
                why: Why::InUse,
            });
        }
    }
    Ok((left, kept))
}

/// Removes the artifacts of a key, unless they are in use (`false`).
fn evict_artifacts(layout: &Layout, key: &str) -> io::Result<bool> {
    let lock = layout.locks().join(format!("artifact-{key}.lock"));
    let Some(_lock) = Lock::try_take(&lock)? else { return Ok(false) };
    remove_tree(&layout.artifacts().join(key))?;
    Ok(true)
}

/// Removes a source image that no process uses and no node is based on; `false` if it stays.
fn evict_source(layout: &Layout, digest: &str) -> io::Result<bool> {
    // Checked under the image's lock: a build may have just created a node on it.
    sources::evict(layout, digest, || Ok(NodeStore::new(layout).of_source(digest)?.is_empty()))
}
