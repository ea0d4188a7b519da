//! Images as files, and what all work on them stands on: where things are kept, what is told while it goes on, what went
//! wrong, what must be released, locks, digests, image files in every format, the image store, exports.
//!
//! It knows folders, files and `qemu-img`. It does not know where an image comes from (`sources`), where its copies go
//! (`regions`), or what a build does in a guest (`engine`); a run's steps are names to it.
//!
//! Invariants: an image appears whole or not at all, and is not changed afterwards; whatever must be released is in the ledger
//! before it exists; files are removed only when it is known that nobody needs them.
//!
//! A function that gives `io::Result` fails as the file system does, unless it says more.

pub mod absent;
pub mod clock;
pub mod config;
pub mod cx;
pub mod digest;
pub mod error;
pub mod event;
pub mod export;
pub mod format;
pub mod geography;
pub mod image_file;
pub mod in_use;
pub mod layout;
pub mod ledger;
pub mod lock;
pub mod log;
pub mod ownership;
pub mod private;
pub mod step;
pub mod store;

/// A name for a run that no other run has, and that sorts by time.
pub fn new_run_id() -> String {
    uuid::Uuid::now_v7().to_string()
}
