//! Whether a version is in the region of the template that starts from it.

use api::ErrorCode;
use engine::{config::Config, error::Error, replicate};

use crate::{App, region, store::Resource};

/// A version must be in the region: among its target regions, and really there where the region has a place.
///
/// # Errors
/// `BadSharedImageVersionSource`, with the regions that have it.
pub(super) async fn check(app: &App, version: &Resource, location: &str) -> Result<(), Error> {
    let targets = version.body["properties"]["publishingProfile"]["targetRegions"].as_array();
    let targets: Vec<&str> =
        targets.into_iter().flatten().filter_map(|target| target["name"].as_str()).collect();
    let wanted = region::normalise(location);
    let refuse = |why: String| {
        let hint = format!("replicate it to {wanted}, or build in a region that has it");
        Error::new(ErrorCode::BadSharedImageVersionSource, why)
            .target("properties.source.imageVersionId")
            .hint(hint)
    };
    if !targets.iter().any(|target| region::normalise(target) == wanted) {
        return Err(refuse(format!(
            "the version '{}' is not replicated to the template's region {wanted}, only to {}",
            version.id,
            targets.join(", ")
        )));
    }
    let layout = &app.settings().layout;
    let config = Config::load(layout)?;
    let Some(place) = config.region(&wanted) else { return Ok(()) };
    match replicate::of_id(layout, place, &version.id).await? {
        Some(_) => Ok(()),
        None => Err(refuse(format!(
            "the version '{}' is to be in the region {wanted}, but its copy is not there",
            version.id
        ))),
    }
}
