//! What a trigger has seen of its source, how its runs ended, and what it tells. The looks that find this
//! out are in [`look`](super::look).
//!
//! ```text
//! newer version ── template free ──→ commit(trigger: seen, template, run, operation)
//!      └── a run is active: nothing; its end wakes us, and the version is the newest by then
//! run over ──→ accounted once, by its id: failures, activity, message
//! ```
//!
//! A trigger that is off begins nothing, but goes on looking: what appears until a run succeeds is
//! covered by that run, what appears during it is not.

use api::ErrorCode;
use db::{Cause, Resource, Run, RunState};
use images::error::Error;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sources::is_newer;

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
    /// What comes of a look that found no source.
    pub(super) fn unknown_source(newest: &Newest) -> Option<Self> {
        newest.as_ref().err().map(|error| Self::new("The source cannot be looked up", error))
    }

    /// Why no run begins although there is a newer version.
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
    pub(super) fn begin(&mut self, newest: &Newest, template: &Resource) {
        if self.seen.is_none() {
            let exact = &template.body["properties"]["source"]["exactVersion"];
            self.seen = match newest {
                Ok(version) => version.clone(),
                Err(_) => exact.as_str().map(|version| short(version).to_owned()),
            };
        }
    }

    /// Takes the runs that are over into account, each once; they come newest first.
    pub(super) fn account_all(&mut self, trigger: &Resource, runs: &[Run], limit: u32) {
        for run in runs.iter().rev() {
            let is_new = run.queued >= trigger.created && run.id > self.accounted;
            if is_new && run.ended.is_some() {
                self.account(&trigger.name, run, limit);
            }
        }
    }

    /// Whether that is newer than what has been seen. What is not known is not newer.
    pub(super) fn is_news(&self, newest: &Newest) -> bool {
        matches!((newest, &self.seen), (Ok(Some(version)), Some(seen)) if is_newer(version, seen))
    }

    /// Whether a look would change anything in a trigger whose runs have been taken into account: then all
    /// that belongs to it is read.
    pub(super) fn would_change(trigger: &Resource, newest: &Newest, now: Timestamp) -> bool {
        let watch = Self::of(trigger);
        let is_first = watch.seen.is_none() && !matches!(newest, Ok(None));
        is_first
            || watch.is_news(newest)
            || watch.put_into(&mut trigger.clone(), Problem::unknown_source(newest).as_ref(), now)
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
            let why = problem.message.trim_end_matches('.');
            let text = format!("{}: {why}. The trigger goes on looking.", problem.what);
            return (problem.code.name().to_owned(), text);
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
pub(super) fn short(version: &str) -> &str {
    version.rsplit('/').next().unwrap_or_default()
}
