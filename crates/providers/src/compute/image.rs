//! Microsoft.Compute/images: managed images.
//!
//! A run of an image template writes them too; their disk is in the engine's image store under the
//! image's id and goes with the image. A PUT over an image changes its tags, never its disks.

use arm::{
    Actions, ApiError, Call, Reply, ResourceType,
    fields::{self, choice, invalid, missing},
    rows,
};
use async_trait::async_trait;
use authorization::Need;
use db::ResourceKey;
use serde_json::{Map, Value, json};
use service::App;

use crate::linked;

const ACTIONS: Actions = arm::actions!("Microsoft.Compute/images");
const NAME: &str = ACTIONS.kind;
const EXPORT_DISK: &str = "Microsoft.Compute/disks/beginGetAccess/action";
const EXPORT_SNAPSHOT: &str = "Microsoft.Compute/snapshots/beginGetAccess/action";
/// Possible sources of an image, of which it has one.
const DISKS: [&str; 3] = ["blobUri", "managedDisk", "snapshot"];

/// A managed image.
pub(crate) struct Image;

#[async_trait]
impl ResourceType<App> for Image {
    fn actions(&self) -> &'static Actions {
        &ACTIONS
    }

    fn api_versions(&self) -> &'static [&'static str] {
        &["2026-04-01", "2024-11-01", "2024-07-01", "2023-03-01", "2020-06-01", "2019-12-01"]
    }

    async fn preflight(&self, _app: &App, call: &Call) -> Result<(), ApiError> {
        let properties = properties(&call.json()?)?;
        linked::check(call, ACTIONS.write, &copied(&properties))
    }

    async fn put(&self, app: &App, call: &Call, key: ResourceKey) -> Result<Reply, ApiError> {
        let existing = rows::find(app.context(), call, &key).await?;
        let name = call.path.names().last().copied().unwrap_or_default();
        fields::check_name("image", name, 1..=80, "_.-")?;
        let object = call.json()?;
        let location = fields::location(NAME, app.context(), &object, existing.as_ref())?;
        let properties = match &existing {
            Some(image) => unchanged(&object, &image.body["properties"])?,
            None => properties(&object)?,
        };
        if existing.is_none() {
            linked::check(call, ACTIONS.write, &copied(&properties))?;
        }
        let tags = fields::tags(&object)?.unwrap_or_else(|| json!({}));
        let body = document(&location, &tags, properties);
        let hidden = existing.as_ref().map_or_else(|| json!({}), |old| old.hidden.clone());
        let (image, created) = rows::put(NAME, app.context(), call, existing, body, hidden).await?;
        Ok(rows::written(created, rows::view(NAME, &image), &image))
    }

    async fn delete(&self, app: &App, call: &Call, key: ResourceKey) -> Result<Reply, ApiError> {
        let claimed = rows::claim(app.context(), call, &key).await?;
        let ids: Vec<&str> = claimed.iter().map(|image| image.id.as_str()).collect();
        let _held = super::remove_stored(app, &ids).await?;
        rows::delete_claimed(app.context(), key).await
    }
}

/// The document of an image.
pub(super) fn document(location: &str, tags: &Value, mut properties: Value) -> Value {
    properties["provisioningState"] = json!("Succeeded");
    json!({ "location": location, "tags": tags, "properties": properties })
}

/// The properties of an existing image. A request cannot change its source and need not repeat it: an
/// image that a run made has none.
fn unchanged(object: &Map<String, Value>, before: &Value) -> Result<Value, ApiError> {
    let new = fields::properties(object)?;
    let generation =
        choice(&new, "hyperVGeneration", "properties.hyperVGeneration", &["V1", "V2"])?;
    let mut requested =
        vec![("hyperVGeneration".to_owned(), generation, &before["hyperVGeneration"])];
    let disk = new.get("storageProfile").map_or(&Value::Null, |storage| &storage["osDisk"]);
    let own = &before["storageProfile"]["osDisk"];
    for field in ["osType", "osState"] {
        let text = disk[field].as_str().map(str::to_owned);
        requested.push((format!("storageProfile.osDisk.{field}"), text, &own[field]));
    }
    for field in DISKS {
        let text = disk_of(&disk[field]).map(str::to_owned);
        requested.push((format!("storageProfile.osDisk.{field}"), text, &own[field]));
    }
    for (field, text, before) in requested {
        let now = disk_of(before).unwrap_or_default();
        if let Some(text) = text.filter(|text| !text.eq_ignore_ascii_case(now)) {
            return Err(ApiError::conflict(
                "PropertyChangeNotAllowed",
                format!("Changing property '{field}' from '{now}' to '{text}' is not allowed. Make another image."),
            )
            .target(format!("properties.{field}")));
        }
    }
    Ok(before.clone())
}

/// What the caller needs at the disks that it makes the image of.
fn copied(properties: &Value) -> Vec<Need> {
    let storage = &properties["storageProfile"];
    let data = storage["dataDisks"].as_array().into_iter().flatten();
    let mut needs = Vec::new();
    for disk in [&storage["osDisk"]].into_iter().chain(data) {
        for (field, action) in [("managedDisk", EXPORT_DISK), ("snapshot", EXPORT_SNAPSHOT)] {
            needs.extend(disk_of(&disk[field]).map(|id| linked::need(action, id)));
        }
    }
    needs
}

/// A reference to a disk: a string, or an object with an `id`.
fn disk_of(value: &Value) -> Option<&str> {
    value.as_str().or_else(|| value["id"].as_str())
}

fn properties(object: &Map<String, Value>) -> Result<Value, ApiError> {
    let mut properties = fields::properties(object)?;
    let generation =
        choice(&properties, "hyperVGeneration", "properties.hyperVGeneration", &["V1", "V2"])?;
    properties.insert("hyperVGeneration".to_owned(), json!(generation.as_deref().unwrap_or("V1")));
    if properties.get("sourceVirtualMachine").is_some_and(|source| !source.is_null()) {
        return Err(invalid(
            "properties.sourceVirtualMachine",
            &properties["sourceVirtualMachine"],
            "there are no virtual machines here; give 'properties.storageProfile.osDisk.blobUri', or build the image from an image template",
        ));
    }
    let path = "properties.storageProfile.osDisk";
    let disk = properties.get("storageProfile").and_then(|storage| storage["osDisk"].as_object());
    let mut disk = disk.ok_or_else(|| missing(path))?.clone();
    for (field, words) in
        [("osType", ["Linux", "Windows"]), ("osState", ["Generalized", "Specialized"])]
    {
        let path = format!("{path}.{field}");
        let word = choice(&disk, field, &path, &words)?.ok_or_else(|| missing(&path))?;
        disk.insert(field.to_owned(), json!(word));
    }
    if !DISKS.iter().any(|field| disk.get(*field).and_then(disk_of).is_some()) {
        return Err(ApiError::bad_request(
            "InvalidParameter",
            format!("The disk is missing: give one of '{path}.blobUri', '{path}.managedDisk.id' and '{path}.snapshot.id'."),
        )
        .target(path));
    }
    disk.entry("caching").or_insert_with(|| json!("None"));
    properties["storageProfile"]["osDisk"] = Value::Object(disk);
    if properties["storageProfile"]["dataDisks"].is_null() {
        properties["storageProfile"]["dataDisks"] = json!([]);
    }
    Ok(Value::Object(properties))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(properties_: Value) -> Result<Value, ApiError> {
        let properties = properties(json!({ "properties": properties_ }).as_object().unwrap());
        properties.map(|made| document("westus2", &json!({}), made)["properties"].take())
    }

    #[test]
    fn image_is_made_from_a_disk() {
        let made = check(json!({ "storageProfile": { "osDisk": {
            "osType": "linux", "osState": "Generalized", "blobUri": "https://x/y.vhd",
        } } }))
        .unwrap();
        assert_eq!(made["hyperVGeneration"], "V1");
        assert_eq!(made["provisioningState"], "Succeeded");
        assert_eq!(made["storageProfile"]["osDisk"]["osType"], "Linux");
        assert_eq!(made["storageProfile"]["dataDisks"], json!([]));
    }

    #[test]
    fn invalid_image_is_refused_with_its_field() {
        for (bad, target) in [
            (json!({}), "properties.storageProfile.osDisk"),
            (json!({ "storageProfile": "x" }), "properties.storageProfile.osDisk"),
            (json!({ "sourceVirtualMachine": { "id": "x" } }), "properties.sourceVirtualMachine"),
            (json!({ "hyperVGeneration": "V3" }), "properties.hyperVGeneration"),
            (
                json!({ "storageProfile": { "osDisk": { "osType": "Linux", "osState": "Generalized" } } }),
                "properties.storageProfile.osDisk",
            ),
            (
                json!({ "storageProfile": { "osDisk": { "osType": "Linux", "blobUri": "u" } } }),
                "properties.storageProfile.osDisk.osState",
            ),
        ] {
            let error = check(bad).unwrap_err();
            assert_eq!(error.code, "InvalidParameter");
            assert_eq!(error.target.as_deref(), Some(target));
        }
    }
}
