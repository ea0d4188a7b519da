//! Submission and cancel of runs, and how a run shows in its template.

use api::ErrorCode;
use arm::{
    ApiError, Call, Reply,
    operation::{self, Started},
};
use db::{Cause, Operation, OperationStatus, Resource, ResourceKey, Run, RunState, Write};
use engine::vm_size;
use images::error::Error;
use jiff::Timestamp;
use serde_json::{Value, json};
use service::{App, app::changes, quotas};

use super::{RUN, load, template_not_found};
use crate::image_builder::{
    NAMESPACE,
    state::{self, Event, State},
};

/// How often a request looks again when another one was faster.
const ATTEMPTS: usize = 8;
/// What Azure shows of a run that is not over.
const NOT_ENDED: &str = "0001-01-01T00:00:00Z";

/// POST `run`: 202 once the run is on disk.
pub(super) async fn submit(app: &App, call: &Call, key: ResourceKey) -> Result<Reply, ApiError> {
    for _ in 0..ATTEMPTS {
        let Some((template, last)) = load(app, call, &key).await? else {
            return Err(template_not_found(call));
        };
        state::next(State::of(&template, last.as_ref()), Event::Run)?;
        quotas::waiting_run(app).await?.map_err(quotas::refused)?;
        let region = template.body["location"].as_str().unwrap_or_default().to_owned();
        let started = Started::in_region(call, NAMESPACE, RUN, key.clone(), &region);
        let run = new_run(&template, &started.row, Cause::Manual).map_err(|error| {
            ApiError::bad_request(error.code.name(), error.message)
                .target("properties.vmProfile.vmSize")
        })?;
        let template = with_run(template, &run);
        let writes = vec![
            Write::InsertRun(run),
            Write::Operation(started.row.clone()),
            Write::Replace(template),
        ];
        match app.store().commit(writes).await {
            Err(db::Error::Stale { .. }) => {}
            result => {
                result?;
                app.wake_worker();
                return Ok(started.accepted());
            }
        }
    }
    Err(busy())
}

/// POST `cancel`: 204. A run that waits is over at once; one at work is told to end, and is over when
/// everything it held is released. Without an active run there is nothing to do, which is no error;
/// a second cancel is refused, as by Azure.
pub(super) async fn cancel(app: &App, call: &Call, key: ResourceKey) -> Result<Reply, ApiError> {
    for _ in 0..ATTEMPTS {
        let Some((template, last)) = load(app, call, &key).await? else {
            return Err(template_not_found(call));
        };
        state::next(State::of(&template, last.as_ref()), Event::Cancel)?;
        let Some(mut run) = last.filter(|run| run.ended.is_none()) else {
            return Ok(Reply::empty(http::StatusCode::NO_CONTENT));
        };
        let mut writes = Vec::new();
        run.sub_state = String::new();
        if run.state == RunState::Queued {
            run.state = RunState::Canceled;
            run.ended = Some(Timestamp::now());
            "Image build was canceled before it began".clone_into(&mut run.message);
            if let Some(row) = app.store().operation(&run.operation).await? {
                writes.push(Write::Operation(canceled(row, &run.message)));
            }
        } else {
            run.state = RunState::Canceling;
            "Canceling image build".clone_into(&mut run.message);
        }
        writes.extend([Write::Replace(with_run(template, &run)), Write::ReplaceRun(run)]);
        match app.store().commit(writes).await {
            Err(db::Error::Stale { .. }) => {}
            result => {
                result?;
                app.wake_worker();
                app.changes().add(changes::Change::Template(key));
                return Ok(Reply::empty(http::StatusCode::NO_CONTENT));
            }
        }
    }
    Err(busy())
}

pub(super) fn busy() -> ApiError {
    ApiError::conflict(
        "Conflict",
        "The image template is being changed by other requests at the same time. Please retry.",
    )
}

/// The operation of a run that was canceled.
fn canceled(row: Operation, message: &str) -> Operation {
    let error = json!({ "code": ErrorCode::Canceled.name(), "message": message });
    Operation { status: OperationStatus::Canceled, ..operation::ended(row, Err(error)) }
}

/// A run that no request asked for, with its operation: to be written in one commit with the template
/// ([`with_run`]) as it was read, which then has no other run.
pub(super) fn by_itself(template: &Resource, cause: Cause) -> Result<(Operation, Run), Error> {
    let row = operation::new(RUN, template.key(), &template.subscription);
    let run = new_run(template, &row, cause)?;
    Ok((row, run))
}

fn new_run(template: &Resource, row: &Operation, cause: Cause) -> Result<Run, Error> {
    let size = template.body["properties"]["vmProfile"]["vmSize"].as_str().unwrap_or_default();
    let default = match template.hidden["generation"].as_i64() {
        Some(1) => vm_size::DEFAULT_GEN1,
        _ => vm_size::DEFAULT_GEN2,
    };
    let size = vm_size::find(if size.is_empty() { default } else { size })?;
    Ok(Run {
        id: images::new_run_id(),
        template: template.key(),
        subscription: template.subscription.clone(),
        operation: row.id.clone(),
        state: RunState::Queued,
        sub_state: "Queued".to_owned(),
        message: String::new(),
        queued: Timestamp::now(),
        ended: None,
        epoch: 0,
        vcpus: i64::from(size.vcpus),
        memory_mib: i64::try_from(size.memory_mib).unwrap_or(i64::MAX),
        input: input(template),
        cause,
        optimization: None,
        owner: None,
        crashes: 0,
        worked: std::time::Duration::ZERO,
    })
}

/// What a run is given: the template as it is now, with the api-version it is to be read under.
pub(super) fn input(template: &Resource) -> Value {
    let mut body = template.body.clone();
    body["apiVersion"] = template.hidden["apiVersion"].clone();
    if let Some(properties) = body["properties"].as_object_mut() {
        properties.remove("lastRunStatus");
    }
    body
}

/// The template as it is to be written together with the run.
pub fn with_run(mut template: Resource, run: &Run) -> Resource {
    template.body["properties"]["lastRunStatus"] = last_run_status(run);
    template.changed = Timestamp::now();
    template
}

/// `lastRunStatus`: a run that waits is one that runs; the part it is at is told only while it does.
fn last_run_status(run: &Run) -> Value {
    let state = match run.state {
        RunState::Queued | RunState::Running => RunState::Running,
        state => state,
    };
    let mut status = json!({
        "startTime": run.queued.to_string(),
        "endTime": run.ended.map_or_else(|| NOT_ENDED.to_owned(), |ended| ended.to_string()),
        "runState": state,
        "message": run.message,
    });
    let sub = match run.state {
        RunState::Queued => "Queued",
        RunState::Running => run.sub_state.as_str(),
        _ => "",
    };
    if !sub.is_empty() {
        status["runSubState"] = json!(sub);
    }
    status
}
