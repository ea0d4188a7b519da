//! The template's source, resolved to something concrete but not necessarily here yet.

use api::template::Source;
use vm::Host;

use crate::{
    cx::Cx,
    error::Result,
    source::{self, Catalogue, ResolvedEntry, SourceImage},
    store::{Store, StoredImage},
};

/// What a build starts from.
#[derive(Debug, Clone)]
pub enum Wanted {
    /// An image of the catalogue.
    Catalogue(Box<ResolvedEntry>),
    /// An image of our own store.
    Stored(Box<StoredImage>),
}

impl Wanted {
    /// Looks the source up; nothing is fetched.
    pub(super) async fn resolve(cx: &Cx, source: &Source) -> Result<Self> {
        match source {
            Source::PlatformImage(image) => {
                let entry = Catalogue::load(&cx.layout)?.source(image)?;
                Ok(Self::Catalogue(Box::new(entry)))
            }
            Source::ManagedImage { image_id } => {
                let id = image_id.to_string();
                let stored = Store::open(&cx.layout).managed_source(cx, &id).await?;
                Ok(Self::Stored(Box::new(stored)))
            }
            Source::SharedImageVersion { image_version_id } => {
                let id = image_version_id.to_string();
                let stored = Store::open(&cx.layout).version_source(cx, &id).await?;
                Ok(Self::Stored(Box::new(stored)))
            }
        }
    }

    /// For people: the URN or the image's id.
    pub fn title(&self) -> String {
        match self {
            Self::Catalogue(entry) => entry.urn.clone(),
            Self::Stored(image) => image.record.id.clone(),
        }
    }

    /// Hyper-V generation: 1 boots by BIOS, 2 by UEFI.
    pub fn generation(&self) -> u8 {
        match self {
            Self::Catalogue(entry) => entry.generation,
            Self::Stored(image) => {
                if image.record.origin.generation == "V1" {
                    1
                } else {
                    2
                }
            }
        }
    }

    /// Fetches or makes the image if it is not here yet, and verifies it if it is.
    pub(super) async fn obtain(&self, cx: &Cx, host: &Host) -> Result<SourceImage> {
        match self {
            Self::Catalogue(entry) => source::obtain(cx, host, entry).await,
            Self::Stored(image) => source::adopt(cx, host, image).await,
        }
    }

    /// The image if it is here; nothing is fetched.
    pub async fn present(&self, cx: &Cx, host: &Host) -> Result<Option<SourceImage>> {
        match self {
            Self::Catalogue(entry) => source::present(cx, entry),
            Self::Stored(image) => source::adopt(cx, host, image).await.map(Some),
        }
    }
}
