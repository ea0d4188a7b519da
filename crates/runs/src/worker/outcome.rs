//! The writes that follow from a build's end: state, message, operation, outputs.

use api::ErrorCode;
use arm::operation;
use db::{OperationStatus, Run, RunState, Write};
use images::{
    error::Error,
    step::{CUSTOMIZATION_LOG, Phase, VALIDATION_LOG},
};
use jiff::Timestamp;
use providers::{
    compute::artifacts,
    image_builder::{
        record::{RunInput, TemplateRecord},
        staging,
        state::{Event, LastRun, RunOutcome, next_of_run},
    },
};
use serde_json::{Value, json};
use service::{App, blobs};

use super::{executor::Ended, machines};

/// Ends a run and its operation. Returns the writes beside its row.
pub(crate) async fn end(
    app: &App,
    run: &mut Run,
    template: Option<&TemplateRecord>,
    input: Option<&RunInput>,
    ended: &Ended,
) -> Result<Vec<Write>, db::Error> {
    let base = app.base_url().unwrap_or_default();
    let log = match staging::account(app, template).await? {
        Some(account) => {
            let (name, id) = (account.name, &run.id);
            format!("{base}/storage/{name}/{}/{id}/{CUSTOMIZATION_LOG}", blobs::LOGS)
        }
        None => format!("{base}{}/runs/{}/log", run.template, run.id),
    };
    let (state, error) = classify(&log, run, ended);
    run.state = state;
    run.sub_state = String::new();
    run.ended = Some(Timestamp::now());
    run.optimization = ended.optimization.as_ref().map(|figures| json!(figures));
    run.message = error
        .as_ref()
        .map_or_else(String::new, |error| error["message"].as_str().unwrap_or_default().to_owned());
    let mut writes = Vec::new();
    if let Some(row) = app.store().operation(&run.operation).await? {
        let mut row = operation::ended(row, error.map_or(Ok(()), Err));
        if state == RunState::Canceled {
            row.status = OperationStatus::Canceled;
        }
        writes.push(Write::Operation(row));
    }
    if let Some(input) = input {
        let owner = template.map(|template| &template.row);
        let made = artifacts::writes(app, &run.id, owner, &input.template, &ended.outputs).await?;
        writes.extend(made);
        writes.extend(machines::removal(app, &run.id, input).await?);
    }
    Ok(writes)
}

/// The state, and `{code, message}` unless all is done.
fn classify(log: &str, run: &Run, ended: &Ended) -> (RunState, Option<Value>) {
    let end = match &ended.error {
        None => RunOutcome::Succeeded,
        Some(error) if error.code == ErrorCode::Canceled => RunOutcome::Canceled,
        Some(error) if is_distributing(error) && !ended.outputs.is_empty() => {
            RunOutcome::PartiallySucceeded
        }
        Some(_) => RunOutcome::Failed,
    };
    // A run that was to be canceled never reports success, though all may have been delivered.
    let state = match next_of_run(run, Event::End(end)) {
        Ok(LastRun::Over(outcome)) => outcome.run_state(),
        Ok(_) | Err(_) => end.run_state(),
    };
    if state == RunState::Canceled {
        let error = json!({ "code": "Canceled", "message": "The run was canceled." });
        return (RunState::Canceled, Some(error));
    }
    let Some(error) = &ended.error else { return (state, None) };
    let message = message(log, run, error);
    (state, Some(json!({ "code": error.code.name(), "message": message })))
}

/// Whether it failed at a target, for any reason.
fn is_distributing(error: &Error) -> bool {
    error.step.as_deref().and_then(Phase::of) == Some(Phase::Distributing)
}

/// The message of `lastRunStatus`: what happened, and where to read on.
fn message(log: &str, run: &Run, error: &Error) -> String {
    let step = error.step.as_deref().map_or_else(String::new, |step| format!(" (step {step})"));
    // A command for a local build does not help the reader here.
    let hint = error.hint.as_deref().filter(|hint| !hint.starts_with("goldsmith "));
    let hint = hint.map_or_else(String::new, |hint| format!(" {hint}."));
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
    let validated = error.step.as_deref().and_then(Phase::of) == Some(Phase::Validating);
    let validation = match validated {
        true => format!(" Validation log location: {}.", validation_log(log)),
        false => String::new(),
    };
    format!("{what}{also}{validation} {}", pointer(log, run))
}

/// Where the log is, in the words that tools search for.
fn pointer(log: &str, run: &Run) -> String {
    format!(
        "During the image build, a failure has occurred, please review the build log to identify which build/customization \
         step failed. Image Build log location: {log}. OperationId: {}. Use this \
         operationId to search packer log.",
        run.operation
    )
}

/// The validators' log, which is beside the other one.
fn validation_log(log: &str) -> String {
    match log.strip_suffix(CUSTOMIZATION_LOG) {
        Some(folder) => format!("{folder}{VALIDATION_LOG}"),
        None => format!("{log}s/{VALIDATION_LOG}"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn run(state: RunState) -> Run {
        Run {
            id: "run".into(),
            template: db::ResourceKey::of("/t"),
            subscription: "s".into(),
            operation: "op".into(),
            state,
            sub_state: String::new(),
            message: String::new(),
            queued: Timestamp::UNIX_EPOCH,
            ended: None,
            epoch: 1,
            vcpus: 1,
            memory_mib: 1,
            input: Value::Null,
            cause: db::Cause::Manual,
            optimization: None,
            owner: None,
            crashes: 0,
            worked: std::time::Duration::ZERO,
        }
    }

    fn failed(code: ErrorCode) -> Ended {
        Ended::failed(Error::new(code, "it happened").hint("do this"))
    }

    // conformance: 99
    #[test]
    fn build_timeout_is_reported_in_azures_words() {
        let (state, error) =
            classify("", &run(RunState::Running), &failed(ErrorCode::BuildTimeout));
        assert_eq!(state, RunState::Failed);
        let message = error.unwrap()["message"].as_str().unwrap().to_owned();
        assert!(message.starts_with("Failed while waiting for packerizer: Timeout waiting for microservice to complete: 'context deadline exceeded'"), "{message}");
        assert!(message.contains("it happened. do this."), "{message}");
    }

    #[test]
    fn canceling_run_ends_as_canceled_whatever_the_build_returns() {
        let done = Ended { outputs: Vec::new(), optimization: None, error: None };
        assert_eq!(classify("", &run(RunState::Running), &done).0, RunState::Succeeded);
        for ended in [done, failed(ErrorCode::GuestStopped), failed(ErrorCode::Canceled)] {
            assert_eq!(classify("", &run(RunState::Canceling), &ended).0, RunState::Canceled);
        }
    }
}
