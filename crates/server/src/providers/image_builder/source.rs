//! What a template's source is, exactly: looked up, not fetched.

use api::{
    ErrorCode,
    template::{Source, Template},
};
use engine::{error::Error, layout::Layout, source::Catalogue, store::Store as Images};
use serde_json::Value;

use super::{agree, replicated};
use crate::{
    App,
    store::{self, Resource, ResourceKey, Select},
};

/// A source that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Exact {
    /// For `exactVersion`; none for a managed image, which has no versions.
    pub(super) version: Option<String>,
    /// The version is the one that will be built upon: one still to be bootstrapped gets a date.
    pub(super) is_dated: bool,
    /// 1 boots by BIOS, 2 by UEFI.
    pub(super) generation: u8,
    /// `Linux` or `Windows`, where it is known.
    pub(super) os_type: Option<String>,
    /// `x64` or `Arm64`, where it is known.
    pub(super) architecture: Option<String>,
    /// The security type of the image definition that it is a version of.
    pub(super) security: Option<String>,
}

/// Looks the source up.
///
/// # Errors
/// `BadPIRSource`, `BadManagedImageSource`, `BadSharedImageVersionSource`.
pub(super) async fn resolve(
    app: &App,
    template: &Template,
) -> Result<Result<Exact, Error>, store::Error> {
    let location = template.location.as_deref().unwrap_or_default();
    match &template.properties.source {
        Source::PlatformImage(image) => {
            let (layout, image) = (app.settings().layout.clone(), image.clone());
            Ok(blocking(move || {
                let entry = Catalogue::load(&layout)?.source(&image)?;
                Ok(Exact {
                    version: entry.urn.rsplit(':').next().map(str::to_owned),
                    is_dated: !entry.is_undated(),
                    generation: entry.generation,
                    os_type: Some(entry.os_type),
                    architecture: Some(entry.architecture),
                    security: None,
                })
            })
            .await)
        }
        Source::ManagedImage { image_id } => {
            let id = image_id.to_string();
            let found = app.store().resource(&ResourceKey::of(&id)).await?;
            if let Some(image) = found {
                return Ok(of_image(&image));
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
                let definition = image_version_id.parent().map(|id| id.to_string());
                let definition = ResourceKey::of(&definition.unwrap_or_default());
                let definition = app.store().resource(&definition).await?;
                return Ok(of_version(&version, definition.as_ref()));
            }
            let missing = missing(ErrorCode::BadSharedImageVersionSource, "imageVersionId", &id);
            Ok(in_images(app, id, missing).await)
        }
    }
}

fn bad(field: &str, id: &str, why: &str) -> String {
    format!(
        "Validation failed: 'ImageTemplate.properties.source': Field '{field}' has a bad value: '{id}'. {why}"
    )
}

fn missing(code: ErrorCode, field: &str, id: &str) -> Error {
    Error::new(code, bad(field, id, "There is no such image"))
        .target(format!("properties.source.{field}"))
        .hint("check the id's spelling, or make the image first: az image list and az sig image-version list show what there is")
}

fn of_image(image: &Resource) -> Result<Exact, Error> {
    let properties = &image.body["properties"];
    let disk = &properties["storageProfile"]["osDisk"];
    if disk["osState"].as_str() == Some("Specialized") {
        return Err(specialized(ErrorCode::BadManagedImageSource, "imageId", &image.id));
    }
    Ok(Exact {
        version: None,
        is_dated: true,
        generation: generation(&properties["hyperVGeneration"]),
        os_type: disk["osType"].as_str().map(str::to_owned),
        architecture: None,
        security: None,
    })
}

/// A version is what its definition says.
fn of_version(version: &Resource, definition: Option<&Resource>) -> Result<Exact, Error> {
    let kind = &definition.map_or(&Value::Null, |definition| &definition.body)["properties"];
    let own = &version.body["properties"];
    let code = ErrorCode::BadSharedImageVersionSource;
    if kind["osState"].as_str() == Some("Specialized") {
        return Err(specialized(code, "imageVersionId", &version.id));
    }
    let security = agree::security_type(kind);
    if agree::has_state(&security) {
        let text =
            bad("imageVersionId", &version.id, &format!("It has the security type {security}"));
        return Err(Error::new(code, text).target("properties.source.imageVersionId").hint(
            format!(
                "use an image whose definition has the security type {security}Supported, or none"
            ),
        ));
    }
    let either = |field: &str| kind[field].as_str().or_else(|| own[field].as_str());
    let os_type = kind["osType"]
        .as_str()
        .or_else(|| own["storageProfile"]["osDisk"]["osType"].as_str())
        .map(str::to_owned);
    Ok(Exact {
        version: Some(version.id.clone()),
        is_dated: true,
        generation: if either("hyperVGeneration") == Some("V1") { 1 } else { 2 },
        os_type,
        architecture: kind["architecture"].as_str().map(str::to_owned),
        security: definition.map(|_| security),
    })
}

fn generation(value: &Value) -> u8 {
    if value.as_str() == Some("V1") { 1 } else { 2 }
}

fn specialized(code: ErrorCode, field: &str, id: &str) -> Error {
    let text = bad(field, id, "The image is specialized: it still is one certain machine");
    Error::new(code, text)
        .target(format!("properties.source.{field}"))
        .hint("generalize the machine, capture it anew, and name that image")
}

/// Whether a version stands for `latest`. What else keeps a version out of the search belongs here.
fn counts_for_latest(version: &Resource) -> bool {
    let profile = &version.body["properties"]["publishingProfile"];
    profile["excludeFromLatest"].as_bool() != Some(true)
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
            if !counts_for_latest(&version) {
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
                is_dated: true,
                generation: if record.origin.generation == "V1" { 1 } else { 2 },
                os_type: Some(record.origin.os_type.clone()),
                architecture: Some(record.origin.architecture.clone()).filter(|a| !a.is_empty()),
                security: None,
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
