//! From an image template to artifacts: plan, nodes, customizers, validators, distributors.
//!
//! It knows what a template asks for and in which order a build does it. It does not know who shows its events, which
//! process it lives in, how an image is kept (`images`), where sources come from (`sources`), or how copies get to regions (`regions`).
//!
//! Invariants: this crate serves no HTTP and knows no SQL; a node is never changed once it is
//! visible; whatever must be released is in the ledger before it exists.

pub mod build;
pub mod cache;
mod command;
mod customize;
pub mod distribute;
pub mod generalize;
pub mod janitor;
pub mod metadata;
pub mod node;
pub mod optimize;
mod output;
mod passed;
mod tap_name;
pub mod trial;
pub mod vm_size;
mod windows;

/// What machines are made by, for those who only pass it on.
pub use vm::{Backend, Host, boot_id};
/// How work that waits for a disk leaves the runtime.
pub use vm::{may_wait, off_runtime};
