//! The known facts about a template's source before it is fetched: for checks at submission.

use api::template::Source;
use images::{
    error::Result,
    layout::Layout,
    store::{Record, Store, address::Address},
};
use vm::OsType;

use super::{Catalogue, ResolvedEntry, catalogue::Origin, source_cache};

/// The facts that the machine must match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceProperties {
    /// 1 boots with BIOS, 2 with UEFI.
    pub generation: u8,
    /// The system of its guests, if known.
    pub os: Option<OsType>,
    /// `x64` or `Arm64`; empty if unknown.
    pub architecture: String,
    /// Size of the OS disk that the guest sees, in bytes, if known before it is fetched.
    pub disk_bytes: Option<u64>,
    /// Size of each of its data disks, in bytes.
    pub data_disks: Vec<u64>,
}

impl SourceProperties {
    /// The facts about an image in the store, or about a version in a region.
    pub fn of(record: &Record) -> Self {
        Self {
            generation: if record.origin.generation == "V1" { 1 } else { 2 },
            os: Some(record.origin.os()),
            architecture: record.origin.architecture.clone(),
            disk_bytes: Some(record.virtual_size),
            data_disks: record.data_disks.iter().map(|disk| disk.virtual_size).collect(),
        }
    }
}

/// The entry of an image of the catalogue that the subscription sees; `None` for another kind of source.
/// Without a subscription, every image is seen.
///
/// # Errors
/// As [`Catalogue::source`].
pub fn entry(
    layout: &Layout,
    source: &Source,
    subscription: Option<&str>,
) -> Result<Option<ResolvedEntry>> {
    match source {
        Source::PlatformImage(image) => {
            Catalogue::load_for(layout, subscription)?.source(image).map(Some)
        }
        Source::ManagedImage { .. } | Source::SharedImageVersion { .. } => Ok(None),
    }
}

/// Looks the facts up without fetching or verifying anything. `None` if the image is not in the
/// store. Without a subscription, every image of the catalogue is seen.
///
/// # Errors
/// As [`Catalogue::resolve`], and if the store cannot be read.
pub fn facts(
    layout: &Layout,
    source: &Source,
    subscription: Option<&str>,
) -> Result<Option<SourceProperties>> {
    if let Source::PlatformImage(image) = source {
        let entry = Catalogue::load_for(layout, subscription)?.resolve(
            &image.publisher,
            &image.offer,
            &image.sku,
            &image.version,
        )?;
        let stated = match &entry.origin {
            Origin::Bootstrap(recipe) => recipe.disk_bytes(),
            Origin::Url(image) => image.virtual_size,
            Origin::File(image) => image.virtual_size,
        };
        let here = source_cache::glance(layout, &entry.key(), entry.named())
            .map(|image| image.virtual_size);
        return Ok(Some(SourceProperties {
            generation: entry.generation,
            os: Some(entry.os),
            architecture: entry.architecture,
            disk_bytes: here.or(stated),
            data_disks: Vec::new(),
        }));
    }
    let Some(address) = source.id().and_then(|id| Address::of(id).ok()) else { return Ok(None) };
    Ok(Store::open(layout).at(&address)?.map(|image| SourceProperties::of(&image.record)))
}
