//! What is known of a template's source without fetching it: for checks at submission.

use api::template::Source;
use images::{
    error::Result,
    layout::Layout,
    store::{Record, Store, address::Address},
};

use super::{Catalogue, catalogue::Origin, shelf};

/// What the machine must go with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// 1 boots by BIOS, 2 by UEFI.
    pub generation: u8,
    /// `x64` or `Arm64`; empty where it is unknown.
    pub architecture: String,
    /// Bytes of the OS disk as the guest sees it, where they are known before it is here.
    pub disk_bytes: Option<u64>,
    /// Bytes of each data disk that it brings along.
    pub data_disks: Vec<u64>,
}

impl Facts {
    /// Of an image that is in the store, or of a version that a region has.
    pub fn of(record: &Record) -> Self {
        Self {
            generation: if record.origin.generation == "V1" { 1 } else { 2 },
            architecture: record.origin.architecture.clone(),
            disk_bytes: Some(record.virtual_size),
            data_disks: record.data_disks.iter().map(|disk| disk.virtual_size).collect(),
        }
    }
}

/// Looks; nothing is fetched or verified. `None` where the image is not in the store.
///
/// # Errors
/// As [`Catalogue::resolve`], and where the store cannot be read.
pub fn facts(layout: &Layout, source: &Source) -> Result<Option<Facts>> {
    let id = match source {
        Source::PlatformImage(image) => {
            let entry = Catalogue::load(layout)?.resolve(
                &image.publisher,
                &image.offer,
                &image.sku,
                &image.version,
            )?;
            let stated = match &entry.origin {
                Origin::Bootstrap(_) => None,
                Origin::Url(image) => image.virtual_size,
                Origin::File(image) => image.virtual_size,
            };
            let here =
                shelf::glance(layout, &entry.key(), entry.named()).map(|image| image.virtual_size);
            return Ok(Some(Facts {
                generation: entry.generation,
                architecture: entry.architecture,
                disk_bytes: here.or(stated),
                data_disks: Vec::new(),
            }));
        }
        Source::ManagedImage { image_id } => image_id,
        Source::SharedImageVersion { image_version_id } => image_version_id,
    };
    let Ok(address) = Address::of(id) else { return Ok(None) };
    Ok(Store::open(layout).at(&address)?.map(|image| Facts::of(&image.record)))
}
