//! What most resource types do alike.

use serde_json::Value;

use crate::{
    App,
    arm::{ApiError, Call, Reply},
    store::{Resource, ResourceKey},
};

/// PATCH of `tags` alone: replaces them, answers 200 with the resource.
pub(crate) async fn patch_tags(
    _name: &str,
    _app: &App,
    _call: &Call,
    _key: ResourceKey,
) -> Result<Reply, ApiError> {
    Err(ApiError::internal("not written yet"))
}

/// Removes the resource and everything below it: 200, or 204 if there was none.
pub(crate) async fn delete(_app: &App, _call: &Call, _key: ResourceKey) -> Result<Reply, ApiError> {
    Err(ApiError::internal("not written yet"))
}

/// The body with `id`, `name` and `type` (`name` is the type's, such as `Microsoft.Compute/images`).
pub(crate) fn view(name: &str, resource: &Resource) -> Value {
    let mut body = resource.body.clone();
    body["id"] = Value::from(resource.id.clone());
    body["name"] = Value::from(resource.name.clone());
    body["type"] = Value::from(name);
    body
}
