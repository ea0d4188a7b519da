//! The activity log: who did what, when, from where, and how it ended.
//!
//! ```text
//! request ── Attempt ─ events in the first commit of its changes: Started, and Accepted or Succeeded
//!                    └ after an error, or without a commit: events in a commit of their own
//! end of an operation ── events::background, or whichever record the store has: Succeeded or Failed, in that commit
//! commands, the start ── events::actor: an event for each change of who may do what
//! stream   table → files in JSON lines     events::refusals → at most so many rows a minute     forget → by age
//! ```
//!
//! Invariants:
//! - Reads are never recorded.
//! - A change and its events are in one commit: the log has the change if, and only if, it took effect.
//! - Events have no secrets: no bodies (of role assignments, the ids), no query, no message of a validation error.
//! - A refusal stays what it is if its event cannot be written.

mod attempt;
mod forget;
mod stream;

pub use attempt::Attempt;
pub use forget::forget_before;
pub use stream::{Folder, keep_streaming};

pub use crate::events::{by_client, by_command, by_service, event::type_of};
