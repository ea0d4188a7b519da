//! The template's source, resolved but not necessarily fetched yet.

use api::{ErrorCode, template::Source};
use images::{
    config::Config,
    error::{Error, Result},
    run_context::RunContext,
    store::{Record, Store, StoredImage, address::Address},
};
use regions::{Replica, StorageRegions};
use sources::{ResolvedEntry, SourceImage, SourceProperties, Workshop};
use vm::{Host, may_wait};

use crate::template::Template;

/// The start of a build.
#[derive(Debug, Clone)]
pub enum Wanted {
    /// An image of the catalogue.
    Catalogue(Box<ResolvedEntry>),
    /// An image of the local store.
    Stored(Box<StoredImage>),
    /// A version that exists only in a region.
    Replica(Box<Replica>),
}

impl Wanted {
    /// Looks the source up without fetching it.
    pub(super) async fn resolve(cx: &RunContext, template: &Template) -> Result<Self> {
        let source = &template.properties.source;
        if let Some(entry) =
            may_wait(|| sources::entry(&cx.layout, source, cx.subscription.as_deref()))?
        {
            return Ok(Self::Catalogue(Box::new(entry)));
        }
        let id = source.id().map(ToString::to_string).unwrap_or_default();
        if source.definition().is_some() {
            return version(cx, &id, template.location.as_deref()).await;
        }
        let stored = Store::open(&cx.layout).managed_source(cx, &id).await?;
        Ok(Self::Stored(Box::new(stored)))
    }

    /// For display: the URN or the image's id.
    pub fn title(&self) -> String {
        match self {
            Self::Catalogue(entry) => entry.urn.clone(),
            Self::Stored(image) => image.record.id.clone(),
            Self::Replica(replica) => replica.manifest.record.id.clone(),
        }
    }

    /// The known facts that the machine must match; `source` is the template's field.
    pub(super) fn facts(&self, cx: &RunContext, source: &Source) -> Option<SourceProperties> {
        match self {
            Self::Catalogue(_) => {
                sources::facts(&cx.layout, source, cx.subscription.as_deref()).ok().flatten()
            }
            Self::Stored(image) => Some(SourceProperties::of(&image.record)),
            Self::Replica(replica) => Some(SourceProperties::of(&replica.manifest.record)),
        }
    }

    /// Hyper-V generation: 1 boots with BIOS, 2 with UEFI.
    pub fn generation(&self) -> u8 {
        match self {
            Self::Catalogue(entry) => entry.generation,
            Self::Stored(image) => generation(&image.record),
            Self::Replica(replica) => generation(&replica.manifest.record),
        }
    }

    /// Verifies the image if it is in the source cache; fetches or creates it otherwise.
    pub(super) async fn obtain(
        &self,
        cx: &RunContext,
        workshop: Workshop<'_>,
    ) -> Result<SourceImage> {
        let host = workshop.host;
        match self {
            Self::Catalogue(entry) => sources::obtain(cx, workshop, entry).await,
            Self::Stored(image) => sources::add_stored(cx, host, image).await,
            Self::Replica(replica) => {
                let image = regions::pull(cx, host, replica).await?;
                sources::add_stored(cx, host, &image).await
            }
        }
    }

    /// The image if it is in the source cache. Fetches nothing.
    pub async fn present(&self, cx: &RunContext, host: &Host) -> Result<Option<SourceImage>> {
        match self {
            Self::Catalogue(entry) => may_wait(|| sources::present(cx, entry)),
            Self::Stored(image) => sources::add_stored(cx, host, image).await.map(Some),
            Self::Replica(_) => Ok(None),
        }
    }
}

fn generation(record: &Record) -> u8 {
    if record.origin.generation == "V1" { 1 } else { 2 }
}

/// The version in the template's region: the local store, or the place of another region.
async fn version(cx: &RunContext, id: &str, location: Option<&str>) -> Result<Wanted> {
    let store = Store::open(&cx.layout);
    let config = Config::load(&cx.layout)?;
    let region = location.unwrap_or_default();
    let is_home = StorageRegions::new(&config, &cx.region_set).is_home(region);
    let here = match is_home {
        true => match store.version_source(cx, id).await {
            Ok(image) => return Ok(Wanted::Stored(Box::new(image))),
            Err(error) => Some(error),
        },
        false => None,
    };
    let replica = match config.region(region) {
        Some(place) => regions::of_id(&cx.layout, place, id).await?,
        None => None,
    };
    let Some(replica) = replica else {
        return Err(missing(cx, &config, id, region, here).await);
    };
    let address = Address::parse(&replica.manifest.record.id);
    let stored = address.ok().and_then(|address| store.at(&address).ok().flatten());
    match stored {
        // A version in the local store need not be fetched.
        Some(image) if image.record.has_content_of(&replica.manifest.record) => {
            Ok(Wanted::Stored(Box::new(store.verify(cx, image).await?)))
        }
        _ => Ok(Wanted::Replica(Box::new(replica))),
    }
}

/// The error for a version that the region does not have. It lists the regions that have it.
async fn missing(
    cx: &RunContext,
    config: &Config,
    id: &str,
    region: &str,
    here: Option<Error>,
) -> Error {
    let mut has = Vec::new();
    for place in &config.regions {
        if let Ok(Some(_)) = regions::of_id(&cx.layout, place, id).await {
            has.push(place.name.clone());
        }
    }
    let code = ErrorCode::BadSharedImageVersionSource;
    let error = here.filter(|_| has.is_empty()).unwrap_or_else(|| {
        Error::new(code, format!("the version `{id}` is not in the region '{region}'"))
    });
    let error = error.target("properties.source.imageVersionId");
    if has.is_empty() {
        return error;
    }
    let names = has.join(", ");
    error
        .hint(format!("it is in {names}: goldsmith image pull {id} brings it back to this machine"))
}
