//! Images as files, and the foundation of all work on them: folders, events, errors, the ledger,
//! locks, digests, image files in every format, the image store, exports.
//!
//! This crate knows folders, files and `qemu-img`. It does not know where an image comes from
//! (`sources`), where its copies go (`regions`), or what a build does in a guest (`engine`). It
//! knows a run's steps by name only.
//!
//! Invariants: an image appears whole or not at all, and does not change afterwards; a resource
//! that must be released is in the ledger before it exists; a file is removed only when it is known
//! to be unused.
//!
//! A function that returns `io::Result` fails with the error of the file system, unless documented
//! otherwise.

pub mod absent;
pub mod clock;
pub mod config;
pub mod digest;
pub mod error;
pub mod event;
pub mod export;
pub mod files;
pub mod first_contact;
pub mod format;
pub mod image_file;
pub mod in_use;
pub mod layout;
pub mod ledger;
pub mod lock;
pub mod log;
pub mod ownership;
pub mod partition;
pub mod private;
pub mod region_set;
pub mod run_context;
pub mod step;
pub mod store;

/// A unique name for a run. Names sort by time.
pub fn new_run_id() -> String {
    uuid::Uuid::now_v7().to_string()
}
