//! The schedule of a template.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::Record;

/// The hidden document of a schedule.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct ScheduleHidden {
    pub(crate) plan: Option<Plan>,
    /// Missing in rows of earlier releases.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) indexed: Option<Due>,
    /// What a later release has added.
    #[serde(flatten)]
    pub(crate) other: Map<String, Value>,
}

/// The database finds a schedule by this.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Due {
    due: Timestamp,
}

/// When a schedule is due.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// The tag it was made from.
    pub(crate) tag: String,
    /// The first time for which no run began.
    pub(crate) next: Timestamp,
}

/// A schedule.
pub(crate) type ScheduleRecord = Record<ScheduleHidden>;

impl ScheduleRecord {
    pub(crate) fn set_plan(&mut self, plan: Plan, now: Timestamp) {
        self.body["properties"]["nextRunTime"] = json!(plan.next.to_string());
        self.hidden.indexed = Some(Due { due: plan.next });
        self.hidden.plan = Some(plan);
        self.row.changed = now;
    }

    pub(crate) fn set_last_run(&mut self, run_id: &str, due: Timestamp, now: Timestamp) {
        self.body["properties"]["lastRun"] =
            json!({ "due": due.to_string(), "time": now.to_string(), "runId": run_id });
    }
}
