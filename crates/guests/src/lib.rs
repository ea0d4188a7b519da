//! What is done inside a guest, with one module for each system.
//!
//! [`System`] is what every build needs of a guest: the end of its boot, its clock, its disks, the
//! copying of files, generalization. What only one system has is a function of its module: scripts
//! of a shell in [`linux`], PowerShell, restarts and updates in [`windows`].
//!
//! Invariants: nothing here knows templates, nodes or the order of a build. No text for a guest's
//! shell exists outside this crate. A guest's output is bounded before it is kept, and every wait
//! ends.

pub mod command;
pub mod linux;
pub mod output;
mod system;
pub mod windows;

pub use output::StepOutput;
pub use system::{At, Copied, Copying, FirstBoot, Resumed, Synced, System, Traces, Within};
use vm::OsType;

/// The system of that type.
pub fn system(os: OsType) -> &'static dyn System {
    match os {
        OsType::Linux => &linux::Linux,
        OsType::Windows => &windows::Windows,
    }
}
