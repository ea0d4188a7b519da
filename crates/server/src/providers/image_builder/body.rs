//! What is stored and answered for a template: the caller's body, told in the service's own terms.
//!
//! Names and values are those of the typed template (unknown, read-only and null fields are gone,
//! names have the canonical spelling), ids keep the spelling in which they were sent, and what has a
//! default but was not sent is left out or filled in as Azure does it.

use std::collections::HashMap;

use api::template::Template;
use serde_json::{Map, Value, json};

/// What the caller sent, for the question whether a field was among it.
struct Sent<'v>(Option<&'v Value>);

impl<'v> Sent<'v> {
    /// A field whose name is compared without case; null is absent.
    fn get(&self, name: &str) -> Self {
        let object = self.0.and_then(Value::as_object);
        let found = object.and_then(|o| o.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)));
        Self(found.map(|(_, value)| value).filter(|value| !value.is_null()))
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
    respell(&mut body, &spellings(sent));
    body["location"] = json!(location);
    let sent = Sent(Some(sent)).get("properties");
    if let Some(properties) = body["properties"].as_object_mut() {
        defaults(properties, &sent);
    }
    body
}

/// `distribute` as it is stored; `sent` is the list as the caller wrote it.
pub(super) fn distribute(sent: &Value, template: &Template) -> Value {
    let mut list = serde_json::to_value(&template.properties.distribute).unwrap_or_default();
    respell(&mut list, &spellings(sent));
    distributors(&mut list, &Sent(Some(sent)));
    list
}

/// `vmProfile` as it is stored.
pub(super) fn vm_profile(sent: &Value, template: &Template) -> Value {
    let mut profile = serde_json::to_value(&template.properties.vm_profile).unwrap_or_default();
    respell(&mut profile, &spellings(sent));
    if let Some(profile) = profile.as_object_mut() {
        vm_profile_defaults(profile);
    }
    profile
}

fn defaults(properties: &mut Map<String, Value>, sent: &Sent<'_>) {
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
        distributors(distribute, &sent.get("distribute"));
    }
    for step in list(properties.get_mut("customize")) {
        script_defaults(step);
    }
    let validators = properties.get_mut("validate").and_then(|v| v.get_mut("inVMValidations"));
    for step in list(validators) {
        script_defaults(step);
    }
    if let Some(profile) = properties.get_mut("vmProfile").and_then(Value::as_object_mut) {
        vm_profile_defaults(profile);
    }
    concrete_version(properties);
    properties.entry("stagingResourceGroup").or_insert_with(|| json!(""));
    properties.insert("exactStagingResourceGroup".to_owned(), json!(""));
    properties.insert("provisioningState".to_owned(), json!("Creating"));
}

/// A version that was given is known at once; `latest` waits for the catalogue.
fn concrete_version(properties: &mut Map<String, Value>) {
    let Some(source) = properties.get_mut("source") else {
        return;
    };
    let version = match source["type"].as_str() {
        Some("PlatformImage") => source["version"].clone(),
        _ => Value::Null,
    };
    if version.as_str().is_some_and(|version| !version.eq_ignore_ascii_case("latest")) {
        source["exactVersion"] = version;
    }
}

fn script_defaults(step: &mut Value) {
    let Some(step) = step.as_object_mut() else {
        return;
    };
    if step.get("validExitCodes").and_then(Value::as_array).is_some_and(Vec::is_empty) {
        step.remove("validExitCodes");
    }
    if step.get("type").and_then(Value::as_str) == Some("WindowsRestart") {
        step.entry("restartCommand").or_insert_with(|| json!(""));
        step.entry("restartTimeout").or_insert_with(|| json!("5m"));
    }
}

fn distributors(all: &mut Value, sent: &Sent<'_>) {
    for (index, distributor) in list(Some(all)).enumerate() {
        let sent = sent.at(index);
        let Some(distributor) = distributor.as_object_mut() else {
            continue;
        };
        if distributor.get("type").and_then(Value::as_str) != Some("SharedImage") {
            continue;
        }
        for name in ["storageAccountType", "replicationMode"] {
            if !sent.get(name).is_here() {
                distributor.remove(name);
            }
        }
        // `Latest` without a major version is the default, and still said when it was sent.
        let default = match sent.get("versioning").own() {
            Some(_) => json!({ "scheme": "Latest" }),
            None => Value::Null,
        };
        distributor.entry("versioning").or_insert(default);
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

/// Every id in a body as it was sent, by its lower-case form.
fn spellings(sent: &Value) -> HashMap<String, String> {
    fn collect(value: &Value, into: &mut HashMap<String, String>) {
        let mut add = |text: &String| {
            if text.starts_with('/') {
                into.insert(text.to_lowercase(), text.clone());
            }
        };
        match value {
            Value::String(text) => add(text),
            Value::Array(list) => list.iter().for_each(|value| collect(value, into)),
            Value::Object(object) => {
                object.keys().for_each(add);
                object.values().for_each(|value| collect(value, into));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    let mut all = HashMap::new();
    collect(sent, &mut all);
    all
}

fn respell(value: &mut Value, spellings: &HashMap<String, String>) {
    match value {
        Value::String(text) if text.starts_with('/') => {
            if let Some(sent) = spellings.get(&text.to_lowercase()) {
                text.clone_from(sent);
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|value| respell(value, spellings)),
        Value::Object(object) => {
            let taken = std::mem::take(object);
            for (key, mut value) in taken {
                respell(&mut value, spellings);
                let key = match spellings.get(&key.to_lowercase()) {
                    Some(sent) if key.starts_with('/') => sent.clone(),
                    _ => key,
                };
                object.insert(key, value);
            }
        }
        _ => {}
    }
}
