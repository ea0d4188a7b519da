//! From an image template to artifacts: plan, nodes, customizers, validators, distributors.
//!
//! This crate knows the content of a template and the order of a build. It does not know which
//! program shows its events, which process it runs in, how an image is stored (`images`), where
//! sources come from (`sources`), or how copies get to regions (`regions`).
//!
//! Invariants: this crate serves no HTTP and knows no SQL; a node never changes once it is
//! published; a resource that must be released is in the ledger before it exists.

pub mod build;
pub mod cache;
pub mod customize;
pub mod distribute;
pub mod janitor;
pub mod metadata;
pub mod node;
pub mod optimize;
mod passed;
mod tap_name;
pub mod template;
pub mod test_boot;
pub mod vm_size;

/// The machine backend, for callers that only pass it on.
pub use vm::{Backend, Host, OsType, boot_id};
/// How work that waits for a disk leaves the runtime.
pub use vm::{may_wait, off_runtime};
