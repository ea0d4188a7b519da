//! The difference between a resource and what a template states about it.
//!
//! What the template does not state is no difference: the resource type fills it in. Values are compared as the types
//! read them: ids and regions without case, the values of tags as text.

use arm::{is, region};
use serde_json::{Value, json};

/// Fields that say which resource it is.
const IDENTITY: &[&str] = &["id", "name", "type", "apiVersion"];

/// Objects whose keys are data: one that the template does not state is removed by the write.
const MAPS: &[&str] = &["tags", "userAssignedIdentities", "artifactTags"];

/// Fields that hold one of a few words, which types read without case and store in their own spelling.
const WORDS: &[&str] = &[
    "accessTier",
    "architecture",
    "createOption",
    "hostCaching",
    "hyperVGeneration",
    "kind",
    "osState",
    "osType",
    "principalId",
    "principalType",
    "storageAccountType",
    "tier",
    "type",
    "caching",
    "replicationMode",
    "minimumTlsVersion",
];

/// The differences, in the shape of responses: `{path, propertyChangeType, before, after, children}`.
pub(super) fn resource(live: &Value, stated: &Value) -> Vec<Value> {
    let mut found = Vec::new();
    for (name, wanted) in stated.as_object().into_iter().flatten() {
        if !IDENTITY.contains(&name.as_str()) {
            field(&mut found, name.clone(), name, field_of(live, name), wanted);
        }
    }
    found
}

fn field_of<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    let fields = object.as_object()?;
    let exact = fields.get(name);
    exact.or_else(|| fields.iter().find(|(own, _)| is(own, name)).map(|(_, value)| value))
}

/// Compares one field, whose name is the last part of its path.
fn field(found: &mut Vec<Value>, path: String, name: &str, live: Option<&Value>, wanted: &Value) {
    let live = live.filter(|value| !value.is_null());
    match (live, wanted) {
        (None, wanted) if is_nothing(wanted) => {}
        (Some(_), Value::Null) => {}
        (_, Value::String(text)) if is_unknown(text) => {}
        (None, wanted) => found.push(json!({
            "path": path, "propertyChangeType": "Create", "after": wanted,
        })),
        (Some(Value::Object(_)), Value::Object(wanted)) => {
            let is_map = MAPS.iter().any(|map| is(map, name));
            for (key, value) in wanted {
                let own = live.and_then(|live| field_of(live, key));
                match is(name, "tags") {
                    true => tag(found, format!("{path}.{key}"), own, value),
                    false => field(found, format!("{path}.{key}"), key, own, value),
                }
            }
            let rest = live.and_then(Value::as_object).into_iter().flatten();
            for (key, value) in rest.filter(|_| is_map) {
                if !wanted.keys().any(|own| is(own, key)) {
                    found.push(json!({
                        "path": format!("{path}.{key}"),
                        "propertyChangeType": "Delete",
                        "before": value,
                    }));
                }
            }
        }
        (Some(Value::Array(live)), Value::Array(wanted)) => {
            array(found, path, name, live, wanted);
        }
        (Some(live), wanted) if is_same(&path, name, live, wanted) => {}
        (Some(live), wanted) => found.push(json!({
            "path": path, "propertyChangeType": "Modify", "before": live, "after": wanted,
        })),
    }
}

/// What a type stores for an empty value may be nothing.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.values().all(is_nothing),
        _ => false,
    }
}

/// Whether it is the text of an expression: its value is secret, or known only after the deployment.
fn is_unknown(text: &str) -> bool {
    text.starts_with('[') && !text.starts_with("[[") && text.ends_with(']')
}

/// The values of tags are text.
fn tag(found: &mut Vec<Value>, path: String, live: Option<&Value>, wanted: &Value) {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    match live {
        _ if wanted.as_str().is_some_and(is_unknown) => {}
        Some(live) if text(live) == text(wanted) => {}
        Some(live) => found.push(json!({
            "path": path, "propertyChangeType": "Modify", "before": live, "after": wanted,
        })),
        None => found.push(json!({
            "path": path, "propertyChangeType": "Create", "after": wanted,
        })),
    }
}

/// Arrays are compared element by element.
fn array(found: &mut Vec<Value>, path: String, name: &str, live: &[Value], wanted: &[Value]) {
    let mut children = Vec::new();
    for (index, wanted) in wanted.iter().enumerate() {
        let at = index.to_string();
        match live.get(index) {
            None => children.push(json!({
                "path": at, "propertyChangeType": "Create", "after": wanted,
            })),
            Some(own) => {
                let mut inner = Vec::new();
                let inside = format!("{path}[{index}]");
                element(&mut inner, &inside, name, own, wanted);
                if !inner.is_empty() {
                    children.push(json!({
                        "path": at, "propertyChangeType": "Modify",
                        "before": own, "after": wanted, "children": inner,
                    }));
                }
            }
        }
    }
    for (index, gone) in live.iter().enumerate().skip(wanted.len()) {
        children.push(json!({
            "path": index.to_string(), "propertyChangeType": "Delete", "before": gone,
        }));
    }
    if !children.is_empty() {
        found.push(json!({
            "path": path, "propertyChangeType": "Array",
            "before": live, "after": wanted, "children": children,
        }));
    }
}

/// Paths inside an element are relative to it.
fn element(found: &mut Vec<Value>, place: &str, name: &str, live: &Value, wanted: &Value) {
    match (live, wanted) {
        (Value::Object(_), Value::Object(fields)) => {
            for (key, value) in fields {
                let own = field_of(live, key);
                let same = own.is_some_and(|own| is_same(place, key, own, value));
                if !same {
                    field(found, key.clone(), key, own, value);
                }
            }
        }
        (live, wanted) if is_same(place, name, live, wanted) => {}
        (live, wanted) => field(found, String::new(), name, Some(live), wanted),
    }
}

fn is_same(path: &str, name: &str, live: &Value, wanted: &Value) -> bool {
    match (live, wanted) {
        (_, Value::String(text)) if is_unknown(text) => true,
        (Value::String(live), Value::String(wanted)) => {
            live == wanted || is_same_text(path, name, live, wanted)
        }
        (Value::Number(live), Value::Number(wanted)) => live.as_f64() == wanted.as_f64(),
        (live, wanted) => live == wanted,
    }
}

fn is_same_text(path: &str, name: &str, live: &str, wanted: &str) -> bool {
    let is_id = |text: &str| text.starts_with('/');
    if is(name, "roleDefinitionId") {
        // The role may be named at any scope.
        return live
            .rsplit('/')
            .next()
            .zip(wanted.rsplit('/').next())
            .is_some_and(|(a, b)| is(a, b));
    }
    if is_id(live) && is_id(wanted) || WORDS.iter().any(|word| is(word, name)) {
        return is(live, wanted);
    }
    let is_region = is(name, "location") || path.to_lowercase().contains("regions");
    is_region && region::normalise(live) == region::normalise(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(live: &Value, stated: &Value) -> Vec<String> {
        let text = |one: &Value| {
            format!(
                "{} {}",
                one["propertyChangeType"].as_str().unwrap(),
                one["path"].as_str().unwrap()
            )
        };
        resource(live, stated).iter().map(text).collect()
    }

    #[test]
    fn what_the_type_fills_in_is_no_change() {
        let live = json!({
            "id": "/a", "location": "westus2", "tags": { "a": "1" },
            "identity": { "type": "UserAssigned", "userAssignedIdentities": { "/x/Y": { "clientId": "c" } } },
            "properties": { "provisioningState": "Succeeded", "list": [{ "a": 1, "b": 2 }], "region": "r" },
        });
        let stated = json!({
            "apiVersion": "2024-01-01", "id": "/A", "location": "West US 2", "tags": { "a": 1 },
            "identity": { "type": "userAssigned", "userAssignedIdentities": { "/X/y": {} } },
            "properties": { "list": [{ "a": 1 }], "empty": [], "secret": "[parameters('p')]" },
        });
        assert_eq!(kinds(&live, &stated), Vec::<String>::new());
    }

    #[test]
    fn every_kind_of_difference_has_its_path() {
        let live = json!({
            "tags": { "old": "1", "same": "x" },
            "properties": { "text": "Script", "list": [1, 2, 3], "objects": [{ "name": "a", "n": 1 }] },
        });
        let stated = json!({
            "tags": { "same": "x", "new": "2" },
            "properties": { "text": "script", "list": [1, 4], "objects": [{ "name": "a", "n": 2 }, {}], "added": true },
        });
        assert_eq!(
            kinds(&live, &stated),
            [
                "Create properties.added",
                "Array properties.list",
                "Array properties.objects",
                "Modify properties.text",
                "Create tags.new",
                "Delete tags.old",
            ]
        );
        let found = resource(&live, &stated);
        let children = found[1]["children"].as_array().unwrap();
        assert_eq!(
            (&children[0]["path"], &children[0]["propertyChangeType"]),
            (&json!("1"), &json!("Modify"))
        );
        assert_eq!(
            (&children[1]["path"], &children[1]["propertyChangeType"]),
            (&json!("2"), &json!("Delete"))
        );
        assert_eq!(found[2]["children"][0]["children"][0]["path"], "n");
    }
}
