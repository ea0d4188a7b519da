//! The rows of a deployment and of its operations.

use arm::{ApiError, is};
use db::{Deployment, DeploymentOperation, ResourceKey, Store};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{links::Links, manager::Client, place::TYPE, time};

/// The kind of the operation that [`resume`](crate::resume) continues.
pub const KIND: &str = "deployment";

/// What a deployment keeps beside what responses show.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Hidden {
    /// The id of the operation that clients poll.
    pub(crate) operation: String,
    pub(crate) client: Client,
    /// The place of the record, for deployments to the subscription.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) location: Option<String>,
    /// What `newGuid` is derived from.
    pub(crate) seed: String,
    /// What it links to.
    #[serde(default)]
    pub(crate) links: Links,
    /// Values of secure outputs.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub(crate) secure_outputs: Value,
    /// The deployment that this one replaces after its failure.
    #[serde(default)]
    pub(crate) is_rollback: bool,
    /// The deployment that contains this one, and the place of this one in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) parent: Option<Parent>,
}

/// A deployment that contains another, whose expressions are evaluated with the names of the outer one.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Parent {
    pub(crate) id: String,
    pub(crate) index: usize,
}

/// A deployment.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) row: Deployment,
    pub(crate) hidden: Hidden,
}

impl Record {
    /// Reads a row.
    pub(crate) fn of(row: Deployment) -> Result<Self, db::Error> {
        let hidden = serde_json::from_value(row.hidden.clone())?;
        Ok(Self { row, hidden })
    }

    pub(crate) async fn find(store: &Store, key: &ResourceKey) -> Result<Option<Self>, db::Error> {
        store.deployment(key).await?.map(Self::of).transpose()
    }

    pub(crate) fn key(&self) -> ResourceKey {
        self.row.key()
    }

    /// The row to write.
    pub(crate) fn into_row(self) -> Result<Deployment, db::Error> {
        Ok(Deployment { hidden: serde_json::to_value(self.hidden)?, ..self.row })
    }

    pub(crate) fn state(&self) -> &str {
        self.row.body["properties"]["provisioningState"].as_str().unwrap_or_default()
    }

    pub(crate) fn is_active(&self) -> bool {
        self.row.ended.is_none()
    }

    pub(crate) fn is_complete_mode(&self) -> bool {
        self.row.body["properties"]["mode"].as_str().is_some_and(|mode| is(mode, "Complete"))
    }

    /// Shows a state, from `now` on. A terminal one ends the deployment.
    pub(crate) fn set_state(&mut self, state: &str, now: Timestamp) {
        let properties = &mut self.row.body["properties"];
        properties["provisioningState"] = json!(state);
        properties["timestamp"] = json!(time::instant(now));
        properties["duration"] = json!(time::duration(self.row.started, now));
        if is_terminal(state) {
            self.row.ended = Some(now);
        }
    }

    /// What responses show.
    pub(crate) fn view(&self) -> Value {
        let mut body = self.row.body.clone();
        body["id"] = json!(self.row.id);
        body["name"] = json!(self.row.name);
        body["type"] = json!(TYPE);
        if let Some(location) = &self.hidden.location {
            body["location"] = json!(location);
        }
        if self.is_active() {
            let now = Timestamp::now();
            body["properties"]["duration"] = json!(time::duration(self.row.started, now));
        }
        body
    }
}

/// Whether a resource or a deployment stays in that state.
pub(crate) fn is_terminal(state: &str) -> bool {
    ["Succeeded", "Failed", "Canceled"].iter().any(|end| is(end, state))
}

/// What a deployment did to one resource.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) row: DeploymentOperation,
}

/// What a step keeps beside what responses show.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StepHidden {
    /// The place of the resource in the plan.
    #[serde(default)]
    pub(crate) index: Option<usize>,
    /// When it was recorded that the write begins.
    pub(crate) begun: Timestamp,
}

impl Step {
    /// A step that begins now. The same step of the same deployment has the same id.
    pub(crate) fn begin(
        deployment: &ResourceKey,
        number: i64,
        what: &str,
        index: Option<usize>,
        target: Option<Value>,
    ) -> Self {
        let begun = Timestamp::now();
        let about = target.as_ref().and_then(|target| target["id"].as_str()).unwrap_or_default();
        let mut body = json!({
            "provisioningOperation": what,
            "provisioningState": "Running",
            "timestamp": time::instant(begun),
            "duration": "PT0S",
            "trackingId": uuid::Uuid::new_v4().to_string(),
        });
        if let Some(target) = target.clone() {
            body["targetResource"] = target;
        }
        let hidden = StepHidden { index, begun };
        let hidden = serde_json::to_value(hidden).unwrap_or_default();
        let row = DeploymentOperation {
            deployment: deployment.clone(),
            id: step_id(&format!("{what} {number} {about}")),
            number,
            body,
            hidden,
        };
        Self { row }
    }

    pub(crate) fn hidden(&self) -> Result<StepHidden, ApiError> {
        serde_json::from_value(self.row.hidden.clone()).map_err(ApiError::internal)
    }

    pub(crate) fn state(&self) -> &str {
        self.row.body["provisioningState"].as_str().unwrap_or_default()
    }

    /// The step after its end. `message` is a status message: `{error}`, or nothing.
    pub(crate) fn end(&mut self, state: &str, status: &str, message: Option<Value>) {
        let begun = self.hidden().map_or_else(|_| Timestamp::now(), |hidden| hidden.begun);
        let now = Timestamp::now();
        let body = &mut self.row.body;
        body["provisioningState"] = json!(state);
        body["timestamp"] = json!(time::instant(now));
        body["duration"] = json!(time::duration(begun, now));
        body["serviceRequestId"] = json!(uuid::Uuid::new_v4().to_string());
        body["statusCode"] = json!(status);
        if let Some(message) = message {
            body["statusMessage"] = message;
        }
    }

    /// What responses show.
    pub(crate) fn view(&self, deployment: &str) -> Value {
        json!({
            "id": format!("{deployment}/operations/{}", self.row.id),
            "operationId": self.row.id,
            "properties": self.row.body,
        })
    }
}

/// Sixteen hexadecimal digits that stand for a step.
fn step_id(about: &str) -> String {
    use sha2::{Digest, Sha256};
    hex::encode_upper(&Sha256::digest(about.to_lowercase())[..8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn step_of_a_resource_keeps_its_id() {
        let key = ResourceKey::of("/d");
        let step = |id: &str| Step::begin(&key, 3, "Create", Some(2), Some(json!({ "id": id })));
        let (one, same, other) = (step("/A/b"), step("/a/B"), step("/a/c"));
        assert_eq!(one.row.id, same.row.id);
        assert_ne!(one.row.id, other.row.id);
        assert_eq!(one.row.id.len(), 16);
        assert_eq!(one.hidden().unwrap().index, Some(2));
    }
}
