//! What a caller sees of a template: the fields of the api-version it asks with, as far as they are
//! top-level properties or their absence would break a reader; ids with `resourcegroups`.

use api::template::ApiVersion;
use arm::Call;
use db::Resource;
use serde_json::{Value, json};
use service::App;

use super::version;

/// Properties that came with a version.
const SINCE: &[(&str, ApiVersion)] = &[
    ("validate", ApiVersion::V2022_02_14),
    ("stagingResourceGroup", ApiVersion::V2022_02_14),
    ("exactStagingResourceGroup", ApiVersion::V2022_02_14),
    ("optimize", ApiVersion::V2022_07_01),
    ("errorHandling", ApiVersion::V2023_07_01),
    ("autoRun", ApiVersion::V2024_02_01),
    ("managedResourceTags", ApiVersion::V2024_02_01),
    ("additionalDataDisks", ApiVersion::V2025_10_01),
];

/// The same for distributors.
const DISTRIBUTOR_SINCE: &[(&str, ApiVersion)] = &[
    ("versioning", ApiVersion::V2022_07_01),
    ("targetRegions", ApiVersion::V2022_07_01),
    ("uri", ApiVersion::V2022_07_01),
    ("replicationMode", ApiVersion::V2025_10_01),
];

/// A template.
pub(super) fn template(call: &Call, resource: &Resource) -> Value {
    let version = version(call);
    let mut body = envelope(super::TEMPLATES, resource);
    let properties = &mut body["properties"];
    drop_newer(properties, SINCE, version);
    for distributor in properties["distribute"].as_array_mut().into_iter().flatten() {
        drop_newer(distributor, DISTRIBUTOR_SINCE, version);
    }
    if version < ApiVersion::V2022_02_14
        && let Some(source) = properties["source"].as_object_mut()
    {
        source.remove("exactVersion");
    }
    body
}

/// Why a run that could begin does not: not written down, since it changes with the disk.
pub(super) fn waits(app: &App) -> Option<String> {
    app.waiting_for().map(|why| format!("The run waits: {why}. It begins once there is room."))
}

/// Puts into the view of a template why its run waits.
pub(super) fn say_waits(app: &App, body: &mut Value) {
    if let Some(last) = body.pointer_mut("/properties/lastRunStatus")
        && last["runSubState"] == "Queued"
        && let Some(why) = waits(app)
    {
        last["message"] = json!(why);
    }
}

/// `id`, `name` and `type` with the body. The id has `resourcegroups` in lower case.
pub(super) fn envelope(kind: &str, resource: &Resource) -> Value {
    let mut body = resource.body.clone();
    body["id"] = json!(shown(&resource.id));
    body["name"] = json!(resource.name);
    body["type"] = json!(kind);
    body
}

/// An id as the image builder writes its own ids.
pub(super) fn shown(id: &str) -> String {
    id.replacen("/resourceGroups/", "/resourcegroups/", 1)
}

fn drop_newer(value: &mut Value, table: &[(&str, ApiVersion)], version: ApiVersion) {
    if let Some(object) = value.as_object_mut() {
        object.retain(|name, _| !table.iter().any(|(new, since)| new == name && *since > version));
    }
}
