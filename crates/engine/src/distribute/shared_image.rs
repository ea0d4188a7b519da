//! `SharedImage`: a version of an image definition in a gallery, in the local store and in regions.
//!
//! The local store always has the version; a region with a place gets a copy (`replicate`). A local
//! build has no gallery administration: gallery and definition come into being with their first
//! version.
//!
//! Replica counts and storage account types are recorded with the version. A place has one copy, on
//! whatever storage it uses. `replicationMode` `Shallow` copies nothing: the version stays where it
//! was built.

use api::{
    ErrorCode,
    template::{ReplicationMode, SharedImage, Source, Versioning},
};
use images::{
    config::Config,
    cx::Cx,
    error::{Error, Result},
    event::RunOutput,
    image_file::space::human,
    store::{Labels, Numbering, Payload, Store, StoredImage, Version, address::Address},
};
use regions::{Copied, Known, Request};

use super::{
    Work,
    managed_image::{output, payload},
};

/// Finds the number that the version would get now, so that a conflict shows before the build.
/// `own` is the run and its output: a version that it has already stored retains its number.
pub(super) fn check(
    cx: &Cx,
    target: &SharedImage,
    source_version: Option<&str>,
    own: (&str, &str),
) -> Result<()> {
    let (definition, numbering) = plan(target, source_version)?;
    let store = Store::open(&cx.layout);
    let (run_id, run_output_name) = own;
    if store.of_run(&definition, run_id, run_output_name)?.is_some() {
        return Ok(());
    }
    store.next_version(&definition, numbering).map(|_| ()).map_err(|error| error.target(FIELD))
}

/// The errors of the regions, for any source.
pub(super) fn regions(cx: &Cx, config: &Config, target: &SharedImage) -> Vec<Error> {
    Known::new(config, &cx.geography).faults(target, cx.geography.of_gallery(target))
}

/// Rejects the source's version for a kind of source that has none. It does not need the source
/// itself.
pub(super) fn versioned(target: &SharedImage, source: &Source) -> Result<()> {
    let wants_one = target.explicit_version().is_none() && target.versioning == Versioning::Source;
    match source {
        Source::ManagedImage { .. } if wants_one => of_source(None).map(|_| ()),
        Source::ManagedImage { .. }
        | Source::PlatformImage(_)
        | Source::SharedImageVersion { .. } => Ok(()),
    }
}

const FIELD: &str = "galleryImageId";

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

pub(super) async fn publish(work: Work<'_>, target: &SharedImage) -> Result<RunOutput> {
    let (definition, numbering) = plan(target, work.source_version)?;
    let payload = payload(work);
    let labels = Labels {
        exclude_from_latest: target.exclude_from_latest,
        target_regions: serde_json::to_value(&target.regions).ok(),
        ..payload.labels
    };
    let image = Store::open(&work.cx.layout)
        .publish_version(work.cx, &definition, numbering, Payload { labels, ..payload })
        .await?;
    copy(work, target, &image).await?;
    output(work.distributor, &image)
}

/// Copies the version to the regions that have a place.
async fn copy(work: Work<'_>, target: &SharedImage, image: &StoredImage) -> Result<()> {
    let config = Config::load(&work.cx.layout)?;
    let regions: Vec<String> = match target.replication_mode {
        ReplicationMode::Full => {
            let targets = work.cx.geography.targets(target).into_iter();
            targets.filter(|name| config.region(name).is_some()).collect()
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
            Ok(copied) => work.cx.events.note(told(image, &name, copied)),
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

fn told(image: &StoredImage, region: &str, copied: Copied) -> String {
    let Copied { chunks, moved_chunks, moved_bytes } = copied;
    format!(
        "{} is in {region}: {moved_chunks} of {chunks} pieces were new there, {}",
        image.short_name(),
        human(moved_bytes)
    )
}
