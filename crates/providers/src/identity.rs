//! Microsoft.ManagedIdentity/userAssignedIdentities.

use arm::{Actions, ApiError, Call, Reply, ResourceType, fields, rows};
use async_trait::async_trait;
use db::ResourceKey;
use serde_json::{Value, json};
use service::App;

const ACTIONS: Actions = arm::actions!("Microsoft.ManagedIdentity/userAssignedIdentities");
const NAME: &str = ACTIONS.kind;

/// An identity that image templates act as. Its ids are made once and stay.
pub(crate) struct Identity;

#[async_trait]
impl ResourceType<App> for Identity {
    fn actions(&self) -> &'static Actions {
        &ACTIONS
    }

    fn api_versions(&self) -> &'static [&'static str] {
        &["2024-11-30", "2023-01-31", "2018-11-30", "2025-05-31-preview", "2015-08-31-preview"]
    }

    async fn put(&self, app: &App, call: &Call, key: ResourceKey) -> Result<Reply, ApiError> {
        let existing = rows::find(app.context(), call, &key).await?;
        let name = call.path.names().last().copied().unwrap_or_default();
        fields::check_name("identity", name, 3..=128, "-_")?;
        let object = call.json()?;
        let location = fields::location(NAME, app.context(), &object, existing.as_ref())?;
        let tags = fields::tags(&object)?;
        let (properties, stored) = match &existing {
            Some(old) => (old.body["properties"].clone(), Some(old.body["tags"].clone())),
            None => (made(&app.settings().tenant)?, None),
        };
        // As in Azure, tags that are not mentioned stay.
        let tags = tags.or(stored).unwrap_or_else(|| json!({}));
        let body = json!({ "location": location, "tags": tags, "properties": properties });
        let (identity, created) =
            rows::put(NAME, app.context(), call, existing, body, json!({})).await?;
        let reply = rows::written(created, rows::view(NAME, &identity), &identity);
        Ok(if created { reply.header("location", &identity.id) } else { reply })
    }
}

fn made(tenant: &str) -> Result<Value, ApiError> {
    Ok(json!({
        "tenantId": tenant,
        "principalId": uuid::Uuid::new_v4().to_string(),
        "clientId": uuid::Uuid::new_v4().to_string(),
    }))
}
