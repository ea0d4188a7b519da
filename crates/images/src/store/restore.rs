//! Restores a version from elsewhere, under its old number.

use std::{
    fs,
    path::{Path, PathBuf},
};

use api::ErrorCode;
use vm::{Host, may_wait};

use super::{
    Payload, Store,
    address::Address,
    publish::{move_in_new, record_of, write_record},
    record::{Record, StoredImage},
};
use crate::{
    digest::Kind,
    error::{Error, Result, io_fault},
    files::work_folder::WorkFolder,
    format::Format,
    image_file::{
        Image,
        artifact::DataDisk,
        convert::{self, Job, Target},
        verified,
    },
    run_context::RunContext,
};

impl Store {
    /// A folder to prepare an image in, removed on drop.
    ///
    /// # Errors
    /// The folder cannot be created.
    pub fn workshop(&self, name: &str) -> Result<WorkFolder> {
        self.work_folder(name).map_err(|e| {
            io_fault(
                e,
                ErrorCode::InternalError,
                format!("prepare an image in {}", self.root.display()),
            )
        })
    }

    /// Stores the raw disks in the work folder, the OS disk first, as the version in `record`. A
    /// concurrent restore of the same version counts as success.
    ///
    /// # Errors
    /// `BadImage`, `ExportFailed`, `DiskFull`, `Canceled`.
    pub async fn restore(
        &self,
        cx: &RunContext,
        host: &Host,
        work: WorkFolder,
        raws: &[PathBuf],
        record: &Record,
    ) -> Result<StoredImage> {
        let address = Address::parse(&record.id)
            .map_err(|why| Error::new(ErrorCode::BadImage, format!("{}: {why}", record.id)))?;
        let mut disks = Vec::new();
        for raw in raws {
            disks.push(disk_of(cx, host, raw, &record.id).await?);
        }
        let mut disks = disks.into_iter();
        let none = || Error::new(ErrorCode::InternalError, format!("{} has no disk", record.id));
        let system = disks.next().ok_or_else(none)?;
        let payload = Payload {
            disk: system.disk,
            digest: system.sha256,
            virtual_size: system.virtual_size,
            data: disks.collect(),
            origin: record.origin.clone(),
            labels: record.labels.clone(),
        };
        let (target, original) = (address.clone(), record.clone());
        let stored = self.publish(cx, payload, move |store, folder, payload| {
            let Address::Version(_, version) = &target else {
                let text = format!("{} is not a version", target.id());
                return Err(Error::new(ErrorCode::InternalError, text));
            };
            let dir = target.dir(&store.root);
            let mut record = record_of(&folder, &payload, &target, Some(*version))?;
            record.came_from(&original);
            write_record(&folder, &record)?;
            move_in_new(folder, &dir)?;
            Ok(dir)
        });
        let stored = stored.await;
        drop(work);
        match stored {
            Err(error) if error.code == ErrorCode::Conflict => self.at(&address)?.ok_or(error),
            other => other,
        }
    }
}

/// Converts a raw disk to a disk of the store, and removes the raw one.
async fn disk_of(cx: &RunContext, host: &Host, raw: &Path, id: &str) -> Result<DataDisk> {
    let disk = raw.with_extension("qcow2.new");
    let from = Image { path: raw.to_owned(), format: Format::Raw };
    let name = raw.file_stem().unwrap_or_default().to_string_lossy();
    let (target, activity) = (Target::Standalone, "store");
    let job = Job { from: &from, to: &disk, target, name: &name, activity };
    let virtual_size = convert::convert(cx, host, job).await?;
    may_wait(|| fs::remove_file(raw))
        .map_err(|e| io_fault(e, ErrorCode::InternalError, format!("store {id}")))?;
    let digest = verified::measure(cx, &disk, Kind::Plain, "hash image").await?;
    let sha256 = digest.hex().to_owned();
    Ok(DataDisk { disk, sha256, virtual_size })
}
