//! Images as sources: looked up, verified, and linked to their place of use.

use std::{fs, io, path::Path};

use api::ErrorCode;
use vm::may_wait;

use super::{Record, Store, StoredImage, address::Address, record::JSON};
use crate::{
    digest::Digest,
    error::{Coded, Error, Result, io_fault},
    image_file::{
        artifact::write_json,
        digest::{self, Stamp},
        place::link_or_copy,
        verified::{self, Verified},
    },
    run_context::RunContext,
};

impl Store {
    /// The image of a template's source `ManagedImage`, verified.
    ///
    /// # Errors
    /// `BadManagedImageSource`: no image has that id, or its disk is damaged.
    pub async fn managed_source(&self, cx: &RunContext, image_id: &str) -> Result<StoredImage> {
        let code = ErrorCode::BadManagedImageSource;
        match Address::parse(image_id) {
            Ok(address @ Address::Managed(_)) => self.source(cx, &address, code).await,
            Ok(_) => {
                Err(Error::new(code, format!("`{image_id}` is not the id of a managed image")))
            }
            Err(why) => Err(Error::new(code, format!("`{image_id}`: {why}"))),
        }
    }

    /// The image of a template's source `SharedImageVersion`, verified. `latest` and a bare
    /// definition mean the highest version that is not excluded from latest.
    ///
    /// # Errors
    /// `BadSharedImageVersionSource`: no version has that id, or its disk is damaged.
    pub async fn version_source(&self, cx: &RunContext, version_id: &str) -> Result<StoredImage> {
        let code = ErrorCode::BadSharedImageVersionSource;
        match Address::parse(version_id) {
            Ok(Address::Managed(_)) => {
                Err(Error::new(code, format!("`{version_id}` is a managed image, not a version")))
            }
            Ok(address) => self.source(cx, &address, code).await,
            Err(why) => Err(Error::new(code, format!("`{version_id}`: {why}"))),
        }
    }

    async fn source(
        &self,
        cx: &RunContext,
        address: &Address,
        code: ErrorCode,
    ) -> Result<StoredImage> {
        let Some(image) = self.at(address)? else {
            return Err(may_wait(|| self.missing(code, &address.id()))?);
        };
        self.verify(cx, image).await.map_err(|mut error| {
            if error.code == ErrorCode::BadImage {
                error.code = code;
            }
            error
        })
    }

    /// Checks that the disks are unchanged since they were stored ([`verified`]).
    ///
    /// # Errors
    /// `BadImage`: the content has changed.
    pub async fn verify(&self, cx: &RunContext, mut image: StoredImage) -> Result<StoredImage> {
        let Record { id, digest, stamp, data_disks, .. } = &image.record;
        let system = intact(cx, &image.disk(), digest)
            .await
            .map_err(|e| of_image(e, format!("the disk of {id}")))?;
        let mut changed = system != *stamp;
        let mut stamps = Vec::new();
        for (lun, (stored, disk)) in data_disks.iter().zip(image.data()).enumerate() {
            let now = intact(cx, &disk.disk, &stored.digest)
                .await
                .map_err(|e| of_image(e, format!("the data disk with LUN {lun} of {id}")))?;
            changed |= now != stored.stamp;
            stamps.push(now);
        }
        image.record.stamp = system;
        for (stored, now) in image.record.data_disks.iter_mut().zip(stamps) {
            stored.stamp = now;
        }
        if changed {
            // It only saves the next caller the same work, so a read-only store is acceptable.
            let _ = write_json(&image.dir.join(JSON), &image.record);
        }
        Ok(image)
    }

    /// Gives an image's disk a second name (a link or a copy) that outlives its removal from the
    /// store.
    ///
    /// # Errors
    /// `Conflict` if the image was replaced since it was looked up; `DiskFull`, `InternalError`.
    pub async fn link(&self, cx: &RunContext, image: &StoredImage, to: &Path) -> Result<()> {
        let (from, owned_to, stamp) = (image.disk(), to.to_owned(), image.record.stamp);
        let verified = Verified::new(&cx.layout);
        let cancel = cx.cancel.child_token();
        let _on_drop = cancel.clone().drop_guard();
        let linked = tokio::task::spawn_blocking(move || -> io::Result<bool> {
            let before = Stamp::at(&from)? == stamp;
            link_or_copy(&verified, &from, &owned_to, &cancel)?;
            let same = before && Stamp::at(&from)? == stamp;
            if !same {
                fs::remove_file(&owned_to)?;
            }
            Ok(same)
        })
        .await
        .code(ErrorCode::InternalError, || "linking an image panicked".into())?;
        let fail = |e| io_fault(e, ErrorCode::InternalError, format!("link to {}", to.display()));
        if linked.map_err(fail)? {
            return Ok(());
        }
        Err(Error::new(ErrorCode::Conflict, format!("{} was just replaced", image.record.id)))
    }
}

/// The current stamp of the file, if its content is the stored one.
async fn intact(cx: &RunContext, disk: &Path, stored: &str) -> Result<Stamp> {
    let bad = |what: &str| Error::new(ErrorCode::BadImage, what);
    let stamp = Stamp::at(disk).map_err(|e| bad("cannot be read").caused_by(e))?;
    let digest = Digest::Plain(stored.to_owned());
    if verified::check(cx, disk, &digest, "verify image").await? {
        return Ok(stamp);
    }
    let found = digest::sha256(cx, disk, "verify image").await?;
    Err(bad("is not the one that was stored: its SHA-256 is another")
        .details([format!("stored {stored}"), format!("found  {found}")]))
}

fn of_image(mut error: Error, what: String) -> Error {
    if error.code == ErrorCode::BadImage {
        error.message = format!("{what} {}", error.message);
        return error.hint("remove the image (goldsmith image rm) and make it again");
    }
    error
}
