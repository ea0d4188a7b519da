//! `lastRunStatus`: how a run shows in its template.

use serde_json::json;

use crate::store::{Resource, Run, RunState};

/// What stands for "not yet" in `endTime`.
const NOT_YET: &str = "0001-01-01T00:00:00Z";

/// The template with the run as its last one.
pub(crate) fn with_run(mut template: Resource, run: &Run) -> Resource {
    let state = match run.state {
        RunState::Queued | RunState::Running => "Running",
        RunState::Canceling => "Canceling",
        RunState::Succeeded => "Succeeded",
        RunState::PartiallySucceeded => "PartiallySucceeded",
        RunState::Failed => "Failed",
        RunState::Canceled => "Canceled",
    };
    let mut status = json!({
        "startTime": run.queued.to_string(),
        "endTime": run.ended.map_or_else(|| NOT_YET.to_owned(), |ended| ended.to_string()),
        "runState": state,
        "message": run.message,
    });
    if run.state == RunState::Canceling {
        status["message"] = json!("Canceling image build");
    } else if !run.sub_state.is_empty() {
        status["runSubState"] = json!(run.sub_state);
    }
    template.body["properties"]["lastRunStatus"] = status;
    template
}

/// Whether nothing more becomes of a run in this state.
pub(crate) fn is_over(state: RunState) -> bool {
    match state {
        RunState::Queued | RunState::Running | RunState::Canceling => false,
        RunState::Succeeded
        | RunState::PartiallySucceeded
        | RunState::Failed
        | RunState::Canceled => true,
    }
}
