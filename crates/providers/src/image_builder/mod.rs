//! `Microsoft.VirtualMachineImages`: image templates, their runs, run outputs and triggers.
//!
//! ```text
//! PUT    body ── check ── commit(template Creating, operation) ─ 201 ─→ settle: source, scripts, staging
//! run    commit(run Queued, operation, template) ─ 202 ─→ worker (elsewhere) ─→ `run::with_run`
//! DELETE commit(template Deleting, operation) ─ 202 ─→ delete: children, staging group, template
//! ```
//!
//! Whoever changes a run writes the run and its template ([`with_run`]) in one commit, and reads the
//! template *before* the run: the template's revision then guards both, so that a cancel and a step of
//! the worker cannot overwrite each other. What is allowed when is said by `operation::state` alone.
//!
//! Runs that no request asks for are begun by [`look`] (a trigger's source has a new version) and by
//! [`due`] (a schedule's time has come), both called by `runs::trigger`.

mod agree;
mod body;
mod check;
mod cron;
mod delete;
mod due;
mod exact;
mod failure;
mod look;
mod machine;
mod outputs;
mod patch;
pub mod pin;
mod replicated;
mod run;
pub mod runs;
mod schedules;
mod settle;
mod source;
pub mod staging;
pub mod state;
mod template;
mod triggers;
mod versions;
mod view;
mod watch;

use std::time::Duration;

use api::template::ApiVersion;
use arm::{ApiError, Call, rows};
use db::{Operation, Resource, ResourceKey, Run};
use jiff::Timestamp;
use serde_json::json;
use service::App;

use self::state::{Event, Illegal, State};
pub use self::{
    due::{check_schedules, look_at_schedules},
    look::{look_at_sources, run_ended},
    run::with_run,
    versions::with_latest,
};
pub(crate) use self::{
    outputs::RunOutputs,
    runs::Runs,
    schedules::{Schedules, retagged},
    template::ImageTemplates,
    triggers::Triggers,
};

/// The namespace of the types below; each of its versions differs from the others in what it means.
pub(crate) const NAMESPACE: &str = "Microsoft.VirtualMachineImages";
const TEMPLATES: &str = "Microsoft.VirtualMachineImages/imageTemplates";
const TRIGGERS: &str = "Microsoft.VirtualMachineImages/imageTemplates/triggers";
const TRIGGERS_KIND: &str = "microsoft.virtualmachineimages/imagetemplates/triggers";
const OUTPUTS: &str = "Microsoft.VirtualMachineImages/imageTemplates/runOutputs";
const RUNS: &str = "Microsoft.VirtualMachineImages/imageTemplates/runs";
const SCHEDULES: &str = "Microsoft.VirtualMachineImages/imageTemplates/schedules";
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

/// Kinds of operation; [`resume`] knows how each goes on.
const PUT_TEMPLATE: &str = "putTemplate";
const PATCH_TEMPLATE: &str = "patchTemplate";
const DELETE_TEMPLATE: &str = "deleteTemplate";
const PUT_TRIGGER: &str = "putTrigger";
const DELETE_TRIGGER: &str = "deleteTrigger";
/// The operation of a run: the worker ends it.
pub const RUN: &str = "run";

/// Takes up an operation of the image builder that a restart interrupted. Whether it was one of
/// ours to take up: those of kind [`RUN`] are the worker's.
pub async fn resume(app: App, operation: Operation) -> bool {
    match operation.kind.as_str() {
        PUT_TEMPLATE => settle::settle(app, operation).await,
        PATCH_TEMPLATE => patch::finish(app, operation).await,
        DELETE_TEMPLATE => delete::finish(app, operation).await,
        PUT_TRIGGER => triggers::settle(app, operation).await,
        DELETE_TRIGGER => triggers::remove(app, operation).await,
        _ => return false,
    }
    true
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

/// Lets something happen to a template: its `provisioningState` is what comes of it.
fn advance(template: &mut Resource, run: Option<&Run>, event: Event) -> Result<(), Illegal> {
    let after = state::next(State::of(template, run), event)?;
    if let Some(name) = after.template.provisioning_state() {
        template.body["properties"]["provisioningState"] = json!(name);
    }
    template.changed = Timestamp::now();
    Ok(())
}

/// The template, with its latest run.
async fn load(
    app: &App,
    call: &Call,
    key: &ResourceKey,
) -> Result<Option<(Resource, Option<Run>)>, ApiError> {
    let Some(template) = rows::held(app.context(), call, key).await? else {
        return Ok(None);
    };
    let run = latest_run(app, &template).await?;
    Ok(Some((template, run)))
}

/// The latest run. One of an earlier template of the same name is none.
async fn latest_run(app: &App, template: &Resource) -> Result<Option<Run>, db::Error> {
    let latest = app.store().runs_of(&template.key(), 1).await?.pop();
    Ok(latest.filter(|run| run.queued >= template.created))
}

/// Whether the template's resource group is not being deleted: else no run may begin, by request or by
/// itself.
async fn stays(app: &App, template: &Resource) -> Result<bool, db::Error> {
    let group: Vec<&str> = template.id.split('/').take(5).collect();
    let group = app.store().resource(&ResourceKey::of(&group.join("/"))).await?;
    Ok(group.is_some_and(|group| group.body["properties"]["provisioningState"] != "Deleting"))
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

/// Does background work until the database takes it. Someone else's change makes it look again almost at
/// once, a database that fails with a growing pause. Given up only when the service ends: a restart
/// takes the operation up again.
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
