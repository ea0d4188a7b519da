//! One QEMU machine and its guest: start, watch, seal, resume, reach, end.
//!
//! Rules:
//! - Nothing here knows templates, HTTP or SQL. A machine is described by a [`MachineSpec`] and
//!   found again by its run folder, after a crash as well.
//! - Programs are started in [`proc`] only. Disk formats are always said, never guessed.
//! - Every wait ends: by its event, by the machine's end, by a deadline, or by the caller's token.
//! - The guest is not trusted. Its host key is checked, nothing in its file system is parsed here,
//!   and its console is cleaned before anybody sees it.

mod access;
pub mod args;
mod bounded;
mod console;
pub mod disk;
mod error;
pub mod fake;
pub mod guest;
pub mod host;
mod machine;
pub mod proc;
mod qemu;
pub mod qmp;
pub mod seed;
mod serial;
mod spec;
pub mod tap;
mod wait;
mod watched;

pub use access::Access;
pub use bounded::{Answer, Bounded, Budget};
pub use error::{Ended, Error};
pub use guest::{Discard, Exit, Guest, Sink, Stdin, StreamKind};
pub use host::{Accel, CpuChoice, Host, boot_id};
pub use machine::{Backend, Machine, Seal, Sealed};
pub use qemu::{Qemu, end};
pub use spec::{Bridge, Firmware, MachineSpec};
pub use wait::{may_wait, off_runtime};
pub use watched::{Seen, Watched};
