//! Microsoft.Compute/galleries/images: image definitions.

use arm::{
    Actions, ApiError, Call, Reply, ResourceType,
    fields::{self, choice, invalid, missing},
    rows,
};
use async_trait::async_trait;
use db::{CLAIM, Resource, ResourceKey};
use http::StatusCode;
use serde_json::{Map, Value, json};
use service::App;

const ACTIONS: Actions = arm::actions!("Microsoft.Compute/galleries/images");
const NAME: &str = ACTIONS.kind;

/// Fields that cannot change, since versions may exist that would differ from them.
const FIXED: &[&str] = &["osType", "osState", "hyperVGeneration", "architecture", "identifier"];

/// An image definition of a gallery. Its versions hold the disks.
pub(crate) struct Definition;

#[async_trait]
impl ResourceType<App> for Definition {
    fn actions(&self) -> &'static Actions {
        &ACTIONS
    }

    fn api_versions(&self) -> &'static [&'static str] {
        super::GALLERY_VERSIONS
    }

    async fn put(&self, app: &App, call: &Call, key: ResourceKey) -> Result<Reply, ApiError> {
        let existing = rows::find(app.context(), call, &key).await?;
        let name = call.path.names().last().copied().unwrap_or_default();
        fields::check_name("image definition", name, 1..=80, "_.-")?;
        let object = call.json()?;
        let location = fields::location(NAME, app.context(), &object, existing.as_ref())?;
        let properties = properties(&object, existing.as_ref())?;
        let identifier = properties["identifier"].clone();
        check_identifier_free(app, &key, &identifier).await?;
        let tags = fields::tags(&object)?.unwrap_or_else(|| json!({}));
        let body = json!({ "location": location, "tags": tags, "properties": properties });
        let hidden = json!({ CLAIM: claim(&key, &identifier) });
        let (definition, created) =
            match rows::put(NAME, app.context(), call, existing, body, hidden).await {
                Err(refused) if refused.status == StatusCode::CONFLICT => {
                    // If a concurrent definition has taken the identifier, that is the reason to report.
                    check_identifier_free(app, &key, &identifier).await?;
                    return Err(refused);
                }
                written => written?,
            };
        Ok(rows::written(created, rows::view(NAME, &definition), &definition))
    }

    async fn delete(&self, app: &App, call: &Call, key: ResourceKey) -> Result<Reply, ApiError> {
        super::check_empty(app, &key).await?;
        rows::delete(app.context(), call, key).await
    }
}

fn properties(object: &Map<String, Value>, existing: Option<&Resource>) -> Result<Value, ApiError> {
    let mut properties = fields::properties(object)?;
    let stored = existing.map_or(&Value::Null, |definition| &definition.body["properties"]);
    let words: [(&str, &[&str], Option<&str>); 4] = [
        ("osType", &["Linux", "Windows"], None),
        ("osState", &["Generalized", "Specialized"], None),
        ("hyperVGeneration", &["V1", "V2"], Some("V1")),
        ("architecture", &["x64", "Arm64"], Some("x64")),
    ];
    for (field, words, default) in words {
        let path = format!("galleryImage.properties.{field}");
        let new = choice(&properties, field, &path, words)?;
        let value = new.or_else(|| stored[field].as_str().map(str::to_owned));
        let value = value.or_else(|| default.map(str::to_owned)).ok_or_else(|| missing(&path))?;
        properties.insert(field.to_owned(), json!(value));
    }
    if existing.is_none() || properties.contains_key("identifier") {
        let identifier = identifier(properties.get("identifier"))?;
        properties.insert("identifier".to_owned(), identifier);
    } else {
        properties.insert("identifier".to_owned(), stored["identifier"].clone());
    }
    for field in FIXED {
        if existing.is_some() && properties[*field] != stored[*field] {
            return Err(ApiError::conflict(
                "PropertyChangeNotAllowed",
                format!(
                    "Changing property 'galleryImage.properties.{field}' from {} to {} is not allowed. Make another image definition.",
                    stored[*field], properties[*field]
                ),
            )
            .target(format!("galleryImage.properties.{field}")));
        }
    }
    properties.retain(|_, value| value.as_object().is_none_or(|object| !object.is_empty()));
    properties.retain(|_, value| !value.is_null());
    properties.insert("provisioningState".to_owned(), json!("Succeeded"));
    Ok(Value::Object(properties))
}

fn identifier(new: Option<&Value>) -> Result<Value, ApiError> {
    let mut identifier = json!({});
    for (part, longest) in [("publisher", 128), ("offer", 64), ("sku", 64)] {
        let path = format!("galleryImage.properties.identifier.{part}");
        let value = new.map_or(&Value::Null, |new| &new[part]);
        let text = match value {
            Value::Null => return Err(missing(&path)),
            Value::String(text) => text,
            other => return Err(invalid(&path, other, "it must be a text")),
        };
        let good = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if text.is_empty() || text.len() > longest || !text.chars().all(good) || text.ends_with('.')
        {
            let why = format!(
                "it must have 1 to {longest} characters: letters, digits, '-', '_' and '.', and not end in a period"
            );
            return Err(invalid(&path, value, &why));
        }
        identifier[part] = json!(text);
    }
    Ok(identifier)
}

/// What makes the store keep [`check_identifier_free`]'s promise when two definitions are written at the
/// same time.
fn claim(key: &ResourceKey, identifier: &Value) -> String {
    let gallery = rows::parent_key(key);
    let gallery = gallery.as_ref().map_or("", ResourceKey::as_str);
    format!("{gallery} {}", identifier.to_string().to_lowercase())
}

/// Publisher, offer and sku identify one definition of a gallery.
async fn check_identifier_free(
    app: &App,
    key: &ResourceKey,
    identifier: &Value,
) -> Result<(), ApiError> {
    let wanted = identifier.to_string().to_lowercase();
    for other in rows::below(app.context(), NAME, rows::parent_key(key)).await? {
        let theirs = other.body["properties"]["identifier"].to_string().to_lowercase();
        if other.key() != *key && theirs == wanted {
            return Err(ApiError::conflict(
                "Conflict",
                format!(
                    "The publisher, offer and sku {identifier} are taken by image definition '{}' of the same gallery. Give others.",
                    other.name
                ),
            )
            .target("galleryImage.properties.identifier"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(properties_: Value) -> Result<Value, ApiError> {
        properties(json!({ "properties": properties_ }).as_object().unwrap(), None)
    }

    fn good() -> Value {
        json!({
            "osType": "linux", "osState": "Generalized", "disallowed": {},
            "identifier": { "publisher": "p", "offer": "o", "sku": "s" },
        })
    }

    #[test]
    fn missing_fields_get_defaults() {
        assert_eq!(
            check(good()).unwrap(),
            json!({
                "osType": "Linux", "osState": "Generalized", "hyperVGeneration": "V1",
                "architecture": "x64",
                "identifier": { "publisher": "p", "offer": "o", "sku": "s" },
                "provisioningState": "Succeeded",
            })
        );
    }

    #[test]
    fn invalid_image_is_refused_with_its_field() {
        for (field, value) in [
            ("osType", json!("BeOS")),
            ("osType", Value::Null),
            ("hyperVGeneration", json!(2)),
            ("identifier", json!({ "publisher": "p", "offer": "o" })),
            ("identifier", json!({ "publisher": "p p", "offer": "o", "sku": "s" })),
            ("identifier", json!("p:o:s")),
        ] {
            let mut body = good();
            body[field] = value;
            let error = check(body).unwrap_err();
            assert_eq!(error.code, "InvalidParameter");
            let target = error.target.unwrap();
            assert!(target.starts_with(&format!("galleryImage.properties.{field}")), "{target}");
        }
    }
}
