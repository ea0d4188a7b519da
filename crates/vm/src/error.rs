//! What can go wrong with a machine and its guest.

use std::{fmt, io, path::PathBuf, time::Duration};

use crate::{proc, tap};

/// Why something with a machine or its guest failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something that was waited for did not come.
    #[error("{what} took longer than {} s", after.as_secs())]
    Timeout {
        /// What was waited for, as a noun: "the guest's first answer over SSH".
        what: String,
        /// How long.
        after: Duration,
        /// The last lines of the serial console.
        serial: Vec<String>,
    },
    /// The machine is not there any more.
    #[error("the machine is gone: {ended}")]
    Gone {
        /// How it ended.
        ended: Ended,
        /// The last lines of the serial console.
        serial: Vec<String>,
    },
    /// QEMU refused to start.
    #[error("QEMU did not start: {said}")]
    Start {
        /// The end of what it printed.
        said: String,
    },
    /// Somebody else answers in the guest's place, or the guest lost the key it was given.
    #[error(
        "the guest shows SSH host key {found}, not {expected}, the one that cloud-init was to give it"
    )]
    HostKey {
        /// Fingerprint of the key that was generated for it.
        expected: String,
        /// Fingerprint of the key that was shown.
        found: String,
    },
    /// QEMU refused a command, or its answer made no sense.
    #[error("QEMU refused {command}: {desc}")]
    Qmp {
        /// The QMP command.
        command: String,
        /// QEMU's explanation.
        desc: String,
    },
    /// A tool failed.
    #[error("{0}")]
    Proc(#[from] proc::Error),
    /// The machine cannot be put on its bridge.
    #[error(transparent)]
    Bridge(#[from] tap::Error),
    /// The file system said no.
    #[error("{}", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// What.
        #[source]
        source: io::Error,
    },
    /// The caller wanted it to end.
    #[error("canceled")]
    Canceled,
    /// The connection to the guest failed.
    #[error("SSH: {what}")]
    Ssh {
        /// What was being done.
        what: String,
        /// The library's reason.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// The build user's login shell runs no commands, such as `nologin`.
    #[error("the login shell of the build user runs no commands; it printed {printed:?}")]
    LoginShell {
        /// The beginning of it.
        printed: String,
    },
    /// A command wrote more than its sink takes, and was ended.
    #[error("a command in the guest wrote more than there is room for")]
    TooMuchOutput,
    /// The guest's SSH server and goldsmith have no algorithm in common.
    #[error(
        "the guest's SSH server offers no {kind} that goldsmith has: it offers {theirs}, goldsmith {ours}"
    )]
    NoCommonAlgorithm {
        /// What the algorithm is for, such as `cipher`.
        kind: String,
        /// Names, joined by commas.
        ours: String,
        /// Names, joined by commas.
        theirs: String,
    },
    /// The file given as the guest's standard input could not be read.
    #[error("the input for the guest's command could not be read")]
    Input(#[source] io::Error),
}

impl Error {
    /// Puts a path to an I/O error: `.map_err(Error::at(&path))`.
    pub(crate) fn at(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }

    pub(crate) fn ssh(
        what: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Ssh { what: what.into(), source: Some(source.into()) }
    }
}

/// How a machine ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// The guest shut itself down (or was asked to by ACPI).
    GuestShutdown,
    /// The guest's kernel panicked.
    GuestPanic,
    /// We ended it.
    Stopped,
    /// The host's disk is full; the guest stands still in the middle of a write.
    DiskFull,
    /// A disk of the guest could not be read or written; the guest stands still.
    DiskError,
    /// QEMU ended without a word: killed, or crashed.
    Exited {
        /// The exit code, when it was not a signal.
        code: Option<i32>,
        /// The end of what QEMU printed.
        said: String,
    },
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::GuestShutdown => f.write_str("the guest shut itself down"),
            Self::GuestPanic => f.write_str("the guest's kernel panicked"),
            Self::Stopped => f.write_str("it was stopped"),
            Self::DiskFull => f.write_str("the host's disk is full"),
            Self::DiskError => f.write_str("a disk could not be read or written"),
            Self::Exited { code: Some(code), said } => write!(f, "QEMU exited with {code}: {said}"),
            Self::Exited { code: None, said } if said.is_empty() => {
                f.write_str("QEMU was killed by a signal")
            }
            Self::Exited { code: None, said } => write!(f, "QEMU was killed by a signal: {said}"),
        }
    }
}
