//! The staging resource group of a template, one of the service's own or a given one, and the storage
//! account in it that holds scripts, logs and VHDs.

use api::tags::MOST;
use arm::{ApiError, region::normalise};
use db::{Grave, Resource, ResourceKey, Select, Write};
use images::error::Error;
use jiff::Timestamp;
use serde_json::{Value, json};
use service::{
    App,
    blobs::{self, Blob},
    quotas, tombstones,
};

use super::{GROUPS_KIND, failure::Failure, pin};
use crate::storage;

/// Longest name of a resource group.
const LONGEST: usize = 90;
/// The value that tools know the service's own groups by.
const CREATED_BY: &str = "AzureVMImageBuilder";
const USED_BY: &str = "usedBy";
/// Hidden in the template: the group is the service's own. Tags are not asked, anyone can set them.
const OWNED: &str = "stagingOwned";
/// Hidden in the template: tags of a given group that its own ones took the place of, as they were.
const COVERED: &str = "stagingTags";
/// Hidden in the template: the name of its storage account.
const ACCOUNT: &str = "stagingAccount";

/// The id of a new staging group: `IT_<group>_<template>_<guid>`, names cut so that it fits.
fn new_id(group: &Resource, template: &str) -> String {
    let guid = uuid::Uuid::now_v7();
    let names: String = format!("{}_{template}", group.name)
        .chars()
        .take(LONGEST - "IT_".len() - "_".len() - 36)
        .collect();
    format!("/subscriptions/{}/resourceGroups/IT_{names}_{guid}", subscription(&group.id))
}

fn subscription(id: &str) -> &str {
    id.split('/').nth(2).unwrap_or_default()
}

/// The hidden part of a new template: what is chosen now, so that creation taken up again after a
/// restart makes the same group and the same account.
pub(super) fn chosen(
    group: &Resource,
    name: &str,
    given: Option<String>,
) -> Result<Value, ApiError> {
    let id = given.unwrap_or_else(|| new_id(group, name));
    Ok(json!({ "staging": id, ACCOUNT: storage::new_name()? }))
}

/// The name of a template's storage account. It is there once the template has settled.
pub(super) fn account(template: &Resource) -> Option<&str> {
    template.hidden[ACCOUNT].as_str()
}

/// A template's storage account as it is now: somebody may have deleted its group.
pub async fn present_account(
    app: &App,
    template: &ResourceKey,
) -> Result<Option<Resource>, db::Error> {
    let Some(template) = app.store().resource(template).await? else { return Ok(None) };
    match account(&template) {
        Some(name) => storage::named(app, name).await,
        None => Ok(None),
    }
}

/// The key of a template's staging group, by the template's hidden part.
pub(crate) fn group_of(hidden: &Value) -> Option<ResourceKey> {
    hidden["staging"].as_str().map(ResourceKey::of)
}

/// What has to be written, with the template, so that it has its staging group.
///
/// # Errors
/// `BadStagingResourceGroup`, if a given group is in another region, not empty or in use.
pub(super) async fn prepare(
    app: &App,
    template: &mut Resource,
) -> Result<Result<Vec<Write>, Failure>, db::Error> {
    let id = template.hidden["staging"].as_str().unwrap_or_default().to_owned();
    let group = match usable_group(app, template, &id).await? {
        Ok(write) => write,
        Err(why) => {
            let message = format!(
                "Staging resource group '{id}' cannot be used: {why} (at 'properties.stagingResourceGroup'). To fix it: name an empty resource group of the template's region that no other template uses, or leave the field out"
            );
            return Ok(Err(Failure { code: "BadStagingResourceGroup", message }));
        }
    };
    Ok(new_account(template, &id).map(|account| vec![group, Write::Insert(account)]))
}

/// Notes what the pinned scripts and files take, if the subscription has room for them.
pub(super) async fn scripts_fit(
    app: &App,
    template: &mut Resource,
) -> Result<Result<(), Error>, db::Error> {
    let mut bytes = 0_i64;
    for script in pin::pinned(&template.body["properties"]) {
        let file = app.settings().layout.downloads().join(script.sha256);
        // One that is gone is told when it is copied.
        let length = tokio::fs::metadata(file).await.map_or(0, |file| file.len());
        bytes = bytes.saturating_add(i64::try_from(length).unwrap_or(i64::MAX));
    }
    if let Err(error) = quotas::scripts(app, bytes).await? {
        return Ok(Err(error));
    }
    template.hidden["indexed"]["scriptBytes"] = json!(bytes);
    Ok(Ok(()))
}

/// Makes blobs of the scripts and files that were pinned.
pub(super) async fn keep_scripts(app: &App, template: &Resource) -> Result<(), Failure> {
    let layout = &app.settings().layout;
    let account = account(template).unwrap_or_default();
    // Of a creation that failed before: a sweep must not come upon what is put there now.
    tombstones::act_on_account(app, account).await;
    for script in pin::pinned(&template.body["properties"]) {
        let pin::Script { sha256, container, blob } = script;
        let container = container.to_owned();
        let blob = Blob { account: account.to_owned(), container, name: blob };
        let put = blobs::put(layout, &blob, &layout.downloads().join(sha256)).await;
        put.map_err(|error| Failure {
            code: "InternalError",
            message: format!("The script '{}' could not be kept: {error}.", blob.name),
        })?;
    }
    Ok(())
}

/// The group as it is to be written, or why it cannot be.
async fn usable_group(
    app: &App,
    template: &mut Resource,
    id: &str,
) -> Result<Result<Write, String>, db::Error> {
    if !subscription(id).eq_ignore_ascii_case(&template.subscription) {
        return Ok(Err("it is in another subscription than the template".to_owned()));
    }
    let Some(mut group) = app.store().resource(&ResourceKey::of(id)).await? else {
        template.hidden[OWNED] = json!(true);
        return Ok(Ok(Write::Insert(new_group(id, template))));
    };
    let tags = &group.body["tags"];
    let refuse = |why: String| Ok(Err(why));
    if group.body["properties"]["provisioningState"] == "Deleting" {
        return refuse("it is being deleted".to_owned());
    }
    let (wanted, found) = (&template.body["location"], &group.body["location"]);
    let name = |region: &Value| normalise(region.as_str().unwrap_or_default());
    if name(found) != name(wanted) {
        return refuse(format!("it is in region {found}, the template in {wanted}"));
    }
    if let Some(other) = tags[USED_BY].as_str() {
        return refuse(format!("it is used by '{other}'"));
    }
    let select = Select {
        subscription: group.subscription.clone(),
        group: Some(group.group.clone()),
        limit: 1,
        ..Select::default()
    };
    if let Some(inside) = app.store().list(&select).await?.resources.first() {
        return refuse(format!("it is not empty, '{}' is in it", inside.id));
    }
    if !group.body["tags"].is_object() {
        group.body["tags"] = json!({});
    }
    let mut covered = json!({});
    for (name, value) in managed_tags(template) {
        let before = std::mem::replace(&mut group.body["tags"][&name], value);
        if !before.is_null() {
            covered[name] = before;
        }
    }
    template.hidden[COVERED] = covered;
    // Last, so that no tag of the user's takes its place.
    group.body["tags"][USED_BY] = json!(template.id);
    let count = group.body["tags"].as_object().map_or(0, serde_json::Map::len);
    if count > MOST {
        return refuse(format!(
            "with those of 'properties.managedResourceTags' it would have {count} tags, and a resource may have {MOST}"
        ));
    }
    Ok(Ok(Write::Replace(group)))
}

/// The tags of everything that the service makes for the template: its own and the user's.
pub fn tags(template: &Resource) -> Value {
    let mut tags = json!({
        "createdBy": CREATED_BY,
        "imageTemplateName": template.name,
        "imageTemplateResourceGroupName": template.id.split('/').nth(4).unwrap_or_default(),
    });
    for (name, value) in managed_tags(template) {
        tags[name] = value;
    }
    tags
}

/// The account in that group.
fn new_account(template: &Resource, group: &str) -> Result<Resource, Failure> {
    let failed = |error: ApiError| Failure {
        code: "InternalError",
        message: format!("The storage account could not be made: {}", error.message),
    };
    let name = account(template).unwrap_or_default().to_owned();
    let (body, mut hidden) =
        storage::made(&template.body["location"], tags(template)).map_err(failed)?;
    hidden[blobs::TEMPLATE] = json!(template.id);
    let now = Timestamp::now();
    Ok(Resource {
        id: format!("{group}/providers/{}/{name}", storage::NAME),
        subscription: template.subscription.clone(),
        group: group.rsplit('/').next().unwrap_or_default().to_lowercase(),
        kind: storage::NAME.to_lowercase(),
        name,
        revision: 0,
        created: now,
        changed: now,
        body,
        hidden,
    })
}

fn managed_tags(template: &Resource) -> impl Iterator<Item = (String, Value)> {
    let tags = template.body["properties"]["managedResourceTags"].as_object().cloned();
    tags.unwrap_or_default().into_iter()
}

fn new_group(id: &str, template: &Resource) -> Resource {
    let name = id.rsplit('/').next().unwrap_or_default().to_owned();
    let now = Timestamp::now();
    Resource {
        id: id.to_owned(),
        subscription: template.subscription.clone(),
        group: name.to_lowercase(),
        kind: GROUPS_KIND.to_owned(),
        name,
        revision: 0,
        created: now,
        changed: now,
        body: json!({
            "location": template.body["location"],
            "tags": tags(template),
            "properties": { "provisioningState": "Succeeded" },
        }),
        hidden: json!({}),
    }
}

/// Takes back what [`prepare`] noted of a creation that then failed: no group was made. What has to be written so
/// that the blobs go.
pub(super) fn undo(template: &mut Resource) -> Option<Write> {
    if let Some(hidden) = template.hidden.as_object_mut() {
        hidden.remove(OWNED);
        hidden.remove(COVERED);
        hidden.remove("indexed");
    }
    tombstone(template)
}

/// The blobs of a template in creation have no account yet that could leave a tombstone.
fn tombstone(template: &Resource) -> Option<Write> {
    account(template).map(|name| Write::Tombstone(Grave::Account, name.to_owned()))
}

/// What has to be written when the template goes: a group of the service's own goes with everything
/// in it; of a given one the account goes, and it is free for others again.
pub async fn release(app: &App, template: &Resource) -> Result<Vec<Write>, db::Error> {
    let id = template.hidden["staging"].as_str().unwrap_or_default();
    let mut writes = Vec::from_iter(tombstone(template));
    let Some(mut group) = app.store().resource(&ResourceKey::of(id)).await? else {
        return Ok(writes);
    };
    if template.hidden[OWNED] == json!(true) {
        let (key, revision) = (group.key(), group.revision);
        writes.extend([Write::RemoveBelow(key.clone()), Write::Remove(key, revision)]);
        return Ok(writes);
    }
    let name = account(template).unwrap_or_default();
    let key = ResourceKey::of(&format!("{id}/providers/{}/{name}", storage::NAME));
    if let Some(account) = app.store().resource(&key).await? {
        writes.push(Write::Remove(key, account.revision));
    }
    if group.body["tags"][USED_BY] != json!(template.id) {
        return Ok(writes);
    }
    if let Some(tags) = group.body["tags"].as_object_mut() {
        tags.remove(USED_BY);
        // Put there for this template, unless somebody has changed it since.
        for (name, value) in managed_tags(template) {
            if tags.get(&name) != Some(&value) {
                continue;
            }
            match &template.hidden[COVERED][&name] {
                Value::Null => tags.remove(&name),
                before => tags.insert(name, before.clone()),
            };
        }
    }
    writes.push(Write::Replace(group));
    Ok(writes)
}
