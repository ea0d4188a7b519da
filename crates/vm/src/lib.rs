//! One QEMU machine and its guest: start, watch, seal, resume, connect, end.
//!
//! Rules:
//! - Nothing here knows templates, HTTP or SQL. A [`MachineSpec`] describes a machine. Its run
//!   folder identifies it, also after a crash.
//! - Only [`proc`] starts programs. Callers always name the disk format; nothing guesses it.
//! - Every wait ends: with its event, the machine's end, a deadline, or the caller's token.
//! - The guest is not trusted. Its host key is checked, its file system is never parsed here, and
//!   its console output is stripped of control characters before display.

mod access;
pub mod answer_cd;
pub mod args;
mod bounded;
mod console;
pub mod credentials;
pub mod disk;
mod error;
pub mod fake;
pub mod guest;
mod hardware;
pub mod host;
mod machine;
mod os_type;
mod private_file;
pub mod proc;
mod qemu;
pub mod qmp;
mod ram;
pub mod seed;
mod serial;
mod spec;
pub mod tap;
mod tpm;
mod transfer_cd;
mod wait;
mod watched;

pub use access::{Access, Door, WindowsAccess};
pub use bounded::{Answer, Bounded, Budget};
pub use error::{Ended, Error};
pub use guest::{Discard, Exit, Guest, Sink, Stdin, StreamKind};
pub use host::{Accel, CpuChoice, Host, boot_id};
pub use machine::{Backend, Machine, Seal, Sealed};
pub use os_type::OsType;
pub use qemu::{Qemu, end};
pub use ram::{RamFile, RamFormat, RamLost, RamSave, SaveRam, SavedRam};
pub use spec::{Firmware, MachineSpec};
pub use tap::Bridge;
pub use wait::{may_wait, off_runtime};
pub use watched::{MachineChange, Watched};
pub use winrm::{Error as WinrmError, Recorder as WinrmRecorder};
