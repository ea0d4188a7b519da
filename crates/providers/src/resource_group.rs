//! Resource groups, and the operation that removes one with everything in it.

use arm::{
    ApiError, Call, Filter, Method, Reply, fields,
    group::{self, KIND, check_stays},
    list,
    operation::{Started, ended},
    rows,
};
use db::{Error, Operation, Resource, ResourceKey, Select, Write};
use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};
use service::{App, quotas, tasks, tombstones};

use super::image_builder::{
    record::{Hidden, TemplateRecord},
    staging,
};

const NAME: &str = "Microsoft.Resources/resourceGroups";
/// The kind of operation that [`resume`] continues.
pub const DELETE: &str = "deleteGroup";

/// `GET …/resourcegroups`
pub async fn list_all(app: &App, call: &Call) -> Result<Reply, ApiError> {
    let filter = call.query.get("$filter").map(String::as_str).unwrap_or_default();
    let filter = Filter::parse(filter, &["tagName", "tagValue", "name"])?;
    let select = Select {
        subscription: app.subscription().to_lowercase(),
        kind: Some(KIND.to_owned()),
        ..Select::default()
    };
    let keep = |group: &Resource| filter.allows("name", &group.name) && has_tag(group, &filter);
    list(app.context(), call, select, keep, |group| rows::view(NAME, group)).await
}

/// Whether the resource has the tag that a filter names, with the value it names.
pub(crate) fn has_tag(resource: &Resource, filter: &Filter) -> bool {
    let (name, value) = (filter.get("tagName"), filter.get("tagValue"));
    if name.is_none() && value.is_none() {
        return true;
    }
    let tags = resource.body["tags"].as_object();
    tags.into_iter().flatten().any(|(own, text)| {
        name.is_none_or(|name| own.eq_ignore_ascii_case(name))
            && value.is_none_or(|value| text.as_str() == Some(value))
    })
}

/// A request for one group.
pub async fn handle(app: &App, call: &Call, name: &str) -> Result<Reply, ApiError> {
    let key = ResourceKey::of(&group::id(app.context(), name));
    let group = app.store().resource(&key).await?;
    arm::check_precondition(call, group.as_ref())?;
    match (call.method, group) {
        (Method::Put, group) => put(app, call, name, group).await,
        (Method::Post, _) => Err(ApiError::method_not_allowed(call)),
        (Method::Head, None) => Ok(Reply::empty(StatusCode::NOT_FOUND)),
        (Method::Head, Some(_)) => Ok(Reply::empty(StatusCode::NO_CONTENT)),
        (_, None) => Err(ApiError::group_not_found(name)),
        (Method::Get, Some(group)) => {
            Ok(rows::with_etag(Reply::ok(rows::view(NAME, &group)), &group))
        }
        (Method::Patch, Some(group)) => patch(app, call, group).await,
        (Method::Delete, Some(group)) => delete(app, call, group).await,
    }
}

async fn put(
    app: &App,
    call: &Call,
    name: &str,
    existing: Option<Resource>,
) -> Result<Reply, ApiError> {
    check_name(name)?;
    let object = call.json()?;
    if let Some(group) = &existing {
        check_stays(group)?;
    }
    let location = fields::location(NAME, app.context(), &object, existing.as_ref()).map_err(
        |mut error| {
            if error.code == "InvalidResourceLocation" {
                error.code = "InvalidResourceGroupLocation".to_owned();
            }
            error
        },
    )?;
    let mut body = json!({
        "location": location,
        "properties": { "provisioningState": "Succeeded" },
    });
    if let Some(tags) = fields::tags(&object)? {
        body["tags"] = tags;
    }
    if let Some(manager) = object.get("managedBy").and_then(Value::as_str) {
        body["managedBy"] = json!(manager);
    }
    if let Some(old) = existing {
        let group = rows::replace(app.context(), Resource { body, ..old }).await?;
        return Ok(rows::written(false, rows::view(NAME, &group), &group));
    }
    quotas::resource(app, NAME).await?;
    let group = Resource::new(group::id(app.context(), name), KIND, body, json!({}));
    // A write that raced with the removal of a group of that name may have left something.
    let clean = Write::RemoveBelow(group.key());
    app.store().commit(vec![clean, Write::Insert(group.clone())]).await?;
    let group = Resource { revision: 1, ..group };
    Ok(rows::written(true, rows::view(NAME, &group), &group))
}

fn check_name(name: &str) -> Result<(), ApiError> {
    let good = |c: char| c.is_alphanumeric() || "-_.()".contains(c);
    let length = name.chars().count();
    if (1..=90).contains(&length) && name.chars().all(good) && !name.ends_with('.') {
        return Ok(());
    }
    Err(ApiError::bad_request(
        "InvalidResourceGroupName",
        format!(
            "The provided resource group name '{name}' is invalid. It must have 1 to 90 characters, each a letter, digit, '-', '.', '(', ')' or '_', and may not end in a period."
        ),
    )
    .target("name"))
}

async fn patch(app: &App, call: &Call, mut group: Resource) -> Result<Reply, ApiError> {
    check_stays(&group)?;
    let object = call.json()?;
    fields::location(NAME, app.context(), &object, Some(&group))?;
    if let Some(tags) = fields::tags(&object)? {
        group.body["tags"] = tags;
    }
    if let Some(manager) = object.get("managedBy").and_then(Value::as_str) {
        group.body["managedBy"] = json!(manager);
    }
    let group = rows::replace(app.context(), group).await?;
    Ok(rows::written(false, rows::view(NAME, &group), &group))
}

async fn delete(app: &App, call: &Call, mut group: Resource) -> Result<Reply, ApiError> {
    check_stays(&group)?;
    if let Some(template) = active_run_in(app, &group.key()).await? {
        let is_shown = arm::may_read(call, &arm::kind_of(&template), &template);
        return Err(blocked(&group.name, Some(&template).filter(|_| is_shown)));
    }
    let started = Started::location_only(call, DELETE, group.key());
    group.body["properties"]["provisioningState"] = json!("Deleting");
    group.changed = Timestamp::now();
    let (own, row) = (app.clone(), started.row.clone());
    let begin = async move {
        let writes = vec![Write::Replace(group), Write::Operation(row.clone())];
        own.store().commit(writes).await?;
        resume(own, row).await;
        Ok(())
    };
    tasks::to_the_end(app, begin).await?;
    Ok(started.located())
}

/// A template of another group is named only to those who may read it.
fn blocked(group: &str, template: Option<&ResourceKey>) -> ApiError {
    let who = match template {
        Some(template) => format!("image template '{template}' has a run"),
        None => "an image template of another resource group has a run here".to_owned(),
    };
    let error = ApiError::conflict(
        "ResourceGroupDeletionBlocked",
        format!(
            "Deletion of resource group '{group}' failed as {who} that is not over. Cancel it or wait for its end."
        ),
    );
    match template {
        Some(template) => error.target(template.as_str()),
        None => error,
    }
}

/// A template with an active run, which is in the group or has its staging there.
async fn active_run_in(app: &App, group: &ResourceKey) -> Result<Option<ResourceKey>, ApiError> {
    if let Some(template) = app.store().active_below(group).await? {
        return Ok(Some(template));
    }
    let active = app.store().active_templates().await?;
    for (template, hidden) in active {
        let hidden: Hidden = serde_json::from_value(hidden).map_err(db::Error::from)?;
        if hidden.staging.is_some_and(|id| ResourceKey::of(&id) == *group) {
            return Ok(Some(template));
        }
    }
    Ok(None)
}

/// Executes an operation `deleteGroup` in the background, also one that a restart interrupted.
pub async fn resume(app: App, operation: Operation) {
    let own = app.clone();
    tasks::spawn(&app, DELETE, async move {
        let removed = remove(&own, &operation).await;
        // The guards live until the rows are gone.
        let (_guards, result) = match removed {
            Ok(guards) => (guards, Ok(())),
            Err(error) => (Vec::new(), Err(error)),
        };
        if let Err(error) = finish(&own, operation, result).await {
            tracing::error!(?error, "the removal of a resource group could not be recorded");
        }
    });
}

/// Removes what lies outside the database, unless a run of the group is active.
async fn remove(
    app: &App,
    operation: &Operation,
) -> Result<Vec<service::app::replications::Guard>, ApiError> {
    let group = &operation.target;
    if let Some(template) = active_run_in(app, group).await? {
        let is_inside = template.as_str().starts_with(&format!("{group}/"));
        return Err(blocked(group.as_str(), Some(&template).filter(|_| is_inside)));
    }
    let mut images = Vec::new();
    for kind in ["microsoft.compute/images", "microsoft.compute/galleries/images/versions"] {
        images.extend(rows::below(app.context(), kind, Some(group.clone())).await?);
    }
    // Together, so that each region is searched once for unused copies.
    let ids: Vec<&str> = images.iter().map(|image| image.id.as_str()).collect();
    let guards = super::remove_stored(app, &ids).await?;
    Ok(guards)
}

/// Ends the operation together with the group's rows; on failure the group stays, usable again.
async fn finish(
    app: &App,
    operation: Operation,
    result: Result<(), ApiError>,
) -> Result<(), ApiError> {
    // A concurrent write to the group causes a conflict, which is retried.
    for _ in 0..10 {
        let key = operation.target.clone();
        let group = app.store().resource(&key).await?;
        let mut writes = Vec::new();
        match (&result, group) {
            (Ok(()), group) => {
                // The staging of its image templates goes with it.
                let (context, kind) = (app.context(), quotas::TEMPLATES_KIND);
                for template in rows::below(context, kind, Some(key.clone())).await? {
                    let template = TemplateRecord::of(template)?;
                    writes.extend(staging::release(app, &template).await?);
                }
                writes.push(Write::RemoveBelow(key.clone()));
                writes.extend(group.map(|group| Write::Remove(key, group.revision)));
            }
            (Err(_), Some(mut group)) => {
                group.body["properties"]["provisioningState"] = json!("Succeeded");
                writes.push(Write::Replace(group));
            }
            (Err(_), None) => {}
        }
        let outcome = result.as_ref().copied().map_err(ApiError::body);
        if let Err(error) = &result
            && let Some(internal) = &error.internal
        {
            tracing::error!(group = %operation.target, internal, "a resource group was not removed");
        }
        writes.push(Write::Operation(ended(operation.clone(), outcome)));
        match app.store().commit(writes).await {
            Err(Error::Stale { .. }) => tokio::task::yield_now().await,
            other => {
                if let Err(error) = tombstones::remove_all_files(app).await {
                    tracing::warn!(%error, "files of a removed group stay for the next sweep");
                }
                app.wake_sweeper();
                return Ok(other?);
            }
        }
    }
    Err(ApiError::internal("the group was written to again and again"))
}

/// `GET …/operationresults/{id}`: 202 until the operation is over, then 200, or its error.
pub async fn result(app: &App, call: &Call, id: &str) -> Result<Reply, ApiError> {
    use db::OperationStatus as Status;
    let subscription = call.path.scope.subscription().unwrap_or_default();
    let row = arm::readable_operation(app.context(), call, id).await?;
    match row.status {
        Status::InProgress => {
            let path = format!(
                "/subscriptions/{subscription}/operationresults/{id}?api-version={}",
                call.api_version
            );
            Ok(Reply::empty(StatusCode::ACCEPTED)
                .header("location", call.url(&path))
                .header("retry-after", "1"))
        }
        Status::Succeeded => Ok(Reply::empty(StatusCode::OK)),
        Status::Failed | Status::Canceled => {
            let error = row.error.unwrap_or_default();
            let text = |field: &str, other: &str| error[field].as_str().unwrap_or(other).to_owned();
            Err(ApiError::conflict(
                text("code", "OperationFailed"),
                text("message", "The operation did not succeed."),
            ))
        }
    }
}

/// The resource as its own type shows it.
pub(crate) fn view_any(app: &App, call: &Call, resource: &Resource) -> Value {
    let (namespace, types) = resource.kind.split_once('/').unwrap_or((&resource.kind, ""));
    match super::REGISTRY.find(namespace, types) {
        Some(kind) => kind.view(app, call, resource),
        None => rows::view(&resource.kind, resource),
    }
}
