//! Keeping the cache below its size.

use std::{collections::HashSet, fs, io, os::unix::fs::MetadataExt, path::Path};

use super::{Node, NodeStore, Parent};

/// What an eviction did.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Evicted {
    /// Nodes removed.
    pub nodes: usize,
    /// Bytes given back.
    pub bytes: u64,
    /// Bytes the nodes still take.
    pub left: u64,
}

/// Removes least recently used nodes until all together take at most `max_bytes` on disk. A node
/// with children or in use stays, whatever its age.
pub fn evict(store: &NodeStore, max_bytes: u64) -> io::Result<Evicted> {
    let mut nodes: Vec<(Node, u64)> = Vec::new();
    for node in store.all() {
        let bytes = usage(&store.dir(&node.meta.key))?;
        nodes.push((node, bytes));
    }
    let mut done =
        Evicted { left: nodes.iter().map(|(_, bytes)| bytes).sum(), ..Evicted::default() };
    let mut in_use = HashSet::new();
    while done.left > max_bytes {
        let Some(oldest) = oldest_leaf(store, &nodes, &in_use) else {
            break;
        };
        if !store.remove(&nodes[oldest].0)? {
            in_use.insert(nodes[oldest].0.meta.key.clone());
            continue;
        }
        let (_, bytes) = nodes.swap_remove(oldest);
        done.nodes += 1;
        done.bytes += bytes;
        done.left -= bytes;
    }
    Ok(done)
}

fn oldest_leaf(
    store: &NodeStore,
    nodes: &[(Node, u64)],
    in_use: &HashSet<super::Key>,
) -> Option<usize> {
    let parents: HashSet<_> = nodes
        .iter()
        .filter_map(|(node, _)| match &node.meta.parent {
            Parent::Node(key) => Some(key),
            Parent::Source(_) => None,
        })
        .collect();
    nodes
        .iter()
        .enumerate()
        .filter(|(_, (n, _))| !parents.contains(&n.meta.key) && !in_use.contains(&n.meta.key))
        .min_by_key(|(_, (node, _))| store.last_used(node))
        .map(|(index, _)| index)
}

/// Bytes that the files directly in `dir` take on disk (holes do not count).
pub fn usage(dir: &Path) -> io::Result<u64> {
    let absent = |e: &io::Error| e.kind() == io::ErrorKind::NotFound;
    let entries = match fs::read_dir(dir) {
        Err(e) if absent(&e) => return Ok(0),
        other => other?,
    };
    let mut bytes = 0;
    for entry in entries {
        match entry?.metadata() {
            // Somebody else evicted it while we looked.
            Err(e) if absent(&e) => {}
            other => bytes += other?.blocks() * 512,
        }
    }
    Ok(bytes)
}
