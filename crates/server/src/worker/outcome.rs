//! From how a build ended to what is written: state, message, operation, outputs.

use api::{ErrorCode, template::Template};
use engine::error::Error;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{artifacts, executor::Ended, local};
use crate::{
    App, operation,
    store::{self, OperationStatus, Run, RunState, Write},
};

/// Ends a run. Returns what is to be written beside its row.
pub(crate) async fn end(
    app: &App,
    run: &mut Run,
    ended: &Ended,
) -> Result<Vec<Write>, store::Error> {
    let (state, error) = judge(app, run, ended);
    run.state = state;
    run.sub_state = String::new();
    run.ended = Some(Timestamp::now());
    run.message = error
        .as_ref()
        .map_or_else(String::new, |error| error["message"].as_str().unwrap_or_default().to_owned());
    let mut writes = Vec::new();
    if let Some(row) = app.store().operation(&run.operation).await? {
        writes.push(Write::Operation(operation_row(row, state, error)));
    }
    let template: Option<Template> = local::parse(&run.input).ok();
    if let Some(template) = template.filter(|_| !ended.outputs.is_empty()) {
        writes.extend(artifacts::writes(app, run, &template, &ended.outputs).await?);
    }
    Ok(writes)
}

fn operation_row(row: store::Operation, state: RunState, error: Option<Value>) -> store::Operation {
    let mut row = operation::ended(row, error.map_or(Ok(()), Err));
    if state == RunState::Canceled {
        row.status = OperationStatus::Canceled;
    }
    row
}

/// The state, and `{code, message}` unless all is done.
fn judge(app: &App, run: &Run, ended: &Ended) -> (RunState, Option<Value>) {
    let canceled = ended.error.as_ref().is_some_and(|e| e.code == ErrorCode::Canceled);
    // Who was told that the run ends does not find it succeeded, though all may have been delivered.
    if canceled || run.state == RunState::Canceling {
        let error = json!({ "code": "Canceled", "message": "The run was canceled." });
        return (RunState::Canceled, Some(error));
    }
    let Some(error) = &ended.error else { return (RunState::Succeeded, None) };
    let state = if error.code == ErrorCode::DistributeFailed && !ended.outputs.is_empty() {
        RunState::PartiallySucceeded
    } else {
        RunState::Failed
    };
    let message = message(app, run, error);
    (state, Some(json!({ "code": error.code.name(), "message": message })))
}

/// What the reader of `lastRunStatus` is told: what happened, and where to read on.
fn message(app: &App, run: &Run, error: &Error) -> String {
    let step = error.step.as_deref().map_or_else(String::new, |step| format!(" (step {step})"));
    let hint = error.hint.as_deref().map_or_else(String::new, |hint| format!(" {hint}."));
    let what = match error.code {
        ErrorCode::BuildTimeout => format!(
            "Failed while waiting for packerizer: Timeout waiting for microservice to complete: \
             'context deadline exceeded'. {}{step}.{hint}",
            error.message
        ),
        _ => format!("{}{step}.{hint}", error.message),
    };
    // What the first error hides: the other mistakes, or the last lines of the guest.
    let also: String = error
        .details
        .iter()
        .filter(|line| line.starts_with("also: ") || line.starts_with("published: "))
        .map(|line| format!(" {line}."))
        .collect();
    format!("{what}{also} {}", pointer(app, run))
}

/// Where the log is, in the words that tools look for.
pub(crate) fn pointer(app: &App, run: &Run) -> String {
    let base = app.base_url().unwrap_or_default();
    format!(
        "During the image build, a failure has occurred, please review the build log to identify which build/customization \
         step failed. Image Build log location: {base}{}/runs/{}/log. OperationId: {}. Use this \
         operationId to search packer log.",
        run.template, run.id, run.operation
    )
}
