//! `imageTemplates/runOutputs`: what a run made, one per distributor. Written by the worker, read by
//! clients; there is none before the first run.

use arm::{Call, ResourceType};
use async_trait::async_trait;
use db::Resource;
use serde_json::Value;
use service::App;

use super::{API_VERSIONS, OUTPUTS, view};
use crate::compute::artifacts::BLOB;

/// Why nobody else writes what a run has left.
pub(super) const BY_RUNS: &str = "runs of the image template write it";

/// The resource type `imageTemplates/runOutputs`.
#[derive(Debug)]
pub(crate) struct RunOutputs;

#[async_trait]
impl ResourceType<App> for RunOutputs {
    fn name(&self) -> &'static str {
        OUTPUTS
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn api_versions(&self) -> &'static [&'static str] {
        API_VERSIONS
    }

    fn read_only(&self) -> Option<&'static str> {
        Some(BY_RUNS)
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
