//! `SharedImage`: a version of an image definition in a gallery, in the local store and in regions.
//!
//! The local store always has the version; a region with a place gets a copy (`replicate`). A local
//! build has no gallery administration: gallery and definition come into being with their first
//! version.
//!
//! Replica counts and storage account types are recorded with the version. A place has one copy, on
//! whatever storage it uses. `replicationMode` `Shallow` copies nothing: the version stays where it
//! was built.

mod grammar;

use api::{
    ErrorCode, ResourceId, ResourceKind,
    template::{Delivery, Destination, Named, Regions, Source},
};
use async_trait::async_trait;
use images::{
    config::Config,
    error::{Error, Result},
    event::RunOutput,
    image_file::space::human,
    run_context::RunContext,
    store::{Labels, Numbering, Payload, Store, StoredImage, Version, address::Address},
};
use regions::{Copied, Request, StorageRegions};
use serde::Serialize;
use serde_json::{Map, Value, json};

pub(super) use self::grammar::KIND;
use super::{
    Check, Distributor, GalleryVersion, Need, OutputResource, Work,
    managed_image::{output, payload},
};

const FIELD: &str = "galleryImageId";

/// A version of a gallery image to create.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SharedImage {
    /// The id of the definition, or of the version to create.
    gallery_image_id: ResourceId,
    /// The regions that store the version.
    #[serde(flatten)]
    regions: Regions,
    /// Whether `latest` skips the version.
    exclude_from_latest: bool,
    /// How to choose the version number if the id has none.
    #[serde(skip_serializing_if = "Versioning::is_default")]
    versioning: Versioning,
    /// How to create the copies.
    replication_mode: ReplicationMode,
}

impl SharedImage {
    /// The id of the definition.
    fn definition(&self) -> ResourceId {
        match self.explicit_version() {
            Some(_) => self.gallery_image_id.parent(),
            None => None,
        }
        .unwrap_or_else(|| self.gallery_image_id.clone())
    }

    /// The version number, if the template specifies it.
    fn explicit_version(&self) -> Option<&str> {
        self.gallery_image_id
            .is(ResourceKind::GalleryImageVersion)
            .then(|| self.gallery_image_id.name())
    }
}

/// How the version number is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "scheme")]
enum Versioning {
    /// The successor of the latest version.
    Latest {
        /// If set, only versions with this major number count.
        #[serde(skip_serializing_if = "Option::is_none")]
        major: Option<u32>,
    },
    /// The source's version number.
    Source,
}

impl Default for Versioning {
    fn default() -> Self {
        Self::Latest { major: None }
    }
}

impl Versioning {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// How copies are created.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub enum ReplicationMode {
    /// Every region gets a full copy.
    #[default]
    Full,
    /// Regions get only what is needed to use the image.
    Shallow,
}

impl Named for SharedImage {
    const NAME: &'static str = "SharedImage";
}

impl Delivery for SharedImage {
    fn destination(&self) -> Option<Destination> {
        let id = self.gallery_image_id.to_string().to_lowercase();
        let key = match self.versioning {
            _ if self.explicit_version().is_some() => id,
            // A source has only one version, so two such targets would collide.
            Versioning::Source => format!("{id}/versions/source"),
            Versioning::Latest { .. } => return None,
        };
        Some(Destination { what: "version", field: FIELD, key })
    }
}

#[async_trait]
impl Distributor for SharedImage {
    fn faults(&self, cx: &RunContext, config: &Config) -> Vec<Error> {
        let own = cx.region_set.of_gallery(&self.definition());
        StorageRegions::new(config, &cx.region_set).faults(&self.regions, own)
    }

    /// Rejects the source's version for a kind of source that has none.
    fn suits(&self, source: &Source) -> Result<()> {
        let wants_one = self.explicit_version().is_none() && self.versioning == Versioning::Source;
        if wants_one && source.versions_of().is_none() {
            return of_source(None).map(|_| ());
        }
        Ok(())
    }

    /// Finds the number that the version would get now, so that a conflict shows before the build.
    /// A version that the run has already stored retains its number.
    fn check(&self, cx: &RunContext, run: &Check<'_>) -> Result<()> {
        let (definition, numbering) = plan(self, run.source_version)?;
        let store = Store::open(&cx.layout);
        if store.of_run(&definition, run.run_id, run.run_output_name)?.is_some() {
            return Ok(());
        }
        store.next_version(&definition, numbering).map(|_| ()).map_err(|error| error.target(FIELD))
    }

    fn needs(&self) -> Vec<Need> {
        let definition = self.definition();
        let need = |what: &str, id: String| {
            let text = format!("the {what} '{id}' does not exist");
            let missing = Error::new(ErrorCode::BadSharedImageDistribute, text)
                .target(FIELD)
                .hint("create the gallery and the image definition, then run again");
            Need { id, missing }
        };
        let gallery = definition.parent().map(|gallery| need("gallery", gallery.to_string()));
        Vec::from_iter(
            gallery.into_iter().chain([need("image definition", definition.to_string())]),
        )
    }

    fn resource(&self) -> Option<OutputResource<'_>> {
        Some(OutputResource::GalleryVersion(GalleryVersion {
            field: FIELD,
            definition: self.definition(),
            number: self.explicit_version(),
            regions: &self.regions,
            exclude_from_latest: self.exclude_from_latest,
            replication_mode: self.replication_mode,
        }))
    }

    fn respond(&self, fields: &mut Map<String, Value>, is_sent: &dyn Fn(&str) -> bool) {
        for name in ["storageAccountType", "replicationMode"] {
            if !is_sent(name) {
                fields.remove(name);
            }
        }
        // An empty list means only the gallery's region, as none does; old versions demand one.
        if is_sent("replicationRegions") && self.regions == Regions::Default {
            fields.insert("replicationRegions".to_owned(), json!([]));
        }
        // `Latest` without a major version is the default, and still returned when it was sent.
        let default =
            if is_sent("versioning") { json!(Versioning::default()) } else { Value::Null };
        fields.entry("versioning").or_insert(default);
    }

    async fn publish(&self, work: Work<'_>) -> Result<RunOutput> {
        let (definition, numbering) = plan(self, work.source_version)?;
        let payload = payload(work);
        let labels = Labels {
            exclude_from_latest: self.exclude_from_latest,
            target_regions: serde_json::to_value(&self.regions).ok(),
            ..payload.labels
        };
        let image = Store::open(&work.cx.layout)
            .publish_version(work.cx, &definition, numbering, Payload { labels, ..payload })
            .await?;
        copy(work, self, &image).await?;
        output(work.target, &image)
    }
}

/// The definition to write to, and how the version gets its number.
fn plan(target: &SharedImage, source_version: Option<&str>) -> Result<(Address, Numbering)> {
    let id = &target.gallery_image_id;
    let bad = |why: String| {
        Error::new(ErrorCode::BadSharedImageDistribute, format!("`{id}`: {why}")).target(FIELD)
    };
    match Address::of(id).map_err(bad)? {
        Address::Version(definition, version) => {
            Ok((Address::Definition(definition), Numbering::Exact(version)))
        }
        address @ Address::Definition(_) => {
            let numbering = match &target.versioning {
                Versioning::Latest { major } => Numbering::Latest { major: *major },
                Versioning::Source => Numbering::Exact(of_source(source_version)?),
            };
            Ok((address, numbering))
        }
        Address::Latest(_) => Err(bad("`latest` cannot be written; name the definition".into())),
        Address::Managed(_) => Err(bad("it is the id of a managed image".into())),
    }
}

fn of_source(source_version: Option<&str>) -> Result<Version> {
    let bad = |text: String| {
        Error::new(ErrorCode::BadSharedImageDistribute, text)
            .target("versioning.scheme")
            .hint("use the scheme `Latest`, or name the version in galleryImageId")
    };
    let none =
        "the scheme `Source` needs a source that has a version, and a managed image has none";
    let text = source_version.ok_or_else(|| bad(none.into()))?;
    Version::of_source(text)
        .ok_or_else(|| bad(format!("the source's version `{text}` cannot be a gallery version")))
}

/// Copies the version to the regions that have a place.
async fn copy(work: Work<'_>, target: &SharedImage, image: &StoredImage) -> Result<()> {
    let config = Config::load(&work.cx.layout)?;
    let regions: Vec<String> = match target.replication_mode {
        ReplicationMode::Full => {
            let targets = work.cx.region_set.targets(&target.definition(), &target.regions);
            targets.into_iter().filter(|name| config.region(name).is_some()).collect()
        }
        ReplicationMode::Shallow => Vec::new(),
    };
    if regions.is_empty() {
        return Ok(());
    }
    let request = Request { image, regions: &regions };
    let outcome = regions::replicate(work.cx, work.host, &config, request).await?;
    let mut failures = Vec::new();
    for (name, result) in outcome.regions {
        match result {
            Ok(copied) => work.cx.events.note(summary(image, &name, copied)),
            Err(error) => failures.push(error),
        }
    }
    let failed = failures.len();
    Error::all(failures).map_err(|mut error| {
        if error.code != ErrorCode::VersionConflict {
            error.code = ErrorCode::DistributeFailed;
        }
        error.message = format!(
            "{} is stored, but {failed} of {} regions did not get it: {}",
            image.record.id,
            regions.len(),
            error.message
        );
        error
    })
}

fn summary(image: &StoredImage, region: &str, copied: Copied) -> String {
    let Copied { chunks, moved_chunks, moved_bytes } = copied;
    format!(
        "{} is in {region}: {moved_chunks} of {chunks} pieces were new there, {}",
        image.short_name(),
        human(moved_bytes)
    )
}
