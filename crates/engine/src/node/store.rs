//! Nodes on disk: lookup, publication, supersession.

use std::{
    collections::BTreeMap,
    fs, io,
    panic::resume_unwind,
    path::{Path, PathBuf},
    thread,
    time::SystemTime,
};

use images::{
    absent,
    digest::{self, Key, KeyBuilder, Kind},
    image_file::{data::file_name, verified::Verified},
    layout::Layout,
    lock::{Lock, REMOVAL, UseLock},
};
use rustix::{process::setpriority_process, thread::gettid};
use tokio_util::sync::CancellationToken;
use vm::{Host, RamFile, may_wait};

use super::{NodeMeta, meta::RAM};

/// An existing node.
#[derive(Debug, Clone)]
pub struct Node {
    pub meta: NodeMeta,
    dir: PathBuf,
}

impl Node {
    /// The overlay of the OS disk.
    pub fn disk(&self) -> PathBuf {
        self.dir.join("disk.qcow2")
    }

    /// The overlay of the UEFI variables, for a UEFI machine.
    pub fn vars(&self) -> PathBuf {
        self.dir.join("vars.qcow2")
    }

    /// The overlays of the data disks, by LUN.
    pub fn data_disks(&self) -> Vec<PathBuf> {
        (0..self.meta.shape.data.len()).map(|lun| self.file(&file_name(lun))).collect()
    }

    /// The saved RAM, if it exists and can be resumed on `host`.
    pub fn ram_for(&self, host: &Host) -> Option<RamFile> {
        let ram = self.meta.ram.as_ref()?;
        let same = ram.identity == host.ram_identity(self.meta.shape.os)
            && ram.machine_type == host.machine_type
            && ram.cpu_model == host.cpu_model;
        let path = self.dir.join("ram");
        let format = ram.format.unwrap_or_else(|| host.paused_ram_format());
        (same && path.exists()).then_some(RamFile { path, format })
    }

    /// The key of the images converted from this very node. A node that was made again under its
    /// old key has different content, and so different images.
    pub fn artifact_key(&self) -> Key {
        KeyBuilder::new(self.meta.key.as_str(), "artifact")
            .field("created", &self.meta.created.to_string())
            .finish()
    }

    /// Its folder.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
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
    /// The store of a layout. The folder is created when first needed.
    pub fn new(layout: &Layout) -> Self {
        Self { layout: layout.clone() }
    }

    /// The node with that key, if it is complete. A node of another format, or with a damaged
    /// description, counts as absent.
    ///
    /// # Errors
    /// Its description cannot be read, so its existence is unknown.
    pub fn get(&self, key: &Key) -> io::Result<Option<Node>> {
        let dir = self.dir(key);
        let path = dir.join("node.json");
        let read = absent::or_none(may_wait(|| fs::read(&path)))
            .map_err(|e| io::Error::new(e.kind(), format!("cannot read {}: {e}", path.display())));
        let Some(text) = read? else { return Ok(None) };
        let Ok(meta) = serde_json::from_slice::<NodeMeta>(&text) else { return Ok(None) };
        Ok((meta.format == digest::FORMAT && meta.key == *key).then_some(Node { meta, dir }))
    }

    /// Every complete node.
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

    /// The folder of the node with that key, whether it exists or not.
    pub fn dir(&self, key: &Key) -> PathBuf {
        self.layout.nodes().join(key.as_str())
    }

    /// A folder for an unfinished node. It is beside the nodes, so that the relative backing path
    /// of its disk is correct before and after the rename.
    pub fn work_dir(&self, run_id: &str, number: usize) -> PathBuf {
        self.layout.nodes().join(format!("{}{number}", work_prefix(run_id)))
    }

    /// Publishes the finished work folder as a node. Before that, all files become read-only and are
    /// hashed, and all but the RAM are synced. This may take long; call it off the runtime.
    pub fn publish(&self, work: &Path, meta: NodeMeta) -> io::Result<Node> {
        for entry in fs::read_dir(work)? {
            let path = entry?.path();
            let file = make_read_only(&path)?;
            // RAM is large, and syncing it would hold up the sync of the next disks. What a power
            // failure takes of it is noticed by its digest, and the disk boots without it.
            if name_of(&path) != Some(RAM) {
                file.sync_all()?;
            }
        }
        let files = while_others_go_first(|| digests(&Verified::new(&self.layout), work))?;
        let meta = NodeMeta { files, ..meta };
        let json = work.join("node.json");
        fs::write(&json, serde_json::to_vec_pretty(&meta).map_err(io::Error::other)?)?;
        make_read_only(&json)?.sync_all()?;
        fs::File::open(work)?.sync_all()?;
        let dir = self.dir(&meta.key);
        if dir.try_exists()? && self.get(&meta.key)?.is_none() {
            // A node of another format: no process can read it, so it may be removed.
            fs::remove_dir_all(&dir)?;
        }
        fs::rename(work, &dir)?;
        fs::File::open(self.layout.nodes())?.sync_all()?;
        if let super::Parent::Node(parent) = &meta.parent {
            self.note_use(parent);
        }
        Ok(Node { meta, dir })
    }

    /// The lock for making the node with that key, so that concurrent builds do the same work once.
    pub fn making(&self, key: &Key) -> PathBuf {
        self.layout.locks().join(format!("make-{key}.lock"))
    }

    /// Protects the node from eviction and records a use. `None` if it does not exist (any more).
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

    /// The time of its lock file is the time of a node's last use. If it cannot be set, the node is
    /// evicted earlier.
    fn note_use(&self, key: &Key) {
        let noted =
            fs::File::open(self.using(key)).and_then(|file| file.set_modified(SystemTime::now()));
        if let Err(e) = noted {
            tracing::debug!(error = %e, %key, "the use of a node cannot be noted");
        }
    }

    /// As [`NodeStore::hold`], for a node that is about to appear. Waits for an eviction in
    /// progress under that key.
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

    /// The fresh node that supersedes `key`, or `key` itself.
    pub fn current(&self, key: Key) -> Key {
        let newer = fs::read_to_string(self.superseded_file(&key)).ok();
        newer.and_then(|text| Key::parse(text.trim())).unwrap_or(key)
    }

    /// From now on a lookup of `key` finds `newer`. May wait; call it off the runtime.
    pub fn supersede(&self, key: &Key, newer: &Key) -> io::Result<()> {
        let path = self.superseded_file(key);
        let temp = path.with_extension("new");
        fs::create_dir_all(self.layout.superseded())?;
        // Two runs may refresh the same node at once, even in one process.
        let _alone = Lock::take_blocking(&self.superseding())?;
        fs::write(&temp, newer.as_str())?;
        fs::rename(temp, path)
    }

    /// The lock for writing and removing entries of `superseded`.
    pub(super) fn superseding(&self) -> PathBuf {
        self.layout.locks().join("superseded.lock")
    }

    fn superseded_file(&self, key: &Key) -> PathBuf {
        self.layout.superseded().join(key.as_str())
    }

    /// Permanently removes a node, unless it is in use or another is based on it (`false`).
    pub fn remove(&self, node: &Node) -> io::Result<bool> {
        self.remove_unless(node, || Ok(!self.children(node)?.is_empty()))
    }

    /// The same for a node that had no children when it was last used at `used`. Publishing a child
    /// records a use of its parent, so the children are listed again only if the time has changed.
    pub fn remove_leaf(&self, node: &Node, used: SystemTime) -> io::Result<bool> {
        let has_children = || Ok(self.last_used(node) != used && !self.children(node)?.is_empty());
        self.remove_unless(node, has_children)
    }

    /// The nodes based on this one.
    pub fn children(&self, node: &Node) -> io::Result<Vec<Node>> {
        let this = super::Parent::Node(node.meta.key.clone());
        let mut all = self.all()?;
        all.retain(|other| other.meta.parent == this);
        Ok(all)
    }

    /// The nodes based on a source image, with their OS disk or a data disk.
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
        // Checked under the lock: a build may have just created a child.
        if is_wanted()? {
            return Ok(false);
        }
        let trash = self.layout.nodes().join(format!("{GONE}{}", images::new_run_id()));
        if absent::or_none(fs::rename(&node.dir, &trash))?.is_none() {
            return Ok(true);
        }
        fs::remove_dir_all(trash)?;
        // The lock file is removed last. A process that opened it meanwhile then opens its
        // successor.
        fs::remove_file(using)?;
        Ok(true)
    }

    /// Removes folders that a killed eviction had set aside.
    pub fn sweep(&self) -> io::Result<()> {
        remove_prefixed(&self.layout.nodes(), GONE)
    }

    /// Removes a run's work folders among these nodes. Success if there are none.
    pub fn remove_work(nodes: &Path, run_id: &str) -> io::Result<()> {
        remove_prefixed(nodes, &work_prefix(run_id))
    }
}

fn make_read_only(path: &Path) -> io::Result<fs::File> {
    let file = fs::File::open(path)?;
    let mut permissions = file.metadata()?.permissions();
    permissions.set_readonly(true);
    file.set_permissions(permissions)?;
    Ok(file)
}

/// The niceness of work that no step waits for: the processors of the guest take precedence.
const NICENESS: i32 = 10;

/// Executes work in a thread of low priority, which ends with it: without privileges, no thread can
/// raise its priority again.
fn while_others_go_first<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            if let Err(error) = setpriority_process(Some(gettid()), NICENESS) {
                tracing::debug!(%error, "files are hashed with the guest's priority");
            }
            work()
        });
        thread.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
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

/// Nodes that are being removed.
const GONE: &str = ".gone-";

fn work_prefix(run_id: &str) -> String {
    format!(".new-{run_id}-")
}

/// The digests of all files in a folder that will become a node.
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
