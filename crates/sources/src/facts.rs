//! The known facts about a template's source before it is fetched: for checks at submission.

use api::template::Source;
use images::{
    error::Result,
    layout::Layout,
    store::{Record, Store, address::Address},
};

use super::{Catalogue, catalogue::Origin, shelf};

/// The facts that the machine must match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// 1 boots with BIOS, 2 with UEFI.
    pub generation: u8,
    /// `x64` or `Arm64`; empty if unknown.
    pub architecture: String,
    /// Size of the OS disk that the guest sees, in bytes, if known before it is fetched.
    pub disk_bytes: Option<u64>,
    /// Size of each of its data disks, in bytes.
    pub data_disks: Vec<u64>,
}

impl Facts {
    /// The facts about an image in the store, or about a version in a region.
    pub fn of(record: &Record) -> Self {
        Self {
            generation: if record.origin.generation == "V1" { 1 } else { 2 },
            architecture: record.origin.architecture.clone(),
            disk_bytes: Some(record.virtual_size),
            data_disks: record.data_disks.iter().map(|disk| disk.virtual_size).collect(),
        }
    }
}

/// Looks the facts up without fetching or verifying anything. `None` if the image is not in the
/// store.
///
/// # Errors
/// As [`Catalogue::resolve`], and if the store cannot be read.
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
