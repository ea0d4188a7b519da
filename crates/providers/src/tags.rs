//! `{scope}/providers/Microsoft.Resources/tags/default`: the tags of a group or resource alone; and the
//! names of all tags.
//!
//! Tags of the subscription have a row, since the subscription itself has none.

use std::collections::BTreeMap;

use arm::{
    ApiError, Call, Extension, Method, Readable, Reply,
    fields::{self, choice, missing},
    group,
};
use db::{Resource, ResourceKey, Select, Write};
use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use service::{App, read_only};

use super::image_builder;

const KIND: &str = "microsoft.resources/tags";

/// A request for the tags of a scope.
pub async fn handle(app: &App, call: &Call, at: &Extension) -> Result<Reply, ApiError> {
    if at.rest.len() > 2 || at.rest.get(1).is_some_and(|name| !name.eq_ignore_ascii_case("default"))
    {
        return Err(ApiError::bad_request(
            "InvalidTagsName",
            format!("The tags at '{}' have the name 'default' alone.", at.scope),
        ));
    }
    let mut holder = holder(app, at).await?;
    let stored = holder.body["tags"].as_object().cloned().unwrap_or_default();
    let tags = match call.method {
        Method::Get => stored,
        Method::Head => return Ok(Reply::empty(StatusCode::NO_CONTENT)),
        Method::Post => return Err(ApiError::method_not_allowed(call)),
        Method::Put | Method::Patch | Method::Delete => {
            read_only::check_writable(&holder)?;
            let tags = changed(call, stored.clone())?;
            let checked = json!({ "tags": tags });
            let checked = fields::tags(checked.as_object().unwrap_or(&Map::new()))?;
            let checked = checked.unwrap_or_else(|| json!({}));
            holder.body["tags"] = checked.clone();
            holder.changed = Timestamp::now();
            let followed = image_builder::retagged(app, call, &stored, &holder).await?;
            let mut writes: Vec<Write> = followed.into_iter().collect();
            let write = if holder.revision == 0 { Write::Insert } else { Write::Replace };
            writes.push(write(holder));
            app.store().commit(writes).await?;
            app.wake_schedules();
            checked.as_object().cloned().unwrap_or_default()
        }
    };
    if call.method == Method::Delete {
        return Ok(Reply::empty(StatusCode::OK));
    }
    Ok(Reply::ok(json!({
        "id": format!("{}/providers/Microsoft.Resources/tags/default", at.scope),
        "name": "default",
        "type": "Microsoft.Resources/tags",
        "properties": { "tags": tags },
    })))
}

/// `GET /subscriptions/{id}/tagNames`: each name of a tag in the subscription with its values, and how
/// many of the groups and resources that the caller may read have them.
pub async fn names(app: &App, call: &Call) -> Result<Reply, ApiError> {
    call.only(&[Method::Get])?;
    let mut used: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
    let mut readable = Readable::by(call, &format!("/subscriptions/{}", app.subscription()));
    // Without a kind the store leaves out the groups.
    for kind in [None, Some(group::KIND.to_owned())] {
        let mut after = None;
        loop {
            let select = Select {
                subscription: app.subscription().to_lowercase(),
                kind: kind.clone(),
                after,
                limit: 500,
                ..Select::default()
            };
            let page = app.store().list(&select).await?;
            let shown = page.resources.iter().filter(|one| readable.has(one));
            for tags in shown.filter_map(|one| one.body["tags"].as_object()) {
                for (name, value) in tags {
                    let value = value.as_str().unwrap_or_default().to_owned();
                    *used.entry(name.clone()).or_default().entry(value).or_default() += 1;
                }
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
    }
    let list: Vec<Value> = used.iter().map(|(name, values)| named(app, name, values)).collect();
    Ok(Reply::ok(json!({ "value": list })))
}

fn named(app: &App, name: &str, values: &BTreeMap<String, u64>) -> Value {
    let id = format!("/subscriptions/{}/tagNames/{name}", app.subscription());
    let count = |number: u64| json!({ "type": "Total", "value": number });
    let each = |(value, number): (&String, &u64)| {
        json!({
            "id": format!("{id}/tagValues/{value}"),
            "tagValue": value,
            "count": count(*number),
        })
    };
    json!({
        "id": id,
        "tagName": name,
        "count": count(values.values().sum()),
        "values": values.iter().map(each).collect::<Vec<_>>(),
    })
}

/// The row that has the tags of the scope.
async fn holder(app: &App, at: &Extension) -> Result<Resource, ApiError> {
    let below_subscription = at.scope.matches('/').count() > 2;
    let key = match below_subscription {
        true => at.scope.clone(),
        false => format!("{}/providers/{KIND}/default", at.scope),
    };
    let stored = app.store().resource(&ResourceKey::of(&key)).await?;
    match stored {
        Some(stored) => Ok(stored),
        None if below_subscription => Err(at.scope_not_found()),
        None => Ok(Resource {
            subscription: app.subscription().to_lowercase(),
            ..Resource::new(key, KIND, json!({ "tags": {} }), json!({}))
        }),
    }
}

fn changed(call: &Call, mut stored: Map<String, Value>) -> Result<Map<String, Value>, ApiError> {
    if call.method == Method::Delete {
        return Ok(Map::new());
    }
    let object = call.json()?;
    let properties = fields::properties(&object)?;
    let new = match properties.get("tags") {
        Some(Value::Object(tags)) => tags.clone(),
        None | Some(Value::Null) => return Err(missing("properties.tags")),
        Some(other) => {
            return Err(fields::invalid("properties.tags", other, "it must be an object"));
        }
    };
    if call.method == Method::Put {
        return Ok(new);
    }
    let operation = choice(&object, "operation", "operation", &["Merge", "Replace", "Delete"])?;
    match operation.as_deref() {
        Some("Replace") => return Ok(new),
        Some("Delete") => stored.retain(|name, value| new.get(name) != Some(value)),
        Some(_) => stored.extend(new),
        None => return Err(missing("operation")),
    }
    Ok(stored)
}
