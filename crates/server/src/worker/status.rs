//! When a run is over.

use db::RunState;

/// Whether nothing more becomes of a run in this state.
pub(crate) fn is_over(state: RunState) -> bool {
    match state {
        RunState::Queued | RunState::Running | RunState::Canceling => false,
        RunState::Succeeded
        | RunState::PartiallySucceeded
        | RunState::Failed
        | RunState::Canceled => true,
    }
}
