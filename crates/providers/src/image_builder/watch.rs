//! The state of a trigger: the versions it has seen, how its runs ended, and its status.
//! [`reconcile`](super::reconcile) updates it.
//!
//! ```text
//! newer version ── template free ──→ commit(trigger: seen, template, run, operation)
//!      └── a run is active: nothing; its end wakes the task, and the version is the newest by then
//! run over ──→ accounted once, by its id: failures, activity, message
//! ```
//!
//! A deactivated trigger begins no run, but still follows its source: a run that succeeds covers the
//! versions that appeared before it began, and none that appears during it.

use api::ErrorCode;
use db::{Cause, Resource, Run, RunState};
use images::error::Error;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sources::is_newer;

use super::record::{Record, TemplateRecord};

/// Marks the part of a failed run's message that leads to its log.
const LOG_POINTER: &str = "During the image build";
const ACTIVE: &str = "Trigger is active";

/// A trigger.
pub(super) type TriggerRecord = Record<TriggerHidden>;

/// The hidden document of a trigger.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct TriggerHidden {
    pub(super) watch: Watch,
    /// Missing in rows of earlier releases.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) indexed: Option<Index>,
    /// What a later release has added.
    #[serde(flatten)]
    pub(super) other: Map<String, Value>,
}

/// The database finds a trigger by this.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Index {
    /// The source of its template.
    pub(super) follows: Option<String>,
    /// The region of its template.
    pub(super) region: Option<String>,
}

/// The state of a trigger.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Watch {
    /// The highest version so far. None before the first reconciliation.
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

/// What a source stands for now: a version, if one is known.
pub(super) type Newest = Result<Option<String>, Error>;

/// Why a trigger that is active begins no run.
#[derive(Debug)]
pub(super) struct Problem {
    what: &'static str,
    code: ErrorCode,
    message: String,
}

impl Problem {
    /// The problem of a reconciliation that found no source.
    pub(super) fn unknown_source(newest: &Newest) -> Option<Self> {
        newest.as_ref().err().map(|error| Self::new("The source cannot be looked up", error))
    }

    /// The problem that no run begins although there is a newer version.
    pub(super) fn no_run(error: &Error) -> Self {
        Self::new("No run can be begun", error)
    }

    fn new(what: &'static str, error: &Error) -> Self {
        Self { what, code: error.code, message: error.message.clone() }
    }
}

/// A run that a trigger began.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Begun {
    run: String,
    version: String,
    /// None while it is active.
    ended: Option<RunState>,
    message: String,
}

impl Watch {
    /// Before the first reconciliation: the present version is not new. If the source cannot be looked
    /// up, the version from which the template was created is not.
    pub(super) fn begin(&mut self, newest: &Newest, template: &TemplateRecord) {
        if self.seen.is_none() {
            self.seen = match newest {
                Ok(version) => version.clone(),
                Err(_) => template.exact_version().map(|version| short(version).to_owned()),
            };
        }
    }

    /// Accounts for ended runs, each once; `runs` has the newest first.
    pub(super) fn account_all(&mut self, trigger: &Resource, runs: &[Run], limit: u32) {
        for run in runs.iter().rev() {
            let is_new = run.queued >= trigger.created && run.id > self.accounted;
            if is_new && run.ended.is_some() {
                self.account(&trigger.name, run, limit);
            }
        }
    }

    /// Whether that is newer than the seen version. An unknown version is not newer.
    pub(super) fn is_news(&self, newest: &Newest) -> bool {
        matches!((newest, &self.seen), (Ok(Some(version)), Some(seen)) if is_newer(version, seen))
    }

    /// Whether a reconciliation would change a trigger whose ended runs were accounted for: only then the
    /// service reads its template and runs.
    pub(super) fn would_change(trigger: &TriggerRecord, newest: &Newest) -> bool {
        let watch = &trigger.hidden.watch;
        let is_first = watch.seen.is_none() && !matches!(newest, Ok(None));
        let (code, message) = watch.status(Problem::unknown_source(newest).as_ref());
        is_first || watch.is_news(newest) || !trigger.has_status(&code, &message)
    }

    /// The version has been acted upon: by a run, or by none if the trigger is off.
    pub(super) fn act_upon(&mut self, version: &str, run: Option<&Run>) {
        self.seen = Some(version.to_owned());
        if let Some(run) = run {
            self.last = Some(Begun {
                run: run.id.clone(),
                version: version.to_owned(),
                ended: None,
                message: String::new(),
            });
        }
    }

    /// Too many of its runs failed.
    pub(super) fn is_off(&self) -> bool {
        self.is_off
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
            // A failed run that a client requested says nothing about the trigger, nor does a canceled
            // one.
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
            let why = problem.message.trim_end_matches('.');
            let text = format!("{}: {why}. The trigger goes on looking.", problem.what);
            return (problem.code.name().to_owned(), text);
        }
        let last = self.last.as_ref().map_or_else(String::new, |last| {
            let how = match last.ended {
                None => "has begun".to_owned(),
                Some(state) => format!("ended as {state:?}"),
            };
            format!(". Run {} for source version {} {how}.", last.run, last.version)
        });
        ("Healthy".to_owned(), format!("{ACTIVE}{last}"))
    }

    /// Writes the state and the status into the trigger. Returns whether that changed anything.
    pub(super) fn put_into(
        self,
        trigger: &mut TriggerRecord,
        problem: Option<&Problem>,
        now: Timestamp,
    ) -> bool {
        let (code, message) = self.status(problem);
        let is_new = !trigger.has_status(&code, &message);
        if !is_new && trigger.hidden.watch == self {
            return false;
        }
        trigger.hidden.watch = self;
        if is_new {
            trigger.set_status(&code, &message, now);
        }
        trigger.row.changed = now;
        true
    }
}

/// The last part of a version's id.
pub(super) fn short(version: &str) -> &str {
    version.rsplit('/').next().unwrap_or_default()
}
