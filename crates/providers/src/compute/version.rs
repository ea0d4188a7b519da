//! Microsoft.Compute/galleries/images/versions: versions of a gallery's image.
//!
//! A run of an image template writes them too; their disk is in the engine's image store under the
//! version's id and goes with the version.

use arm::{
    Actions, ApiError, Call, Reply, ResourceType,
    fields::{self, choice, invalid, missing},
    kind_of, read_of, region, rows,
};
use async_trait::async_trait;
use authorization::{Need, Scope};
use db::ResourceKey;
use images::{config::Config, region_set::RegionSet};
use jiff::Timestamp;
use regions::StorageRegions;
use serde::Serialize;
use serde_json::{Map, Value, json};
use service::{App, app::changes::Change};

use crate::{compute::targets::homes, linked};

const ACTIONS: Actions = arm::actions!("Microsoft.Compute/galleries/images/versions");
const NAME: &str = ACTIONS.kind;
const PROFILE: &str = "galleryImageVersion.properties.publishingProfile";
const STORAGE: &str = "galleryImageVersion.properties.storageProfile";
const ACCOUNTS: &[&str] = &["Standard_LRS", "Standard_ZRS", "Premium_LRS", "PremiumV2_LRS"];

/// A version of an image definition.
pub(crate) struct Version;

#[async_trait]
impl ResourceType<App> for Version {
    fn actions(&self) -> &'static Actions {
        &ACTIONS
    }

    fn api_versions(&self) -> &'static [&'static str] {
        super::GALLERY_VERSIONS
    }

    async fn get(
        &self,
        app: &App,
        call: &Call,
        key: &ResourceKey,
    ) -> Result<Option<Reply>, ApiError> {
        let wanted = call.query.get("$expand").map(String::as_str).unwrap_or_default();
        let is_wanted = wanted.eq_ignore_ascii_case("ReplicationStatus");
        let Some(version) = app.store().resource(key).await? else { return Ok(None) };
        if !is_wanted && !super::replication::is_failed(&version) {
            return Ok(None);
        }
        let (version, status) =
            super::replication::observe(app, version).await.map_err(ApiError::internal)?;
        let mut body = rows::view(NAME, &version);
        if is_wanted {
            body["properties"]["replicationStatus"] = status;
        }
        Ok(Some(rows::with_etag(Reply::ok(body), &version)))
    }

    async fn preflight(&self, _app: &App, call: &Call) -> Result<(), ApiError> {
        let new = fields::properties(&call.json()?)?;
        let storage = new.get("storageProfile").unwrap_or(&Value::Null);
        linked::check(call, ACTIONS.write, &copied(storage))
    }

    async fn put(&self, app: &App, call: &Call, key: ResourceKey) -> Result<Reply, ApiError> {
        let existing = rows::find(app.context(), call, &key).await?;
        let name = call.path.names().last().copied().unwrap_or_default();
        if let Err(error) = name.parse::<images::store::Version>() {
            return Err(ApiError::bad_request(
                "InvalidResourceName",
                format!("The name '{name}' of the gallery image version is invalid: {error}. It reads MajorVersion.MinorVersion.Patch, such as 1.0.2."),
            )
            .target("name"));
        }
        let object = call.json()?;
        let location = fields::location(NAME, app.context(), &object, existing.as_ref())?;
        let new = fields::properties(&object)?;
        let before = existing.as_ref().map_or(&Value::Null, |version| &version.body["properties"]);
        let profile =
            profile(app, &location, new.get("publishingProfile"), &before["publishingProfile"])?;
        let targets = before["publishingProfile"]["targetRegions"].clone();
        let storage = storage(new.get("storageProfile"), &before["storageProfile"])?;
        if existing.is_none() {
            linked::check(call, ACTIONS.write, &copied(&storage))?;
            check_source(app, &storage).await?;
            super::reserve(app, &key).await?;
        }
        let tags = fields::tags(&object)?.unwrap_or_else(|| json!({}));
        let body = document(&location, &json!(tags), new, profile, storage);
        let mut hidden = existing.as_ref().map_or_else(|| json!({}), |old| old.hidden.clone());
        let after = &body["properties"]["publishingProfile"]["targetRegions"];
        super::replication::promise(app, &mut hidden, &targets, after);
        let (version, created) =
            rows::put(NAME, app.context(), call, existing, body, hidden).await?;
        changed(app, &version.key());
        super::replication::keep_promise(app, &version);
        Ok(rows::written(created, self.view(app, call, &version), &version))
    }

    async fn delete(&self, app: &App, call: &Call, key: ResourceKey) -> Result<Reply, ApiError> {
        let claimed = rows::claim(app.context(), call, &key).await?;
        let ids: Vec<&str> = claimed.iter().map(|version| version.id.as_str()).collect();
        let _held = super::remove_stored(app, &ids).await?;
        let reply = rows::delete_claimed(app.context(), key.clone()).await?;
        changed(app, &key);
        Ok(reply)
    }
}

/// Wakes the triggers that follow the version's image definition.
fn changed(app: &App, version: &ResourceKey) {
    if let Some(definition) = rows::parent_key(version) {
        app.changes().add(Change::Definition(definition));
    }
}

/// The document of a version, with further `properties`.
pub(super) fn document(
    location: &str,
    tags: &Value,
    mut properties: Map<String, Value>,
    profile: Value,
    storage: Value,
) -> Value {
    properties.insert("publishingProfile".to_owned(), profile);
    properties.insert("storageProfile".to_owned(), storage);
    properties.insert("provisioningState".to_owned(), json!("Succeeded"));
    properties.remove("replicationStatus");
    json!({ "location": location, "tags": tags, "properties": properties })
}

/// `publishingProfile`, with the further fields of `also`. Without a date, a version is published now.
pub(super) fn publishing(
    mut also: Map<String, Value>,
    targets: Vec<Value>,
    replicas: u64,
    storage: impl Serialize,
    is_excluded: bool,
    date: Option<&str>,
) -> Value {
    let date = date.map_or_else(|| Timestamp::now().to_string(), str::to_owned);
    also.insert("targetRegions".to_owned(), Value::Array(targets));
    also.insert("replicaCount".to_owned(), json!(replicas));
    also.insert("excludeFromLatest".to_owned(), json!(is_excluded));
    also.insert("publishedDate".to_owned(), json!(date));
    also.insert("storageAccountType".to_owned(), json!(storage));
    Value::Object(also)
}

/// A target region of a version, with the further fields of `also`.
pub(super) fn target(
    region: &str,
    replicas: u64,
    storage: impl Serialize,
    mut also: Map<String, Value>,
) -> Value {
    also.insert("name".to_owned(), json!(region::display(region)));
    also.insert("regionalReplicaCount".to_owned(), json!(replicas));
    also.insert("storageAccountType".to_owned(), json!(storage));
    Value::Object(also)
}

fn object_at(value: Option<&Value>, path: &str) -> Result<Map<String, Value>, ApiError> {
    match value {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Object(object)) => Ok(object.clone()),
        Some(other) => Err(invalid(path, other, "it must be an object")),
    }
}

/// How a version is published that has been published as `before`.
fn profile(
    app: &App,
    location: &str,
    new: Option<&Value>,
    before: &Value,
) -> Result<Value, ApiError> {
    let also = object_at(new, PROFILE)?;
    let replicas = count(&also, "replicaCount", PROFILE)?
        .or_else(|| before["replicaCount"].as_u64())
        .unwrap_or(1);
    let storage =
        choice(&also, "storageAccountType", &format!("{PROFILE}.storageAccountType"), ACCOUNTS)?
            .or_else(|| before["storageAccountType"].as_str().map(str::to_owned))
            .unwrap_or_else(|| ACCOUNTS[0].to_owned());
    let is_excluded = match also.get("excludeFromLatest") {
        None | Some(Value::Null) => before["excludeFromLatest"].as_bool().unwrap_or(false),
        Some(Value::Bool(exclude)) => *exclude,
        Some(other) => {
            let path = format!("{PROFILE}.excludeFromLatest");
            return Err(invalid(&path, other, "it must be true or false"));
        }
    };
    let regions = match also.get("targetRegions") {
        None | Some(Value::Null) if before["targetRegions"].is_array() => {
            before["targetRegions"].clone()
        }
        None | Some(Value::Null) => json!([{ "name": location }]),
        Some(regions) => regions.clone(),
    };
    let possible = Possible { known: known(app), before: &before["targetRegions"] };
    let targets = targets(app, &regions, &possible, replicas, &storage)?;
    let date = before["publishedDate"].as_str();
    Ok(publishing(also, targets, replicas, storage, is_excluded, date))
}

/// The regions that can store versions.
fn known(app: &App) -> StorageRegions {
    // A copy reports a faulty configuration.
    let config = Config::load(&app.settings().layout).unwrap_or_default();
    StorageRegions::new(&config, &RegionSet { homes: homes(app), ..RegionSet::default() })
}

/// The regions in which a version can be.
struct Possible<'a> {
    known: StorageRegions,
    /// Its present targets, which stay valid.
    before: &'a Value,
}

impl Possible<'_> {
    fn check(&self, path: &str, name: &str) -> Result<(), ApiError> {
        let before = self.before.as_array().into_iter().flatten();
        let mut names = before.filter_map(|target| target["name"].as_str());
        if names.any(|own| region::normalise(own) == name) {
            return Ok(());
        }
        self.known.fault(name).map_or(Ok(()), |fault| {
            let hint = fault.hint.unwrap_or_default();
            Err(invalid(path, &json!(name), &format!("{}. To fix it: {hint}", fault.message)))
        })
    }
}

fn targets(
    app: &App,
    regions: &Value,
    possible: &Possible<'_>,
    replicas: u64,
    account: &str,
) -> Result<Vec<Value>, ApiError> {
    let path = format!("{PROFILE}.targetRegions");
    let list = regions.as_array().ok_or_else(|| invalid(&path, regions, "it must be a list"))?;
    let mut targets: Vec<Value> = Vec::new();
    for (index, region) in list.iter().enumerate() {
        let path = format!("{path}[{index}]");
        let also = object_at(Some(region), &path)?;
        let name = also.get("name").and_then(Value::as_str);
        let name = name.ok_or_else(|| missing(&format!("{path}.name")))?;
        let name = region::check(app.context(), NAME, name)
            .map_err(|error| error.target(format!("{path}.name")))?;
        possible.check(&format!("{path}.name"), &name)?;
        let shown = json!(region::display(&name));
        if targets.iter().any(|other| other["name"] == shown) {
            return Err(invalid(&format!("{path}.name"), &shown, "it is there twice"));
        }
        let replicas = count(&also, "regionalReplicaCount", &path)?.unwrap_or(replicas);
        let own =
            choice(&also, "storageAccountType", &format!("{path}.storageAccountType"), ACCOUNTS)?;
        targets.push(target(&name, replicas, own.as_deref().unwrap_or(account), also));
    }
    Ok(targets)
}

fn count(object: &Map<String, Value>, field: &str, path: &str) -> Result<Option<u64>, ApiError> {
    match object.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_u64().filter(|count| (1..=100).contains(count)) {
            Some(count) => Ok(Some(count)),
            None => Err(invalid(&format!("{path}.{field}"), value, "it must be 1 to 100")),
        },
    }
}

/// A version is made from another image, or from a VHD; an update may leave that out.
fn storage(new: Option<&Value>, before: &Value) -> Result<Value, ApiError> {
    let new = object_at(new, STORAGE)?;
    let source = &new.get("source").unwrap_or(&Value::Null)["id"];
    let disk = &new.get("osDiskImage").unwrap_or(&Value::Null)["source"];
    let named = [source, &disk["id"], &disk["uri"]];
    if let Some(wrong) = named.iter().find(|value| !value.is_null() && !value.is_string()) {
        return Err(invalid(STORAGE, wrong, "a source is named by a text"));
    }
    if before.is_object() {
        let old = &before["source"]["id"];
        let same = |one: &Value, other: &Value| {
            one.as_str().map(str::to_lowercase) == other.as_str().map(str::to_lowercase)
        };
        if source.is_string() && !same(source, old) {
            return Err(ApiError::conflict(
                "PropertyChangeNotAllowed",
                format!("Changing property '{STORAGE}.source.id' from {old} to {source} is not allowed. Make another version."),
            )
            .target(format!("{STORAGE}.source.id")));
        }
        return Ok(before.clone());
    }
    if named.iter().all(|value| value.as_str().is_none_or(str::is_empty)) {
        return Err(ApiError::bad_request(
            "InvalidParameter",
            format!("A source is missing: give the id of an image in '{STORAGE}.source.id', or a VHD in '{STORAGE}.osDiskImage.source'."),
        )
        .target(STORAGE));
    }
    Ok(Value::Object(new))
}

/// What the caller must be able to read: that which the version is a copy of.
fn copied(storage: &Value) -> Vec<Need> {
    let ids = [&storage["source"]["id"], &storage["osDiskImage"]["source"]["id"]];
    let ids = ids.into_iter().filter_map(Value::as_str).map(ResourceKey::of);
    ids.map(|key| Need::new(read_of(&kind_of(&key)), Scope::parse(key.as_str()))).collect()
}

/// An image of this service that a version is made from must be there.
async fn check_source(app: &App, storage: &Value) -> Result<(), ApiError> {
    let Some(id) = storage["source"]["id"].as_str() else { return Ok(()) };
    let subscription = format!("/subscriptions/{}/", app.subscription()).to_lowercase();
    let ours = id.to_lowercase().starts_with(&subscription);
    if !ours || app.store().resource(&ResourceKey::of(id)).await?.is_some() {
        return Ok(());
    }
    Err(ApiError::new(
        http::StatusCode::NOT_FOUND,
        "ResourceNotFound",
        format!("The image '{id}' that '{STORAGE}.source.id' names was not found. Check its spelling, or create it first."),
    )
    .target(format!("{STORAGE}.source.id")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_source_is_required_once() {
        let error = storage(None, &Value::Null).unwrap_err();
        assert_eq!(
            (error.code.as_str(), error.target.as_deref()),
            ("InvalidParameter", Some(STORAGE))
        );
        let id = json!({ "source": { "id": "/subscriptions/S/x" } });
        assert_eq!(storage(Some(&id), &Value::Null).unwrap(), id);
        assert_eq!(storage(None, &id).unwrap(), id);
        let spelled = json!({ "source": { "id": "/SUBSCRIPTIONS/S/x" } });
        assert_eq!(storage(Some(&spelled), &id).unwrap(), id);
        let other = json!({ "source": { "id": "/subscriptions/S/y" } });
        assert_eq!(storage(Some(&other), &id).unwrap_err().code, "PropertyChangeNotAllowed");
        let vhd = json!({ "osDiskImage": { "source": { "uri": "https://x/y.vhd" } } });
        assert_eq!(storage(Some(&vhd), &Value::Null).unwrap(), vhd);
        let wrong = json!({ "source": { "id": 7 } });
        assert_eq!(storage(Some(&wrong), &Value::Null).unwrap_err().code, "InvalidParameter");
    }
}
