//! Submission and cancel of runs.

use api::ErrorCode;
use arm::{
    ApiError, Call, Reply,
    operation::{self, Started},
};
use db::{Cause, Operation, OperationStatus, ResourceKey, Run, RunState, Write};
use engine::vm_size;
use images::error::Error;
use jiff::Timestamp;
use serde_json::json;
use service::{App, app::changes, quotas};

use super::{
    RUN, TEMPLATE_ACTIONS, load_existing,
    record::TemplateRecord,
    state::{self, Event, State},
};
use crate::image_builder::NAMESPACE;

/// POST `run`: 202 once the run is on disk.
pub(super) async fn submit(app: &App, call: &Call, key: &ResourceKey) -> Result<Reply, ApiError> {
    let (template, last) = load_existing(app, call, key).await?;
    state::next(State::of(&template, last.as_ref()), Event::Run)?;
    quotas::waiting_run(app).await?.map_err(quotas::to_api_error)?;
    let started = Started::in_region(call, NAMESPACE, RUN, key.clone(), template.location());
    let run = with_operation(&template, &started.row, Cause::Manual).map_err(|error| {
        ApiError::bad_request(error.code.name(), error.message)
            .target("properties.vmProfile.vmSize")
    })?;
    app.store().commit(begin(template, started.row.clone(), run).into()).await?;
    app.wake_worker();
    Ok(started.accepted())
}

/// POST `cancel`: 204. A queued run ends at once, an active one when all of its resources are released.
/// A cancel without an active run succeeds and does nothing; a second cancel is refused, as by Azure.
pub(super) async fn cancel(app: &App, call: &Call, key: &ResourceKey) -> Result<Reply, ApiError> {
    let (mut template, last) = load_existing(app, call, key).await?;
    state::next(State::of(&template, last.as_ref()), Event::Cancel)?;
    let done = Reply::empty(http::StatusCode::NO_CONTENT);
    let Some(mut run) = last.filter(|run| run.ended.is_none()) else { return Ok(done) };
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
    template.show_run(&run);
    writes.extend([template.replace(), Write::ReplaceRun(run)]);
    app.store().commit(writes).await?;
    app.wake_worker();
    app.changes().add(changes::Change::Template(key.clone()));
    Ok(done)
}

/// The operation of a run that was canceled.
fn canceled(row: Operation, message: &str) -> Operation {
    let error = json!({ "code": ErrorCode::Canceled.name(), "message": message });
    Operation { status: OperationStatus::Canceled, ..operation::ended(row, Err(error)) }
}

/// A run that no request began, with its operation.
pub(super) fn new(template: &TemplateRecord, cause: Cause) -> Result<(Operation, Run), Error> {
    let mut row = operation::new(RUN, template.key(), &template.row.subscription);
    let action = TEMPLATE_ACTIONS.verbs[0].action;
    let origin = operation::Origin::of_service(action, &template.row.id, &cause_text(&cause));
    row.origin = origin.to_json();
    let run = with_operation(template, &row, cause)?;
    Ok((row, run))
}

/// For the activity log.
fn cause_text(cause: &Cause) -> String {
    match cause {
        Cause::Manual => String::new(),
        Cause::AutoRun => "autoRun of the template".to_owned(),
        Cause::Trigger { name, version } => format!("trigger '{name}': version {version}"),
        Cause::Schedule { due } => format!("schedule, due {due}"),
    }
}

/// The writes by which the run begins.
pub(super) fn begin(mut template: TemplateRecord, row: Operation, run: Run) -> [Write; 3] {
    template.show_run(&run);
    [Write::InsertRun(run), Write::Operation(row), template.replace()]
}

fn with_operation(template: &TemplateRecord, row: &Operation, cause: Cause) -> Result<Run, Error> {
    // The run reports why its template cannot be read.
    let typed = template.template().ok();
    let profile = typed.as_ref().and_then(|typed| typed.properties.vm_profile.as_ref());
    let size = profile.and_then(|profile| profile.vm_size.as_deref());
    let default = match template.hidden.generation {
        Some(1) => vm_size::DEFAULT_GEN1,
        _ => vm_size::DEFAULT_GEN2,
    };
    let size = vm_size::find(size.filter(|size| !size.is_empty()).unwrap_or(default))?;
    Ok(Run {
        id: images::new_run_id(),
        template: template.key(),
        subscription: template.row.subscription.clone(),
        operation: row.id.clone(),
        state: RunState::Queued,
        sub_state: "Queued".to_owned(),
        message: String::new(),
        queued: Timestamp::now(),
        ended: None,
        epoch: 0,
        vcpus: i64::from(size.vcpus),
        memory_mib: i64::try_from(size.memory_mib).unwrap_or(i64::MAX),
        input: template.run_input(),
        cause,
        optimization: None,
        owner: None,
        crashes: 0,
        worked: std::time::Duration::ZERO,
    })
}
