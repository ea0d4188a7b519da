//! Nodes on disk: looking up, publishing, superseding.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use images::{
    absent,
    digest::{self, Key, KeyBuilder, Kind},
    image_file::{data::file_name, verified::Verified},
    layout::Layout,
    lock::{Lock, REMOVAL, UseLock},
};
use tokio_util::sync::CancellationToken;
use vm::{Host, may_wait};

use super::NodeMeta;

/// A node that is there.
#[derive(Debug, Clone)]
pub struct Node {
    pub meta: NodeMeta,
    dir: PathBuf,
}

impl Node {
    /// The overlay that holds this state of the OS disk.
    pub fn disk(&self) -> PathBuf {
        self.dir.join("disk.qcow2")
    }

    /// The overlay that holds the UEFI variables, for a UEFI machine.
    pub fn vars(&self) -> PathBuf {
        self.dir.join("vars.qcow2")
    }

    /// The overlays of the data disks, by their LUNs.
    pub fn data_disks(&self) -> Vec<PathBuf> {
        (0..self.meta.shape.data.len()).map(|lun| self.file(&file_name(lun))).collect()
    }

    /// The saved RAM, if it was saved and can be resumed on `host`.
    pub fn ram_for(&self, host: &Host) -> Option<PathBuf> {
        let ram = self.meta.ram.as_ref()?;
        let same = ram.identity == host.ram_identity()
            && ram.machine_type == host.machine_type
            && ram.cpu_model == host.cpu_model;
        let path = self.dir.join("ram");
        (same && path.exists()).then_some(path)
    }

    /// Names the images converted from this very node. A node that was made again under its old name
    /// has other content, and so other images.
    pub fn artifact_key(&self) -> Key {
        KeyBuilder::new(self.meta.key.as_str(), "artifact")
            .field("created", &self.meta.created.to_string())
            .finish()
    }

    /// Another file of the node (`access.json`, `seed.img` of a booted node).
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

/// All nodes of one cache.
#[derive(Debug, Clone)]
pub struct NodeStore {
    pub(super) layout: Layout,
}

impl NodeStore {
    /// The store of a layout. The folder is made when first needed.
    pub fn new(layout: &Layout) -> Self {
        Self { layout: layout.clone() }
    }

    /// The node of that name, if it is there whole. One of another format, or whose description is damaged, is absent.
    ///
    /// # Errors
    /// Its description cannot be read, so nobody knows whether it is there.
    pub fn get(&self, key: &Key) -> io::Result<Option<Node>> {
        let dir = self.dir(key);
        let path = dir.join("node.json");
        let read = absent::or_none(may_wait(|| fs::read(&path)))
            .map_err(|e| io::Error::new(e.kind(), format!("cannot read {}: {e}", path.display())));
        let Some(text) = read? else { return Ok(None) };
        let Ok(meta) = serde_json::from_slice::<NodeMeta>(&text) else { return Ok(None) };
        Ok((meta.format == digest::FORMAT && meta.key == *key).then_some(Node { meta, dir }))
    }

    /// Every node that is there whole.
    ///
    /// # Errors
    /// One of them, or their folder, cannot be read.
    pub fn all(&self) -> io::Result<Vec<Node>> {
        let mut all = Vec::new();
        for path in absent::entries(&self.layout.nodes())? {
            if let Some(key) = name_of(&path).and_then(Key::parse) {
                all.extend(self.get(&key)?);
            }
        }
        Ok(all)
    }

    /// Where the node of that name is, or would be.
    pub fn dir(&self, key: &Key) -> PathBuf {
        self.layout.nodes().join(key.as_str())
    }

    /// A folder for a node that is not finished. It lies beside the nodes, so that the relative
    /// backing path of its disk is right before and after the rename.
    pub fn work_dir(&self, run_id: &str, number: usize) -> PathBuf {
        self.layout.nodes().join(format!("{}{number}", work_prefix(run_id)))
    }

    /// Makes the finished work folder visible as a node. All files get read-only, are hashed and reach
    /// the disk first. May take long; do it off the runtime.
    pub fn publish(&self, work: &Path, meta: NodeMeta) -> io::Result<Node> {
        for entry in fs::read_dir(work)? {
            make_lasting(&entry?.path())?;
        }
        let files = digests(&Verified::new(&self.layout), work)?;
        let meta = NodeMeta { files, ..meta };
        let json = work.join("node.json");
        fs::write(&json, serde_json::to_vec_pretty(&meta).map_err(io::Error::other)?)?;
        make_lasting(&json)?;
        fs::File::open(work)?.sync_all()?;
        let dir = self.dir(&meta.key);
        if dir.try_exists()? && self.get(&meta.key)?.is_none() {
            // Left by another format of goldsmith: nobody can read it, so nobody can miss it.
            fs::remove_dir_all(&dir)?;
        }
        fs::rename(work, &dir)?;
        fs::File::open(self.layout.nodes())?.sync_all()?;
        if let super::Parent::Node(parent) = &meta.parent {
            self.note_use(parent);
        }
        Ok(Node { meta, dir })
    }

    /// The lock under which the node of that name is made: identical work in flight is done once.
    pub fn making(&self, key: &Key) -> PathBuf {
        self.layout.locks().join(format!("make-{key}.lock"))
    }

    /// Keeps the node from being evicted and notes that it was used now. `None` if it is not
    /// there (any more).
    pub fn hold(&self, key: &Key) -> io::Result<Option<UseLock>> {
        let path = self.using(key);
        let Some(lock) = UseLock::try_take(&path)? else {
            return Ok(None);
        };
        if self.get(key)?.is_none() {
            return Ok(None);
        }
        self.note_use(key);
        Ok(Some(lock))
    }

    /// The time of its lock file is when a node was last used. Where it cannot be set, the node goes earlier.
    fn note_use(&self, key: &Key) {
        let noted =
            fs::File::open(self.using(key)).and_then(|file| file.set_modified(SystemTime::now()));
        if let Err(e) = noted {
            tracing::debug!(error = %e, %key, "the use of a node cannot be noted");
        }
    }

    /// As [`NodeStore::hold`], for a node that is about to appear. One that is just being evicted under that name
    /// is waited for.
    pub async fn hold_new(&self, key: &Key) -> io::Result<UseLock> {
        UseLock::take(self.using(key), REMOVAL).await
    }

    /// When the node was last used.
    pub fn last_used(&self, node: &Node) -> SystemTime {
        let used = fs::metadata(self.using(&node.meta.key)).and_then(|m| m.modified());
        used.unwrap_or_else(|_| node.meta.created.into())
    }

    fn using(&self, key: &Key) -> PathBuf {
        self.layout.locks().join(format!("use-{key}.lock"))
    }

    /// The node that supersedes `key` since somebody asked for a fresh one, or `key` itself.
    pub fn current(&self, key: Key) -> Key {
        let newer = fs::read_to_string(self.superseded_file(&key)).ok();
        newer.and_then(|text| Key::parse(text.trim())).unwrap_or(key)
    }

    /// From now on whoever looks for `key` gets `newer`. May wait; do it off the runtime.
    pub fn supersede(&self, key: &Key, newer: &Key) -> io::Result<()> {
        let path = self.superseded_file(key);
        let temp = path.with_extension("new");
        fs::create_dir_all(self.layout.superseded())?;
        // Two runs may want a fresh one of the same node at once, also in one process.
        let _alone = Lock::take_blocking(&self.superseding())?;
        fs::write(&temp, newer.as_str())?;
        fs::rename(temp, path)
    }

    /// The lock under which entries of `superseded` are written and removed.
    pub(super) fn superseding(&self) -> PathBuf {
        self.layout.locks().join("superseded.lock")
    }

    fn superseded_file(&self, key: &Key) -> PathBuf {
        self.layout.superseded().join(key.as_str())
    }

    /// Removes a node for good, unless it is in use or another stands on it (`false`).
    pub fn remove(&self, node: &Node) -> io::Result<bool> {
        self.remove_unless(node, || Ok(!self.children(node)?.is_empty()))
    }

    /// The same for a node that had no children when it was last used at `used`. Who publishes a node upon another
    /// notes a use of that, so nobody need look for children again unless the time has changed.
    pub fn remove_leaf(&self, node: &Node, used: SystemTime) -> io::Result<bool> {
        let has_children = || Ok(self.last_used(node) != used && !self.children(node)?.is_empty());
        self.remove_unless(node, has_children)
    }

    /// The nodes that stand on this one.
    pub fn children(&self, node: &Node) -> io::Result<Vec<Node>> {
        let this = super::Parent::Node(node.meta.key.clone());
        let mut all = self.all()?;
        all.retain(|other| other.meta.parent == this);
        Ok(all)
    }

    /// The nodes that stand on a source image, with their first disk or another.
    pub(crate) fn of_source(&self, digest: &str) -> io::Result<Vec<Node>> {
        let mut all = self.all()?;
        all.retain(|node| {
            let data = node.meta.shape.data.iter().filter_map(|disk| disk.source.as_deref());
            let parent = match &node.meta.parent {
                super::Parent::Source(source) => Some(source.as_str()),
                super::Parent::Node(_) => None,
            };
            data.chain(parent).any(|source| source == digest)
        });
        Ok(all)
    }

    fn remove_unless(
        &self,
        node: &Node,
        is_wanted: impl FnOnce() -> io::Result<bool>,
    ) -> io::Result<bool> {
        let using = self.using(&node.meta.key);
        let Some(_lock) = Lock::try_take(&using)? else {
            return Ok(false);
        };
        // Looked at under the lock: a build may have ended upon it a moment ago.
        if is_wanted()? {
            return Ok(false);
        }
        let trash = self.layout.nodes().join(format!("{GONE}{}", images::new_run_id()));
        if absent::or_none(fs::rename(&node.dir, &trash))?.is_none() {
            return Ok(true);
        }
        fs::remove_dir_all(trash)?;
        // The lock file goes last; who opened it meanwhile opens another of that name.
        fs::remove_file(using)?;
        Ok(true)
    }

    /// Removes what an eviction that was killed had put aside.
    pub fn sweep(&self) -> io::Result<()> {
        remove_prefixed(&self.layout.nodes(), GONE)
    }

    /// Removes work folders of a run among these nodes. Nothing there is success.
    pub fn remove_work(nodes: &Path, run_id: &str) -> io::Result<()> {
        remove_prefixed(nodes, &work_prefix(run_id))
    }
}

/// Nobody writes to it any more, and it is on the disk.
fn make_lasting(path: &Path) -> io::Result<()> {
    let file = fs::File::open(path)?;
    let mut permissions = file.metadata()?.permissions();
    permissions.set_readonly(true);
    file.set_permissions(permissions)?;
    file.sync_all()
}

fn remove_prefixed(nodes: &Path, prefix: &str) -> io::Result<()> {
    for path in absent::entries(nodes)? {
        if name_of(&path).is_some_and(|name| name.starts_with(prefix)) {
            absent::remove_tree(&path)?;
        }
    }
    Ok(())
}

fn name_of(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()
}

/// Nodes on their way out.
const GONE: &str = ".gone-";

fn work_prefix(run_id: &str) -> String {
    format!(".new-{run_id}-")
}

/// The digests of all files in a folder that is to be a node.
fn digests(verified: &Verified, work: &Path) -> io::Result<BTreeMap<String, String>> {
    let never = CancellationToken::new();
    let mut digests = BTreeMap::new();
    for entry in fs::read_dir(work)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if let Some(found) = verified.read(&entry.path(), Kind::Sparse, &never, |_| {})? {
            digests.insert(name, found.hex().to_owned());
        }
    }
    Ok(digests)
}
