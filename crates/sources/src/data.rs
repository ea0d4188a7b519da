//! The data disks of an image of the store. Each is stored as an image of its own among the
//! sources, named by its content like the others.

use serde::{Deserialize, Serialize};
use vm::{Host, OsType, off_runtime};

use api::ErrorCode;
use images::{
    error::{Error, Result, io_fault},
    first_contact::FirstContact,
    image_file::{place::link_or_copy, verified::Verified},
    in_use::Hold,
    run_context::RunContext,
    store::StoredImage,
};

use super::{
    DISK, SourceImage, lock,
    source_cache::{self, Named},
};

/// A data disk in the source cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DataSource {
    /// SHA-256 of its file, which is `sources/<digest>/disk.qcow2`.
    pub digest: String,
    /// Size of the disk that the guest sees, in bytes.
    pub virtual_size: u64,
    /// Protects it from eviction.
    #[serde(skip)]
    pub hold: Hold,
}

impl From<SourceImage> for DataSource {
    fn from(image: SourceImage) -> Self {
        let SourceImage { digest, virtual_size, hold, .. } = image;
        Self { digest, virtual_size, hold }
    }
}

/// Adds all data disks of the image to the source cache, by LUN.
pub(super) async fn add_stored(
    cx: &RunContext,
    host: &Host,
    stored: &StoredImage,
) -> Result<Vec<DataSource>> {
    let mut all = Vec::new();
    for (lun, disk) in stored.data().into_iter().enumerate() {
        let named = Named {
            urn: format!("{} LUN {lun}", stored.record.id),
            exact_version: String::new(),
            // No machine boots from it, so it needs no firmware variables.
            generation: 1,
            os: OsType::default(),
            architecture: String::new(),
            first_contact: FirstContact::default(),
        };
        let _lock = lock(cx, &disk.sha256).await?;
        if let Some(image) = source_cache::load_own(cx, &disk.sha256, &named).await? {
            all.push(image.into());
            continue;
        }
        let work = source_cache::work_folder(cx)?;
        let (to, cancel) = (work.path().join(DISK), cx.cancel.clone());
        let verified = Verified::new(&cx.layout);
        let fail = |e| io_fault(e, ErrorCode::BadImage, format!("read {}", named.urn));
        off_runtime(move || link_or_copy(&verified, &disk.disk, &to, &cancel))
            .await
            .map_err(fail)?;
        let image = source_cache::admit_own(cx, host, work, &named).await?;
        if image.digest != disk.sha256 {
            source_cache::remove(&cx.layout, &image.digest);
            let text = format!("{} has changed since it was stored", named.urn);
            return Err(
                Error::new(ErrorCode::BadImage, text).hint("remove the image and build it again")
            );
        }
        all.push(image.into());
    }
    Ok(all)
}
