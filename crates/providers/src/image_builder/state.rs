//! What may happen to an image template and its runs, and when. No clock, no store.
//!
//! ```text
//! template  Creating → Succeeded | Failed;  Succeeded → Updating → Succeeded | Failed
//!           Succeeded | Failed → Deleting → Gone
//! run       None → Queued → Running(…) → Over      a new run may follow one that is over
//!                     └───────┴→ Canceling → Over(Canceled)
//! ```
//!
//! Invariants, tested with random events: a deleted template stays deleted and an ended run never
//! continues; a canceling run ends as `Canceled`; there is at most one active run; a template is not
//! deleted or changed while it has one.

use std::fmt;

use db::{Run, RunState};

use super::record::TemplateRecord;

/// The state of a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Template {
    Creating,
    Succeeded,
    Failed,
    Updating,
    Deleting,
    /// Nothing is left of it.
    Gone,
}

/// The state of a template's latest run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LastRun {
    /// There was none.
    None,
    Queued,
    Running(SubState),
    Canceling,
    Over(RunOutcome),
}

/// What a run is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SubState {
    Building,
    Customizing,
    Optimizing,
    Validating,
    Distributing,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RunOutcome {
    Succeeded,
    PartiallySucceeded,
    Failed,
    Canceled,
}

/// A template with its latest run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct State {
    pub template: Template,
    pub run: LastRun,
}

/// An event of a run or a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    /// Creation or update is over, well or not.
    Provisioned {
        ok: bool,
    },
    Update,
    /// The tags alone change, also beside a run.
    Retag,
    Delete,
    Deleted,
    Run,
    Cancel,
    /// The worker claims the run, or begins another part of it.
    Step(SubState),
    /// The worker is done, and the run has released everything.
    End(RunOutcome),
}

/// The event cannot happen in that state. Its text is the client's error message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Illegal {
    event: Event,
    state: State,
}

impl State {
    /// Where a new template begins.
    #[cfg(test)]
    pub const NEW: Self = Self { template: Template::Creating, run: LastRun::None };

    /// The state that the rows say.
    pub fn of(template: &TemplateRecord, run: Option<&Run>) -> Self {
        let template = match template.provisioning_state() {
            "Creating" => Template::Creating,
            "Updating" => Template::Updating,
            "Deleting" => Template::Deleting,
            "Failed" | "Canceled" => Template::Failed,
            _ => Template::Succeeded,
        };
        Self { template, run: run.map_or(LastRun::None, LastRun::of) }
    }

    /// Whether a run is active.
    pub(crate) fn is_running(self) -> bool {
        match self.run {
            LastRun::None | LastRun::Over(_) => false,
            LastRun::Queued | LastRun::Running(_) | LastRun::Canceling => true,
        }
    }
}

impl Template {
    /// `provisioningState` as clients read it; `None` if the template is gone.
    pub(crate) fn provisioning_state(self) -> Option<&'static str> {
        match self {
            Self::Creating => Some("Creating"),
            Self::Succeeded => Some("Succeeded"),
            Self::Failed => Some("Failed"),
            Self::Updating => Some("Updating"),
            Self::Deleting => Some("Deleting"),
            Self::Gone => None,
        }
    }
}

impl RunOutcome {
    /// As it is in a run's row.
    pub fn run_state(self) -> RunState {
        match self {
            Self::Succeeded => RunState::Succeeded,
            Self::PartiallySucceeded => RunState::PartiallySucceeded,
            Self::Failed => RunState::Failed,
            Self::Canceled => RunState::Canceled,
        }
    }
}

impl SubState {
    /// By the word that clients read; an unknown word is the beginning.
    pub fn named(word: &str) -> Self {
        match word {
            "Customizing" => Self::Customizing,
            "Optimizing" => Self::Optimizing,
            "Validating" => Self::Validating,
            "Distributing" => Self::Distributing,
            _ => Self::Building,
        }
    }
}

impl LastRun {
    /// The state that a run's row says.
    pub fn of(run: &Run) -> Self {
        match run.state {
            RunState::Queued => Self::Queued,
            RunState::Running => Self::Running(SubState::named(&run.sub_state)),
            RunState::Canceling => Self::Canceling,
            RunState::Succeeded => Self::Over(RunOutcome::Succeeded),
            RunState::PartiallySucceeded => Self::Over(RunOutcome::PartiallySucceeded),
            RunState::Failed => Self::Over(RunOutcome::Failed),
            RunState::Canceled => Self::Over(RunOutcome::Canceled),
        }
    }
}

/// The state of a run after an event of the worker, whatever its template is at.
///
/// # Errors
/// [`Illegal`]: a canceling run does not continue, an ended one does not change.
pub fn next_of_run(run: &Run, event: Event) -> Result<LastRun, Illegal> {
    let state = State { template: Template::Succeeded, run: LastRun::of(run) };
    next(state, event).map(|state| state.run)
}

/// The state after an event.
///
/// # Errors
/// [`Illegal`], whose text is that of `OperationNotAllowed`.
pub fn next(state: State, event: Event) -> Result<State, Illegal> {
    let illegal = Err(Illegal { event, state });
    let template = |template| Ok(State { template, ..state });
    let run = |run| Ok(State { run, ..state });
    match (event, state.template, state.run) {
        (_, Template::Gone, _) => illegal,

        (Event::Provisioned { ok: true }, Template::Creating | Template::Updating, _) => {
            template(Template::Succeeded)
        }
        (Event::Provisioned { ok: false }, Template::Creating | Template::Updating, _) => {
            template(Template::Failed)
        }
        (Event::Provisioned { .. }, _, _) => illegal,

        (Event::Update, Template::Succeeded, _) if !state.is_running() => {
            template(Template::Updating)
        }
        (Event::Update, _, _) => illegal,

        (Event::Retag, Template::Succeeded | Template::Failed, _) => Ok(state),
        (Event::Retag, _, _) => illegal,

        // A repeated deletion is one deletion.
        (Event::Delete, Template::Succeeded | Template::Failed | Template::Deleting, _)
            if !state.is_running() =>
        {
            template(Template::Deleting)
        }
        (Event::Delete, _, _) => illegal,

        (Event::Deleted, Template::Deleting, _) => template(Template::Gone),
        (Event::Deleted, _, _) => illegal,

        (Event::Run, Template::Succeeded, LastRun::None | LastRun::Over(_)) => run(LastRun::Queued),
        (Event::Run, _, _) => illegal,

        (Event::Cancel, _, LastRun::Queued) => run(LastRun::Over(RunOutcome::Canceled)),
        (Event::Cancel, _, LastRun::Running(_)) => run(LastRun::Canceling),
        // The state is as requested already.
        (Event::Cancel, _, LastRun::None | LastRun::Over(_)) => Ok(state),
        (Event::Cancel, _, LastRun::Canceling) => illegal,

        (Event::Step(sub), _, LastRun::Queued | LastRun::Running(_)) => run(LastRun::Running(sub)),
        (Event::Step(_), _, _) => illegal,

        (Event::End(_), _, LastRun::Canceling) => run(LastRun::Over(RunOutcome::Canceled)),
        (Event::End(outcome), _, LastRun::Queued | LastRun::Running(_)) => {
            run(LastRun::Over(outcome))
        }
        (Event::End(_), _, LastRun::None | LastRun::Over(_)) => illegal,
    }
}

impl fmt::Display for Illegal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let State { template, run } = self.state;
        let operation = match (self.event, template) {
            (Event::Delete, Template::Creating) => "DELETE",
            (Event::Delete | Event::Deleted, _) => {
                "Microsoft.VirtualMachineImages/imageTemplates/delete"
            }
            (Event::Provisioned { .. } | Event::Update | Event::Retag, _) => {
                "Microsoft.VirtualMachineImages/imageTemplates/write"
            }
            (Event::Run | Event::Step(_) | Event::End(_), _) => {
                "Microsoft.VirtualMachineImages/imageTemplates/run/action"
            }
            (Event::Cancel, _) => "Microsoft.VirtualMachineImages/imageTemplates/cancel/action",
        };
        let provisioning = match template {
            Template::Creating => "creating",
            Template::Succeeded => "provisioned",
            Template::Failed => "failed",
            Template::Updating => "updating",
            Template::Deleting => "deleting",
            Template::Gone => "deleted",
        };
        write!(f, "Operation '{operation}' is not allowed in provisioningState: '{provisioning}'")?;
        match run {
            // Clients see a queued run as running.
            LastRun::Queued | LastRun::Running(_) => write!(f, ", runState: 'running'"),
            LastRun::Canceling => write!(f, ", runState: 'canceling'"),
            LastRun::None | LastRun::Over(_) => Ok(()),
        }
    }
}

impl std::error::Error for Illegal {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn events() -> impl Strategy<Value = Vec<Event>> {
        let sub = prop_oneof![
            Just(SubState::Building),
            Just(SubState::Customizing),
            Just(SubState::Optimizing),
            Just(SubState::Validating),
            Just(SubState::Distributing),
        ];
        let outcome = prop_oneof![
            Just(RunOutcome::Succeeded),
            Just(RunOutcome::PartiallySucceeded),
            Just(RunOutcome::Failed),
            Just(RunOutcome::Canceled),
        ];
        let event = prop_oneof![
            4 => any::<bool>().prop_map(|ok| Event::Provisioned { ok }),
            1 => Just(Event::Update),
            1 => Just(Event::Retag),
            1 => Just(Event::Delete),
            1 => Just(Event::Deleted),
            4 => Just(Event::Run),
            2 => Just(Event::Cancel),
            4 => sub.prop_map(Event::Step),
            2 => outcome.prop_map(Event::End),
        ];
        prop::collection::vec(event, 0..60)
    }

    proptest! {
        #[test]
        fn invariants_hold_for_random_events(events in events()) {
            let mut state = State::NEW;
            let mut canceled = false;
            for event in events {
                let Ok(after) = next(state, event) else { continue };
                // Terminal states stay: only a new run follows a run that is over.
                prop_assert!(state.template != Template::Gone);
                if let LastRun::Over(_) = state.run {
                    prop_assert!(after.run == state.run || event == Event::Run);
                }
                // Never two: a new run begins only where none is active.
                if event == Event::Run {
                    prop_assert!(!state.is_running());
                    prop_assert_eq!(after.run, LastRun::Queued);
                    canceled = false;
                }
                if event == Event::Cancel && state.is_running() {
                    canceled = true;
                }
                // A cancel is never lost.
                if canceled {
                    prop_assert!(matches!(
                        after.run,
                        LastRun::Canceling | LastRun::Over(RunOutcome::Canceled)
                    ));
                }
                // An active run bars deletion and change.
                if after.is_running() {
                    prop_assert!(!matches!(
                        after.template,
                        Template::Deleting | Template::Gone | Template::Updating
                    ));
                }
                state = after;
            }
        }
    }

    #[test]
    fn rejection_uses_azures_words() {
        let running =
            State { template: Template::Succeeded, run: LastRun::Running(SubState::Building) };
        assert_eq!(
            next(running, Event::Delete).unwrap_err().to_string(),
            "Operation 'Microsoft.VirtualMachineImages/imageTemplates/delete' is not allowed in \
             provisioningState: 'provisioned', runState: 'running'"
        );
        assert_eq!(
            next(State::NEW, Event::Delete).unwrap_err().to_string(),
            "Operation 'DELETE' is not allowed in provisioningState: 'creating'"
        );
        let canceling = State { run: LastRun::Canceling, ..running };
        let text = next(canceling, Event::Cancel).unwrap_err().to_string();
        assert!(text.ends_with("runState: 'canceling'"), "{text}");
        assert_eq!(next(running, Event::Retag), Ok(running));
        assert_eq!(
            next(State::NEW, Event::Retag).unwrap_err().to_string(),
            "Operation 'Microsoft.VirtualMachineImages/imageTemplates/write' is not allowed in \
             provisioningState: 'creating'"
        );
    }

    #[test]
    fn cancel_without_a_run_changes_nothing() {
        let idle = State { template: Template::Succeeded, run: LastRun::None };
        assert_eq!(next(idle, Event::Cancel), Ok(idle));
    }
}
