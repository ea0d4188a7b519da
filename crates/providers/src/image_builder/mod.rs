//! `Microsoft.VirtualMachineImages`: image templates, their runs, run outputs and triggers.
//!
//! ```text
//! PUT    body ── check ── commit(template Creating, operation) ─ 201 ─→ provision: source, scripts, staging
//! run    commit(run Queued, operation, template) ─ 202 ─→ worker (elsewhere)
//! DELETE commit(template Deleting, operation) ─ 202 ─→ delete: children, staging group, template
//! ```
//!
//! A change of a run is written in one commit with its template, which [`record`] makes show the run. The
//! template is read *before* the run: its revision then guards both, so that a cancel and a step of the
//! worker cannot overwrite each other. [`state`] alone decides what is allowed when.
//!
//! [`reconcile`] (a trigger's source has a new version) and [`due`] (a schedule's time has come) begin the
//! runs that no request begins. `runs::trigger` calls both.

mod body;
mod check;
mod compatibility;
mod cron;
mod delete;
mod due;
mod effective_tags;
mod exact;
mod failure;
mod machine;
mod patch;
pub mod pin;
mod provision;
mod reconcile;
pub mod record;
mod replicated;
mod rights;
mod run;
pub mod runs;
mod schedules;
mod source;
pub mod staging;
pub mod state;
mod stored;
mod template;
mod triggers;
mod versions;
mod view;
mod watch;

use std::time::Duration;

use api::template::ApiVersion;
use arm::{
    Actions, ApiError, Call,
    operation::{self, Started},
    rows,
};
use db::{Operation, ResourceKey, Run, Write};
use futures_util::{
    FutureExt, StreamExt, TryStreamExt,
    future::{self, BoxFuture},
    stream,
};
use jiff::Timestamp;
use serde_json::Value;
use service::{App, tasks};

pub use self::{
    due::{check_schedules, reconcile_schedules},
    failure::Fault,
    reconcile::{reconcile_sources, run_ended},
    rights::confirm,
    versions::with_latest,
};
use self::{
    record::TemplateRecord,
    state::{Event, Illegal, State},
};
pub(crate) use self::{
    runs::{RUN_OUTPUTS, TEMPLATE_RUNS},
    schedules::{Schedules, retagged},
    template::ImageTemplates,
    triggers::Triggers,
};

/// The namespace of the types below. Its versions differ in meaning.
pub(crate) const NAMESPACE: &str = "Microsoft.VirtualMachineImages";
const TEMPLATE_ACTIONS: Actions =
    arm::actions!("Microsoft.VirtualMachineImages/imageTemplates", "run", "cancel");
const TEMPLATES: &str = TEMPLATE_ACTIONS.kind;
const TRIGGER_ACTIONS: Actions =
    arm::actions!("Microsoft.VirtualMachineImages/imageTemplates/triggers");
const TRIGGERS: &str = TRIGGER_ACTIONS.kind;
const TRIGGERS_KIND: &str = "microsoft.virtualmachineimages/imagetemplates/triggers";
const OUTPUT_ACTIONS: Actions =
    arm::actions!("Microsoft.VirtualMachineImages/imageTemplates/runOutputs");
const OUTPUTS: &str = OUTPUT_ACTIONS.kind;
const RUN_ACTIONS: Actions = arm::actions!("Microsoft.VirtualMachineImages/imageTemplates/runs");
const RUNS: &str = RUN_ACTIONS.kind;
const SCHEDULE_ACTIONS: Actions =
    arm::actions!("Microsoft.VirtualMachineImages/imageTemplates/schedules");
const SCHEDULES: &str = SCHEDULE_ACTIONS.kind;
const SCHEDULES_KIND: &str = "microsoft.virtualmachineimages/imagetemplates/schedules";
const GROUPS_KIND: &str = "microsoft.resources/resourcegroups";

/// Newest first, and a preview last: some clients take the first.
const API_VERSIONS: &[&str] = &[
    "2025-10-01",
    "2024-02-01",
    "2023-07-01",
    "2022-07-01",
    "2022-02-14",
    "2021-10-01",
    "2020-02-14",
    "2019-05-01-preview",
];

/// Kinds of operation, all of which [`resume`] can continue.
const PUT_TEMPLATE: &str = "putTemplate";
const PATCH_TEMPLATE: &str = "patchTemplate";
const DELETE_TEMPLATE: &str = "deleteTemplate";
const PUT_TRIGGER: &str = "putTrigger";
const DELETE_TRIGGER: &str = "deleteTrigger";
/// The operation of a run: the worker ends it.
pub const RUN: &str = "run";

/// Executes an operation of the image builder, also one that a restart interrupted. Returns whether it
/// was one: the worker ends those of kind [`RUN`].
pub async fn resume(app: App, operation: Operation) -> bool {
    let (app, own, kind) = (&app, &operation, operation.kind.as_str());
    match kind {
        PUT_TEMPLATE => until_done(app, kind, || provision::attempt(app, own)).await,
        PATCH_TEMPLATE => until_done(app, kind, || patch::finish(app, own)).await,
        DELETE_TEMPLATE => until_done(app, kind, || delete::finish(app, own)).await,
        PUT_TRIGGER => until_done(app, kind, || triggers::provision(app, own)).await,
        DELETE_TRIGGER => until_done(app, kind, || triggers::remove(app, own)).await,
        _ => return false,
    }
    true
}

/// Commits the beginning of an operation with `writes`, and executes it in the background.
async fn start(
    app: &App,
    call: &Call,
    (kind, region): (&'static str, &str),
    key: &ResourceKey,
    mut writes: Vec<Write>,
) -> Result<Started, ApiError> {
    let started = Started::in_region(call, NAMESPACE, kind, key.clone(), region);
    writes.push(Write::Operation(started.row.clone()));
    app.store().commit(writes).await?;
    tasks::spawn(app, kind, resume(app.clone(), started.row.clone()).map(drop));
    Ok(started)
}

/// The write that ends an operation.
fn ended(operation: &Operation, result: Result<(), Value>) -> Write {
    Write::Operation(operation::ended(operation.clone(), result))
}

/// The api-version of a call. The router has checked it.
fn version(call: &Call) -> ApiVersion {
    call.api_version.parse().unwrap_or(ApiVersion::LATEST)
}

impl From<Illegal> for ApiError {
    fn from(illegal: Illegal) -> Self {
        Self::conflict("OperationNotAllowed", illegal.to_string())
    }
}

/// Applies an event to a template: sets the `provisioningState` that follows from it.
fn advance(template: &mut TemplateRecord, run: Option<&Run>, event: Event) -> Result<(), Illegal> {
    let after = state::next(State::of(template, run), event)?;
    if let Some(name) = after.template.provisioning_state() {
        template.set_provisioning_state(name);
    }
    template.row.changed = Timestamp::now();
    Ok(())
}

/// The template, with its latest run.
async fn load(
    app: &App,
    call: &Call,
    key: &ResourceKey,
) -> Result<Option<(TemplateRecord, Option<Run>)>, ApiError> {
    let Some(row) = rows::find(app.context(), call, key).await? else { return Ok(None) };
    let template = TemplateRecord::of(row)?;
    let latest = app.store().recent_runs(key, 1).await?;
    let run = own(&template, &latest).cloned();
    Ok(Some((template, run)))
}

/// [`load`] for requests that need the template.
async fn load_existing(
    app: &App,
    call: &Call,
    key: &ResourceKey,
) -> Result<(TemplateRecord, Option<Run>), ApiError> {
    load(app, call, key).await?.ok_or_else(|| template_not_found(call))
}

/// The newest of `runs`, unless it belongs to an earlier template of the same name.
fn own<'r>(template: &TemplateRecord, runs: &'r [Run]) -> Option<&'r Run> {
    runs.first().filter(|run| run.queued >= template.row.created)
}

/// Whether the template's resource group stays. No run may begin in one that is being deleted.
async fn stays(app: &App, template: &TemplateRecord) -> Result<bool, db::Error> {
    let group: Vec<&str> = template.row.id.split('/').take(5).collect();
    let group = app.store().resource(&ResourceKey::of(&group.join("/"))).await?;
    Ok(group.is_some_and(|group| !staging::is_deleting(&group)))
}

/// How often background work is tried again when others are faster.
const ATTEMPTS: usize = 8;

/// Retries a bounded number of times while other requests are faster.
async fn while_stale<F>(mut attempt: impl FnMut() -> F) -> Result<(), db::Error>
where
    F: Future<Output = Result<(), db::Error>>,
{
    for _ in 0..ATTEMPTS {
        match attempt().await {
            Err(db::Error::Stale { .. }) => {}
            result => return result,
        }
    }
    Ok(())
}

/// Awaits all futures, a bounded number at once, so that requests get their turn at the database.
async fn side_by_side(
    count: usize,
    work: Vec<BoxFuture<'_, Result<(), db::Error>>>,
) -> Result<(), db::Error> {
    let work = stream::iter(work).buffer_unordered(count);
    work.try_for_each(|()| future::ready(Ok(()))).await
}

/// The name as `[A-Za-z0-9-_.]{1,64}`.
fn check_name(what: &str, name: &str) -> Result<(), ApiError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !name.is_empty() && name.len() <= 64 && name.chars().all(allowed) {
        return Ok(());
    }
    Err(ApiError::bad_request(
        "InvalidParameter",
        format!(
            "The name '{name}' of the {what} is not valid: a name is 1 to 64 letters, digits, '-', '_' or '.'."
        ),
    )
    .target("name"))
}

/// The nearest template above, and its name.
fn template_key(key: &ResourceKey) -> ResourceKey {
    let end = key.as_str().rmatch_indices('/').nth(1).map_or(key.as_str().len(), |(at, _)| at);
    ResourceKey::of(&key.as_str()[..end])
}

fn template_not_found(call: &Call) -> ApiError {
    let name = call.path.names().first().copied().unwrap_or_default();
    ApiError::not_found(TEMPLATES, name, call.path.scope.group().unwrap_or_default())
}

/// Retries background work until the database accepts it: almost at once after another writer's change,
/// with a growing pause after a failure of the database. It gives up only when the service ends:
/// a restart resumes the operation.
async fn until_done<F>(app: &App, what: &str, mut attempt: impl FnMut() -> F)
where
    F: Future<Output = Result<(), db::Error>>,
{
    const SHORTEST: Duration = Duration::from_millis(20);
    let mut pause = SHORTEST;
    loop {
        pause = match attempt().await {
            Ok(()) => return,
            Err(db::Error::Stale { .. }) => SHORTEST,
            Err(db::Error::NotOwner) => return,
            Err(error @ db::Error::Database(_)) => {
                let error = images::error::chain(&error);
                tracing::error!(work = what, %error, "the database failed; trying again");
                (pause * 2).min(Duration::from_secs(30))
            }
        };
        tokio::select! {
            () = app.shutdown().cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

#[cfg(test)]
mod tests;
