//! One region: its place, and this installation's notes about it.

use std::{
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use api::ErrorCode;
use futures_util::{TryStreamExt, future};
use images::{
    absent,
    config::{self, StorageLocation},
    error::{Coded, Error, Result},
    layout::Layout,
    lock::{Lock, REMOVAL, UseLock},
};
use object_store::{ObjectStore, ObjectStoreExt, PutPayload, path::Path as Key};
use rustix::fs::syncfs;
use tokio_util::sync::CancellationToken;
use vm::{boot_id, may_wait, off_runtime};

use super::{
    chunk::{CHUNKS, ChunkId},
    place::{self, reason},
};

const OPEN: &str = "open-";

/// A region that can be read and written.
#[derive(Debug, Clone)]
pub struct Region {
    /// As in the configuration: lower case, without blanks.
    pub name: String,
    pub(super) store: Arc<dyn ObjectStore>,
    folder: Option<PathBuf>,
    notes: PathBuf,
}

impl Region {
    /// Opens a region's place.
    ///
    /// # Errors
    /// `HostNotReady`, with the region's name.
    pub fn open(layout: &Layout, region: &config::Region) -> Result<Self> {
        may_wait(|| {
            let store =
                place::open(&region.place).map_err(|error| in_region(error, &region.name))?;
            let folder = match &region.place {
                StorageLocation::Folder(path) => Some(path.clone()),
                StorageLocation::Url(_) => None,
            };
            let notes = layout.regions().join(&region.name);
            Ok(Self { name: region.name.clone(), store, folder, notes })
        })
    }

    /// Prevents a sweep. Waits for a sweep in progress.
    pub(super) async fn share(&self) -> Result<UseLock> {
        let taken = UseLock::take(self.lock_path(), REMOVAL).await;
        taken.code(ErrorCode::DistributeFailed, || format!("cannot lock region {}", self.name))
    }

    /// Excludes all other users. `None` while a copy is in progress.
    pub(super) fn own(&self) -> Result<Option<Lock>> {
        Lock::try_take(&self.lock_path())
            .code(ErrorCode::DistributeFailed, || format!("cannot lock region {}", self.name))
    }

    /// If the place is a folder, the lock is in it, so that installations that share the folder
    /// share the lock.
    fn lock_path(&self) -> PathBuf {
        self.folder.as_ref().unwrap_or(&self.notes).join("lock")
    }

    /// Records, before anything is copied, that the pieces may become garbage.
    pub(super) fn begin(&self) -> Result<Unfinished> {
        let path = self.notes.join(format!("{OPEN}{}", uuid::Uuid::now_v7()));
        let write = || {
            fs::create_dir_all(&self.notes)?;
            fs::write(&path, boot_id().unwrap_or_default())
        };
        write().code(ErrorCode::DistributeFailed, || format!("cannot write {}", path.display()))?;
        Ok(Unfinished { path })
    }

    /// Notes of incomplete copies. The caller holds the lock, so that none of them is in progress.
    pub(super) fn unfinished(&self) -> Result<Vec<PathBuf>> {
        let mut notes = may_wait(|| self.listed(&self.notes))?;
        notes.retain(|path| file_name(path).starts_with(OPEN));
        Ok(notes)
    }

    /// Whether a crash of the host interrupted a copy. Then pieces may be torn although they have
    /// their final name.
    pub(super) fn is_doubtful(&self) -> Result<bool> {
        if self.folder.is_none() {
            return Ok(false);
        }
        let now = boot_id().unwrap_or_default();
        for path in self.unfinished()? {
            // Another copy may have finished since the notes were listed.
            let boot =
                absent::or_none(fs::read_to_string(&path)).map_err(|e| self.unread(&path, &e))?;
            if boot.is_some_and(|boot| boot.trim() != now) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The pieces in the place.
    pub(super) async fn pieces(&self) -> Result<HashSet<ChunkId>> {
        let prefix = Key::from(CHUNKS);
        let listed = self.store.list(Some(&prefix));
        listed
            .try_filter_map(|meta| future::ready(Ok(ChunkId::of_key(&meta.location))))
            .try_collect()
            .await
            .map_err(|e| self.fault(&reason(&e)))
    }

    /// Awaits work on the place, unless the copy is canceled. A write to a folder continues after
    /// its future is dropped, so this function waits for it. A request to an object store ends with
    /// its future and may take long, so it is dropped.
    pub(super) async fn unless_canceled<T>(
        &self,
        cancel: &CancellationToken,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        match &self.folder {
            Some(_) => work.await,
            None => cancel.run_until_cancelled(work).await.unwrap_or_else(|| Err(canceled())),
        }
    }

    pub(super) async fn put(&self, id: ChunkId, packed: PutPayload) -> Result<u64> {
        let bytes = packed.content_length() as u64;
        self.store.put(&id.key(), packed).await.map_err(|e| self.fault(&reason(&e)))?;
        Ok(bytes)
    }

    /// Makes the written pieces durable before the manifest refers to them. Object stores do so on
    /// their own. In a folder one call for all pieces is much faster than one for each.
    pub(super) async fn settle(&self) -> Result<()> {
        let Some(folder) = self.folder.clone() else { return Ok(()) };
        let sync = move || syncfs(fs::File::open(folder)?).map_err(std::io::Error::from);
        off_runtime(sync).await.map_err(|e| self.fault(&e.to_string()))
    }

    /// Files that killed writers left beside the pieces. The caller holds the lock.
    pub(super) fn torn(&self) -> Result<Vec<PathBuf>> {
        let Some(folder) = &self.folder else { return Ok(Vec::new()) };
        let mut torn = Vec::new();
        for dir in self.listed(&folder.join(CHUNKS))? {
            torn.extend(absent::entries_of_any(&dir).map_err(|e| self.unread(&dir, &e))?);
        }
        torn.retain(|path| file_name(path).contains('#'));
        Ok(torn)
    }

    fn listed(&self, folder: &Path) -> Result<Vec<PathBuf>> {
        absent::entries(folder).map_err(|e| self.unread(folder, &e))
    }

    fn unread(&self, path: &Path, why: &io::Error) -> Error {
        self.fault(&format!("cannot read {}: {why}", path.display()))
    }

    pub(super) fn fault(&self, why: &str) -> Error {
        in_region(Error::new(ErrorCode::DistributeFailed, why), &self.name)
    }
}

pub(super) fn canceled() -> Error {
    Error::new(ErrorCode::Canceled, "copying to the regions was canceled")
}

fn in_region(mut error: Error, region: &str) -> Error {
    error.message = format!("region {region}: {}", error.message);
    error
}

fn file_name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

/// The note of an incomplete copy. It stays if this value is dropped before [`done`](Self::done).
#[derive(Debug)]
pub(super) struct Unfinished {
    path: PathBuf,
}

impl Unfinished {
    /// The manifest exists: none of the copy's pieces are garbage.
    pub(super) fn done(self) {
        if let Err(e) = fs::remove_file(&self.path) {
            tracing::debug!(error = %e, "a note stays; the next sweep takes it");
        }
    }
}
