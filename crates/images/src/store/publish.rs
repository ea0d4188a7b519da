//! Stores an image: prepares it in a folder of its own, then renames the folder once.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use api::ErrorCode;
use jiff::Timestamp;
use rustix::{
    fs::{CWD, RenameFlags, renameat_with},
    io::Errno,
};
use tokio_util::sync::CancellationToken;
use vm::may_wait;

use super::{
    Store,
    address::Address,
    record::{self, DISK, FORMAT, JSON, Kind, Labels, Origin, Record, StoredData, StoredImage},
    version::{self, Numbering, Version},
};
use crate::{
    digest::Digest,
    error::{Coded, Error, Result, io_fault},
    files::{rename_new, sync_parent, work_folder::WorkFolder},
    image_file::{
        artifact::{DataDisk, write_json},
        data::file_name,
        place::link_or_copy,
        verified::Verified,
    },
    ownership,
    run_context::RunContext,
};

/// A finished and hashed standalone qcow2 to store. The store links it if possible, so nothing may
/// write to it again.
#[derive(Debug, Clone)]
pub struct Payload {
    pub disk: PathBuf,
    /// SHA-256 of the file.
    pub digest: String,
    /// Size of the disk that the guest sees, in bytes.
    pub virtual_size: u64,
    /// The data disks, by LUN.
    pub data: Vec<DataDisk>,
    pub origin: Origin,
    pub labels: Labels,
}

impl Store {
    /// Stores a managed image. An existing one is replaced atomically; its readers continue to read
    /// the old one. A repetition for the same run and run output changes nothing.
    ///
    /// # Errors
    /// `DistributeFailed`, `Conflict`, `DiskFull`, `Canceled`.
    pub async fn publish_managed(
        &self,
        cx: &RunContext,
        target: &Address,
        payload: Payload,
    ) -> Result<StoredImage> {
        if let Some(image) = self.at(target)?.filter(|image| is_of(image, &payload)) {
            return Ok(image);
        }
        self.publish(cx, payload, {
            let target = target.clone();
            move |store, work, payload| {
                let dir = target.dir(&store.root);
                write_record(&work, &record_of(&work, &payload, &target, None)?)?;
                move_in(work, &dir)?;
                Ok(dir)
            }
        })
        .await
    }

    /// Stores a new version of a definition, under a number that is chosen now. A repetition for
    /// the same run and run output returns the version of the first call.
    ///
    /// # Errors
    /// As [`publish_managed`](Self::publish_managed); `BadSharedImageDistribute`,
    /// `VersionConflict`.
    pub async fn publish_version(
        &self,
        cx: &RunContext,
        definition: &Address,
        numbering: Numbering,
        payload: Payload,
    ) -> Result<StoredImage> {
        if let Some(image) = may_wait(|| self.version_of(definition, &payload))? {
            return Ok(image);
        }
        self.publish(cx, payload, {
            let definition = definition.clone();
            move |store, work, payload| {
                let Address::Definition(id) = &definition else {
                    let text = format!("{} is not an image definition", definition.id());
                    return Err(Error::new(ErrorCode::BadSharedImageDistribute, text));
                };
                let version = store.next_version(&definition, numbering)?;
                store.note_number(&definition, version).map_err(|e| undescribed(e, id.name()))?;
                let target = Address::Version(id.clone(), version);
                let dir = target.dir(&store.root);
                write_record(&work, &record_of(&work, &payload, &target, Some(version))?)?;
                move_in_new(work, &dir)?;
                Ok(dir)
            }
        })
        .await
    }

    /// The number that a version would get now; `VersionConflict` if there is none. It serves the
    /// check before a build: the number at publication may differ.
    ///
    /// # Errors
    /// `VersionConflict` if the number is taken; `InternalError` if the taken numbers cannot be
    /// read.
    pub fn next_version(&self, definition: &Address, numbering: Numbering) -> Result<Version> {
        let mut existing = self.numbers(definition)?;
        if let Numbering::Latest { .. } = numbering {
            let highest = self.highest(definition);
            existing.extend(highest.code(ErrorCode::InternalError, || {
                format!("cannot read the numbers of {}", definition.id())
            })?);
        }
        version::next(&existing, numbering).map_err(|taken| {
            Error::new(ErrorCode::VersionConflict, format!("{taken} in {}", definition.id()))
                .hint("give another version, or leave it to the versioning scheme `Latest`")
        })
    }

    /// The version of a definition that a run stored for one of its run outputs, even if the run
    /// failed later.
    ///
    /// # Errors
    /// `InternalError`: the store cannot be read.
    pub fn of_run(
        &self,
        definition: &Address,
        run_id: &str,
        run_output_name: &str,
    ) -> Result<Option<StoredImage>> {
        Ok(self.versions(definition)?.into_iter().find(|image| {
            let Record { origin, labels, .. } = &image.record;
            origin.run_id.as_deref() == Some(run_id)
                && labels.run_output_name.as_deref() == Some(run_output_name)
        }))
    }

    /// Restores the name of an image in a work folder if a killed process had moved it away, unless
    /// another image has the name.
    pub(super) fn put_back(&self, work: &Path) -> io::Result<()> {
        let old = work.join(REPLACED);
        let Some(image) = StoredImage::read(&old)? else { return Ok(()) };
        let Ok(address) = Address::parse(&image.record.id) else { return Ok(()) };
        let dir = address.dir(&self.root);
        let _lock = self.lock()?;
        fs::create_dir_all(dir.parent().unwrap_or(&dir))?;
        match rename_new(&old, &dir) {
            Err(e) if is_taken(&e) => Ok(()),
            other => other.and_then(|()| sync_parent(&dir)),
        }
    }

    /// A work folder; `name` is for people.
    pub(super) fn work_folder(&self, name: &str) -> io::Result<WorkFolder> {
        WorkFolder::make(&self.root.join(TMP), &format!("{name}-"))
    }

    fn version_of(&self, definition: &Address, payload: &Payload) -> Result<Option<StoredImage>> {
        Ok(self.versions(definition)?.into_iter().find(|image| is_of(image, payload)))
    }

    /// Puts the payload into a work folder, then lets `take_name` write its record and move it,
    /// under the store's lock.
    pub(super) async fn publish<F>(
        &self,
        cx: &RunContext,
        payload: Payload,
        take_name: F,
    ) -> Result<StoredImage>
    where
        F: FnOnce(&Self, WorkFolder, Payload) -> Result<PathBuf> + Send + 'static,
    {
        let (store, verified) = (self.clone(), Verified::new(&cx.layout));
        let cancel = cx.cancel.child_token();
        let _on_drop = cancel.clone().drop_guard();
        let ownership = cx.ownership.clone();
        // Right before the image takes its name, since waiting under the store's lock is not
        // allowed.
        let take_name = move |store: &Self, work, payload| match ownership {
            Some(ownership) if !ownership.is_certain() => Err(ownership::uncertain()),
            _ => take_name(store, work, payload),
        };
        tokio::task::spawn_blocking(move || {
            store.publish_here(payload, &verified, &cancel, take_name)
        })
        .await
        .map_err(|e| {
            Error::new(ErrorCode::InternalError, "storing an image panicked").caused_by(e)
        })?
    }

    fn publish_here<F>(
        &self,
        payload: Payload,
        verified: &Verified,
        cancel: &CancellationToken,
        take_name: F,
    ) -> Result<StoredImage>
    where
        F: FnOnce(&Self, WorkFolder, Payload) -> Result<PathBuf>,
    {
        let fail = |e| {
            let doing = format!("store an image in {}", self.root.display());
            io_fault(e, ErrorCode::DistributeFailed, doing)
        };
        let run = payload.origin.run_id.clone().unwrap_or_else(|| "import".into());
        let work = self.work_folder(&run).map_err(fail)?;
        let data = payload.data.iter().enumerate();
        let data = data.map(|(lun, data)| (file_name(lun), &data.disk, &data.sha256));
        let disks = std::iter::once((DISK.to_owned(), &payload.disk, &payload.digest)).chain(data);
        for (name, from, digest) in disks {
            let disk = work.path().join(name);
            link_or_copy(verified, from, &disk, cancel).map_err(fail)?;
            verified.keep(&disk, &disk, || make_lasting(&disk)).map_err(fail)?;
            let digest = Digest::Plain(digest.clone());
            if !verified.check(&disk, &digest, cancel, |_| {}).map_err(fail)? {
                let text = format!("{} is damaged: its SHA-256 is another", from.display());
                return Err(Error::new(ErrorCode::DistributeFailed, text)
                    .hint("build again: what is damaged in the cache is made anew"));
            }
        }

        let lock = self.lock().map_err(fail)?;
        if cancel.is_cancelled() {
            return Err(Error::new(ErrorCode::Canceled, "storing the image was canceled"));
        }
        let dir = take_name(self, work, payload)?;
        drop(lock);
        StoredImage::read(&dir).map_err(fail)?.ok_or_else(|| {
            let text = format!("{} was removed as soon as it was stored", dir.display());
            Error::new(ErrorCode::Conflict, text)
        })
    }
}

/// Whether this run stored the image for this run output.
fn is_of(image: &StoredImage, payload: &Payload) -> bool {
    let Record { origin, labels, digest, data_disks, .. } = &image.record;
    let data = data_disks.iter().map(|disk| &disk.digest);
    payload.origin.run_id.is_some()
        && origin.run_id == payload.origin.run_id
        && labels.run_output_name == payload.labels.run_output_name
        && *digest == payload.digest
        && data.eq(payload.data.iter().map(|disk| &disk.sha256))
}

fn make_lasting(disk: &Path) -> io::Result<()> {
    let file = File::open(disk)?;
    let mut permissions = file.metadata()?.permissions();
    permissions.set_readonly(true);
    file.set_permissions(permissions)?;
    file.sync_all()
}

/// The payload's record under the id `target`.
pub(super) fn record_of(
    work: &WorkFolder,
    payload: &Payload,
    target: &Address,
    version: Option<Version>,
) -> Result<Record> {
    let fail = |e| undescribed(e, &target.id());
    let (actual_size, stamp) = record::measure(&work.path().join(DISK)).map_err(fail)?;
    let data = payload.data.iter().enumerate().map(|(lun, data)| {
        let (actual_size, stamp) = record::measure(&work.path().join(file_name(lun)))?;
        let (digest, virtual_size) = (data.sha256.clone(), data.virtual_size);
        Ok(StoredData { lun, digest, content_digest: None, virtual_size, actual_size, stamp })
    });
    let data_disks = data.collect::<io::Result<_>>().map_err(fail)?;
    let (kind, name) = match target {
        Address::Managed(id) => (Kind::ManagedImage, id.name()),
        Address::Definition(id) | Address::Version(id, _) | Address::Latest(id) => {
            (Kind::ImageVersion, id.name())
        }
    };
    Ok(Record {
        format: FORMAT,
        id: target.id(),
        kind,
        name: name.to_owned(),
        version,
        digest: payload.digest.clone(),
        content_digest: None,
        virtual_size: payload.virtual_size,
        actual_size,
        stamp,
        data_disks,
        created: Timestamp::now(),
        origin: payload.origin.clone(),
        labels: payload.labels.clone(),
    })
}

pub(super) fn write_record(work: &WorkFolder, record: &Record) -> Result<()> {
    write_json(&work.path().join(JSON), record)
        .and_then(|()| File::open(work.path())?.sync_all())
        .map_err(|e| undescribed(e, &record.id))
}

fn undescribed(e: io::Error, id: &str) -> Error {
    io_fault(e, ErrorCode::DistributeFailed, format!("describe the image {id}"))
}

/// Renames the prepared folder to a name that must be free.
pub(super) fn move_in_new(work: WorkFolder, dir: &Path) -> Result<()> {
    let fail = |e: io::Error| {
        let code = if is_taken(&e) { ErrorCode::Conflict } else { ErrorCode::DistributeFailed };
        io_fault(e, code, format!("take the name {}", dir.display()))
    };
    let parent = dir.parent().unwrap_or(dir);
    fs::create_dir_all(parent).map_err(fail)?;
    rename_new(work.path(), dir).map_err(fail)?;
    work.leave();
    sync_parent(dir).map_err(fail)
}

/// Renames the prepared folder to a name, in exchange for its present owner.
fn move_in(work: WorkFolder, dir: &Path) -> Result<()> {
    if !dir.exists() {
        return move_in_new(work, dir);
    }
    let fail = |e: io::Error| {
        io_fault(e, ErrorCode::DistributeFailed, format!("replace {}", dir.display()))
    };
    match renameat_with(CWD, work.path(), CWD, dir, RenameFlags::EXCHANGE) {
        // The work folder now contains the old image and is removed when `work` is dropped.
        Ok(()) => sync_parent(dir).map_err(fail),
        Err(Errno::INVAL | Errno::NOSYS) => move_in_by_two(work, dir),
        Err(error) => Err(fail(error.into())),
    }
}

/// Not every file system can exchange two names. Without an exchange, the name is free for a
/// moment. The old image is removed once the new one has the name; if that fails, the old one gets
/// its name back, here or in the next sweep.
pub(super) fn move_in_by_two(work: WorkFolder, dir: &Path) -> Result<()> {
    let fail = |e: io::Error| {
        io_fault(e, ErrorCode::DistributeFailed, format!("replace {}", dir.display()))
    };
    let beside = work.path().parent().unwrap_or(dir);
    let aside = WorkFolder::make(beside, "old-").map_err(fail)?;
    let old = aside.path().join(REPLACED);
    fs::rename(dir, &old).map_err(fail)?;
    sync_parent(&old).map_err(fail).and_then(|()| move_in_new(work, dir)).inspect_err(|_| {
        // Removed with its folder only if another image has the name now.
        if rename_new(&old, dir).is_err() && !dir.exists() {
            aside.leave();
        }
    })
}

/// The image that is being replaced, in a work folder.
const REPLACED: &str = "replaced";

fn is_taken(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::DirectoryNotEmpty)
}

/// The folder of unfinished images, in the store's.
pub(super) const TMP: &str = "tmp";
