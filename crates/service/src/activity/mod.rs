//! The activity log: who did what, when, from where, and how it ended.
//!
//! ```text
//! request ── Attempt ─ events in the first commit of its changes: Started, and Accepted or Succeeded
//!                    └ after an error, or without a commit: events in a commit of their own
//! end of an operation ── Background, or whichever record the store has: Succeeded or Failed, in that commit
//! commands, the start ── Actor: an event for each change of who may do what
//! stream   table → files in JSON lines     refusals → at most so many rows a minute     forget → by age
//! ```
//!
//! Invariants:
//! - Reads are never recorded.
//! - A change and its events are in one commit: the log has the change if, and only if, it took effect.
//! - Events have no secrets: no bodies (of role assignments, the ids), no query, no message of a validation error.
//! - A refusal stays what it is if its event cannot be written.

mod actor;
mod attempt;
mod background;
mod event;
mod forget;
mod logins;
mod refusals;
mod stream;

pub use actor::{by_client, by_command, by_service};
pub use attempt::Attempt;
pub(crate) use background::background;
pub use event::type_of;
pub use forget::forget_before;
pub use stream::{Folder, keep_streaming};

use self::{logins::Logins, refusals::Refusals};

/// What the log remembers between requests.
#[derive(Debug, Default)]
pub struct Activities {
    refusals: Refusals,
    logins: Logins,
}
