//! What most resource types do alike.

use api::tags::MOST;
use db::{Resource, ResourceKey, Select, Write};
use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::{
    App,
    arm::{ApiError, Call, Path, Reply, check_precondition},
    region,
};

/// `kind` of a resource group's row.
pub(crate) const GROUP: &str = "microsoft.resources/resourcegroups";

/// How often a row is removed again at once when another write was faster.
const ATTEMPTS: usize = 8;

/// PATCH of `tags` alone: replaces them, answers 200 with the resource.
pub(crate) async fn patch_tags(
    name: &str,
    app: &App,
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
    let mut resource = existing(name, app, call, &key).await?;
    if let Some(tags) = tags(&object)? {
        resource.body["tags"] = tags;
        resource = replace(app, resource).await?;
    }
    Ok(with_etag(Reply::ok(view(name, &resource)), &resource))
}

/// Removes the resource and everything below it: 200, or 204 if there was none.
pub(crate) async fn delete(app: &App, call: &Call, key: ResourceKey) -> Result<Reply, ApiError> {
    let found = held(app, call, &key).await?;
    Ok(remove(app, &key, found).await?)
}

/// Ends the deletion of a resource that was [claimed](claim), whatever was written to it meanwhile.
pub(crate) async fn delete_claimed(app: &App, key: ResourceKey) -> Result<Reply, ApiError> {
    let mut attempts = 0..ATTEMPTS;
    loop {
        let found = app.store().resource(&key).await?;
        match remove(app, &key, found).await {
            Err(db::Error::Stale { .. }) if attempts.next().is_some() => {}
            removed => return Ok(removed?),
        }
    }
}

async fn remove(app: &App, key: &ResourceKey, found: Option<Resource>) -> Result<Reply, db::Error> {
    let Some(resource) = found else { return Ok(Reply::empty(StatusCode::NO_CONTENT)) };
    let remove = Write::Remove(key.clone(), resource.revision);
    app.store().commit(vec![Write::RemoveBelow(key.clone()), remove]).await?;
    Ok(Reply::empty(StatusCode::OK))
}

/// The resource that a request is about, or that there is none, if that meets the request's
/// precondition. Who writes checks it on the very row that the write replaces: another request may have
/// been faster since the row was looked at first.
///
/// # Errors
/// `PreconditionFailed`
pub(crate) async fn held(
    app: &App,
    call: &Call,
    key: &ResourceKey,
) -> Result<Option<Resource>, ApiError> {
    let found = app.store().resource(key).await?;
    check_precondition(call, found.as_ref())?;
    Ok(found)
}

/// [`held`], for a deletion that does more than to remove the row. Under a precondition the row is given
/// another ETag first, so that nobody else gets by with the same one meanwhile.
///
/// # Errors
/// `PreconditionFailed`; `Conflict` if another request was faster.
pub(crate) async fn claim(
    app: &App,
    call: &Call,
    key: &ResourceKey,
) -> Result<Option<Resource>, ApiError> {
    match held(app, call, key).await? {
        Some(held) if call.if_match.is_some() => replace(app, held).await.map(Some),
        found => Ok(found),
    }
}

/// The body with `id`, `name` and `type` (`name` is the type's, such as `Microsoft.Compute/images`).
pub(crate) fn view(name: &str, resource: &Resource) -> Value {
    let mut body = resource.body.clone();
    body["id"] = Value::from(resource.id.clone());
    body["name"] = Value::from(resource.name.clone());
    body["type"] = Value::from(name);
    body
}

/// The resource as the request's precondition wants it, or 404 in ARM's words.
pub(crate) async fn existing(
    name: &str,
    app: &App,
    call: &Call,
    key: &ResourceKey,
) -> Result<Resource, ApiError> {
    let found = held(app, call, key).await?;
    found.ok_or_else(|| not_found(name, &call.path))
}

/// 404 for what the path names.
pub(crate) fn not_found(name: &str, path: &Path) -> ApiError {
    let names = path.names().join("/");
    ApiError::not_found(name, &names, path.scope.group().unwrap_or_default())
}

/// Creates or replaces the resource of a simple type: `body` is what is answered and `hidden` what is
/// kept beside it. Also gives whether it was created.
pub(crate) async fn put(
    name: &str,
    app: &App,
    call: &Call,
    existing: Option<Resource>,
    body: Value,
    hidden: Value,
) -> Result<(Resource, bool), ApiError> {
    if let Some(old) = existing {
        return Ok((replace(app, Resource { body, hidden, ..old }).await?, false));
    }
    let resource = fresh(name, app, &call.path, body, hidden).await?;
    app.store().commit(vec![Write::Insert(resource.clone())]).await?;
    Ok((Resource { revision: 1, ..resource }, true))
}

/// Every resource of a kind (lower case).
///
/// # Errors
/// The database fails.
pub(crate) async fn of_kind(app: &App, kind: &str) -> Result<Vec<Resource>, db::Error> {
    let subscription = app.settings().subscription.to_lowercase();
    let select = Select { subscription, kind: Some(kind.to_owned()), ..Select::default() };
    app.store().list_all(select).await
}

/// Writes a resource that was read before.
pub(crate) async fn replace(app: &App, old: Resource) -> Result<Resource, ApiError> {
    let new = Resource { changed: Timestamp::now(), ..old };
    app.store().commit(vec![Write::Replace(new.clone())]).await?;
    Ok(Resource { revision: new.revision + 1, ..new })
}

/// A resource that is not yet written, with its id in canonical spelling: that of the group and the
/// parents is the one they were created with.
pub(crate) async fn fresh(
    name: &str,
    app: &App,
    path: &Path,
    body: Value,
    hidden: Value,
) -> Result<Resource, ApiError> {
    let group = path.scope.group().unwrap_or_default();
    let key = ResourceKey::of(&path.text);
    let (namespace, types) = name.split_once('/').unwrap_or((name, ""));
    let kind = types.rsplit('/').next().unwrap_or_default();
    let own = path.names().last().copied().unwrap_or_default().to_owned();
    let (above, middle) = match parent_key(&key) {
        Some(parent) => (parent, String::new()),
        None => {
            let group =
                format!("/subscriptions/{}/resourceGroups/{group}", app.settings().subscription);
            (ResourceKey::of(&group), format!("/providers/{namespace}"))
        }
    };
    let above =
        app.store().resource(&above).await?.ok_or_else(|| ApiError::group_not_found(group))?;
    let now = Timestamp::now();
    Ok(Resource {
        id: format!("{}{middle}/{kind}/{own}", above.id),
        subscription: app.settings().subscription.to_lowercase(),
        group: group.to_lowercase(),
        kind: name.to_lowercase(),
        name: own,
        revision: 0,
        created: now,
        changed: now,
        body,
        hidden,
    })
}

/// The key of the resource that this one is in; nothing for what is directly in a group.
pub(crate) fn parent_key(key: &ResourceKey) -> Option<ResourceKey> {
    let segments: Vec<&str> = key.as_str().split('/').skip(1).collect();
    // subscriptions S resourcegroups G providers N type name [type name]…
    (segments.len() >= 10)
        .then(|| ResourceKey::of(&format!("/{}", segments[..segments.len() - 2].join("/"))))
}

/// 201 or 200 with the resource.
pub(crate) fn written(created: bool, view: Value, resource: &Resource) -> Reply {
    let status = if created { StatusCode::CREATED } else { StatusCode::OK };
    with_etag(Reply::json(status, view), resource)
}

/// Adds the ETag.
pub(crate) fn with_etag(reply: Reply, resource: &Resource) -> Reply {
    reply.header("etag", etag(resource))
}

/// The ETag of a resource as it is now. Revisions begin anew when a resource is deleted and made again, so the time
/// when it was made is a part of it.
pub(crate) fn etag(resource: &Resource) -> String {
    format!("\"{:x}-{}\"", resource.created.as_nanosecond(), resource.revision)
}

/// The `location` of a request, normalised and one of ours; that of an existing resource stays.
pub(crate) fn location(
    name: &str,
    app: &App,
    object: &Map<String, Value>,
    existing: Option<&Resource>,
) -> Result<String, ApiError> {
    let held = existing.and_then(|resource| resource.body["location"].as_str());
    let given = match object.get("location") {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) if text.trim().is_empty() => None,
        Some(Value::String(text)) => Some(text),
        Some(other) => return Err(invalid("location", other, "it must be a text")),
    };
    match (given, held) {
        (Some(given), Some(held)) if region::normalise(given) != region::normalise(held) => {
            Err(ApiError::conflict(
                "InvalidResourceLocation",
                format!(
                    "The resource already exists in location '{held}'. A resource with the same name cannot be created in location '{given}'. Please select a new resource name."
                ),
            )
            .target("location"))
        }
        (_, Some(held)) => Ok(held.to_owned()),
        (Some(given), None) => region::check(app, name, given),
        (None, None) => Err(ApiError::bad_request(
            "LocationRequired",
            format!("The location property is required for this definition of {name}."),
        )
        .target("location")),
    }
}

/// The `tags` of a request; `None` if it has none or null.
pub(crate) fn tags(object: &Map<String, Value>) -> Result<Option<Value>, ApiError> {
    let given = match object.get("tags") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Object(tags)) => tags,
        Some(other) => return Err(invalid("tags", other, "it must be an object of texts")),
    };
    if given.len() > MOST {
        return Err(ApiError::bad_request(
            "TooManyTags",
            format!("A resource may have {MOST} tags; 'tags' has {}.", given.len()),
        )
        .target("tags"));
    }
    let mut tags = Map::new();
    for (name, value) in given {
        let path = format!("tags.{name}");
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            Value::Bool(_) | Value::Number(_) => value.to_string(),
            Value::Array(_) | Value::Object(_) => {
                return Err(invalid(&path, value, "the value of a tag must be a text"));
            }
        };
        api::tags::check_name(name).map_err(|why| invalid(&path, &json!(name), why))?;
        api::tags::check_value(&text).map_err(|why| invalid(&path, value, why))?;
        tags.insert(name.clone(), json!(text));
    }
    Ok(Some(Value::Object(tags)))
}

/// The `properties` of a request, empty if there are none.
pub(crate) fn properties(object: &Map<String, Value>) -> Result<Map<String, Value>, ApiError> {
    match object.get("properties") {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Object(properties)) => Ok(properties.clone()),
        Some(other) => Err(invalid("properties", other, "it must be an object")),
    }
}

/// One of a few words, in the spelling of the list; `None` if it is not given.
pub(crate) fn choice(
    object: &Map<String, Value>,
    field: &str,
    path: &str,
    words: &[&str],
) -> Result<Option<String>, ApiError> {
    match object.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if words.iter().any(|word| word.eq_ignore_ascii_case(text)) => {
            let word = words.iter().find(|word| word.eq_ignore_ascii_case(text));
            Ok(word.map(|word| (*word).to_owned()))
        }
        Some(other) => {
            Err(invalid(path, other, &format!("it must be one of {}", words.join(", "))))
        }
    }
}

/// 400 `InvalidParameter`: field, value and way out.
pub(crate) fn invalid(path: &str, value: &Value, why: &str) -> ApiError {
    ApiError::bad_request(
        "InvalidParameter",
        format!("The value {value} of parameter '{path}' is invalid: {why}."),
    )
    .target(path)
}

/// 400 `InvalidParameter` for what is missing.
pub(crate) fn missing(path: &str) -> ApiError {
    ApiError::bad_request(
        "InvalidParameter",
        format!("Required parameter '{path}' is missing (null)."),
    )
    .target(path)
}

/// The name has so many characters: letters of ASCII, digits and some others.
///
/// # Errors
/// `InvalidResourceName`
pub(crate) fn check_name(
    what: &str,
    name: &str,
    length: std::ops::RangeInclusive<usize>,
    others: &str,
) -> Result<(), ApiError> {
    let good = |c: char| c.is_ascii_alphanumeric() || others.contains(c);
    if length.contains(&name.len()) && name.chars().all(good) && !name.ends_with('.') {
        return Ok(());
    }
    Err(ApiError::bad_request(
        "InvalidResourceName",
        format!(
            "The name '{name}' of the {what} is invalid. It must have {} to {} characters: letters, digits and any of '{others}', and may not end in a period.",
            length.start(),
            length.end()
        ),
    )
    .target("name"))
}

/// Random bytes for keys and ids that nobody may guess.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], ApiError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(ApiError::internal)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn tags_are_texts() {
        assert_eq!(tags(&object(json!({}))).unwrap(), None);
        assert_eq!(tags(&object(json!({ "tags": null }))).unwrap(), None);
        let given = object(json!({ "tags": { "a": "b", "n": 1, "e": null } }));
        assert_eq!(tags(&given).unwrap(), Some(json!({ "a": "b", "n": "1", "e": "" })));
        for bad in [json!([]), json!({ "a": {} }), json!({ "a/b": "c" }), json!({ "": "c" })] {
            assert_eq!(tags(&object(json!({ "tags": bad }))).unwrap_err().code, "InvalidParameter");
        }
        let many: Map<_, _> = (0..51).map(|i| (i.to_string(), json!(""))).collect();
        assert_eq!(tags(&object(json!({ "tags": many }))).unwrap_err().code, "TooManyTags");
    }

    #[test]
    fn the_parent_of_a_key() {
        let group = "/subscriptions/s/resourcegroups/g";
        let image = format!("{group}/providers/microsoft.compute/images/i");
        assert_eq!(parent_key(&ResourceKey::of(&image)), None);
        let gallery = format!("{group}/providers/microsoft.compute/galleries/g");
        let definition = ResourceKey::of(&format!("{gallery}/images/d"));
        assert_eq!(parent_key(&definition), Some(ResourceKey::of(&gallery)));
    }

    #[test]
    fn names_are_checked() {
        assert!(check_name("gallery", "a_b.c", 1..=80, "_.").is_ok());
        for bad in ["", "a b", "a.", "ä", &"x".repeat(81)] {
            let error = check_name("gallery", bad, 1..=80, "_.").unwrap_err();
            assert_eq!(error.code, "InvalidResourceName");
        }
    }
}
