//! What most resource types do with the row of a resource: read, write, show and remove it.

use db::{Resource, ResourceKey, Select, Write};
use http::StatusCode;
use jiff::Timestamp;
use serde_json::Value;

use crate::{
    ApiError, Call, Context, Path, Reply, check_precondition, fields::tags, precondition::etag,
};

/// Attempts to remove a row that others write at the same time.
const ATTEMPTS: usize = 8;

/// PATCH of `tags` alone: replaces them and answers 200 with the resource. ARM's contract requires it of every tracked
/// resource.
///
/// # Errors
/// `InvalidRequestContent`, `ResourceNotFound`, `PreconditionFailed`; `Conflict` if another request was faster.
pub async fn patch_tags(
    name: &str,
    context: &Context,
    call: &Call,
    key: ResourceKey,
) -> Result<Reply, ApiError> {
    let object = call.json()?;
    if let Some(field) = object.keys().find(|field| !matches!(field.as_str(), "tags" | "location"))
    {
        return Err(ApiError::bad_request(
            "InvalidRequestContent",
            format!(
                "Only 'tags' can be changed by PATCH; change '{field}' by PUT of the whole {name}."
            ),
        )
        .target(field));
    }
    let mut resource = existing(name, context, call, &key).await?;
    if let Some(tags) = tags(&object)? {
        resource.body["tags"] = tags;
        resource = replace(context, resource).await?;
    }
    Ok(with_etag(Reply::ok(view(name, &resource)), &resource))
}

/// Removes the resource and its descendants. By ARM's contract: 200, or 204 if it does not exist.
///
/// # Errors
/// `PreconditionFailed`; `Conflict` if another request was faster.
pub async fn delete(context: &Context, call: &Call, key: ResourceKey) -> Result<Reply, ApiError> {
    let found = find(context, call, &key).await?;
    Ok(remove(context, &key, found).await?)
}

/// Completes the deletion of a [claimed](claim) resource, even if it was written meanwhile.
///
/// # Errors
/// The database fails.
pub async fn delete_claimed(context: &Context, key: ResourceKey) -> Result<Reply, ApiError> {
    let mut attempts = 0..ATTEMPTS;
    loop {
        let found = context.store().resource(&key).await?;
        match remove(context, &key, found).await {
            Err(db::Error::Stale { .. }) if attempts.next().is_some() => {}
            removed => return Ok(removed?),
        }
    }
}

async fn remove(
    context: &Context,
    key: &ResourceKey,
    found: Option<Resource>,
) -> Result<Reply, db::Error> {
    let Some(resource) = found else { return Ok(Reply::empty(StatusCode::NO_CONTENT)) };
    let remove = Write::Remove(key.clone(), resource.revision);
    context.store().commit(vec![Write::RemoveBelow(key.clone()), remove]).await?;
    Ok(Reply::empty(StatusCode::OK))
}

/// The resource of a request, if any, after checking the request's precondition. A writer must replace this
/// very row, because another request may have changed the row since an earlier read.
///
/// # Errors
/// `PreconditionFailed`
pub async fn find(
    context: &Context,
    call: &Call,
    key: &ResourceKey,
) -> Result<Option<Resource>, ApiError> {
    let found = context.store().resource(key).await?;
    check_precondition(call, found.as_ref())?;
    Ok(found)
}

/// [`find`] for a deletion that does more than to remove the row. With a precondition, it first changes the
/// ETag of the row, so that no other request can pass with the same one.
///
/// # Errors
/// `PreconditionFailed`; `Conflict` if another request was faster.
pub async fn claim(
    context: &Context,
    call: &Call,
    key: &ResourceKey,
) -> Result<Option<Resource>, ApiError> {
    match find(context, call, key).await? {
        Some(row) if call.if_match.is_some() => replace(context, row).await.map(Some),
        found => Ok(found),
    }
}

/// The body with `id`, `name` and `type`. `name` is the type, such as `Microsoft.Compute/images`.
pub fn view(name: &str, resource: &Resource) -> Value {
    let mut body = resource.body.clone();
    body["id"] = Value::from(resource.id.clone());
    body["name"] = Value::from(resource.name.clone());
    body["type"] = Value::from(name);
    body
}

/// The resource of a request, after checking the request's precondition.
///
/// # Errors
/// `ResourceNotFound`, `PreconditionFailed`.
pub async fn existing(
    name: &str,
    context: &Context,
    call: &Call,
    key: &ResourceKey,
) -> Result<Resource, ApiError> {
    let found = find(context, call, key).await?;
    found.ok_or_else(|| not_found(name, &call.path))
}

/// 404 for the path of a request.
pub fn not_found(name: &str, path: &Path) -> ApiError {
    let names = path.names().join("/");
    ApiError::not_found(name, &names, path.scope.group().unwrap_or_default())
}

/// Creates or replaces the resource of a simple type, with a public `body` and an internal `hidden` part.
/// Also returns whether it was created.
///
/// # Errors
/// `ResourceGroupNotFound`; `Conflict` if another request was faster.
pub async fn put(
    name: &str,
    context: &Context,
    call: &Call,
    existing: Option<Resource>,
    body: Value,
    hidden: Value,
) -> Result<(Resource, bool), ApiError> {
    if let Some(old) = existing {
        return Ok((replace(context, Resource { body, hidden, ..old }).await?, false));
    }
    let resource = fresh(name, context, &call.path, body, hidden).await?;
    context.store().commit(vec![Write::Insert(resource.clone())]).await?;
    Ok((Resource { revision: 1, ..resource }, true))
}

/// Every resource of a kind.
///
/// # Errors
/// The database fails.
pub async fn of_kind(context: &Context, kind: &str) -> Result<Vec<Resource>, db::Error> {
    below(context, kind, None).await
}

/// Every resource of a kind below another, at any depth, or in the whole subscription.
///
/// # Errors
/// The database fails.
pub async fn below(
    context: &Context,
    kind: &str,
    below: Option<ResourceKey>,
) -> Result<Vec<Resource>, db::Error> {
    // What is above may be in another subscription.
    let above = below.as_ref().and_then(|key| key.as_str().split('/').nth(2));
    let subscription = above.unwrap_or(context.subscription()).to_lowercase();
    let kind = Some(kind.to_lowercase());
    context.store().list_all(Select { subscription, kind, below, ..Select::default() }).await
}

/// Writes a changed resource.
///
/// # Errors
/// `Conflict` if another request was faster.
pub async fn replace(context: &Context, old: Resource) -> Result<Resource, ApiError> {
    let new = Resource { changed: Timestamp::now(), ..old };
    context.store().commit(vec![Write::Replace(new.clone())]).await?;
    Ok(Resource { revision: new.revision + 1, ..new })
}

/// A resource that is not yet stored. Its id has the canonical spelling of its group and parents.
///
/// # Errors
/// `ResourceGroupNotFound` if the group or the parent no longer exists.
pub async fn fresh(
    name: &str,
    context: &Context,
    path: &Path,
    body: Value,
    hidden: Value,
) -> Result<Resource, ApiError> {
    let group = path.scope.group().unwrap_or_default();
    let key = ResourceKey::of(&path.text);
    let (namespace, types) = name.split_once('/').unwrap_or((name, ""));
    let kind = types.rsplit('/').next().unwrap_or_default();
    let last = path.names().last().copied().unwrap_or_default();
    let (above, middle) = match parent_key(&key) {
        Some(parent) => (parent, String::new()),
        None => {
            let group = format!("/subscriptions/{}/resourceGroups/{group}", context.subscription());
            (ResourceKey::of(&group), format!("/providers/{namespace}"))
        }
    };
    let above =
        context.store().resource(&above).await?.ok_or_else(|| ApiError::group_not_found(group))?;
    Ok(Resource::new(format!("{}{middle}/{kind}/{last}", above.id), name, body, hidden))
}

/// The key of the parent resource; `None` directly in a group.
pub fn parent_key(key: &ResourceKey) -> Option<ResourceKey> {
    let segments: Vec<&str> = key.as_str().split('/').skip(1).collect();
    // subscriptions S resourcegroups G providers N type name [type name]…
    (segments.len() >= 10)
        .then(|| ResourceKey::of(&format!("/{}", segments[..segments.len() - 2].join("/"))))
}

/// The answer to PUT with the resource: by ARM's contract 201 if created, else 200.
pub fn written(created: bool, view: Value, resource: &Resource) -> Reply {
    let status = if created { StatusCode::CREATED } else { StatusCode::OK };
    with_etag(Reply::json(status, view), resource)
}

/// Adds the ETag.
pub fn with_etag(reply: Reply, resource: &Resource) -> Reply {
    reply.header("etag", etag(resource))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parent_of_nested_resource_is_found() {
        let group = "/subscriptions/s/resourcegroups/g";
        let image = format!("{group}/providers/microsoft.compute/images/i");
        assert_eq!(parent_key(&ResourceKey::of(&image)), None);
        let gallery = format!("{group}/providers/microsoft.compute/galleries/g");
        let definition = ResourceKey::of(&format!("{gallery}/images/d"));
        assert_eq!(parent_key(&definition), Some(ResourceKey::of(&gallery)));
    }
}
