//! Triggers at work: what a trigger has seen of its source, the runs it begins, and what it tells.
//!
//! ```text
//! newer version ── template free ──→ commit(trigger: seen, template, run, operation)
//!      └── a run is active: nothing; its end wakes us, and the version is the newest by then
//! run over ──→ accounted once, by its id: failures, activity, message
//! ```
//!
//! A trigger that is off begins nothing, but goes on looking: what appears until a run succeeds is
//! covered by that run, what appears during it is not.

use engine::{error::Error, source::is_newer};
use futures_util::{FutureExt, future};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{TRIGGERS_KIND, run, settle::typed, source, stays, template_key};
use crate::{
    App,
    operation::state::{self, Event, State},
    providers::generic,
    store::{self, Cause, Operation, Resource, ResourceKey, Run, RunState, Write},
};

/// How often a trigger is looked at again at once when a request was faster.
const ATTEMPTS: usize = 8;
/// So many runs are taken into account at most: each end wakes us, and a template has one at a time.
const UNSEEN_RUNS: u32 = 5;
/// What follows in the message of a failed run is for its log's readers.
const LOG_POINTER: &str = "During the image build";
const ACTIVE: &str = "Trigger is active";

/// What a trigger knows, kept hidden with it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Watch {
    /// The highest version so far. None before the first look.
    seen: Option<String>,
    /// Its runs that failed since one of the template succeeded.
    failures: u32,
    /// Too many did.
    is_off: bool,
    /// Id of the newest run that has been taken into account.
    accounted: String,
    /// The last run that it began.
    last: Option<Begun>,
}

/// Why a trigger that is active begins no run.
#[derive(Debug)]
pub(super) struct Problem {
    what: &'static str,
    error: Error,
}

impl Problem {
    /// What comes of a look that found no source.
    pub(super) fn unknown_source(newest: Result<Option<String>, Error>) -> Option<Self> {
        newest.err().map(|error| Self { what: "The source cannot be looked up", error })
    }
}

/// A run that a trigger began.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Begun {
    run: String,
    version: String,
    /// None while it goes on.
    ended: Option<RunState>,
    message: String,
}

impl Watch {
    pub(super) fn of(trigger: &Resource) -> Self {
        // Of triggers that were made before they fired there is nothing.
        serde_json::from_value(trigger.hidden["watch"].clone()).unwrap_or_default()
    }

    /// Before the first look at a source: what is there is not new. Where the source cannot be looked
    /// up, what the template was created from is.
    pub(super) fn begin(&mut self, newest: &Result<Option<String>, Error>, template: &Resource) {
        if self.seen.is_none() {
            let exact = &template.body["properties"]["source"]["exactVersion"];
            self.seen = match newest {
                Ok(version) => version.clone(),
                Err(_) => exact.as_str().map(|version| short(version).to_owned()),
            };
        }
    }

    /// Takes a run that is over into account.
    fn account(&mut self, trigger: &str, run: &Run, limit: u32) {
        self.accounted.clone_from(&run.id);
        let is_own = matches!(&run.cause, Cause::Trigger { name, .. } if name == trigger);
        if let Some(last) = self.last.as_mut().filter(|last| is_own && last.run == run.id) {
            last.ended = Some(run.state);
            let text = run.message.split(LOG_POINTER).next().unwrap_or_default();
            text.trim().clone_into(&mut last.message);
        }
        match run.state {
            RunState::Succeeded => {
                self.failures = 0;
                self.is_off = false;
            }
            RunState::Failed | RunState::PartiallySucceeded if is_own => {
                self.failures = self.failures.saturating_add(1);
                self.is_off = self.is_off || self.failures >= limit;
            }
            // A run that somebody asked for and that failed says nothing about the trigger, nor does
            // one that somebody ended.
            RunState::Failed
            | RunState::PartiallySucceeded
            | RunState::Canceled
            | RunState::Queued
            | RunState::Running
            | RunState::Canceling => {}
        }
    }

    /// `code` and `message` of the status.
    fn status(&self, problem: Option<&Problem>) -> (String, String) {
        if self.is_off {
            let runs = match self.failures {
                1 => "a run that it began failed".to_owned(),
                count => format!("{count} runs in a row that it began failed"),
            };
            let why = self.last.as_ref().map_or_else(String::new, |last| {
                format!(
                    " The last was run {} for source version {}: {}",
                    last.run, last.version, last.message
                )
            });
            return (
                "Deactivated".to_owned(),
                format!(
                    "Trigger is deactivated: {runs}.{why} Mend what failed and run the image template: a run that succeeds activates the trigger again."
                ),
            );
        }
        if let Some(problem) = problem {
            let why = problem.error.message.trim_end_matches('.');
            let text = format!("{}: {why}. The trigger goes on looking.", problem.what);
            return (problem.error.code.name().to_owned(), text);
        }
        let told = self.last.as_ref().map_or_else(String::new, |last| {
            let how = match last.ended {
                None => "has begun".to_owned(),
                Some(state) => format!("ended as {state:?}"),
            };
            format!(". Run {} for source version {} {how}.", last.run, last.version)
        });
        ("Healthy".to_owned(), format!("{ACTIVE}{told}"))
    }

    /// Puts itself and the status into the trigger's row. Whether that changed anything.
    pub(super) fn put_into(
        &self,
        trigger: &mut Resource,
        problem: Option<&Problem>,
        now: Timestamp,
    ) -> bool {
        let (code, message) = self.status(problem);
        let old = &trigger.body["properties"]["status"];
        let is_new = old["code"] != json!(code) || old["message"] != json!(message);
        let hidden = json!(self);
        if !is_new && trigger.hidden["watch"] == hidden {
            return false;
        }
        trigger.hidden["watch"] = hidden;
        if is_new {
            trigger.body["properties"]["status"] =
                json!({ "code": code, "message": message, "time": now.to_string() });
        }
        trigger.changed = now;
        true
    }
}

/// The last part of a version's id.
fn short(version: &str) -> &str {
    version.rsplit('/').next().unwrap_or_default()
}

/// The version that the template's source stands for now; none is known of an image that is yet to be
/// bootstrapped.
pub(super) async fn newest(
    app: &App,
    template: &Resource,
) -> Result<Result<Option<String>, Error>, store::Error> {
    let typed = match typed(template) {
        Ok(typed) => typed,
        Err(failure) => {
            return Ok(Err(Error::new(api::ErrorCode::ValidationFailed, failure.message)));
        }
    };
    let exact = source::resolve(app, &typed).await?;
    Ok(exact.map(|exact| {
        let dated = exact.version.filter(|_| exact.is_dated);
        dated.map(|version| short(&version).to_owned())
    }))
}

/// Looks at every trigger, and begins the runs that are due.
///
/// # Errors
/// The database fails.
pub(crate) async fn look_at_sources(
    app: &App,
    failures: u32,
    now: Timestamp,
) -> Result<(), store::Error> {
    let triggers = generic::of_kind(app, TRIGGERS_KIND).await?;
    // Side by side: a region that does not answer keeps no other trigger waiting.
    let looks = triggers.iter().map(|trigger| look_until_done(app, trigger, failures, now).boxed());
    future::join_all(looks).await.into_iter().collect()
}

async fn look_until_done(
    app: &App,
    trigger: &Resource,
    failures: u32,
    now: Timestamp,
) -> Result<(), store::Error> {
    for _ in 0..ATTEMPTS {
        match look(app, &trigger.key(), failures, now).await {
            Err(store::Error::Stale { .. }) => {}
            looked => return looked,
        }
    }
    Ok(())
}

async fn look(
    app: &App,
    key: &ResourceKey,
    failures: u32,
    now: Timestamp,
) -> Result<(), store::Error> {
    // In this order: a run changes its template too, so that the template's revision guards it.
    let Some(template) = app.store().resource(&template_key(key)).await? else { return Ok(()) };
    let Some(mut trigger) = app.store().resource(key).await? else { return Ok(()) };
    if trigger.body["properties"]["provisioningState"] != "Succeeded" {
        return Ok(());
    }
    let runs = app.store().runs_of(&template.key(), UNSEEN_RUNS).await?;
    let mut watch = Watch::of(&trigger);
    for run in runs.iter().rev() {
        let is_new = run.queued >= trigger.created && run.id > watch.accounted;
        if is_new && run.ended.is_some() {
            watch.account(&trigger.name, run, failures);
        }
    }
    let newest = newest(app, &template).await?;
    watch.begin(&newest, &template);
    let latest = runs.first().filter(|run| run.queued >= template.created);
    let is_free = state::next(State::of(&template, latest), Event::Run).is_ok()
        && stays(app, &template).await?;
    let (mut begun, mut failed) = (None, None);
    if let (Ok(Some(version)), Some(seen)) = (&newest, &watch.seen)
        && is_free
        && is_newer(version, seen)
    {
        match begin(&mut watch, &template, &trigger, version) {
            Ok(run) => {
                begun = run;
                watch.seen = Some(version.clone());
            }
            Err(error) => failed = Some(Problem { what: "No run can be begun", error }),
        }
    }
    let problem = failed.or_else(|| Problem::unknown_source(newest));
    if watch.put_into(&mut trigger, problem.as_ref(), now) {
        write(app, template, trigger, begun).await?;
    }
    Ok(())
}

/// A run for that version, if the trigger is active.
fn begin(
    watch: &mut Watch,
    template: &Resource,
    trigger: &Resource,
    version: &str,
) -> Result<Option<(Operation, Run)>, Error> {
    if watch.is_off {
        return Ok(None);
    }
    let cause = Cause::Trigger { name: trigger.name.clone(), version: version.to_owned() };
    let (operation, run) = run::by_itself(template, cause)?;
    watch.last = Some(Begun {
        run: run.id.clone(),
        version: version.to_owned(),
        ended: None,
        message: String::new(),
    });
    Ok(Some((operation, run)))
}

async fn write(
    app: &App,
    template: Resource,
    trigger: Resource,
    begun: Option<(Operation, Run)>,
) -> Result<(), store::Error> {
    let id = trigger.id.clone();
    let mut writes = vec![Write::Replace(trigger)];
    let run = begun.as_ref().map(|(_, run)| run.id.clone());
    if let Some((operation, run)) = begun {
        writes.push(Write::Replace(run::with_run(template, &run)));
        writes.extend([Write::Operation(operation), Write::InsertRun(run)]);
    }
    app.store().commit(writes).await?;
    if let Some(run) = run {
        tracing::info!(trigger = %id, run, "the source has a new version: a run begins");
        app.wake_worker();
    }
    Ok(())
}
