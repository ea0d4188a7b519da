//! The body of a template as it is stored and answered: the caller's, in the service's own terms.
//!
//! Names and values are those of the typed template (unknown, read-only and null fields are gone,
//! names have the canonical spelling), ids keep the spelling in which they were sent, and what has a
//! default but was not sent is left out or filled in as Azure does it.

use engine::template::{Step, Template};
use serde_json::{Map, Value, json};

/// Fields that hold ids of resources.
const IDS: &[&str] = &[
    "imageId",
    "imageVersionId",
    "galleryImageId",
    "subnetId",
    "containerInstanceSubnetId",
    "userAssignedIdentities",
    "stagingResourceGroup",
];

/// The caller's body, which says whether a field was sent.
struct Sent<'v>(Option<&'v Value>);

impl<'v> Sent<'v> {
    /// A field whose name is compared without case, unless there is one of just that name; null is absent.
    fn get(&self, name: &str) -> Self {
        let object = self.0.and_then(Value::as_object);
        let found = object.and_then(|object| {
            let alike = || object.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
            object.get(name).or_else(|| alike().map(|(_, value)| value))
        });
        Self(found.filter(|value| !value.is_null()))
    }

    fn at(&self, index: usize) -> Self {
        Self(self.0.and_then(|value| value.get(index)))
    }

    fn is_here(&self) -> bool {
        self.0.is_some()
    }

    fn own(&self) -> Option<&'v Value> {
        self.0
    }
}

/// The body of a new template, `provisioningState` `Creating`. `location` is the region's name.
pub(super) fn created(sent: &Value, template: &Template, location: &str) -> Value {
    let mut body = serde_json::to_value(template).unwrap_or_default();
    let sent = Sent(Some(sent));
    respell(&mut body, &sent);
    body["location"] = json!(location);
    let sent = sent.get("properties");
    if let Some(properties) = body["properties"].as_object_mut() {
        defaults(properties, &sent, template);
    }
    body
}

/// A change of a template as a client asks for it; null is absent.
#[derive(Debug, Default)]
pub(super) struct Change {
    pub(super) tags: Option<Value>,
    pub(super) identity: Option<Map<String, Value>>,
    pub(super) distribute: Option<Value>,
    pub(super) vm_profile: Option<Value>,
}

impl Change {
    /// The body with the change in it, as the client wrote it.
    pub(super) fn requested(&self, mut body: Value) -> Value {
        if let Some(tags) = &self.tags {
            body["tags"] = tags.clone();
        }
        if let Some(identity) = &self.identity {
            body["identity"] = merged_identity(&body["identity"], identity);
        }
        for (name, value) in [("distribute", &self.distribute), ("vmProfile", &self.vm_profile)] {
            if let Some(value) = value {
                body["properties"][name] = value.clone();
            }
        }
        body
    }

    /// Stores the change. `template` was read from `requested`.
    pub(super) fn store(&self, body: &mut Value, requested: &Value, template: &Template) {
        if self.tags.is_some() {
            body["tags"] = json!(template.tags);
        }
        if self.identity.is_some() {
            body["identity"] = requested["identity"].clone();
        }
        let mut new = created(requested, template, "");
        for (name, value) in [("distribute", &self.distribute), ("vmProfile", &self.vm_profile)] {
            if value.is_some() {
                body["properties"][name] = new["properties"][name].take();
            }
        }
    }
}

/// Null takes an identity away, anything else adds it; ids are compared without case. Without any
/// left the type is `None`.
fn merged_identity(current: &Value, change: &Map<String, Value>) -> Value {
    let field = |name: &str| {
        change.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    };
    let kind = field("type").and_then(Value::as_str);
    if kind.is_some_and(|kind| kind.eq_ignore_ascii_case("None")) {
        return json!({ "type": "None" });
    }
    let ids = current["userAssignedIdentities"].as_object().cloned().unwrap_or_default();
    let mut ids: Vec<(String, Value)> = ids.into_iter().collect();
    let changes = field("userAssignedIdentities").and_then(Value::as_object);
    for (id, value) in changes.into_iter().flatten() {
        ids.retain(|(own, _)| !own.eq_ignore_ascii_case(id));
        if !value.is_null() {
            ids.push((id.clone(), json!({})));
        }
    }
    if ids.is_empty() && changes.is_some() {
        return json!({ "type": "None" });
    }
    let ids: Map<String, Value> = ids.into_iter().collect();
    json!({ "type": kind.unwrap_or("UserAssigned"), "userAssignedIdentities": ids })
}

fn defaults(properties: &mut Map<String, Value>, sent: &Sent<'_>, template: &Template) {
    for name in ["customize", "additionalDataDisks"] {
        if properties.get(name).and_then(Value::as_array).is_some_and(Vec::is_empty) {
            properties.remove(name);
        }
    }
    for name in ["errorHandling", "autoRun", "managedResourceTags"] {
        if !sent.get(name).is_here() {
            properties.remove(name);
        }
    }
    if let Some(distribute) = properties.get_mut("distribute") {
        distributors(distribute, &sent.get("distribute"), template);
    }
    steps(properties.get_mut("customize"), &template.properties.customize);
    if let Some(validate) = &template.properties.validate {
        let validators = properties.get_mut("validate").and_then(|v| v.get_mut("inVMValidations"));
        steps(validators, &validate.in_vm_validations);
    }
    if let Some(profile) = properties.get_mut("vmProfile").and_then(Value::as_object_mut) {
        vm_profile_defaults(profile);
    }
    // `latest` waits for the catalogue.
    if let Some(version) = template.properties.source.stated_version() {
        properties["source"]["exactVersion"] = json!(version);
    }
    properties.entry("stagingResourceGroup").or_insert_with(|| json!(""));
    properties.insert("exactStagingResourceGroup".to_owned(), json!(""));
    properties.insert("provisioningState".to_owned(), json!("Creating"));
}

fn steps(bodies: Option<&mut Value>, steps: &[Step]) {
    for (body, step) in list(bodies).zip(steps) {
        if let Some(fields) = body.as_object_mut() {
            step.kind.respond(fields);
        }
    }
}

fn distributors(all: &mut Value, sent: &Sent<'_>, template: &Template) {
    for (index, (body, target)) in list(Some(all)).zip(&template.properties.distribute).enumerate()
    {
        let sent = sent.at(index);
        if let Some(fields) = body.as_object_mut() {
            target.kind.respond(fields, &|name| sent.get(name).is_here());
        }
    }
}

fn vm_profile_defaults(profile: &mut Map<String, Value>) {
    profile.entry("vmSize").or_insert_with(|| json!(""));
    let identities = profile.get("userAssignedIdentities").and_then(Value::as_array);
    if identities.is_some_and(Vec::is_empty) {
        profile.remove("userAssignedIdentities");
    }
}

fn list(value: Option<&mut Value>) -> impl Iterator<Item = &mut Value> {
    value.and_then(Value::as_array_mut).into_iter().flatten()
}

/// Gives ids the spelling in which they were sent. Scripts, paths in the guest and tags stay unchanged, even
/// if they look like an id.
fn respell(value: &mut Value, sent: &Sent<'_>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                let sent = sent.get(name);
                match IDS.contains(&name.as_str()) {
                    true => respell_ids(value, &sent),
                    false => respell(value, &sent),
                }
            }
        }
        Value::Array(list) => {
            for (index, value) in list.iter_mut().enumerate() {
                respell(value, &sent.at(index));
            }
        }
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// One id, a list of them, or an object whose names they are.
fn respell_ids(value: &mut Value, sent: &Sent<'_>) {
    match value {
        Value::String(id) => {
            let sent = sent.own().and_then(Value::as_str);
            if let Some(sent) = sent.filter(|sent| sent.to_lowercase() == id.to_lowercase()) {
                sent.clone_into(id);
            }
        }
        // By its text and not by its place: a repeated identity counts once.
        Value::Array(list) => {
            let sent = sent.own().and_then(Value::as_array);
            let sent = || sent.into_iter().flatten().filter_map(Value::as_str);
            for id in list {
                let Value::String(id) = id else { continue };
                if let Some(sent) = sent().find(|sent| sent.to_lowercase() == id.to_lowercase()) {
                    sent.clone_into(id);
                }
            }
        }
        Value::Object(object) => {
            let names = sent.own().and_then(Value::as_object);
            let spelled = |id: String| {
                let mut names = names.into_iter().flat_map(Map::keys);
                let found = names.find(|name| name.to_lowercase() == id.to_lowercase());
                found.map_or(id, Clone::clone)
            };
            *object =
                std::mem::take(object).into_iter().map(|(id, of)| (spelled(id), of)).collect();
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
