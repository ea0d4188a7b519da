//! Microsoft.Storage/storageAccounts: the accounts by name, with endpoints and keys.
//!
//! The blob endpoint is an address of this service, never one of Azure's: a client that uploads must
//! not reach a stranger's account. Blobs can be read there; only the service itself writes them.

use std::borrow::Cow;

use arm::{
    Actions, ApiError, Call, Reply, ResourceType, Verb,
    fields::{self, choice},
    rows,
};
use async_trait::async_trait;
use base64::{Engine, engine::general_purpose::STANDARD};
use db::{Resource, ResourceKey};
use serde_json::{Map, Value, json};
use service::{
    App,
    blobs::{self, Blob},
    tombstones,
};

const ACTIONS: Actions =
    arm::actions!("Microsoft.Storage/storageAccounts", "listKeys", "regenerateKey");
pub const NAME: &str = ACTIONS.kind;
const KINDS: &[&str] = &["StorageV2", "Storage", "BlobStorage", "BlockBlobStorage", "FileStorage"];
const SKUS: &[&str] = &[
    "Standard_LRS",
    "Standard_GRS",
    "Standard_RAGRS",
    "Standard_ZRS",
    "Standard_GZRS",
    "Standard_RAGZRS",
    "Premium_LRS",
    "Premium_ZRS",
];

/// A storage account.
pub(crate) struct StorageAccount;

#[async_trait]
impl ResourceType<App> for StorageAccount {
    fn actions(&self) -> &'static Actions {
        &ACTIONS
    }

    fn api_versions(&self) -> &'static [&'static str] {
        &["2025-08-01", "2023-01-01", "2021-04-01", "2019-06-01"]
    }

    /// Answers 200 also for a new account: clients take 201 for an error.
    async fn put(&self, app: &App, call: &Call, key: ResourceKey) -> Result<Reply, ApiError> {
        let existing = rows::find(app.context(), call, &key).await?;
        let created = existing.is_none();
        let name = call.path.names().last().copied().unwrap_or_default();
        if let Some((reason, message)) = unavailable(app, name, Some(&key)).await? {
            return Err(match reason {
                "AccountNameInvalid" => ApiError::bad_request(reason, message).target("name"),
                _ => ApiError::conflict("StorageAccountAlreadyTaken", message).target("name"),
            });
        }
        let object = call.json()?;
        let location = fields::location(NAME, app.context(), &object, existing.as_ref())?;
        let mut body = body(&object, &location, existing.as_ref())?;
        let hidden = match &existing {
            Some(old) => old.hidden.clone(),
            None => json!({ "keys": [new_key()?, new_key()?] }),
        };
        let time = match &existing {
            Some(old) => old.body["properties"]["creationTime"].clone(),
            None => json!(jiff::Timestamp::now().to_string()),
        };
        body["properties"]["creationTime"] = time;
        let put = rows::put(NAME, app.context(), call, existing, body, hidden).await;
        // The name is unique in the database: another request may have taken it since it was looked up.
        if put.is_err()
            && created
            && let Some((_, message)) = unavailable(app, name, Some(&key)).await?
        {
            return Err(ApiError::conflict("StorageAccountAlreadyTaken", message).target("name"));
        }
        let (account, _) = put?;
        Ok(rows::written(false, self.view(app, call, &account), &account))
    }

    async fn patch(&self, app: &App, call: &Call, key: ResourceKey) -> Result<Reply, ApiError> {
        let old = rows::existing(NAME, app.context(), call, &key).await?;
        let mut object = call.json()?;
        let mut properties = old.body["properties"].as_object().cloned().unwrap_or_default();
        properties.append(&mut fields::properties(&object)?);
        object.insert("properties".to_owned(), Value::Object(properties));
        for field in ["tags", "sku", "kind", "location"] {
            object.entry(field).or_insert_with(|| old.body[field].clone());
        }
        let location = fields::location(NAME, app.context(), &object, Some(&old))?;
        let mut body = body(&object, &location, Some(&old))?;
        body["properties"]["creationTime"] = old.body["properties"]["creationTime"].clone();
        let account = rows::replace(app.context(), Resource { body, ..old }).await?;
        Ok(rows::written(false, self.view(app, call, &account), &account))
    }

    /// The commit leaves a tombstone, by which the blobs go now or with the next sweep.
    async fn delete(&self, app: &App, call: &Call, key: ResourceKey) -> Result<Reply, ApiError> {
        let account = rows::claim(app.context(), call, &key).await?;
        let reply = rows::delete_claimed(app.context(), key).await?;
        if let Some(account) = account {
            tombstones::remove_account_files(app, &account.name).await;
        }
        Ok(reply)
    }

    async fn action(
        &self,
        app: &App,
        call: &Call,
        key: ResourceKey,
        verb: &'static Verb,
    ) -> Result<Reply, ApiError> {
        let mut account = rows::existing(NAME, app.context(), call, &key).await?;
        if verb.name == "listKeys" {
            return Ok(keys(&account));
        }
        let object = call.json()?;
        let name = choice(&object, "keyName", "keyName", &["key1", "key2"])?;
        let name = name.ok_or_else(|| fields::missing("keyName"))?;
        account.hidden["keys"][usize::from(name == "key2")] = json!(new_key()?);
        Ok(keys(&rows::replace(app.context(), account).await?))
    }

    fn view(&self, _app: &App, call: &Call, account: &Resource) -> Value {
        let mut body = rows::view(NAME, account);
        let base = call.url(&format!("/storage/{}/", account.name));
        body["properties"]["primaryEndpoints"] = json!({ "blob": base });
        body["properties"]["primaryLocation"] = body["location"].clone();
        body["properties"]["statusOfPrimary"] = json!("available");
        body
    }
}

/// `POST …/providers/Microsoft.Storage/checkNameAvailability`
pub async fn check_name_availability(app: &App, call: &Call) -> Result<Reply, ApiError> {
    let object = call.json()?;
    let name = match object.get("name") {
        Some(Value::String(name)) => name,
        None | Some(Value::Null) => return Err(fields::missing("name")),
        Some(other) => return Err(fields::invalid("name", other, "it must be a text")),
    };
    Ok(Reply::ok(match unavailable(app, name, None).await? {
        None => json!({ "nameAvailable": true }),
        Some((reason, message)) => {
            json!({ "nameAvailable": false, "reason": reason, "message": message })
        }
    }))
}

/// The account of that name, in whatever group and subscription it is: its address has neither, so the name is unique
/// in the installation.
pub async fn named(app: &App, name: &str) -> Result<Option<Resource>, db::Error> {
    app.store().account_anywhere(name).await
}

/// The account of this service, and the blob in it, that an address names: below the service's own `/storage/`, or
/// `{account}.blob.…` as in Azure. The second is an address of Azure's unless the account is in the subscription of `app`: an
/// account of somebody else's subscription must not stand in for one of Azure with its name.
pub(crate) async fn own_blob(
    app: &App,
    address: &str,
) -> Result<Option<(Resource, Blob)>, db::Error> {
    let Some((is_own_address, blob)) = blob_of(app, address) else { return Ok(None) };
    let account = if is_own_address {
        named(app, &blob.account).await?
    } else {
        app.store().storage_account(app.subscription(), &blob.account).await?
    };
    Ok(account.map(|account| (account, blob)))
}

/// The blob that an address names, and whether the address is below the service's own `/storage/`.
fn blob_of(app: &App, address: &str) -> Option<(bool, Blob)> {
    let uri = address.parse::<http::Uri>().ok()?;
    let own = app.base_url().and_then(|own| own.parse::<http::Uri>().ok());
    let is_own_address = own.is_some_and(|own| own.authority() == uri.authority());
    let mut path = uri.path().trim_start_matches('/');
    let account = if is_own_address {
        let (account, rest) = path.strip_prefix("storage/")?.split_once('/')?;
        path = rest;
        account
    } else {
        uri.host()?.split_once(".blob.")?.0
    };
    let (container, name) = path.split_once('/')?;
    let decoded = |text: &str| {
        percent_encoding::percent_decode_str(text).decode_utf8().ok().map(Cow::into_owned)
    };
    let blob = Blob {
        account: account.to_lowercase(),
        container: decoded(container)?,
        name: decoded(name)?,
    };
    Some((is_own_address, blob))
}

/// A name that no other account has.
pub(crate) fn new_name() -> Result<String, ApiError> {
    Ok(format!("st{}", hex::encode(fields::random::<11>()?)))
}

/// The staging account of a template. Clients can only read it.
pub(crate) fn staging(
    id: String,
    location: &str,
    tags: &Value,
    template: &str,
) -> Result<Resource, ApiError> {
    let body = json!({
        "location": location,
        "tags": tags,
        "kind": "StorageV2",
        "sku": { "name": "Standard_LRS", "tier": "Standard" },
        "properties": {
            "supportsHttpsTrafficOnly": true,
            "allowBlobPublicAccess": false,
            "minimumTlsVersion": "TLS1_2",
            "accessTier": "Hot",
            "creationTime": jiff::Timestamp::now().to_string(),
            "provisioningState": "Succeeded",
        },
    });
    let hidden = json!({ "keys": [new_key()?, new_key()?], blobs::TEMPLATE: template });
    Ok(Resource::new(id, NAME, body, hidden))
}

/// Why an account other than `own` cannot have this name: reason and message.
async fn unavailable(
    app: &App,
    name: &str,
    own: Option<&ResourceKey>,
) -> Result<Option<(&'static str, String)>, ApiError> {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if !(3..=24).contains(&name.len()) || !name.chars().all(good) {
        let message = format!(
            "{name} is not a valid storage account name. Storage account name must be between 3 and 24 characters in length and use numbers and lower-case letters only."
        );
        return Ok(Some(("AccountNameInvalid", message)));
    }
    let found = named(app, name).await?;
    let taken = found.is_some_and(|other| own.is_none_or(|own| other.key() != *own));
    let message = format!("The storage account named {name} is already taken.");
    Ok(taken.then_some(("AlreadyExists", message)))
}

fn body(
    object: &Map<String, Value>,
    location: &str,
    existing: Option<&Resource>,
) -> Result<Value, ApiError> {
    let stored = existing.map_or(&Value::Null, |old| &old.body);
    let kind = choice(object, "kind", "kind", KINDS)?;
    let kind = kind.or_else(|| stored["kind"].as_str().map(str::to_owned));
    let kind = kind.ok_or_else(|| fields::missing("kind"))?;
    let wanted = object.get("sku").and_then(Value::as_object).cloned().unwrap_or_default();
    let sku = choice(&wanted, "name", "sku.name", SKUS)?;
    let sku = sku.or_else(|| stored["sku"]["name"].as_str().map(str::to_owned));
    let sku = sku.ok_or_else(|| fields::missing("sku.name"))?;
    let tier = sku.split('_').next().unwrap_or_default();
    let mut properties = fields::properties(object)?;
    let read_only = ["primaryEndpoints", "primaryLocation", "statusOfPrimary", "creationTime"];
    properties.retain(|field, _| !read_only.contains(&field.as_str()));
    properties.entry("supportsHttpsTrafficOnly").or_insert(json!(true));
    properties.insert("provisioningState".to_owned(), json!("Succeeded"));
    Ok(json!({
        "location": location,
        "tags": fields::tags(object)?.unwrap_or_else(|| json!({})),
        "kind": kind,
        "sku": { "name": sku, "tier": tier },
        "properties": properties,
    }))
}

fn new_key() -> Result<String, ApiError> {
    Ok(STANDARD.encode(fields::random::<64>()?))
}

fn keys(account: &Resource) -> Reply {
    let keys = ["key1", "key2"].into_iter().enumerate().map(|(index, name)| {
        json!({ "keyName": name, "value": account.hidden["keys"][index], "permissions": "FULL" })
    });
    Reply::ok(json!({ "keys": keys.collect::<Vec<_>>() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kind_and_sku_are_required() {
        let check = |value: Value| body(value.as_object().unwrap(), "westus2", None);
        let made =
            check(json!({ "kind": "storagev2", "sku": { "name": "standard_lrs" } })).unwrap();
        assert_eq!(made["kind"], "StorageV2");
        assert_eq!(made["sku"], json!({ "name": "Standard_LRS", "tier": "Standard" }));
        for (bad, target) in [
            (json!({ "sku": { "name": "Standard_LRS" } }), "kind"),
            (json!({ "kind": "StorageV2" }), "sku.name"),
            (json!({ "kind": "StorageV2", "sku": { "name": "Cheap" } }), "sku.name"),
            (json!({ "kind": 2 }), "kind"),
        ] {
            let error = check(bad).unwrap_err();
            assert_eq!(
                (error.code.as_str(), error.target.as_deref()),
                ("InvalidParameter", Some(target))
            );
        }
    }
}
