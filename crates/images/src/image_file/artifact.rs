//! Whole image files made from a sealed disk, once per disk and form.
//!
//! ```text
//! artifacts/<node key>/disk.qcow2 + disk.qcow2.json   standalone: managed images, gallery versions
//!                      disk.vhd   + disk.vhd.json     VHD distributors and exports
//!                      packed.qcow2 + …               qcow2 exports
//!                      data0-disk.qcow2 + …           the same three of each data disk
//! ```
//!
//! The files are read-only. The image store *links* them if it is on the same file system, so that
//! they take no space of their own. They belong to the cache: an artifact that no process uses may
//! be evicted at any time, under an exclusive `artifact-<key>.lock`.
//!
//! Invariant: a file is returned only if its content matches its JSON ([`verified`]). A damaged
//! file is made again.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use api::ErrorCode;
use serde::{Deserialize, Serialize};
use vm::{Host, may_wait};

use super::{
    Image,
    convert::{self, Job, Target},
    verified,
};
use crate::{
    absent::{entries, entries_of_any},
    digest::{Digest, Key, Kind},
    error::{Error, Result, io_fault},
    files::partial::{self, Existing, Partial},
    format::Format,
    layout::Layout,
    lock::{Lock, REMOVAL, UseLock},
    run_context::RunContext,
};

/// A finished and hashed disk without a backing file, protected from eviction while this value
/// lives. Images, versions and exports are made from it.
#[derive(Debug, Clone)]
pub struct Standalone {
    /// Names the content: the key of the generalized node, or the digest of a stored image.
    pub key: Key,
    /// An uncompressed, read-only qcow2.
    pub disk: PathBuf,
    /// SHA-256 of the file.
    pub sha256: String,
    /// Size of the disk that the guest sees, in bytes.
    pub virtual_size: u64,
    /// The disks beside it, by their LUNs.
    pub data: Vec<DataDisk>,
    _in_use: Arc<UseLock>,
}

/// A finished and hashed data disk without a backing file. Its LUN is its index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataDisk {
    /// An uncompressed, read-only qcow2.
    pub disk: PathBuf,
    /// SHA-256 of the file.
    pub sha256: String,
    /// Size of the disk that the guest sees, in bytes.
    pub virtual_size: u64,
}

impl Standalone {
    /// A standalone disk with its data disks. Its artifacts are not evicted while the result lives.
    ///
    /// # Errors
    /// An eviction of the artifacts does not end in time.
    pub(crate) async fn held(
        layout: &Layout,
        key: Key,
        disk: PathBuf,
        (sha256, virtual_size): (String, u64),
        data: Vec<DataDisk>,
    ) -> Result<Self> {
        let _in_use = hold(layout, &key).await?;
        Ok(Self { key, disk, sha256, virtual_size, data, _in_use })
    }
}

/// Converts the sealed disk of the node `key`, a qcow2 with its chain, to one file, or returns the
/// cached file.
///
/// # Errors
/// `ExportFailed`, `HostNotReady`, `DiskFull`, `Canceled`.
pub async fn standalone(
    cx: &RunContext,
    host: &Host,
    disk: &Path,
    key: &Key,
) -> Result<Standalone> {
    let in_use = hold(&cx.layout, key).await?;
    let image = Image { path: disk.to_owned(), format: Format::Qcow2 };
    let made = get_or_make(cx, host, &image, key, Form::Standalone, None).await?;
    Ok(Standalone {
        key: key.clone(),
        disk: made.path,
        sha256: made.digest.hex().to_owned(),
        virtual_size: made.virtual_size,
        data: Vec::new(),
        _in_use: in_use,
    })
}

/// Protects the artifacts of `key` from eviction.
async fn hold(layout: &Layout, key: &Key) -> Result<Arc<UseLock>> {
    let path = layout.locks().join(format!("artifact-{key}.lock"));
    UseLock::take(path, REMOVAL)
        .await
        .map(Arc::new)
        .map_err(|e| io_fault(e, ErrorCode::ExportFailed, format!("hold the artifacts of {key}")))
}

/// The forms that are cached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Uncompressed qcow2 without a backing file.
    Standalone,
    /// The same with zstd.
    Packed,
    /// Fixed VHD.
    Vhd,
}

impl Form {
    /// The form that an export in this format copies, if it is a cached form.
    pub fn of_export(format: Format) -> Option<Self> {
        match format {
            Format::Qcow2 => Some(Self::Packed),
            Format::Vhd => Some(Self::Vhd),
            Format::Raw | Format::Vmdk => None,
        }
    }

    fn file_name(self) -> &'static str {
        match self {
            Self::Standalone => "disk.qcow2",
            Self::Packed => "packed.qcow2",
            Self::Vhd => "disk.vhd",
        }
    }

    fn target(self) -> Target {
        match self {
            Self::Standalone => Target::Standalone,
            Self::Packed => Target::Compressed,
            Self::Vhd => Target::Vhd,
        }
    }

    fn digest_kind(self) -> Kind {
        Kind::of(self.target().format())
    }

    fn activity(self) -> &'static str {
        match self {
            Self::Standalone => "convert to one disk",
            Self::Packed => "convert to qcow2 (zstd)",
            Self::Vhd => "convert to VHD",
        }
    }
}

/// A finished image file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Artifact {
    #[serde(skip)]
    pub path: PathBuf,
    /// Digest of the file's content.
    #[serde(flatten)]
    pub digest: Digest,
    /// Size of the disk that the guest sees, in bytes.
    pub virtual_size: u64,
}

/// The disk in another form, from the cache or converted now.
///
/// # Errors
/// `ExportFailed`, `HostNotReady`, `DiskFull`, `Canceled`.
pub async fn get(cx: &RunContext, host: &Host, from: &Standalone, form: Form) -> Result<Artifact> {
    let image = Image { path: from.disk.clone(), format: Format::Qcow2 };
    get_or_make(cx, host, &image, &from.key, form, None).await
}

/// Concurrent requests for the same file, also from other processes, convert it once. `lun` names a
/// data disk.
pub(super) async fn get_or_make(
    cx: &RunContext,
    host: &Host,
    from: &Image,
    key: &Key,
    form: Form,
    lun: Option<usize>,
) -> Result<Artifact> {
    let dir = cx.layout.artifacts().join(key.as_str());
    let name = match lun {
        None => form.file_name().to_owned(),
        Some(lun) => format!("data{lun}-{}", form.file_name()),
    };
    let dest = dir.join(&name);
    if let Some(existing) = existing(cx, &dest, form).await? {
        return Ok(existing);
    }
    let fail = |e| io_fault(e, ErrorCode::ExportFailed, format!("keep {}", dest.display()));
    let making = cx.layout.locks().join(format!("make-artifact-{key}-{name}.lock"));
    let waiting = cx.events.wait(format!("the turn to make {name}"));
    let _making = Lock::take(making, cx.time_left()).await.map_err(fail)?;
    drop(waiting);
    if let Some(existing) = existing(cx, &dest, form).await? {
        return Ok(existing);
    }
    may_wait(|| fs::create_dir_all(&dir)).map_err(fail)?;
    let partial = Partial::create(&dest, &std::process::id().to_string()).map_err(fail)?;
    let made = make(cx, host, from, form, &name, &partial).await?;
    verified::Verified::new(&cx.layout)
        .keep(&made.path, &dest, || partial.finish(Existing::Replace))
        .and_then(|()| write_json(&json_path(&dest), &made))
        .map_err(fail)?;
    Ok(Artifact { path: dest, ..made })
}

async fn make(
    cx: &RunContext,
    host: &Host,
    from: &Image,
    form: Form,
    name: &str,
    partial: &Partial,
) -> Result<Artifact> {
    let path = partial.path();
    let job = Job { from, to: path, target: form.target(), name, activity: form.activity() };
    let virtual_size = convert::convert(cx, host, job).await?;
    let fail = |e| io_fault(e, ErrorCode::ExportFailed, format!("look at {}", path.display()));
    may_wait(|| fs::set_permissions(path, PermissionsExt::from_mode(0o400))).map_err(fail)?;
    let activity = format!("hash {name}");
    let digest = finish_and_hash(cx, partial, form.digest_kind(), &activity).await?;
    Ok(Artifact { path: path.to_owned(), digest, virtual_size })
}

/// Hashes a written file while the system syncs it to the disk.
pub(crate) async fn finish_and_hash(
    cx: &RunContext,
    partial: &Partial,
    kind: Kind,
    activity: &str,
) -> Result<Digest> {
    let fail =
        |e| io_fault(e, ErrorCode::ExportFailed, format!("write {}", partial.path().display()));
    let file = partial.file().try_clone().map_err(fail)?;
    let synced = tokio::task::spawn_blocking(move || file.sync_all());
    let digest = verified::measure(cx, partial.path(), kind, activity).await?;
    synced.await.map_err(io::Error::other).flatten().map_err(fail)?;
    Ok(digest)
}

/// The cached file, if it exists and is intact. Records the use.
async fn existing(cx: &RunContext, dest: &Path, form: Form) -> Result<Option<Artifact>> {
    let Some(artifact) = may_wait(|| read_json(dest).filter(|_| dest.exists()))
        .filter(|made| made.digest.kind() == form.digest_kind())
    else {
        return Ok(None);
    };
    if !verified::check(cx, dest, &artifact.digest, "verify the cached image").await? {
        let path = dest.display();
        tracing::error!(%path, "a cached image is damaged");
        cx.events.warn(format!("{path} is damaged: it is not what was written. It is made again"));
        return Ok(None);
    }
    // The folder's modification time decides which artifacts are evicted first.
    if let Some(dir) = dest.parent() {
        let _ = may_wait(|| File::open(dir)?.set_modified(SystemTime::now()));
    }
    Ok(Some(Artifact { path: dest.to_owned(), ..artifact }))
}

fn read_json(dest: &Path) -> Option<Artifact> {
    serde_json::from_slice(&fs::read(json_path(dest)).ok()?).ok()
}

/// The finished files in the folder of a key.
///
/// # Errors
/// The folder cannot be read.
pub fn all_in(dir: &Path) -> io::Result<Vec<Artifact>> {
    let files = entries_of_any(dir)?.into_iter();
    Ok(files
        .filter_map(|path| Some(Artifact { path: path.clone(), ..read_json(&path)? }))
        .collect())
}

fn json_path(dest: &Path) -> PathBuf {
    let mut name = dest.as_os_str().to_owned();
    name.push(".json");
    name.into()
}

/// Checks that the delivered file matches its future record. A link to a file that was verified
/// lately is not read again; a copy is.
///
/// # Errors
/// The content differs: the original was changed meanwhile.
pub async fn delivered(cx: &RunContext, path: &Path, digest: &Digest) -> Result<()> {
    if verified::check(cx, path, digest, "verify what was delivered").await? {
        return Ok(());
    }
    let text = format!("{} is not what was to be delivered", path.display());
    Err(Error::new(ErrorCode::ExportFailed, text)
        .details([format!("its digest is not {digest}")])
        .hint("build again: what is damaged in the cache is made anew"))
}

/// Writes a small file by rename. Of two concurrent writers, the last one wins.
///
/// # Errors
/// The file cannot be written.
pub fn write_json(path: &Path, value: &impl Serialize) -> io::Result<()> {
    let bytes = serde_json::to_vec_pretty(value).map_err(io::Error::other)?;
    may_wait(|| Partial::create(path, &crate::new_run_id())?.finish_with(&bytes, Existing::Replace))
}

/// Removes unfinished files of killed processes. Returns how many.
pub fn sweep(layout: &Layout) -> io::Result<usize> {
    let mut removed = 0;
    for dir in entries(&layout.artifacts())? {
        removed += partial::sweep(&dir)?;
    }
    Ok(removed)
}
