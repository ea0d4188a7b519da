//! Evicts the least recently used entries, of any kind, when the cache is too large.
//!
//! Nodes are removed from the leaves, a source once no node is based on it. Entries in use by a
//! run, downloads that the service stores for a template, and logs of unfinished runs stay; the
//! result lists them.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, HashSet},
    fmt, fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::SystemTime,
};

use images::{
    absent::{self, entries},
    digest::Key,
    in_use::{self, Kind},
    layout::Layout,
    ledger,
};
use serde::Serialize;

use crate::node::{Node, NodeStore, Parent};

/// The result of an eviction.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Evicted {
    /// Nodes removed.
    pub nodes: usize,
    /// Bytes freed.
    pub bytes: u64,
    /// Bytes that the cache still takes.
    pub left: u64,
    /// Entries that stay although they should be removed.
    pub kept: Vec<Remaining>,
}

/// An entry that stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Remaining {
    /// `node`, `source`, `download`, `log`, `artifact`.
    pub kind: &'static str,
    pub name: String,
    pub bytes: u64,
    pub why: Why,
}

/// Why it stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Why {
    /// A run or a command is using it.
    InUse,
    /// A node that stays is based on it.
    NodeUponIt,
    /// A template of the service has it: the storage account contains the same file.
    OfATemplate,
    /// Its run is not finished.
    RunNotOver,
    /// The caller excluded source images.
    Source,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InUse => "in use at this moment",
            Self::NodeUponIt => "a node that stays stands on it",
            Self::OfATemplate => "a template of the service has it",
            Self::RunNotOver => "its run is not over",
            Self::Source => "source images go with --all",
        })
    }
}

enum Thing {
    Node(Box<Node>),
    Source(String),
    Download(String),
    Log(String),
    Note(PathBuf),
}

struct Entry {
    thing: Thing,
    used: SystemTime,
    bytes: u64,
    /// The number of existing entries that are based on this one.
    children: usize,
    /// The entries that this one is based on.
    stands_on: Vec<usize>,
    gone: bool,
}

/// All entries that may be removed, except artifacts.
pub(super) struct Trim<'a> {
    layout: &'a Layout,
    store: NodeStore,
    sources: bool,
    entries: Vec<Entry>,
    unfinished: HashSet<String>,
}

impl<'a> Trim<'a> {
    /// Lists all entries. Without `sources`, source images neither count nor are removed.
    pub(super) fn list(layout: &'a Layout, sources: bool) -> io::Result<Self> {
        let unfinished = ledger::runs(layout)?.into_iter().collect();
        let store = NodeStore::new(layout);
        let mut trim = Self { layout, store, sources, entries: Vec::new(), unfinished };
        let sources = trim.list_sources()?;
        trim.list_nodes(&sources)?;
        for path in entries(&layout.downloads())? {
            let name = name_of(&path);
            trim.add(
                &path,
                |layout| in_use::last_used(layout, Kind::Download, &name),
                Thing::Download,
            )?;
        }
        for path in entries(&layout.logs())? {
            trim.add(&path, |_| fs::metadata(&path)?.modified(), Thing::Log)?;
        }
        for path in [entries(&layout.history())?, entries(&layout.measured())?].concat() {
            trim.add(&path, |_| fs::metadata(&path)?.modified(), |_| Thing::Note(path.clone()))?;
        }
        Ok(trim)
    }

    /// Bytes of all existing entries that count.
    pub(super) fn bytes(&self) -> u64 {
        let there = self.entries.iter().filter(|entry| !entry.gone);
        there.filter(|entry| self.counts(entry)).map(|entry| entry.bytes).sum()
    }

    fn counts(&self, entry: &Entry) -> bool {
        self.sources || !matches!(entry.thing, Thing::Source(_))
    }

    /// Removes the least recently used entries until all take at most `max_bytes`.
    pub(super) fn down_to(mut self, max_bytes: u64) -> io::Result<Evicted> {
        let mut left = self.bytes();
        let mut done = Evicted::default();
        let mut order: BinaryHeap<Reverse<(SystemTime, usize)>> = BinaryHeap::new();
        for (index, entry) in self.entries.iter().enumerate() {
            if entry.children == 0 {
                order.push(Reverse((entry.used, index)));
            }
        }
        let mut stays: HashMap<usize, Why> = HashMap::new();
        // With a limit of 0, entries without a size are removed too.
        let wanted = |left: u64| left > max_bytes || max_bytes == 0;
        while wanted(left) {
            let Some(Reverse((_, index))) = order.pop() else { break };
            if let Some(why) = self.remove(index)? {
                stays.insert(index, why);
                continue;
            }
            let entry = &mut self.entries[index];
            entry.gone = true;
            left -= entry.bytes;
            done.bytes += entry.bytes;
            done.nodes += usize::from(matches!(entry.thing, Thing::Node(_)));
            for below in entry.stands_on.clone() {
                let below_it = &mut self.entries[below];
                below_it.children -= 1;
                if below_it.children == 0 {
                    order.push(Reverse((below_it.used, below)));
                }
            }
        }
        done.left = left;
        if wanted(left) {
            let there = self.entries.iter().enumerate().filter(|(_, entry)| !entry.gone);
            done.kept = there
                .map(|(index, entry)| {
                    let why = stays.get(&index).copied().unwrap_or(Why::NodeUponIt);
                    let (kind, name) = entry.thing.named();
                    Remaining { kind, name, bytes: entry.bytes, why }
                })
                .collect();
        }
        Ok(done)
    }

    /// Removes an entry, or returns why it stays.
    fn remove(&self, index: usize) -> io::Result<Option<Why>> {
        let Entry { thing, used, .. } = &self.entries[index];
        let layout = self.layout;
        let in_use = |is_gone: bool| (!is_gone).then_some(Why::InUse);
        Ok(match thing {
            Thing::Node(node) => in_use(self.store.remove_leaf(node, *used)?),
            Thing::Source(_) if !self.sources => Some(Why::Source),
            Thing::Source(digest) => in_use(super::evict_source(layout, digest)?),
            // The other name is that of a blob, which exists as long as its template.
            Thing::Download(name) if links(&layout.downloads().join(name))? > 1 => {
                Some(Why::OfATemplate)
            }
            Thing::Download(name) => in_use(evict_download(layout, name)?),
            Thing::Log(run) if self.unfinished.contains(run) => Some(Why::RunNotOver),
            Thing::Log(run) => {
                absent::remove_tree(&layout.logs().join(run))?;
                None
            }
            Thing::Note(path) => {
                absent::remove_file(path)?;
                None
            }
        })
    }

    fn add(
        &mut self,
        path: &Path,
        used: impl FnOnce(&Layout) -> io::Result<SystemTime>,
        thing: impl FnOnce(String) -> Thing,
    ) -> io::Result<Option<usize>> {
        let looked = used(self.layout).and_then(|used| Ok((used, size(path)?)));
        // Another process may have evicted it meanwhile.
        let Some((used, bytes)) = absent::or_none(looked)? else { return Ok(None) };
        let thing = thing(name_of(path));
        let entry = Entry { thing, used, bytes, children: 0, stands_on: Vec::new(), gone: false };
        self.entries.push(entry);
        Ok(Some(self.entries.len() - 1))
    }

    fn list_sources(&mut self) -> io::Result<HashMap<String, usize>> {
        let mut found = HashMap::new();
        for path in entries(&self.layout.sources())? {
            let name = name_of(&path);
            // The folder also contains work folders, which have their own locks.
            if Key::parse(&name).is_none() {
                continue;
            }
            let used = |layout: &Layout| in_use::last_used(layout, Kind::Source, &name);
            if let Some(index) = self.add(&path, used, Thing::Source)? {
                found.insert(name, index);
            }
        }
        Ok(found)
    }

    fn list_nodes(&mut self, sources: &HashMap<String, usize>) -> io::Result<()> {
        let mut found = HashMap::new();
        for node in self.store.all()? {
            let path = self.store.dir(&node.meta.key);
            let used = self.store.last_used(&node);
            let key = node.meta.key.clone();
            let thing = |_| Thing::Node(Box::new(node));
            if let Some(index) = self.add(&path, |_| Ok(used), thing)? {
                found.insert(key, index);
            }
        }
        for index in found.values().copied() {
            let Thing::Node(node) = &self.entries[index].thing else { continue };
            let data = node.meta.shape.data.iter().filter_map(|disk| disk.source.as_ref());
            let mut below: Vec<usize> =
                data.filter_map(|digest| sources.get(digest)).copied().collect();
            match &node.meta.parent {
                Parent::Source(digest) => below.extend(sources.get(digest)),
                Parent::Node(key) => below.extend(found.get(key)),
            }
            for below in &below {
                self.entries[*below].children += 1;
            }
            self.entries[index].stands_on = below;
        }
        Ok(())
    }
}

impl Thing {
    fn named(&self) -> (&'static str, String) {
        match self {
            Self::Node(node) => ("node", node.meta.key.to_string()),
            Self::Source(digest) => ("source", digest.clone()),
            Self::Download(name) => ("download", name.clone()),
            Self::Log(run) => ("log", run.clone()),
            Self::Note(path) => ("note", name_of(path)),
        }
    }
}

fn evict_download(layout: &Layout, name: &str) -> io::Result<bool> {
    in_use::evict(layout, Kind::Download, name, |path| {
        absent::remove_file(path)?;
        Ok(true)
    })
}

/// The number of the file's names; one if it is gone.
fn links(path: &Path) -> io::Result<u64> {
    let found = absent::or_none(fs::symlink_metadata(path))?;
    Ok(found.map_or(1, |meta| meta.nlink()))
}

fn size(path: &Path) -> io::Result<u64> {
    let metadata = fs::symlink_metadata(path)?;
    // Nodes and sources are folders of files. A download with a second name takes no space here.
    match (metadata.is_dir(), metadata.nlink()) {
        (true, _) => absent::bytes(path),
        (false, 0 | 1) => Ok(metadata.blocks() * 512),
        (false, _) => Ok(0),
    }
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
