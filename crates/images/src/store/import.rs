//! Imports a user's own disk as a managed image.

use api::ErrorCode;
use vm::{Host, may_wait};

use super::{
    Payload, Store,
    address::Address,
    record::{DISK, Labels, Origin, StoredImage},
};
use crate::{
    cx::Cx,
    digest::Kind,
    error::{Error, Result, io_fault},
    image_file::{
        Image,
        convert::{self, Job, Target},
        verified,
    },
};

impl Store {
    /// Imports a disk as a managed image of the local resource group. The caller has checked that
    /// it needs no other file: a backing file would be read here.
    ///
    /// # Errors
    /// `InvalidArgument`, `Conflict`, `ExportFailed`, `DiskFull`, `Canceled`.
    pub async fn import(
        &self,
        cx: &Cx,
        host: &Host,
        from: &Image,
        name: &str,
        origin: Origin,
    ) -> Result<StoredImage> {
        let target = self.free_local(name)?;
        let fail = |e| io_fault(e, ErrorCode::InternalError, format!("import {name}"));
        let work = may_wait(|| self.work_folder("import")).map_err(fail)?;
        let disk = work.path().join(DISK);
        let job =
            Job { from, to: &disk, target: Target::Standalone, name: DISK, activity: "import" };
        let virtual_size = convert::convert(cx, host, job).await?;
        let digest = verified::measure(cx, &disk, Kind::Plain, "hash image").await?;
        let digest = digest.hex().to_owned();
        let labels = Labels::default();
        let payload = Payload { disk, digest, virtual_size, data: Vec::new(), origin, labels };
        self.free_local(name)?;
        self.publish_managed(cx, &target, payload).await
    }

    /// The address of a local managed image that does not exist yet.
    fn free_local(&self, name: &str) -> Result<Address> {
        let target = Address::local(name)
            .map_err(|why| Error::new(ErrorCode::InvalidArgument, why).target(name))?;
        match self.at(&target)? {
            None => Ok(target),
            Some(_) => {
                let text = format!("there is an image `{name}` already");
                Err(Error::new(ErrorCode::Conflict, text)
                    .target(name)
                    .hint(format!("give another name, or goldsmith image rm {name}")))
            }
        }
    }
}
