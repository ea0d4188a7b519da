//! Whether a run's targets exist and are free: checked when a template is created and again before the build.

use api::{ErrorCode, ResourceId};
use db::ResourceKey;
use engine::{
    distribute::{self, GalleryVersion},
    template::{Target, Template},
};
use images::{
    config::Config,
    error::Error,
    event::Events,
    region_set::RegionSet,
    run_context::RunContext,
    store::{Store, Version, address::Address},
};
use service::{App, Settings};
use tokio_util::sync::CancellationToken;

use crate::versions_of;

/// Everything that is wrong with the targets, each with its field.
/// A version that `run` itself made before an interruption does not count as taken.
pub async fn faults(
    app: &App,
    template: &Template,
    run: Option<&str>,
) -> Result<Vec<Error>, db::Error> {
    let mut faults = Vec::new();
    // Nothing is distributed where only the source is validated.
    if template.properties.validate.as_ref().is_some_and(|v| v.source_validation_only) {
        return Ok(faults);
    }
    for target in &template.properties.distribute {
        faults.extend(missing(app, target).await?);
        if let Some(version) = target.kind.version() {
            faults.extend(
                taken(app, &version, run).await?.map(|error| distribute::at(target, error)),
            );
        }
    }
    let layout = app.settings().layout.clone();
    let mut cx = RunContext::new(layout, Events::none(), CancellationToken::new());
    cx.region_set = region_set(app, template).await?;
    faults.extend(distribute::admit(
        &cx,
        &template.properties.distribute,
        &template.properties.source,
    ));
    Ok(faults)
}

/// The first resource that the target needs and that does not exist.
async fn missing(app: &App, target: &Target) -> Result<Option<Error>, db::Error> {
    for need in target.kind.needs() {
        if app.store().resource(&ResourceKey::of(&need.id)).await?.is_none() {
            return Ok(Some(distribute::at(target, need.missing)));
        }
    }
    Ok(None)
}

/// A version that the template names and that already exists.
async fn taken(
    app: &App,
    version: &GalleryVersion<'_>,
    run: Option<&str>,
) -> Result<Option<Error>, db::Error> {
    let GalleryVersion { field, definition, number: Some(number), .. } = version else {
        return Ok(None);
    };
    let id = format!("{definition}/versions/{number}");
    let address = Address::parse(&id).ok();
    let images = Store::open(&app.settings().layout);
    let stored = address.and_then(|address| images.at(&address).ok().flatten());
    let is_taken = match stored {
        Some(stored) => run.is_none() || stored.record.origin.run_id.as_deref() != run,
        None => app.store().resource(&ResourceKey::of(&id)).await?.is_some(),
    };
    if !is_taken {
        return Ok(None);
    }
    let text = format!("version {number} of '{definition}' exists already");
    Ok(Some(
        Error::new(ErrorCode::VersionConflict, text)
            .target(*field)
            .hint("give another version, or leave it to the versioning scheme `Latest`"),
    ))
}

/// The locations of the galleries that a template names.
pub async fn region_set(app: &App, template: &Template) -> Result<RegionSet, db::Error> {
    let regions = app.settings().regions.clone();
    let mut region_set = RegionSet { homes: homes(app), regions, ..RegionSet::default() };
    for target in &template.properties.distribute {
        let Some(GalleryVersion { definition, .. }) = target.kind.version() else { continue };
        let Some(gallery) = definition.parent() else { continue };
        let found = app.store().resource(&ResourceKey::of(&gallery.to_string())).await?;
        if let Some(location) = found.as_ref().and_then(|found| found.body["location"].as_str()) {
            let id = definition.to_string().to_lowercase();
            region_set.galleries.insert(id, location.to_owned());
        }
    }
    Ok(region_set)
}

/// The regions that the local store stands for: the first one, and where no region has a place, every one.
pub(crate) fn homes(app: &App) -> Vec<String> {
    let Settings { regions, layout, .. } = app.settings();
    let has_places = Config::load(layout).is_ok_and(|config| !config.regions.is_empty());
    let count = if has_places { 1 } else { regions.len() };
    regions.iter().take(count).cloned().collect()
}

/// Reserves the numbers of versions that clients made: the image store has no disk for them and would reuse them.
pub async fn reserve(app: &App, template: &Template) -> Result<(), db::Error> {
    for target in &template.properties.distribute {
        let Some(GalleryVersion { definition, .. }) = target.kind.version() else { continue };
        let versions = versions(app, &definition).await?;
        let (store, address) = (Store::open(&app.settings().layout), Address::of(&definition));
        let reserved = tokio::task::spawn_blocking(move || match address {
            Ok(address) => store.reserve(&address, &versions).map_err(|error| error.to_string()),
            Err(why) => Err(why),
        });
        match reserved.await {
            Ok(Ok(())) => {}
            // The build refuses a number that could not be reserved.
            Ok(Err(error)) => tracing::warn!(%error, "numbers of versions cannot be reserved"),
            Err(error) => tracing::warn!(%error, "numbers of versions cannot be reserved"),
        }
    }
    Ok(())
}

async fn versions(app: &App, definition: &ResourceId) -> Result<Vec<Version>, db::Error> {
    let rows = versions_of(app, &definition.to_string()).await?;
    Ok(rows.iter().filter_map(|found| found.name.parse().ok()).collect())
}
