//! The resource types that are served: one file each, and its line in `providers`.

use async_trait::async_trait;
use db::{Resource, ResourceKey};

use super::{ApiError, Call, Reply};
use crate::{App, providers};

/// A type of resource. The defaults do what most types need: read, list, PATCH of tags, deletion with
/// all children.
#[async_trait]
pub trait ResourceType: Send + Sync {
    /// Namespace and types, such as `Microsoft.Compute/galleries/images`.
    fn name(&self) -> &'static str;

    /// The api-versions that are honoured, newest first; each must be read by a client as it stands.
    fn api_versions(&self) -> &'static [&'static str];

    /// Why clients only read them, as the end of a sentence. `None`: they may write.
    fn read_only(&self) -> Option<&'static str> {
        None
    }

    /// Creates or replaces.
    async fn put(&self, _app: &App, call: &Call, _key: ResourceKey) -> Result<Reply, ApiError> {
        Err(self.read_only().map_or_else(
            || ApiError::method_not_allowed(call),
            |why| ApiError::read_only(call, why),
        ))
    }

    /// Reads one that is not a stored resource. `None`: it is in the store, if anywhere.
    async fn get(
        &self,
        _app: &App,
        _call: &Call,
        _key: &ResourceKey,
    ) -> Result<Option<Reply>, ApiError> {
        Ok(None)
    }

    /// Lists what are no stored resources, below `parent`. `None`: they are in the store, if anywhere.
    async fn list(
        &self,
        _app: &App,
        _call: &Call,
        _parent: &ResourceKey,
    ) -> Result<Option<Reply>, ApiError> {
        Ok(None)
    }

    /// Changes some fields.
    async fn patch(&self, app: &App, call: &Call, key: ResourceKey) -> Result<Reply, ApiError> {
        if let Some(why) = self.read_only() {
            return Err(ApiError::read_only(call, why));
        }
        providers::generic::patch_tags(self.name(), app, call, key).await
    }

    /// Removes it with everything in it.
    async fn delete(&self, app: &App, call: &Call, key: ResourceKey) -> Result<Reply, ApiError> {
        if let Some(why) = self.read_only() {
            return Err(ApiError::read_only(call, why));
        }
        providers::generic::delete(app, call, key).await
    }

    /// An action such as `run`, in lower case.
    async fn action(
        &self,
        _app: &App,
        call: &Call,
        _key: ResourceKey,
        action: &str,
    ) -> Result<Reply, ApiError> {
        Err(ApiError::new(
            http::StatusCode::NOT_FOUND,
            "ResourceNotFound",
            format!("There is no action '{action}' at '{}'.", call.path.text),
        ))
    }

    /// The resource as the caller's api-version sees it.
    fn view(&self, _app: &App, _call: &Call, resource: &Resource) -> serde_json::Value {
        providers::generic::view(self.name(), resource)
    }
}

/// The type of that namespace and those types (`galleries/images`), whatever the case.
pub fn find(namespace: &str, types: &str) -> Option<&'static dyn ResourceType> {
    let wanted = format!("{namespace}/{types}");
    providers::TYPES.iter().copied().find(|kind| kind.name().eq_ignore_ascii_case(&wanted))
}
