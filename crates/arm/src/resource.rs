//! Collections, items and actions of the registered resource types.

use authorization::{Need, Rule, Wanted};
use db::{ResourceKey, Select};
use http::StatusCode;

use crate::{
    ApiError, Call, Method, Path, Readable, Registry, Reply, ResourceType, Scope, Service,
    check_precondition, group, is, list, registry::no_action, rows, version,
};

/// Handles requests for a resource type: its collections, its items and their actions. Makes the checks that ARM makes for
/// all types, in ARM's order: the type, its api-version, the group, the precondition, the parent, the quota.
///
/// # Errors
/// `InvalidResourceNamespace`, `InvalidResourceType`, `NoRegisteredProviderFound`, `ResourceGroupNotFound`,
/// `ResourceGroupBeingDeleted`, `PreconditionFailed`, `ParentResourceNotFound`, `ResourceNotFound`, `MethodNotAllowed`, and
/// errors of the type or the service.
pub async fn handle<S: Service>(
    registry: &Registry<S>,
    service: &S,
    call: &Call,
    namespace: &str,
) -> Result<Reply, ApiError> {
    let path = &call.path;
    let (target, action) = parts(call.method, path);
    let kind = registered(registry, namespace, &target)?;
    version::check_supported(kind, call)?;
    if let Some(name) = path.scope.group() {
        let group = group::existing(service.context(), name).await;
        if call.method == Method::Head && group.is_err() {
            return Ok(Reply::empty(StatusCode::NOT_FOUND));
        }
        if matches!(call.method, Method::Put | Method::Patch | Method::Post) {
            group::check_stays(&group?)?;
        } else {
            group?;
        }
    }
    if path.is_collection() && action.is_none() {
        return match call.method {
            Method::Get => collection(registry, service, call, kind).await,
            _ => Err(ApiError::method_not_allowed(call)),
        };
    }
    if !matches!(path.scope, Scope::Group(..)) {
        return Err(ApiError::absent(
            "InvalidResourceType",
            format!(
                "A resource of type '{}' must be in a resource group, and '{}' has none.",
                kind.name(),
                path.text
            ),
        ));
    }
    let key = ResourceKey::of(&target.text);
    if let Some(name) = action {
        let actions = kind.actions();
        let verb = actions.verb(name).ok_or_else(|| no_action(call, actions, name))?;
        return kind.action(service, call, key, verb).await;
    }
    item(service, call, kind, key).await
}

/// The path of the resource or collection, and the name of the action at it, if it is one.
fn parts(method: Method, path: &Path) -> (Path, Option<&str>) {
    match path.rest.last() {
        Some(name) if method == Method::Post && path.is_collection() && path.rest.len() > 2 => {
            (path.without_last(), Some(name))
        }
        _ => (path.clone(), None),
    }
}

/// Whether a path in a subscription is of a registered type: its list, a resource, or an action, declared or not.
pub fn is_registered<S: Service>(registry: &Registry<S>, method: Method, path: &Path) -> bool {
    let (target, _) = parts(method, path);
    let (Some(_), Some(namespace)) = (target.scope.subscription(), &target.namespace) else {
        return false;
    };
    registry.find(namespace, &target.types()).is_some()
}

/// What a request needs that [`handle`] answers; `None` unless [`is_registered`]. Where there is neither a list nor an
/// action, the right to read suffices: the answer is that there is nothing.
pub fn rule<S: Service>(registry: &Registry<S>, method: Method, path: &Path) -> Option<Rule> {
    let (target, action) = parts(method, path);
    target.scope.subscription()?;
    let kind = registry.find(target.namespace.as_deref()?, &target.types())?;
    let actions = kind.actions();
    let need = |action, scope: &str| Need {
        wanted: Wanted::action(action),
        scope: authorization::Scope::parse(scope),
    };
    if target.is_collection() {
        let scope = match target.rest.len() {
            1 => target.text.rsplitn(4, '/').nth(3),
            _ => target.text.rsplit_once('/').map(|(above, _)| above),
        };
        return Some(Rule::List(need(actions.read, scope.unwrap_or_default())));
    }
    let wanted = match (method, action) {
        (_, Some(name)) => actions.verb(name).map_or(actions.read, |verb| verb.action),
        (Method::Put | Method::Patch, None) => actions.write,
        (Method::Delete, None) => actions.delete,
        (Method::Get | Method::Head | Method::Post, None) => actions.read,
    };
    Some(Rule::All(vec![need(wanted, &target.text)]))
}

/// The type of a path.
///
/// # Errors
/// `InvalidResourceNamespace`, `InvalidResourceType`.
pub fn registered<S: Service>(
    registry: &Registry<S>,
    namespace: &str,
    path: &Path,
) -> Result<&'static dyn ResourceType<S>, ApiError> {
    if let Some(kind) = registry.find(namespace, &path.types()) {
        return Ok(kind);
    }
    if !registry.namespaces().any(|known| is(known, namespace)) {
        return Err(registry.unknown_namespace(namespace));
    }
    Err(ApiError::absent(
        "InvalidResourceType",
        format!(
            "The resource type '{}' could not be found in the namespace '{namespace}'. GET /subscriptions/{{id}}/providers/{namespace} lists its types.",
            path.types()
        ),
    ))
}

async fn item<S: Service>(
    service: &S,
    call: &Call,
    kind: &'static dyn ResourceType<S>,
    key: ResourceKey,
) -> Result<Reply, ApiError> {
    if matches!(call.method, Method::Get | Method::Head)
        && let Some(answer) = kind.get(service, call, &key).await?
    {
        return Ok(if call.method == Method::Get {
            answer
        } else {
            Reply::empty(StatusCode::NO_CONTENT)
        });
    }
    let existing = service.context().store().resource(&key).await?;
    check_precondition(call, existing.as_ref())?;
    if matches!(call.method, Method::Put | Method::Patch | Method::Delete)
        && let Some(existing) = &existing
    {
        service.may_change(existing)?;
    }
    match (call.method, existing) {
        (Method::Get, Some(existing)) => {
            Ok(rows::with_etag(Reply::ok(kind.view(service, call, &existing)), &existing))
        }
        (Method::Head, Some(_)) => Ok(Reply::empty(StatusCode::NO_CONTENT)),
        (Method::Head, None) => Ok(Reply::empty(StatusCode::NOT_FOUND)),
        (Method::Get | Method::Patch, None) => Err(rows::not_found(kind.name(), &call.path)),
        (Method::Put, existing) => {
            if existing.is_none() {
                service.may_add(kind.name()).await?;
            }
            check_parent(service, call, kind, &key).await?;
            kind.put(service, call, key).await
        }
        (Method::Patch, Some(_)) => kind.patch(service, call, key).await,
        (Method::Delete, _) => kind.delete(service, call, key).await,
        (Method::Post, _) => Err(ApiError::method_not_allowed(call)),
    }
}

async fn check_parent<S: Service>(
    service: &S,
    call: &Call,
    kind: &'static dyn ResourceType<S>,
    key: &ResourceKey,
) -> Result<(), ApiError> {
    let Some(parent) = rows::parent_key(key) else { return Ok(()) };
    if let Some(parent) = service.context().store().resource(&parent).await? {
        return service.may_change(&parent);
    }
    let names = call.path.names();
    let above = names[..names.len().saturating_sub(1)].join("/");
    Err(ApiError::absent(
        "ParentResourceNotFound",
        format!(
            "Failed to perform 'write' on resource(s) of type '{}', because the parent resource '{parent}' could not be found. Create '{above}' first.",
            kind.name()
        ),
    ))
}

async fn collection<S: Service>(
    registry: &Registry<S>,
    service: &S,
    call: &Call,
    kind: &'static dyn ResourceType<S>,
) -> Result<Reply, ApiError> {
    let mut select = Select {
        subscription: service.context().subscription().to_lowercase(),
        group: call.path.scope.group().map(str::to_lowercase),
        kind: Some(kind.name().to_lowercase()),
        ..Select::default()
    };
    if call.path.rest.len() > 1 {
        let parent = call.path.without_last();
        let key = ResourceKey::of(&parent.text);
        if service.context().store().resource(&key).await?.is_none() {
            let types = parent.types();
            let namespace = parent.namespace.clone().unwrap_or_default();
            let name =
                registry.find(&namespace, &types).map_or(types, |kind| kind.name().to_owned());
            return Err(rows::not_found(&name, &parent));
        }
        if let Some(answer) = kind.list(service, call, &key).await? {
            return Ok(readable_part(call, kind.name(), &key, answer));
        }
        select.below = Some(key);
    }
    list(service.context(), call, select, |_| true, |resource| kind.view(service, call, resource))
        .await
}

/// A list of the type's own, without what the caller may not read.
fn readable_part(call: &Call, kind: &str, parent: &ResourceKey, mut answer: Reply) -> Reply {
    let mut readable = Readable::by(call, parent.as_str());
    let list = answer.body.as_mut().and_then(|body| body["value"].as_array_mut());
    if let Some(list) = list {
        list.retain(|one| {
            one["id"].as_str().is_some_and(|id| readable.has_key(kind, &ResourceKey::of(id)))
        });
    }
    answer
}
