//! Microsoft.Network/virtualNetworks/subnets.

use arm::{Actions, ApiError, Call, Reply, ResourceType, rows};
use async_trait::async_trait;
use db::{Resource, ResourceKey, Write};
use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};
use service::App;

use super::{binding, check_subnet_name, entry, subnet_properties, with_entry};

/// The type.
const ACTIONS: Actions = arm::actions!("Microsoft.Network/virtualNetworks/subnets");
pub(crate) const NAME: &str = ACTIONS.kind;

/// A subnet of a virtual network.
pub(crate) struct Subnet;

#[async_trait]
impl ResourceType<App> for Subnet {
    fn actions(&self) -> &'static Actions {
        &ACTIONS
    }

    fn api_versions(&self) -> &'static [&'static str] {
        super::VERSIONS
    }

    async fn put(&self, app: &App, call: &Call, key: ResourceKey) -> Result<Reply, ApiError> {
        let existing = rows::find(app.context(), call, &key).await?;
        let name = call.path.names().last().copied().unwrap_or_default();
        check_subnet_name(name)?;
        let object = call.json()?;
        let body =
            json!({ "properties": subnet_properties(object.get("properties"), "properties")? });
        let created = existing.is_none();
        let mut subnet = match existing {
            Some(old) => Resource { body, changed: Timestamp::now(), ..old },
            None => rows::fresh(NAME, app.context(), &call.path, body, json!({})).await?,
        };
        let network = network_of(app, call, &key).await?;
        let own = entry(&subnet.id, &subnet.name, &subnet.body["properties"]);
        let network = with_entry(network, &subnet.name, Some(own));
        let write = if created { Write::Insert } else { Write::Replace };
        app.store().commit(vec![Write::Replace(network), write(subnet.clone())]).await?;
        subnet.revision += 1;
        Ok(rows::written(created, self.view(app, call, &subnet), &subnet))
    }

    async fn patch(&self, _app: &App, call: &Call, _key: ResourceKey) -> Result<Reply, ApiError> {
        Err(ApiError::method_not_allowed(call))
    }

    async fn delete(&self, app: &App, call: &Call, key: ResourceKey) -> Result<Reply, ApiError> {
        let Some(subnet) = rows::find(app.context(), call, &key).await? else {
            return Ok(Reply::empty(StatusCode::NO_CONTENT));
        };
        let network = with_entry(network_of(app, call, &key).await?, &subnet.name, None);
        let remove = Write::Remove(key.clone(), subnet.revision);
        app.store().commit(vec![Write::Replace(network), Write::RemoveBelow(key), remove]).await?;
        Ok(Reply::empty(StatusCode::OK))
    }

    fn view(&self, app: &App, _call: &Call, subnet: &Resource) -> Value {
        let mut body = rows::view(NAME, subnet);
        body["properties"][binding::FIELD] = binding::shown(app, &subnet.id);
        body["etag"] = json!(format!("W/{}", arm::etag(subnet)));
        body
    }
}

async fn network_of(app: &App, call: &Call, key: &ResourceKey) -> Result<Resource, ApiError> {
    let parent = rows::parent_key(key).ok_or_else(|| rows::not_found(NAME, &call.path))?;
    let network = app.store().resource(&parent).await?;
    let network = network.ok_or_else(|| rows::not_found(NAME, &call.path))?;
    Ok(Resource { changed: Timestamp::now(), ..network })
}
