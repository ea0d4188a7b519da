//! `/openapi.json`: the API of the resource manager, generated from the registry of types.

use arm::ResourceType;
use axum::{extract::Request, response::Response};
use http::StatusCode;
use serde_json::{Map, Value, json};
use service::App;

use super::{Site, reply};

pub(super) fn answer(site: &Site, request: &Request) -> Response {
    reply::json(StatusCode::OK, &document(&site.base_url(request)))
}

/// The description for a server at a URL.
pub(crate) fn document(base: &str) -> Value {
    let mut paths = Map::new();
    for (path, verbs) in FIXED {
        let versions = &["2022-12-01"];
        let operations = verbs.iter().map(|verb| operation(verb, path, "Resources", versions));
        paths.insert((*path).to_owned(), item(path, operations));
    }
    for kind in providers::REGISTRY.types() {
        of_type(*kind, &mut paths);
    }
    json!({
        "openapi": "3.0.3",
        "info": {
            "title": "Goldsmith",
            "description": "Azure Resource Manager's interface to a self-hosted image builder.",
            "version": env!("CARGO_PKG_VERSION"),
        },
        "servers": [{ "url": base }],
        "security": [{ "bearer": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": { "bearer": {
                "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
                "description": "From the token endpoint: OAuth2 client credentials.",
            } },
            "schemas": { "Resource": resource_schema(), "List": list_schema(), "Error": error_schema() },
            "responses": { "Error": {
                "description": "The error and its remedy.",
                "content": { "application/json": {
                    "schema": { "$ref": "#/components/schemas/Error" },
                } },
            } },
        },
    })
}

const GROUP: &str = "/subscriptions/{subscriptionId}/resourceGroups/{resourceGroupName}";

/// Paths other than those of the types.
const FIXED: &[(&str, &[&str])] = &[
    ("/subscriptions", &["list"]),
    ("/subscriptions/{subscriptionId}", &["get"]),
    ("/subscriptions/{subscriptionId}/locations", &["list"]),
    ("/subscriptions/{subscriptionId}/providers", &["list"]),
    ("/subscriptions/{subscriptionId}/providers/{namespace}", &["get"]),
    ("/subscriptions/{subscriptionId}/resources", &["list"]),
    ("/subscriptions/{subscriptionId}/resourceGroups", &["list"]),
    (GROUP, &["get", "head", "put", "patch", "delete"]),
    ("/subscriptions/{subscriptionId}/resourceGroups/{resourceGroupName}/resources", &["list"]),
];

/// The collections and the item of a type. Paths of children contain the names of their parents.
fn of_type(kind: &dyn ResourceType<App>, paths: &mut Map<String, Value>) {
    let Some((namespace, types)) = kind.name().split_once('/') else { return };
    let types: Vec<&str> = types.split('/').collect();
    let Some((last, parents)) = types.split_last() else { return };
    let mut below = format!("/providers/{namespace}");
    for parent in parents {
        below.push_str(&format!("/{parent}/{{{}}}", parameter_of(parent)));
    }
    let collection = format!("{below}/{last}");
    let mut add = |path: String, verbs: &[&str]| {
        let operations =
            verbs.iter().map(|verb| operation(verb, &path, kind.name(), kind.api_versions()));
        let value = item(&path, operations);
        paths.insert(path, value);
    };
    if parents.is_empty() {
        add(format!("/subscriptions/{{subscriptionId}}{collection}"), &["list"]);
    }
    add(format!("{GROUP}{collection}"), &["list"]);
    let name = parameter_of(last);
    add(format!("{GROUP}{collection}/{{{name}}}"), &["get", "put", "patch", "delete"]);
}

/// `imageTemplates` → `imageTemplateName`.
fn parameter_of(kind: &str) -> String {
    let one = match kind.strip_suffix("ies") {
        Some(stem) => format!("{stem}y"),
        None => kind.strip_suffix('s').unwrap_or(kind).to_owned(),
    };
    format!("{one}Name")
}

/// A path with its parameters and operations.
fn item(path: &str, operations: impl Iterator<Item = (String, Value)>) -> Value {
    let names = path.split('{').skip(1).filter_map(|part| part.split_once('}'));
    let parameters: Vec<Value> = names
        .map(|(name, _)| {
            json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } })
        })
        .collect();
    let mut item: Map<String, Value> = operations.collect();
    item.insert("parameters".to_owned(), json!(parameters));
    Value::Object(item)
}

/// An operation, under its method. `list` is a GET of a collection.
fn operation(verb: &str, path: &str, tag: &str, versions: &[&str]) -> (String, Value) {
    let method = if verb == "list" { "get" } else { verb };
    let body = |schema: &str| {
        let schema = json!({ "$ref": format!("#/components/schemas/{schema}") });
        json!({ "application/json": { "schema": schema } })
    };
    let one = |about: &str| json!({ "description": about, "content": body("Resource") });
    let none = |about: &str| json!({ "description": about });
    let mut responses = match verb {
        "list" => json!({ "200": { "description": "A page.", "content": body("List") } }),
        "put" => json!({ "200": one("Replaced."), "201": one("Made.") }),
        "patch" => json!({ "200": one("Changed."), "202": none("Accepted; poll.") }),
        "delete" => {
            json!({ "200": none("Removed."), "202": none("Accepted; poll."), "204": none("Was not there.") })
        }
        "head" => json!({ "204": none("It exists."), "404": none("It does not.") }),
        _ => json!({ "200": one("The resource.") }),
    };
    if verb != "head" {
        responses["default"] = json!({ "$ref": "#/components/responses/Error" });
    }
    let newest = versions.first().copied().unwrap_or_default();
    let mut operation = json!({
        "operationId": operation_id(verb, path),
        "tags": [tag],
        "parameters": [{
            "name": "api-version", "in": "query", "required": true,
            "description": format!("One of: {}", versions.join(", ")),
            "schema": { "type": "string", "example": newest },
        }],
        "responses": responses,
    });
    if matches!(verb, "put" | "patch") {
        operation["requestBody"] = json!({ "required": true, "content": body("Resource") });
    }
    (method.to_owned(), operation)
}

/// A unique id from the whole path.
fn operation_id(verb: &str, path: &str) -> String {
    let words = path.split('/').filter(|part| !part.is_empty());
    let words = words.map(|part| part.replace(['{', '}'], "").replace('.', "_"));
    std::iter::once(verb.to_owned()).chain(words).collect::<Vec<_>>().join("_")
}

fn resource_schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "id": { "type": "string", "readOnly": true },
            "name": { "type": "string", "readOnly": true },
            "type": { "type": "string", "readOnly": true },
            "location": { "type": "string" },
            "tags": { "type": "object", "additionalProperties": { "type": "string" } },
            "properties": { "type": "object", "additionalProperties": true },
        },
        "additionalProperties": true,
    })
}

fn list_schema() -> Value {
    json!({
        "type": "object",
        "required": ["value"],
        "properties": {
            "value": { "type": "array", "items": { "$ref": "#/components/schemas/Resource" } },
            "nextLink": { "type": "string" },
        },
    })
}

fn error_schema() -> Value {
    json!({
        "type": "object",
        "required": ["error"],
        "properties": { "error": {
            "type": "object",
            "required": ["code", "message"],
            "properties": {
                "code": { "type": "string" },
                "message": { "type": "string" },
                "target": { "type": "string" },
                "details": { "type": "array", "items": { "type": "object" } },
            },
        } },
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use arm::{Actions, ApiError};

    #[test]
    fn paths_of_children_contain_their_parents() {
        struct Images;
        #[async_trait::async_trait]
        impl ResourceType<App> for Images {
            fn actions(&self) -> &'static Actions {
                const ACTIONS: Actions = arm::actions!("Microsoft.Compute/galleries/images");
                &ACTIONS
            }
            fn api_versions(&self) -> &'static [&'static str] {
                &["2024-03-03", "2021-10-01"]
            }
            async fn put(
                &self,
                _app: &App,
                _call: &arm::Call,
                _key: db::ResourceKey,
            ) -> Result<arm::Reply, ApiError> {
                Ok(arm::Reply::ok(json!({})))
            }
        }
        let mut paths = Map::new();
        of_type(&Images, &mut paths);
        let below = format!("{GROUP}/providers/Microsoft.Compute/galleries/{{galleryName}}/images");
        let found: Vec<&str> = paths.keys().map(String::as_str).collect();
        assert_eq!(found, [below.as_str(), &format!("{below}/{{imageName}}")]);
        let item = &paths[&format!("{below}/{{imageName}}")];
        assert_eq!(item["parameters"].as_array().unwrap().len(), 4);
        let version = &item["put"]["parameters"][0];
        assert_eq!(version["description"], "One of: 2024-03-03, 2021-10-01");
    }

    #[test]
    fn operation_id_is_unique() {
        let document = document("https://localhost:8443");
        let mut seen = BTreeSet::new();
        for item in document["paths"].as_object().unwrap().values() {
            for operation in item.as_object().unwrap().values() {
                if let Some(id) = operation["operationId"].as_str() {
                    assert!(seen.insert(id.to_owned()), "{id}");
                }
            }
        }
        assert!(seen.len() >= 13);
    }
}
