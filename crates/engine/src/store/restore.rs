//! A version comes back from elsewhere, under the number it had.

use std::{fs, path::Path};

use api::ErrorCode;
use vm::Host;

use super::{
    Payload, Store,
    address::Address,
    publish::{WorkFolder, move_in_new, write_record},
    record::{DISK, Record, StoredImage},
};
use crate::{
    cx::Cx,
    error::{Error, Result},
    image_file::{
        Format, Image,
        convert::{self, Job, Target},
        digest, io_fault,
    },
};

impl Store {
    /// A folder to prepare an image in; it goes when it is dropped.
    pub(crate) fn workshop(&self, name: &str) -> Result<WorkFolder> {
        WorkFolder::make(&self.root, name).map_err(|e| {
            io_fault(
                e,
                ErrorCode::InternalError,
                format!("prepare an image in {}", self.root.display()),
            )
        })
    }

    /// Stores the raw disk in the work folder as the version that `record` tells of. Another that was faster is
    /// as good.
    pub(crate) async fn restore(
        &self,
        cx: &Cx,
        host: &Host,
        work: WorkFolder,
        raw: &Path,
        record: &Record,
    ) -> Result<StoredImage> {
        let address = Address::parse(&record.id)
            .map_err(|why| Error::new(ErrorCode::BadImage, format!("{}: {why}", record.id)))?;
        let disk = work.path().join(format!("new-{DISK}"));
        let from = Image { path: raw.to_owned(), format: Format::Raw };
        let job = Job {
            from: &from,
            to: &disk,
            target: Target::Standalone,
            name: DISK,
            activity: "store",
        };
        let virtual_size = convert::convert(cx, host, job).await?;
        let fail = |e| io_fault(e, ErrorCode::InternalError, format!("store {}", record.id));
        fs::remove_file(raw).map_err(fail)?;
        let digest = digest::sha256(cx, &disk, "hash image").await?;
        let payload = Payload {
            disk,
            digest,
            virtual_size,
            origin: record.origin.clone(),
            labels: record.labels.clone(),
        };
        let target = address.clone();
        let stored = self.publish(cx, payload, move |store, folder, payload| {
            let Address::Version(_, version) = &target else {
                let text = format!("{} is no version", target.id());
                return Err(Error::new(ErrorCode::InternalError, text));
            };
            let dir = target.dir(&store.root);
            write_record(&folder, &payload, &target, Some(*version))?;
            move_in_new(folder, &dir)?;
            Ok(dir)
        });
        match stored.await {
            Err(error) if error.code == ErrorCode::Conflict => self.at(&address)?.ok_or(error),
            other => other,
        }
    }
}
