//! Reads everything that has a digest: sources, nodes, artifacts, downloads, stored images and
//! VHDs.
//!
//! A damaged entry is removed if it can be made again and is not in use. Stored images and
//! delivered VHDs are only reported: they are data.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Instant,
};

use api::ErrorCode;
use images::{
    absent::entries,
    digest::Digest,
    error::{Result, io_fault},
    image_file::{artifact, digest::REPORT, verified::Verified},
    layout::Layout,
    run_context::RunContext,
    store::Store,
};
use serde::Serialize;
use sources::fetch;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use vm::off_runtime;

use crate::{distribute, node::NodeStore};

/// How a damaged file was treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Fate {
    /// It was removed, with the entries based on it. The next build that needs it makes it again.
    Evicted,
    /// A run is using it.
    InUse,
    /// It is not part of the cache: an image of the store, a VHD.
    Reported,
    /// It cannot be read, so its state is unknown.
    Unreadable,
}

/// A damaged file.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Damaged {
    pub path: PathBuf,
    pub fate: Fate,
    /// The error of an unreadable file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The result of [`verify`].
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verification {
    /// Files that were read.
    pub files: u64,
    /// Their bytes on the disk.
    pub bytes: u64,
    /// Nodes of an earlier goldsmith, which have no digests.
    pub without_digest: u64,
    pub damaged: Vec<Damaged>,
}

/// Reads everything, at most `rate` bytes per second.
///
/// # Errors
/// A folder cannot be read, or the work was canceled.
pub async fn verify(cx: &RunContext, rate: Option<u64>) -> Result<Verification> {
    let cancel = cx.cancel.child_token();
    let _on_drop = cancel.clone().drop_guard();
    let (layout, handle) = (cx.layout.clone(), Handle::current());
    let work = move || {
        let pace = Pace { rate, read: 0, since: Instant::now(), handle, cancel: cancel.clone() };
        let verified = Verified::new(&layout);
        let mut scrub =
            Scrub { layout: &layout, verified, pace, cancel, seen: Verification::default() };
        scrub.read_sources()?;
        scrub.read_nodes()?;
        scrub.read_artifacts()?;
        scrub.read_downloads()?;
        scrub.read_data()?;
        Ok(scrub.seen)
    };
    off_runtime(work)
        .await
        .map_err(|e| io_fault(e, ErrorCode::InternalError, "verify the cache".to_owned()))
}

/// Limits the read rate.
struct Pace {
    rate: Option<u64>,
    read: u64,
    since: Instant,
    handle: Handle,
    cancel: CancellationToken,
}

impl Pace {
    /// Accounts for bytes that were read since the previous call.
    fn add(&mut self, bytes: u64) {
        self.read += bytes;
        let Some(rate) = self.rate.filter(|rate| *rate > 0) else { return };
        let due = std::time::Duration::from_secs_f64(self.read as f64 / rate as f64);
        let early = due.saturating_sub(self.since.elapsed());
        if !early.is_zero() {
            let canceled = self.cancel.cancelled();
            let _ = self.handle.block_on(async { tokio::time::timeout(early, canceled).await });
        }
    }
}

fn fate(is_gone: bool) -> Fate {
    if is_gone { Fate::Evicted } else { Fate::InUse }
}

struct Scrub<'a> {
    layout: &'a Layout,
    verified: Verified,
    pace: Pace,
    cancel: CancellationToken,
    seen: Verification,
}

impl Scrub<'_> {
    /// Reads a file. Damage is recorded with the result of `evict`.
    fn file(
        &mut self,
        path: &Path,
        digest: &Digest,
        evict: impl FnOnce() -> io::Result<Fate>,
    ) -> io::Result<()> {
        let Ok(metadata) = fs::metadata(path) else {
            // Evicted meanwhile, or a RAM file that was removed from its node.
            return Ok(());
        };
        let (mut at, pace) = (0, &mut self.pace);
        let read = self.verified.read(path, digest.kind(), &self.cancel, |done: u64| {
            // A jump is a hole, which costs nothing.
            pace.add((done - at).min(REPORT));
            at = done;
        });
        let (fate, error) = match read {
            Ok(None) => return Ok(()),
            Ok(Some(found)) => {
                self.seen.files += 1;
                self.seen.bytes += std::os::unix::fs::MetadataExt::blocks(&metadata) * 512;
                if found == *digest {
                    return Ok(());
                }
                tracing::error!(path = %path.display(), "a file is damaged");
                (evict()?, None)
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => return Err(e),
            // An unreadable file may be undamaged, and readable tomorrow.
            Err(e) => (Fate::Unreadable, Some(e.to_string())),
        };
        self.seen.damaged.push(Damaged { path: path.to_owned(), fate, error });
        Ok(())
    }

    fn read_sources(&mut self) -> io::Result<()> {
        let layout = self.layout;
        for (image, path, digest) in sources::digests(layout)? {
            self.file(&path, &digest, || {
                let store = NodeStore::new(layout);
                for node in store.of_source(&image)? {
                    if !store.remove_with_children(&node.meta.key)? {
                        return Ok(Fate::InUse);
                    }
                }
                Ok(fate(super::evict_source(layout, &image)?))
            })?;
        }
        Ok(())
    }

    fn read_nodes(&mut self) -> io::Result<()> {
        let store = NodeStore::new(self.layout);
        for node in store.all()? {
            self.seen.without_digest += u64::from(node.meta.files.is_empty());
            for (name, digest) in node.sealed() {
                self.file(&node.file(name), &digest, || {
                    Ok(fate(store.evict_damaged(&node, name)?))
                })?;
            }
        }
        Ok(())
    }

    fn read_artifacts(&mut self) -> io::Result<()> {
        let layout = self.layout;
        for dir in entries(&layout.artifacts())? {
            let key = dir.file_name().unwrap_or_default().to_string_lossy();
            for made in artifact::all_in(&dir)? {
                let evict = || Ok(fate(super::evict_artifacts(layout, &key)?));
                self.file(&made.path, &made.digest, evict)?;
            }
        }
        Ok(())
    }

    fn read_downloads(&mut self) -> io::Result<()> {
        for (path, digest) in fetch::digests(self.layout)? {
            self.file(&path, &digest, || {
                // A user of the download checks its digest first, so removing it is safe.
                fs::remove_file(&path)?;
                Ok(Fate::Evicted)
            })?;
        }
        Ok(())
    }

    fn read_data(&mut self) -> io::Result<()> {
        let images = Store::open(self.layout).list().map_err(io::Error::other)?;
        for image in images {
            let system = Digest::Plain(image.record.digest.clone());
            self.file(&image.disk(), &system, || Ok(Fate::Reported))?;
            for disk in image.data() {
                self.file(&disk.disk, &Digest::Plain(disk.sha256), || Ok(Fate::Reported))?;
            }
        }
        for (path, digest) in distribute::vhds(self.layout)? {
            self.file(&path, &digest, || Ok(Fate::Reported))?;
        }
        Ok(())
    }
}
