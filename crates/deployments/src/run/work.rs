//! One step of a deployment, before and after.

use std::sync::Arc;

use arm::ApiError;
use arm_template::Plan;
use db::ResourceKey;
use http::StatusCode;
use jiff::Timestamp;
use serde_json::Value;

use crate::{manager::Requests, request::Debug};

/// The work of one step.
pub(super) struct Work {
    pub(super) requests: Requests,
    pub(super) plan: Arc<Plan>,
    /// The id of the deployment.
    pub(super) deployment: String,
    /// The revision of the deployment's row while it is this task's.
    pub(super) revision: i64,
    pub(super) is_rollback: bool,
    /// The place of the resource in the plan.
    pub(super) index: usize,
    /// When the intent was recorded.
    pub(super) begun: Timestamp,
    /// Whether an earlier process may have written the resource already.
    pub(super) is_resumed: bool,
    pub(super) debug: Debug,
}

impl Work {
    /// What a commit checks so that it writes nothing for a deployment that another request ended.
    pub(super) fn fence(&self) -> (ResourceKey, i64) {
        (ResourceKey::of(&self.deployment), self.revision)
    }

    /// Refuses to go on with a deployment that another request ended or removed.
    pub(super) async fn check_active(&self) -> Result<(), ApiError> {
        let (key, revision) = self.fence();
        let row = self.requests.app().store().deployment(&key).await?;
        if row.is_some_and(|row| row.revision == revision) {
            return Ok(());
        }
        Err(ApiError::conflict(
            "DeploymentCanceled",
            "The deployment was ended by another request.",
        ))
    }
}

/// A step that ended.
pub(super) struct Ended {
    pub(super) index: usize,
    /// Nothing, or the error in ARM's shape.
    pub(super) result: Result<(), Value>,
    /// `OK`, `Created`, `Conflict`, …
    pub(super) status: String,
    pub(super) request: Option<Value>,
    pub(super) response: Option<Value>,
}

/// How a resource failed.
pub(super) enum Failure {
    /// The service refused it, or its expressions are wrong.
    Refused(ApiError),
    /// It was accepted, and then failed.
    Later(Value),
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self::Refused(error)
    }
}

/// What a successful step shows.
#[derive(Default)]
pub(super) struct Shown {
    pub(super) status: StatusCode,
    pub(super) request: Option<Value>,
    pub(super) response: Option<Value>,
}
