//! `SharedImage`: a version of an image definition in a gallery.
//!
//! A local build has no gallery administration: gallery and definition come into being with their first
//! version, and regions are only written down.

use api::{
    ErrorCode,
    template::{SharedImage, Versioning},
};

use super::{
    RunOutput, Work,
    managed_image::{output, payload},
};
use crate::{
    cx::Cx,
    error::{Error, Result},
    store::{Labels, Numbering, Payload, Store, Version, address::Address},
};

/// Finds the number that would be given now, so that a conflict shows before the build.
pub(super) fn check(cx: &Cx, target: &SharedImage, source_version: Option<&str>) -> Result<()> {
    let (definition, numbering) = plan(target, source_version)?;
    Store::open(&cx.layout)
        .next_version(&definition, numbering)
        .map(|_| ())
        .map_err(|error| error.target(FIELD))
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
    let text = source_version
        .ok_or_else(|| bad("the scheme `Source` needs a source that has a version".into()))?;
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
    output(work.distributor, &image)
}
