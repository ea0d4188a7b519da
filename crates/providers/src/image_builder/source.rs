//! What a template's source is, exactly: looked up, not fetched.

use api::ErrorCode;
use db::{Resource, ResourceKey};
use engine::{OsType, template::Template};
use images::{
    error::Error,
    layout::Layout,
    store::{Record, Store},
};
use serde_json::Value;
use service::App;
use sources::ResolvedEntry;

use super::{
    compatibility,
    exact::{Exact, bad, blocking, missing},
    failure::Fault,
    stored,
    versions::{self, Found},
};

/// Looks the source up.
///
/// # Errors
/// `BadPIRSource`, `BadManagedImageSource`, `BadSharedImageVersionSource`.
pub(super) async fn resolve(
    app: &App,
    template: &Template,
) -> Result<Result<Exact, Error>, db::Error> {
    let source = &template.properties.source;
    let Some(id) = source.id().map(ToString::to_string) else {
        let (layout, source) = (app.settings().layout.clone(), source.clone());
        let subscription = app.subscription().to_owned();
        let entry = blocking(move || sources::entry(&layout, &source, Some(&subscription))).await;
        let none = || Error::new(ErrorCode::InternalError, "the source is in no catalogue");
        return Ok(entry.and_then(|entry| entry.map(of_catalogue).ok_or_else(none)));
    };
    if let Some(definition) = source.definition() {
        let location = template.location.as_deref().unwrap_or_default();
        let found = match versions::find(app, &id, location).await? {
            Ok(found) => found,
            Err(error) => return Ok(Err(error)),
        };
        let definition = ResourceKey::of(&definition.to_string());
        let definition = app.store().resource(&definition).await?;
        return Ok(of_version(&found, definition.as_ref()));
    }
    if let Some(image) = app.store().resource(&ResourceKey::of(&id)).await? {
        return Ok(of_image(&image));
    }
    let missing = missing(ErrorCode::BadManagedImageSource, "imageId", &id);
    match Fault::split(stored::is_seen(app, &id).await)? {
        Ok(true) => Ok(in_images(app, id, missing).await),
        Ok(false) => Ok(Err(missing)),
        Err(error) => Ok(Err(error)),
    }
}

fn of_catalogue(entry: ResolvedEntry) -> Exact {
    Exact {
        version: entry.urn.rsplit(':').next().map(str::to_owned),
        is_dated: !entry.is_undated(),
        generation: entry.generation,
        os: Some(entry.os),
        architecture: Some(entry.architecture),
        security: None,
    }
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
        os: disk["osType"].as_str().and_then(OsType::of_name),
        architecture: None,
        security: None,
    })
}

/// The definition decides the properties of a version. It may be missing if only the image store has the version.
fn of_version(version: &Found, definition: Option<&Resource>) -> Result<Exact, Error> {
    let kind = &definition.map_or(&Value::Null, |definition| &definition.body)["properties"];
    let security = security_of(kind, &version.id())?;
    let exact = match version {
        Found::Row(version) => of_row(version, kind),
        Found::Stored(image) => of_stored(&image.record),
    };
    Ok(Exact { security: definition.map(|_| security), ..exact })
}

/// The security type of a definition whose versions can be started from.
fn security_of(kind: &Value, id: &str) -> Result<String, Error> {
    let code = ErrorCode::BadSharedImageVersionSource;
    if kind["osState"].as_str() == Some("Specialized") {
        return Err(specialized(code, "imageVersionId", id));
    }
    let security = compatibility::security_type(kind);
    if compatibility::has_state(&security) {
        let text = bad("imageVersionId", id, &format!("It has the security type {security}"));
        return Err(Error::new(code, text).target("properties.source.imageVersionId").hint(
            format!(
                "use an image whose definition has the security type {security}Supported, or none"
            ),
        ));
    }
    Ok(security)
}

fn of_row(version: &Resource, kind: &Value) -> Exact {
    let own = &version.body["properties"];
    let either = |field: &str| kind[field].as_str().or_else(|| own[field].as_str());
    let os = kind["osType"]
        .as_str()
        .or_else(|| own["storageProfile"]["osDisk"]["osType"].as_str())
        .and_then(OsType::of_name);
    Exact {
        version: Some(version.id.clone()),
        is_dated: true,
        generation: if either("hyperVGeneration") == Some("V1") { 1 } else { 2 },
        os,
        architecture: kind["architecture"].as_str().map(str::to_owned),
        security: None,
    }
}

fn of_stored(record: &Record) -> Exact {
    Exact {
        version: record.version.map(|_| record.id.clone()),
        is_dated: true,
        generation: if record.origin.generation == "V1" { 1 } else { 2 },
        os: Some(record.origin.os()),
        architecture: Some(record.origin.architecture.clone()).filter(|a| !a.is_empty()),
        security: None,
    }
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

/// An image that the commands on this machine made.
async fn in_images(app: &App, id: String, missing: Error) -> Result<Exact, Error> {
    let layout: Layout = app.settings().layout.clone();
    blocking(move || match Store::open(&layout).get(&id) {
        Ok(image) => Ok(of_stored(&image.record)),
        Err(error) if error.code == ErrorCode::NotFound => Err(missing),
        Err(error) => Err(error),
    })
    .await
}
