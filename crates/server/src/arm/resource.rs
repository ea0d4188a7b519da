//! Collections, items and actions of the registered resource types.

use db::{Resource, ResourceKey, Select};
use http::StatusCode;

use super::{
    ApiError, Call, Method, Path, Reply, ResourceType, Scope, find, list, path::is, version,
};
use crate::{
    App,
    providers::{generic, machine, namespaces, quotas, resource_group},
};

/// Answers what a namespace is asked for.
pub(crate) async fn handle(app: &App, call: &Call, namespace: &str) -> Result<Reply, ApiError> {
    let path = &call.path;
    let action = call.method == Method::Post && path.is_collection() && path.rest.len() > 2;
    let target = if action { path.without_last() } else { path.clone() };
    let kind = registered(namespace, &target)?;
    version::check_supported(kind, call)?;
    if let Some(name) = path.scope.group() {
        let group = resource_group::existing(app, name).await;
        if call.method == Method::Head && group.is_err() {
            return Ok(Reply::empty(StatusCode::NOT_FOUND));
        }
        if matches!(call.method, Method::Put | Method::Patch | Method::Post) {
            resource_group::check_stays(&group?)?;
        } else {
            group?;
        }
    }
    if path.is_collection() && !action {
        return match call.method {
            Method::Get => collection(app, call, kind).await,
            _ => Err(ApiError::method_not_allowed(call)),
        };
    }
    if !matches!(path.scope, Scope::Group(..)) {
        return Err(ApiError::new(
            StatusCode::NOT_FOUND,
            "InvalidResourceType",
            format!(
                "A resource of type '{}' is in a resource group: '{}' names none.",
                kind.name(),
                path.text
            ),
        ));
    }
    let key = ResourceKey::of(&target.text);
    if action {
        let name = path.rest.last().map(|name| name.to_lowercase()).unwrap_or_default();
        return kind.action(app, call, key, &name).await;
    }
    item(app, call, kind, key).await
}

fn registered(namespace: &str, path: &Path) -> Result<&'static dyn ResourceType, ApiError> {
    if let Some(kind) = find(namespace, &path.types()) {
        return Ok(kind);
    }
    if !namespaces::all().any(|known| is(known, namespace)) {
        return Err(namespaces::unknown(namespace));
    }
    Err(ApiError::new(
        StatusCode::NOT_FOUND,
        "InvalidResourceType",
        format!(
            "The resource type '{}' could not be found in the namespace '{namespace}'. GET /subscriptions/{{id}}/providers/{namespace} lists those there are.",
            path.types()
        ),
    ))
}

async fn item(
    app: &App,
    call: &Call,
    kind: &'static dyn ResourceType,
    key: ResourceKey,
) -> Result<Reply, ApiError> {
    if matches!(call.method, Method::Get | Method::Head)
        && let Some(answer) = kind.get(app, call, &key).await?
    {
        return Ok(if call.method == Method::Get {
            answer
        } else {
            Reply::empty(StatusCode::NO_CONTENT)
        });
    }
    let held = app.store().resource(&key).await?;
    check_precondition(call, held.as_ref())?;
    if matches!(call.method, Method::Put | Method::Patch | Method::Delete)
        && let Some(held) = &held
    {
        machine::check_is_clients(held)?;
    }
    match (call.method, held) {
        (Method::Get, Some(held)) => {
            Ok(generic::with_etag(Reply::ok(kind.view(app, call, &held)), &held))
        }
        (Method::Head, Some(_)) => Ok(Reply::empty(StatusCode::NO_CONTENT)),
        (Method::Head, None) => Ok(Reply::empty(StatusCode::NOT_FOUND)),
        (Method::Get | Method::Patch, None) => Err(generic::not_found(kind.name(), &call.path)),
        (Method::Put, held) => {
            if held.is_none() {
                quotas::resource(app, kind.name()).await?;
            }
            check_parent(app, call, kind, &key).await?;
            kind.put(app, call, key).await
        }
        (Method::Patch, Some(_)) => kind.patch(app, call, key).await,
        (Method::Delete, _) => kind.delete(app, call, key).await,
        (Method::Post, _) => Err(ApiError::method_not_allowed(call)),
    }
}

async fn check_parent(
    app: &App,
    call: &Call,
    kind: &'static dyn ResourceType,
    key: &ResourceKey,
) -> Result<(), ApiError> {
    let Some(parent) = generic::parent_key(key) else { return Ok(()) };
    if let Some(parent) = app.store().resource(&parent).await? {
        return machine::check_is_clients(&parent);
    }
    let names = call.path.names();
    let above = names[..names.len().saturating_sub(1)].join("/");
    Err(ApiError::new(
        StatusCode::NOT_FOUND,
        "ParentResourceNotFound",
        format!(
            "Failed to perform 'write' on resource(s) of type '{}', because the parent resource '{parent}' could not be found. Create '{above}' first.",
            kind.name()
        ),
    ))
}

async fn collection(
    app: &App,
    call: &Call,
    kind: &'static dyn ResourceType,
) -> Result<Reply, ApiError> {
    let mut select = Select {
        subscription: app.settings().subscription.to_lowercase(),
        group: call.path.scope.group().map(str::to_lowercase),
        kind: Some(kind.name().to_lowercase()),
        ..Select::default()
    };
    if call.path.rest.len() > 1 {
        let parent = call.path.without_last();
        let key = ResourceKey::of(&parent.text);
        if app.store().resource(&key).await?.is_none() {
            let types = parent.types();
            let namespace = parent.namespace.clone().unwrap_or_default();
            let name = find(&namespace, &types).map_or(types, |kind| kind.name().to_owned());
            return Err(generic::not_found(&name, &parent));
        }
        if let Some(answer) = kind.list(app, call, &key).await? {
            return Ok(answer);
        }
        select.below = Some(key);
    }
    list(app, call, select, |_| true, |resource| kind.view(app, call, resource)).await
}

/// `If-Match` and `If-None-Match: *`.
///
/// # Errors
/// `PreconditionFailed`
pub(crate) fn check_precondition(call: &Call, held: Option<&Resource>) -> Result<(), ApiError> {
    if matches!(call.method, Method::Get | Method::Head | Method::Post) {
        return Ok(());
    }
    let bare = |text: &str| text.trim().trim_start_matches("W/").trim_matches('"').to_owned();
    let holds = match (call.if_match.as_deref().map(str::trim), held) {
        (None | Some(""), _) | (Some("*"), Some(_)) | (Some("!*"), None) => true,
        (Some("!*"), Some(_)) | (Some(_), None) => false,
        (Some(wanted), Some(held)) => {
            wanted.split(',').any(|one| bare(one) == bare(&generic::etag(held)))
        }
    };
    if holds {
        return Ok(());
    }
    let now = held.map_or_else(|| "there is none".to_owned(), generic::etag);
    Err(ApiError::new(
        StatusCode::PRECONDITION_FAILED,
        "PreconditionFailed",
        format!(
            "The precondition of the request is not met: the ETag of '{}' is {now}. Read it again and retry.",
            call.path.text
        ),
    ))
}
