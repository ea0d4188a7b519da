//! Microsoft.Compute/galleries.

use arm::{Actions, ApiError, Call, Reply, ResourceType, fields, rows};
use async_trait::async_trait;
use db::ResourceKey;
use serde_json::{Map, Value, json};
use service::App;

const ACTIONS: Actions = arm::actions!("Microsoft.Compute/galleries");
const NAME: &str = ACTIONS.kind;

/// A gallery holds image definitions.
pub(crate) struct Gallery;

#[async_trait]
impl ResourceType<App> for Gallery {
    fn actions(&self) -> &'static Actions {
        &ACTIONS
    }

    fn api_versions(&self) -> &'static [&'static str] {
        super::GALLERY_VERSIONS
    }

    async fn put(&self, app: &App, call: &Call, key: ResourceKey) -> Result<Reply, ApiError> {
        let existing = rows::find(app.context(), call, &key).await?;
        let name = call.path.names().last().copied().unwrap_or_default();
        fields::check_name("gallery", name, 1..=80, "_.")?;
        let object = call.json()?;
        let location = fields::location(NAME, app.context(), &object, existing.as_ref())?;
        let name = existing.as_ref().map_or(name, |gallery| &gallery.name);
        let body = body(&object, app.subscription(), name, &location)?;
        let (gallery, created) =
            rows::put(NAME, app.context(), call, existing, body, json!({})).await?;
        Ok(rows::written(created, rows::view(NAME, &gallery), &gallery))
    }

    async fn delete(&self, app: &App, call: &Call, key: ResourceKey) -> Result<Reply, ApiError> {
        super::check_empty(app, &key).await?;
        rows::delete(app.context(), call, key).await
    }
}

fn body(
    object: &Map<String, Value>,
    subscription: &str,
    name: &str,
    location: &str,
) -> Result<Value, ApiError> {
    let mut properties = fields::properties(object)?;
    properties.insert(
        "identifier".to_owned(),
        json!({ "uniqueName": format!("{subscription}-{}", name.to_uppercase()) }),
    );
    properties.insert("provisioningState".to_owned(), json!("Succeeded"));
    let tags = fields::tags(object)?.unwrap_or_else(|| json!({}));
    let mut body = json!({ "location": location, "tags": tags, "properties": properties });
    if let Some(identity) = object.get("identity").filter(|identity| identity.is_object()) {
        body["identity"] = identity.clone();
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_unique_name_has_the_subscription_in_it() {
        let object = json!({ "properties": { "description": "d" } });
        let body = body(object.as_object().unwrap(), "S", "gal", "westus2").unwrap();
        assert_eq!(
            body,
            json!({
                "location": "westus2", "tags": {},
                "properties": {
                    "description": "d",
                    "identifier": { "uniqueName": "S-GAL" },
                    "provisioningState": "Succeeded",
                },
            })
        );
    }
}
