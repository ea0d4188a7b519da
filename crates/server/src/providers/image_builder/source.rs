//! What a template's source is, exactly: looked up, not fetched.

use api::{ErrorCode, template::Source};
use engine::{error::Error, layout::Layout, source::Catalogue, store::Store as Images};

use super::replicated;
use crate::{
    App,
    store::{self, Resource, ResourceKey, Select},
};

/// A source that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Exact {
    /// For `exactVersion`; none for a managed image, which has no versions.
    pub(super) version: Option<String>,
    /// 1 boots by BIOS, 2 by UEFI.
    pub(super) generation: u8,
    /// `Linux` or `Windows`, where it is known.
    pub(super) os_type: Option<String>,
}

/// Looks the source up.
///
/// # Errors
/// `BadPIRSource`, `BadManagedImageSource`, `BadSharedImageVersionSource`.
pub(super) async fn resolve(
    app: &App,
    source: &Source,
    location: &str,
) -> Result<Result<Exact, Error>, store::Error> {
    match source {
        Source::PlatformImage(image) => {
            let (layout, image) = (app.settings().layout.clone(), image.clone());
            Ok(blocking(move || {
                let entry = Catalogue::load(&layout)?.resolve(
                    &image.publisher,
                    &image.offer,
                    &image.sku,
                    &image.version,
                )?;
                Ok(Exact {
                    version: entry.urn.rsplit(':').next().map(str::to_owned),
                    generation: entry.generation,
                    os_type: Some(entry.os_type),
                })
            })
            .await)
        }
        Source::ManagedImage { image_id } => {
            let id = image_id.to_string();
            let found = app.store().resource(&ResourceKey::of(&id)).await?;
            if let Some(image) = found {
                return Ok(Ok(of_resource(&image, None)));
            }
            let missing = missing(ErrorCode::BadManagedImageSource, "imageId", &id);
            Ok(in_images(app, id, missing).await.map(|exact| Exact { version: None, ..exact }))
        }
        Source::SharedImageVersion { image_version_id } => {
            let id = image_version_id.to_string();
            let found = if image_version_id.name().eq_ignore_ascii_case("latest") {
                latest(app, &id, location).await?
            } else {
                app.store().resource(&ResourceKey::of(&id)).await?
            };
            if let Some(version) = found {
                if let Err(error) = replicated::check(app, &version, location).await {
                    return Ok(Err(error));
                }
                let exact = Some(version.id.clone());
                return Ok(Ok(of_resource(&version, exact)));
            }
            let missing = missing(ErrorCode::BadSharedImageVersionSource, "imageVersionId", &id);
            Ok(in_images(app, id, missing).await)
        }
    }
}

fn missing(code: ErrorCode, field: &str, id: &str) -> Error {
    let text = format!(
        "Validation failed: 'ImageTemplate.properties.source': Field '{field}' has a bad value: '{id}'. There is no such image"
    );
    Error::new(code, text).target(format!("properties.source.{field}"))
}

fn of_resource(image: &Resource, version: Option<String>) -> Exact {
    let properties = &image.body["properties"];
    let disk = &properties["storageProfile"]["osDisk"];
    let generation = properties["hyperVGeneration"].as_str() == Some("V1");
    Exact {
        version,
        generation: if generation { 1 } else { 2 },
        os_type: disk["osType"].as_str().map(str::to_owned),
    }
}

/// The highest version of a definition that is in the region and not kept out of the search.
async fn latest(app: &App, id: &str, location: &str) -> Result<Option<Resource>, store::Error> {
    let definition = id.rsplitn(3, '/').nth(2).unwrap_or_default();
    let mut select = Select {
        subscription: definition.split('/').nth(2).unwrap_or_default().to_lowercase(),
        kind: Some("microsoft.compute/galleries/images/versions".to_owned()),
        below: Some(ResourceKey::of(definition)),
        limit: 200,
        ..Select::default()
    };
    let mut best: Option<(Vec<u64>, Resource)> = None;
    loop {
        let page = app.store().list(&select).await?;
        for version in page.resources {
            let profile = &version.body["properties"]["publishingProfile"];
            if profile["excludeFromLatest"].as_bool() == Some(true) {
                continue;
            }
            if replicated::check(app, &version, location).await.is_err() {
                continue;
            }
            let number = version.name.split('.').map(|part| part.parse().unwrap_or(0)).collect();
            if best.as_ref().is_none_or(|(highest, _)| *highest < number) {
                best = Some((number, version));
            }
        }
        match page.next {
            Some(next) => select.after = Some(next),
            None => return Ok(best.map(|(_, version)| version)),
        }
    }
}

/// An image that the commands on this machine made.
async fn in_images(app: &App, id: String, missing: Error) -> Result<Exact, Error> {
    let layout: Layout = app.settings().layout.clone();
    blocking(move || match Images::open(&layout).get(&id) {
        Ok(image) => {
            let record = &image.record;
            let version = record.version.map(|version| match record.id.rsplit_once("/versions/") {
                Some((definition, _)) => format!("{definition}/versions/{version}"),
                None => format!("{}/versions/{version}", record.id),
            });
            Ok(Exact {
                version,
                generation: if record.origin.generation == "V1" { 1 } else { 2 },
                os_type: Some(record.origin.os_type.clone()),
            })
        }
        Err(error) if error.code == ErrorCode::NotFound => Err(missing),
        Err(error) => Err(error),
    })
    .await
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(panic) => {
            Err(Error::new(ErrorCode::InternalError, "looking up the source failed")
                .caused_by(panic))
        }
    }
}
