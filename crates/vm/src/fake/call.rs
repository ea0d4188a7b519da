//! The calls of a scripted backend, and how they can fail.

use std::path::PathBuf;

#[cfg(doc)]
use crate::{Backend, Machine};
use crate::{Ended, MachineSpec, Seal};

/// A recorded call.
#[allow(clippy::large_enum_variant, reason = "few exist, and tests match on them")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// A machine was started.
    Start(MachineSpec),
    /// A connection to a guest was opened.
    Connect,
    /// A command was run.
    Run {
        /// The command.
        command: String,
        /// Its standard input.
        stdin: Vec<u8>,
    },
    /// A machine was sealed.
    Seal(Seal),
    /// The caller waited for the guest's shutdown.
    WaitOff,
    /// A screenshot was taken.
    Screenshot(PathBuf),
    /// A machine was stopped.
    Stop {
        /// Whether the guest had time to shut down.
        graceful: bool,
    },
    /// The machine of a run folder was ended.
    End(PathBuf),
    /// A key was pressed.
    Press(String),
    /// A file was put into a machine on a CD of its own.
    Insert {
        /// The file.
        file: PathBuf,
        /// Its name on the CD.
        name: String,
    },
    /// The CD was taken out.
    Eject,
    /// The network link of a machine was connected.
    PlugIn,
}

/// A call that can be made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Point {
    /// In [`Backend::start`].
    Start,
    /// In [`Machine::connect`].
    Connect,
    /// In [`Machine::seal`].
    Seal,
    /// At the end of a save of RAM.
    SaveRam,
    /// When saved RAM is loaded as a test.
    LoadRam,
    /// In [`Machine::wait_off`].
    WaitOff,
    /// In [`Machine::screenshot`].
    Screenshot,
    /// In [`Machine::insert`].
    Insert,
    /// In [`Machine::eject`].
    Eject,
    /// In [`Machine::stop`].
    Stop,
    /// In [`Backend::end`].
    End,
    /// In [`Backend::check_bridge`].
    CheckBridge,
}

/// A failure of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mishap {
    /// An error with this text.
    Fail(String),
    Panic,
    /// The call never returns, unless the caller's token is canceled.
    Hang,
    /// The machine ends.
    Gone(Ended),
    /// The guest shows another host key.
    WrongHostKey,
}
