//! From a call to its handler: ARM's whole address space.

use arm::{
    ApiError, Call, Extension, Method, Path, Reply, Scope, group, operation, retry_overtaken,
    version,
};
use deployments::Manager;
use providers::{
    REGISTRY, authorization, image_builder::runs, namespaces, platform_image, resource_group, sku,
    storage, subscription, tags,
};
use serde_json::json;
use service::App;

/// Handles a call. The HTTP layer wraps each [`ApiError`] in an envelope.
pub(crate) async fn handle(app: &App, call: Call) -> Result<Reply, ApiError> {
    version::check_form(&call)?;
    if let Some(id) = call.path.scope.subscription() {
        subscription::check(app, id)?;
    }
    retry_overtaken(|| attempt(app, &call)).await
}

async fn attempt(app: &App, call: &Call) -> Result<Reply, ApiError> {
    if let Some(at) = Extension::of(&call.path)
        && let Some(answer) = any_scope(app, call, &at).await
    {
        return answer;
    }
    match &call.path.namespace {
        None => plain(app, call).await,
        Some(namespace) => provider(app, call, namespace).await,
    }
}

/// What deployments need: their resources go through these routes, too.
pub(crate) fn manager(app: &App) -> Manager {
    Manager::new(app.clone(), |app, call| Box::pin(async move { handle(&app, call).await }))
}

/// Extension resources of any scope; `None` for other paths.
async fn any_scope(app: &App, call: &Call, at: &Extension) -> Option<Result<Reply, ApiError>> {
    Some(match at.kind.as_str() {
        "microsoft.authorization/roledefinitions" => {
            authorization::definitions(app, call, at).await
        }
        "microsoft.authorization/roleassignments" => {
            authorization::assignments(app, call, at).await
        }
        "microsoft.authorization/locks" => match call.method {
            Method::Get if at.rest.len() == 1 => Ok(Reply::ok(json!({ "value": [] }))),
            _ => Err(ApiError::bad_request("NotSupported", "Locks are not supported yet.")),
        },
        "microsoft.resources/tags" => tags::handle(app, call, at).await,
        "microsoft.resources/deployments" => deployments::handle(&manager(app), call, at).await,
        "microsoft.resources/calculatetemplatehash" if at.rest.len() == 1 => {
            deployments::template_hash(call)
        }
        _ => return None,
    })
}

/// Paths without a namespace.
async fn plain(app: &App, call: &Call) -> Result<Reply, ApiError> {
    use Method::{Delete, Get, Head, Patch, Put};
    let rest = lower(&call.path);
    let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
    match (&call.path.scope, rest.as_slice()) {
        (Scope::Tenant, ["subscriptions"]) => call.only(&[Get]).map(|()| subscription::list(app)),
        (Scope::Tenant, ["tenants"]) => call.only(&[Get]).map(|()| subscription::tenants(app)),
        (Scope::Tenant | Scope::Subscription(_), ["providers"]) => namespaces::list(app, call),
        (Scope::Subscription(_), []) => {
            call.only(&[Get]).map(|()| Reply::ok(subscription::body(app)))
        }
        (Scope::Subscription(_), ["locations"]) => {
            call.only(&[Get]).map(|()| subscription::locations(app))
        }
        (Scope::Subscription(_), ["resourcegroups"]) => {
            call.only(&[Get])?;
            resource_group::list_all(app, call).await
        }
        (Scope::Subscription(_), ["tagnames"]) => tags::names(app, call).await,
        (Scope::Subscription(_), ["operationresults", id]) => {
            call.only(&[Get])?;
            resource_group::result(app, call, id).await
        }
        (Scope::Subscription(_) | Scope::Group(..), ["resources"]) => {
            namespaces::resources(app, call).await
        }
        (Scope::Group(_, name), []) => {
            call.only(&[Get, Head, Put, Patch, Delete])?;
            resource_group::handle(app, call, name).await
        }
        (Scope::Group(..), ["deployments", _, "operations"]) => {
            deployments::operations(&manager(app), call, &call.path.rest[1], None).await
        }
        (Scope::Group(..), ["deployments", _, "operations", id]) => {
            deployments::operations(&manager(app), call, &call.path.rest[1], Some(id)).await
        }
        _ => Err(nothing(call)),
    }
}

/// Paths with a namespace. The cases that are not registered types come first.
async fn provider(app: &App, call: &Call, namespace: &str) -> Result<Reply, ApiError> {
    use Method::{Get, Post};
    let rest = lower(&call.path);
    let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
    let own = namespace.to_lowercase();
    match (&call.path.scope, own.as_str(), rest.as_slice()) {
        (Scope::Tenant, _, ["operations"]) => {
            call.only(&[Get]).and_then(|()| namespaces::operations(namespace))
        }
        (Scope::Tenant | Scope::Subscription(_), _, [])
        | (Scope::Subscription(_), _, ["register" | "unregister"]) => {
            namespaces::show(app, call, namespace)
        }
        (
            Scope::Subscription(id),
            "microsoft.virtualmachineimages",
            ["locations", _, "operations", operation],
        ) => {
            call.only(&[Get])?;
            let row = app.store().operation(operation).await?;
            let row = row.filter(|row| row.subscription.eq_ignore_ascii_case(id));
            row.map(|row| operation::status(&row)).ok_or_else(|| operation::not_found(operation))
        }
        (Scope::Subscription(id), "microsoft.virtualmachineimages", ["runs", run]) => {
            call.only(&[Get])?;
            runs::by_id(app, id, run).await
        }
        (Scope::Subscription(_), "microsoft.compute", ["locations", place, "publishers", ..]) => {
            platform_image::handle(app, call, place, &call.path.rest[3..]).await
        }
        (Scope::Subscription(_), "microsoft.compute", ["locations", place, "vmsizes"]) => {
            call.only(&[Get]).and_then(|()| sku::sizes(app, place))
        }
        (Scope::Subscription(_), "microsoft.compute", ["skus"]) => {
            call.only(&[Get]).and_then(|()| sku::list(app, call))
        }
        (Scope::Group(_, group), "microsoft.compute", ["virtualmachines", name, _, ..])
            if call.method == Get =>
        {
            group::existing(app.context(), group).await?;
            Err(ApiError::not_found("Microsoft.Compute/virtualMachines", name, group))
        }
        (Scope::Subscription(_), "microsoft.storage", ["checknameavailability"]) => {
            call.only(&[Post])?;
            storage::check_name_availability(app, call).await
        }
        (Scope::Subscription(_), "microsoft.features", ["providers", of, "features", name, ..]) => {
            feature(call, of, name)
        }
        _ => arm::handle(&REGISTRY, app, call, namespace).await,
    }
}

/// A preview feature. Every feature counts as registered.
fn feature(call: &Call, namespace: &str, name: &str) -> Result<Reply, ApiError> {
    call.only(&[Method::Get, Method::Post])?;
    Ok(Reply::ok(json!({
        "id": call.path.text.trim_end_matches("/register"),
        "name": format!("{namespace}/{name}"),
        "type": "Microsoft.Features/providers/features",
        "properties": { "state": "Registered" },
    })))
}

fn lower(path: &Path) -> Vec<String> {
    path.rest.iter().map(|part| part.to_lowercase()).collect()
}

fn nothing(call: &Call) -> ApiError {
    ApiError::absent("InvalidResourceType", format!("There is nothing at '{}'.", call.path.text))
}

#[cfg(test)]
mod tests;
