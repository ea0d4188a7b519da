//! What a deployment would change, found out without changing anything.

mod compare;

use std::collections::BTreeSet;

use arm::{ApiError, Call, Reply};
use arm_template::{Rendered, RenderedNested, RenderedResource, Resource};
use db::ResourceKey;
use futures_util::future::BoxFuture;
use serde_json::{Map, Value, json};

use crate::{
    ask::url,
    begin,
    check::{self, For},
    load,
    manager::Requests,
    place::{Place, check_name},
    request::{Mode, Request},
    surplus,
};

/// Read-only properties, which previews leave out.
const READ_ONLY: &[&str] = &["provisioningState", "etag", "resourceGuid", "uniqueId"];

/// `POST …/deployments/{name}/whatIf`. A wrong template is a result, too: clients expect 200 with `status: Failed`.
pub(crate) async fn answer(
    requests: &Requests,
    call: &Call,
    place: &Place,
    name: &str,
) -> Result<Reply, ApiError> {
    check_name(name)?;
    let request = Request::read(&call.body)?;
    begin::check_location(requests, place, &request, None)?;
    match preview(requests, place, name, request).await {
        Ok(changes) => Ok(Reply::ok(json!({
            "status": "Succeeded", "properties": { "changes": changes },
        }))),
        Err(error) if error.status.is_server_error() => Err(error),
        Err(error) => Ok(Reply::ok(json!({ "status": "Failed", "error": error.body() }))),
    }
}

async fn preview(
    requests: &Requests,
    place: &Place,
    name: &str,
    request: Request,
) -> Result<Vec<Value>, ApiError> {
    let draft = load::draft(requests, place, name, request).await?;
    let rendered = check::all(requests, name, &draft, For::Preview).await?;
    let mut changes = Changes { requests, full: draft.request.full, found: Vec::new() };
    changes.of_deployment(&rendered, &place.deployment(name)).await?;
    if place.group.is_some() {
        changes.of_others(&place.key(), &rendered, draft.request.mode).await?;
    }
    Ok(changes.found)
}

struct Changes<'a> {
    requests: &'a Requests,
    /// Whether changes have the resources.
    full: bool,
    found: Vec<Value>,
}

impl Changes<'_> {
    fn of_deployment<'b>(
        &'b mut self,
        rendered: &'b Rendered,
        deployment: &'b str,
    ) -> BoxFuture<'b, Result<(), ApiError>> {
        Box::pin(async move {
            for one in &rendered.resources {
                let resource = rendered.resource(one);
                match &one.nested {
                    None => self.of_resource(resource, one).await?,
                    Some(RenderedNested::Tree(tree)) => {
                        self.of_deployment(tree, &resource.id).await?;
                    }
                    Some(RenderedNested::Linked(_)) => {
                        let why = "The template of the nested deployment is at a relative path.";
                        self.found.push(unsupported(&resource.id, deployment, why));
                    }
                    Some(RenderedNested::Pending(why)) => {
                        self.found.push(unsupported(&resource.id, deployment, why));
                    }
                }
            }
            for unknown in rendered.plan.undetermined() {
                self.found.push(unsupported(&unknown.name, deployment, &unknown.reason));
            }
            Ok(())
        })
    }

    async fn of_resource(
        &mut self,
        resource: &Resource,
        rendered: &RenderedResource,
    ) -> Result<(), ApiError> {
        let id = url(&resource.id);
        let live = self.requests.find(&id, &resource.api_version).await?;
        let stated = stated(resource, &id, &Value::from(&rendered.preview.body));
        let change = match live {
            None => json!({ "resourceId": id, "changeType": "Create", "after": stated }),
            Some(live) if resource.options.only_if_not_exists => {
                let live = shown(live);
                json!({
                    "resourceId": id, "changeType": "NoChange", "before": live, "after": live,
                })
            }
            Some(_) if !self.full => json!({ "resourceId": id, "changeType": "Deploy" }),
            Some(live) => changed(&id, &live, &stated),
        };
        self.push(change, resource.symbol.as_deref());
        Ok(())
    }

    /// The other resources of the group.
    async fn of_others(
        &mut self,
        group: &ResourceKey,
        rendered: &Rendered,
        mode: Mode,
    ) -> Result<(), ApiError> {
        let mut kept = BTreeSet::new();
        for deployment in rendered.deployments() {
            kept.extend(surplus::kept(&deployment.plan));
        }
        for row in surplus::surplus(self.requests, group, &kept).await? {
            let version = surplus::version(&row.kind);
            let Some(live) = self.requests.find(&row.id, version).await? else { continue };
            let mut live = shown(live);
            live["apiVersion"] = json!(version);
            let change = match mode {
                Mode::Incremental => json!({
                    "resourceId": row.id, "changeType": "Ignore", "before": live, "after": live,
                }),
                Mode::Complete => json!({
                    "resourceId": row.id, "changeType": "Delete", "before": live,
                }),
            };
            self.push(change, None);
        }
        Ok(())
    }

    fn push(&mut self, mut change: Value, symbol: Option<&str>) {
        if !self.full
            && let Some(fields) = change.as_object_mut()
        {
            fields.retain(|name, _| !matches!(name.as_str(), "before" | "after" | "delta"));
        }
        if let Some(symbol) = symbol {
            change["symbolicName"] = json!(symbol);
        }
        self.found.push(change);
    }
}

fn unsupported(id: &str, deployment: &str, why: &str) -> Value {
    json!({
        "resourceId": id,
        "deploymentId": deployment,
        "changeType": "Unsupported",
        "unsupportedReason": why,
    })
}

/// The resource as the template states it.
fn stated(resource: &Resource, id: &str, body: &Value) -> Value {
    let mut stated = match body {
        Value::Object(fields) => Value::Object(fields.clone()),
        _ => json!({}),
    };
    stated["apiVersion"] = json!(&*resource.api_version);
    stated["id"] = json!(id);
    stated["name"] = json!(resource.name.rsplit('/').next());
    stated["type"] = json!(&*resource.resource_type);
    stated
}

/// A resource without its read-only properties.
fn shown(mut live: Value) -> Value {
    for object in [Some("properties"), None] {
        let object = match object {
            Some(name) => live.get_mut(name),
            None => Some(&mut live),
        };
        if let Some(fields) = object.and_then(Value::as_object_mut) {
            fields.retain(|name, _| !READ_ONLY.contains(&name.as_str()));
        }
    }
    live
}

/// The change of a resource that exists.
fn changed(id: &str, live: &Value, stated: &Value) -> Value {
    let delta = compare::resource(live, stated);
    let mut before = shown(live.clone());
    before["apiVersion"] = stated["apiVersion"].clone();
    let kind = if delta.is_empty() { "NoChange" } else { "Modify" };
    let mut after = before.clone();
    for change in &delta {
        let name = change["path"].as_str().unwrap_or_default().split('.').next();
        let name = name.unwrap_or_default();
        merge(&mut after, stated, name);
    }
    let mut change = json!({
        "resourceId": id, "changeType": kind, "before": before, "after": after,
    });
    if !delta.is_empty() {
        change["delta"] = Value::Array(delta);
    }
    change
}

/// Puts a stated field over the one that exists, as the write would.
fn merge(after: &mut Value, stated: &Value, field: &str) {
    let wanted = stated.get(field).cloned().unwrap_or_default();
    match (after.get_mut(field), wanted) {
        (Some(Value::Object(old)), Value::Object(new)) if field == "properties" => over(old, new),
        (_, wanted) => after[field] = wanted,
    }
}

fn over(old: &mut Map<String, Value>, new: Map<String, Value>) {
    for (name, value) in new {
        let own = old.keys().find(|own| arm::is(own, &name)).cloned().unwrap_or(name);
        match (old.get_mut(&own), value) {
            (Some(Value::Object(old)), Value::Object(new)) => over(old, new),
            (_, value) => drop(old.insert(own, value)),
        }
    }
}
