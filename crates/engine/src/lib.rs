//! From an image template to artifacts: plan, sources, nodes, customizers, distributors, ledger.
//!
//! Invariants: this crate serves no HTTP and knows no SQL; a node is never changed once it is
//! visible; whatever must be released is in the ledger before it exists.

pub mod absent;
pub mod build;
pub mod cache;
pub mod clock;
mod command;
pub mod config;
mod customize;
pub mod cx;
pub mod digest;
pub mod distribute;
pub mod error;
pub mod event;
pub mod export;
pub mod fetch;
pub mod format;
pub mod generalize;
pub mod geography;
pub mod image_file;
pub mod in_use;
pub mod janitor;
pub mod layout;
pub mod ledger;
pub mod lock;
pub mod log;
pub mod metadata;
pub mod node;
pub mod optimize;
mod output;
pub mod ownership;
mod passed;
pub mod private;
pub mod replicate;
pub mod source;
pub mod step;
pub mod store;
mod tap_name;
pub mod trial;
pub mod vm_size;
mod windows;
mod work;

/// What machines are made by, for those who only pass it on.
pub use vm::{Backend, Host, boot_id};
/// How work that waits for a disk leaves the runtime.
pub use vm::{may_wait, off_runtime};

/// A name for a run that no other run has, and that sorts by time.
pub fn new_run_id() -> String {
    uuid::Uuid::now_v7().to_string()
}
