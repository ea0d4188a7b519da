//! The staging resource group of a template: one of the service's own, or a given one.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{GROUPS_KIND, settle::Failure};
use crate::{
    App,
    region::normalise,
    store::{self, Resource, ResourceKey, Select, Write},
};

/// Longest name of a resource group.
const LONGEST: usize = 90;
/// The value that tools know the service's own groups by.
const CREATED_BY: &str = "AzureVMImageBuilder";
const USED_BY: &str = "usedBy";
/// Hidden in the template: the group is the service's own. Tags are not asked, anyone can set them.
const OWNED: &str = "stagingOwned";

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

/// What has to be written, with the template, so that it has its staging group.
///
/// # Errors
/// `BadStagingResourceGroup`, if a given group is in another region, not empty or in use.
pub(super) async fn prepare(
    app: &App,
    template: &mut Resource,
) -> Result<Result<Vec<Write>, Failure>, store::Error> {
    let id = template.hidden["staging"].as_str().unwrap_or_default().to_owned();
    let Some(mut group) = app.store().resource(&ResourceKey::of(&id)).await? else {
        template.hidden[OWNED] = json!(true);
        return Ok(Ok(vec![Write::Insert(new_group(&id, template))]));
    };
    let tags = &group.body["tags"];
    let refuse = |why: String| {
        Ok(Err(Failure {
            code: "BadStagingResourceGroup",
            message: format!(
                "Staging resource group '{id}' cannot be used: {why} (at 'properties.stagingResourceGroup'). To fix it: name an empty resource group of the template's region that no other template uses, or leave the field out"
            ),
        }))
    };
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
    group.body["tags"][USED_BY] = json!(template.id);
    for (name, value) in managed_tags(template) {
        group.body["tags"][name] = value;
    }
    Ok(Ok(vec![Write::Replace(group)]))
}

fn managed_tags(template: &Resource) -> impl Iterator<Item = (String, Value)> {
    let tags = template.body["properties"]["managedResourceTags"].as_object().cloned();
    tags.unwrap_or_default().into_iter()
}

fn new_group(id: &str, template: &Resource) -> Resource {
    let name = id.rsplit('/').next().unwrap_or_default().to_owned();
    let now = Timestamp::now();
    let group_of = template.id.split('/').nth(4).unwrap_or_default();
    let mut tags = json!({
        "createdBy": CREATED_BY,
        "imageTemplateName": template.name,
        "imageTemplateResourceGroupName": group_of,
    });
    for (name, value) in managed_tags(template) {
        tags[name] = value;
    }
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
            "tags": tags,
            "properties": { "provisioningState": "Succeeded" },
        }),
        hidden: json!({}),
    }
}

/// What has to be written when the template goes: a group of the service's own goes with everything
/// in it, a given one is free for others again.
pub(super) async fn release(app: &App, template: &Resource) -> Result<Vec<Write>, store::Error> {
    let id = template.hidden["staging"].as_str().unwrap_or_default();
    let Some(mut group) = app.store().resource(&ResourceKey::of(id)).await? else {
        return Ok(Vec::new());
    };
    if template.hidden[OWNED] == json!(true) {
        let (key, revision) = (group.key(), group.revision);
        return Ok(vec![Write::RemoveBelow(key.clone()), Write::Remove(key, revision)]);
    }
    let tags = &mut group.body["tags"];
    if tags[USED_BY] != json!(template.id) {
        return Ok(Vec::new());
    }
    if let Some(tags) = tags.as_object_mut() {
        tags.remove(USED_BY);
    }
    Ok(vec![Write::Replace(group)])
}
