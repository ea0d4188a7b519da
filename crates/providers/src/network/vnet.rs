//! Microsoft.Network/virtualNetworks.

use arm::{
    Actions, ApiError, Call, Reply, ResourceType,
    fields::{self, invalid, missing},
    rows,
};
use async_trait::async_trait;
use db::{Resource, ResourceKey, Write};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use service::App;

use super::{check_space, check_subnet_name, entry, subnet, subnet_properties};

const ACTIONS: Actions = arm::actions!("Microsoft.Network/virtualNetworks");
const NAME: &str = ACTIONS.kind;

/// A virtual network: a name for templates to mention, with its subnets.
pub(crate) struct VirtualNetwork;

#[async_trait]
impl ResourceType<App> for VirtualNetwork {
    fn actions(&self) -> &'static Actions {
        &ACTIONS
    }

    fn api_versions(&self) -> &'static [&'static str] {
        super::VERSIONS
    }

    async fn put(&self, app: &App, call: &Call, key: ResourceKey) -> Result<Reply, ApiError> {
        let existing = rows::find(app.context(), call, &key).await?;
        let name = call.path.names().last().copied().unwrap_or_default();
        fields::check_name("virtual network", name, 2..=64, "_.-")?;
        let object = call.json()?;
        let location = fields::location(NAME, app.context(), &object, existing.as_ref())?;
        let wanted = subnets(&object)?;
        let stored = existing.as_ref().map(|old| &old.body["properties"]["resourceGuid"]);
        let guid = match stored {
            Some(guid) => guid.clone(),
            None => json!(uuid::Uuid::new_v4().to_string()),
        };
        let tags = fields::tags(&object)?.unwrap_or_else(|| json!({}));
        let properties = properties(&object, guid)?;
        let body = json!({ "location": location, "tags": tags, "properties": properties });
        let created = existing.is_none();
        let mut network = match existing {
            Some(old) => Resource { body, changed: Timestamp::now(), ..old },
            None => rows::fresh(NAME, app.context(), &call.path, body, json!({})).await?,
        };
        let mut writes = subnet_writes(app, &mut network, wanted).await?;
        let write = if created { Write::Insert } else { Write::Replace };
        writes.insert(0, write(network.clone()));
        app.store().commit(writes).await?;
        network.revision += 1;
        Ok(rows::written(created, self.view(app, call, &network), &network))
    }

    fn view(&self, _app: &App, _call: &Call, network: &Resource) -> Value {
        let mut body = rows::view(NAME, network);
        body["etag"] = json!(format!("W/{}", arm::etag(network)));
        body
    }
}

fn properties(object: &Map<String, Value>, guid: Value) -> Result<Value, ApiError> {
    let mut properties = fields::properties(object)?;
    check_space(&properties)?;
    let defaults = [
        ("dhcpOptions", json!({ "dnsServers": [] })),
        ("virtualNetworkPeerings", json!([])),
        ("enableDdosProtection", json!(false)),
    ];
    for (field, default) in defaults {
        properties.entry(field).or_insert(default);
    }
    if properties["dhcpOptions"].as_object().is_some_and(Map::is_empty) {
        properties["dhcpOptions"] = json!({ "dnsServers": [] });
    }
    properties.insert("resourceGuid".to_owned(), guid);
    properties.insert("provisioningState".to_owned(), json!("Succeeded"));
    Ok(Value::Object(properties))
}

/// Names and properties of the subnets of a request.
fn subnets(object: &Map<String, Value>) -> Result<Vec<(String, Value)>, ApiError> {
    let path = "properties.subnets";
    let list = match object.get("properties").map_or(&Value::Null, |own| &own["subnets"]) {
        Value::Null => return Ok(Vec::new()),
        Value::Array(list) => list,
        other => return Err(invalid(path, other, "it must be a list")),
    };
    let mut subnets: Vec<(String, Value)> = Vec::new();
    for (index, subnet) in list.iter().enumerate() {
        let path = format!("{path}[{index}]");
        let name = subnet["name"].as_str().ok_or_else(|| missing(&format!("{path}.name")))?;
        check_subnet_name(name)?;
        if subnets.iter().any(|(other, _)| other.eq_ignore_ascii_case(name)) {
            let value = json!(name);
            return Err(invalid(&format!("{path}.name"), &value, "another subnet has that name"));
        }
        let properties =
            subnet_properties(subnet.get("properties"), &format!("{path}.properties"))?;
        subnets.push((name.to_owned(), properties));
    }
    Ok(subnets)
}

/// The writes that bring the subnets' rows to the requested state. Puts their entries into the network.
async fn subnet_writes(
    app: &App,
    network: &mut Resource,
    wanted: Vec<(String, Value)>,
) -> Result<Vec<Write>, ApiError> {
    let mut existing = rows::below(app.context(), subnet::NAME, Some(network.key())).await?;
    let (mut writes, mut entries) = (Vec::new(), Vec::new());
    for (name, properties) in wanted {
        let body = json!({ "properties": properties });
        let at = existing.iter().position(|old| old.name.eq_ignore_ascii_case(&name));
        let (subnet, is_new) = match at {
            Some(at) => {
                (Resource { body, changed: Timestamp::now(), ..existing.swap_remove(at) }, false)
            }
            None => {
                let id = format!("{}/subnets/{name}", network.id);
                (Resource::new(id, subnet::NAME, body, json!({})), true)
            }
        };
        entries.push(entry(&subnet.id, &subnet.name, &subnet.body["properties"]));
        writes.push(if is_new { Write::Insert(subnet) } else { Write::Replace(subnet) });
    }
    for gone in existing {
        writes.push(Write::RemoveBelow(gone.key()));
        writes.push(Write::Remove(gone.key(), gone.revision));
    }
    network.body["properties"]["subnets"] = Value::Array(entries);
    Ok(writes)
}
