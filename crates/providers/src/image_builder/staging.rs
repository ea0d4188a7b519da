//! The staging resource group of a template, the service's own or a client's, and the storage account
//! in it for scripts, logs and VHDs.

use api::tags::MOST;
use arm::region::normalise;
use db::{Resource, ResourceKey, Select, TombstoneKind, Write};
use images::error::Error;
use serde_json::{Value, json};
use service::{
    App,
    blobs::{self, Blob},
    quotas, tombstones,
};

use super::{
    GROUPS_KIND,
    failure::Failure,
    pin::{Pins, Script},
    record::TemplateRecord,
};
use crate::storage;

/// Longest name of a resource group.
const LONGEST: usize = 90;
/// The value that tools know the service's own groups by.
const CREATED_BY: &str = "AzureVMImageBuilder";
const USED_BY: &str = "usedBy";

/// The id of a new staging group: `IT_<group>_<template>_<guid>`, names cut so that it fits.
pub(super) fn new_id(group: &Resource, template: &str) -> String {
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

/// A template's storage account as it is now. It is missing where a client has deleted its group.
pub async fn account(
    app: &App,
    template: Option<&TemplateRecord>,
) -> Result<Option<Resource>, db::Error> {
    match template.and_then(|template| template.hidden.staging_account.as_deref()) {
        Some(name) => storage::named(app, name).await,
        None => Ok(None),
    }
}

/// Whether the resource group is being deleted.
pub(super) fn is_deleting(group: &Resource) -> bool {
    group.body["properties"]["provisioningState"] == "Deleting"
}

/// The writes that give a template its staging group, for the template's commit.
///
/// # Errors
/// `BadStagingResourceGroup`, if the group of a client is in another region, not empty or in use.
pub(super) async fn prepare(
    app: &App,
    template: &mut TemplateRecord,
) -> Result<Result<Vec<Write>, Failure>, db::Error> {
    let id = template.hidden.staging.clone().unwrap_or_default();
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

/// The size of the pinned scripts and files, if the subscription has room for them.
pub(super) async fn scripts_fit(app: &App, pins: &Pins) -> Result<Result<i64, Error>, db::Error> {
    let mut bytes = 0_i64;
    for script in &pins.scripts {
        let file = app.settings().layout.downloads().join(&script.sha256);
        // A missing file is reported when it is copied.
        let length = tokio::fs::metadata(file).await.map_or(0, |file| file.len());
        bytes = bytes.saturating_add(i64::try_from(length).unwrap_or(i64::MAX));
    }
    Ok(quotas::scripts(app, bytes).await?.map(|()| bytes))
}

/// Stores the pinned scripts and files as blobs.
pub(super) async fn keep_scripts(
    app: &App,
    template: &TemplateRecord,
    pins: &Pins,
) -> Result<(), Failure> {
    let layout = &app.settings().layout;
    let account = template.hidden.staging_account.as_deref().unwrap_or_default();
    // A failed creation may have left a tombstone, whose sweep must not find the new blobs.
    tombstones::remove_account_files(app, account).await;
    for Script { sha256, container, blob } in &pins.scripts {
        let (container, name) = ((*container).to_owned(), blob.clone());
        let blob = Blob { account: account.to_owned(), container, name };
        let put = blobs::put(layout, &blob, &layout.downloads().join(sha256)).await;
        put.map_err(|error| Failure {
            code: "InternalError",
            message: format!("The script '{}' could not be stored: {error}.", blob.name),
        })?;
    }
    Ok(())
}

/// The group to write, or why it cannot be used.
async fn usable_group(
    app: &App,
    template: &mut TemplateRecord,
    id: &str,
) -> Result<Result<Write, String>, db::Error> {
    if !subscription(id).eq_ignore_ascii_case(&template.row.subscription) {
        return Ok(Err("it is in another subscription than the template".to_owned()));
    }
    let Some(mut group) = app.store().resource(&ResourceKey::of(id)).await? else {
        template.hidden.staging_owned = true;
        return Ok(Ok(Write::Insert(new_group(id, template))));
    };
    let tags = &group.body["tags"];
    let refuse = |why: String| Ok(Err(why));
    if is_deleting(&group) {
        return refuse("it is being deleted".to_owned());
    }
    let (wanted, found) = (template.location(), &group.body["location"]);
    if normalise(found.as_str().unwrap_or_default()) != normalise(wanted) {
        return refuse(format!("it is in region {found}, the template in \"{wanted}\""));
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
    for (name, value) in template.managed_tags() {
        let before = std::mem::replace(&mut group.body["tags"][&name], value);
        if !before.is_null() {
            template.hidden.staging_tags.insert(name, before);
        }
    }
    // Last, so that a managed tag cannot replace it.
    group.body["tags"][USED_BY] = json!(template.row.id);
    let count = group.body["tags"].as_object().map_or(0, serde_json::Map::len);
    if count > MOST {
        return refuse(format!(
            "with those of 'properties.managedResourceTags' it would have {count} tags, and a resource may have {MOST}"
        ));
    }
    Ok(Ok(Write::Replace(group)))
}

/// The tags of everything that the service makes for the template: its own and the user's.
pub fn tags(template: &TemplateRecord) -> Value {
    let mut tags = json!({
        "createdBy": CREATED_BY,
        "imageTemplateName": template.row.name,
        "imageTemplateResourceGroupName": template.row.id.split('/').nth(4).unwrap_or_default(),
    });
    for (name, value) in template.managed_tags() {
        tags[name] = value;
    }
    tags
}

/// The account in that group.
fn new_account(template: &TemplateRecord, group: &str) -> Result<Resource, Failure> {
    let name = template.hidden.staging_account.as_deref().unwrap_or_default();
    let id = format!("{group}/providers/{}/{name}", storage::NAME);
    let account = storage::staging(id, template.location(), &tags(template), &template.row.id);
    account.map_err(|error| Failure {
        code: "InternalError",
        message: format!("The storage account could not be made: {}", error.message),
    })
}

fn new_group(id: &str, template: &TemplateRecord) -> Resource {
    let body = json!({
        "location": template.location(),
        "tags": tags(template),
        "properties": { "provisioningState": "Succeeded" },
    });
    Resource::new(id.to_owned(), GROUPS_KIND, body, json!({}))
}

/// Reverts what [`prepare`] recorded, for a creation that failed before a group was made. Returns the
/// writes that remove the blobs.
pub(super) fn undo(template: &mut TemplateRecord) -> Option<Write> {
    template.hidden.staging_owned = false;
    template.hidden.staging_tags.clear();
    template.hidden.indexed = None;
    tombstone(template)
}

/// The blobs of a template in creation have no account yet that could leave a tombstone.
fn tombstone(template: &TemplateRecord) -> Option<Write> {
    let account = template.hidden.staging_account.clone();
    account.map(|name| Write::Tombstone(TombstoneKind::Account, name))
}

/// The writes of a template's deletion. A group of the service's own goes with everything in it. A
/// client's group loses the account, and is free for other templates again.
pub async fn release(app: &App, template: &TemplateRecord) -> Result<Vec<Write>, db::Error> {
    let hidden = &template.hidden;
    let id = hidden.staging.as_deref().unwrap_or_default();
    let mut writes = Vec::from_iter(tombstone(template));
    let Some(mut group) = app.store().resource(&ResourceKey::of(id)).await? else {
        return Ok(writes);
    };
    if hidden.staging_owned {
        let (key, revision) = (group.key(), group.revision);
        writes.extend([Write::RemoveBelow(key.clone()), Write::Remove(key, revision)]);
        return Ok(writes);
    }
    let name = hidden.staging_account.as_deref().unwrap_or_default();
    let key = ResourceKey::of(&format!("{id}/providers/{}/{name}", storage::NAME));
    if let Some(account) = app.store().resource(&key).await? {
        writes.push(Write::Remove(key, account.revision));
    }
    if group.body["tags"][USED_BY] != json!(template.row.id) {
        return Ok(writes);
    }
    if let Some(tags) = group.body["tags"].as_object_mut() {
        tags.remove(USED_BY);
        for (name, value) in template.managed_tags() {
            // A client has changed it since.
            if tags.get(&name) != Some(&value) {
                continue;
            }
            match hidden.staging_tags.get(&name) {
                None => tags.remove(&name),
                Some(before) => tags.insert(name, before.clone()),
            };
        }
    }
    writes.push(Write::Replace(group));
    Ok(writes)
}
