//! `imageTemplates/runOutputs`: what a run made, one per distributor. Written by the worker, read by
//! clients; there is none before the first run.

use async_trait::async_trait;
use http::StatusCode;
use serde_json::Value;

use super::{API_VERSIONS, OUTPUTS, view};
use crate::{
    App,
    arm::{ApiError, Call, Reply, ResourceType},
    store::{Resource, ResourceKey},
};

/// Hidden in an output that is a blob of the staging account: its path in URLs of this server.
pub(crate) const BLOB: &str = "blob";

/// The resource type `imageTemplates/runOutputs`.
#[derive(Debug)]
pub(crate) struct RunOutputs;

#[async_trait]
impl ResourceType for RunOutputs {
    fn name(&self) -> &'static str {
        OUTPUTS
    }

    fn api_versions(&self) -> &'static [&'static str] {
        API_VERSIONS
    }

    async fn put(&self, _app: &App, call: &Call, _key: ResourceKey) -> Result<Reply, ApiError> {
        Err(read_only(call))
    }

    async fn patch(&self, _app: &App, call: &Call, _key: ResourceKey) -> Result<Reply, ApiError> {
        Err(read_only(call))
    }

    async fn delete(&self, _app: &App, call: &Call, _key: ResourceKey) -> Result<Reply, ApiError> {
        Err(read_only(call))
    }

    /// A blob of ours is at the address that the caller knows us by.
    fn view(&self, _app: &App, call: &Call, resource: &Resource) -> Value {
        let mut body = view::envelope(OUTPUTS, resource);
        if let Some(path) = resource.hidden[BLOB].as_str() {
            body["properties"]["artifactUri"] = Value::from(call.url(path));
        }
        body
    }
}

/// 405: only the service itself writes these.
pub(super) fn read_only(call: &Call) -> ApiError {
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "MethodNotAllowed",
        format!("'{}' can only be read: runs of the image template write it.", call.path.text),
    )
}
