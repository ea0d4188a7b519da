//! Errors of a machine and its guest.

use std::{fmt, io, path::PathBuf, time::Duration};

use crate::{proc, tap};

/// An operation on a machine or its guest failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An expected event did not occur before the deadline.
    #[error("{what} took longer than {} s", after.as_secs())]
    Timeout {
        /// The expected event as a noun: "the guest's first answer over SSH".
        what: String,
        /// The deadline.
        after: Duration,
        /// The last lines of the serial console.
        serial: Vec<String>,
    },
    /// The machine has ended.
    #[error("the machine is gone: {ended}")]
    Gone {
        /// How it ended.
        ended: Ended,
        /// The last lines of the serial console.
        serial: Vec<String>,
    },
    /// QEMU refused to start.
    #[error("QEMU did not start: {output}")]
    Start {
        /// The end of its output.
        output: String,
    },
    /// This host lacks something that the machine needs.
    #[error("{what}")]
    HostLacks {
        /// What it needs, and that it is missing.
        what: &'static str,
        /// The command or the advice that fixes it.
        remedy: &'static str,
    },
    /// Another server answered instead of the guest, or the guest does not use its generated key.
    #[error("the guest shows SSH host key {actual}, but it was given {expected}")]
    HostKey {
        /// Fingerprint of the key that was generated for the guest.
        expected: String,
        /// Fingerprint of the key that the server showed.
        actual: String,
    },
    /// The guest shows another certificate than the one that it made at its first boot.
    #[error(
        "the guest shows a certificate with the fingerprint {actual}, but its own has {expected}"
    )]
    Certificate {
        /// The SHA-256 of the guest's certificate, in hexadecimal.
        expected: String,
        /// The SHA-256 of the certificate that the server showed.
        actual: String,
    },
    /// The machine was started without a way to the guest's service.
    #[error("no port of this host is forwarded to the guest's {service} server")]
    NotForwarded {
        /// `SSH` or `WinRM`.
        service: &'static str,
    },
    /// The guest cannot be reached over HTTPS, since its certificate is not known.
    #[error("the guest's certificate is not known: {known:?} is not the SHA-256 of one")]
    NoCertificate {
        /// What is known instead.
        known: String,
    },
    /// QEMU rejected a command, or its answer could not be parsed.
    #[error("QEMU refused {command}: {desc}")]
    Qmp {
        /// The QMP command.
        command: String,
        /// QEMU's explanation.
        desc: String,
    },
    /// A program failed.
    #[error("{0}")]
    Proc(#[from] proc::Error),
    /// The machine cannot be attached to its bridge.
    #[error(transparent)]
    Bridge(#[from] tap::Error),
    /// A file operation failed.
    #[error("{}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The caller canceled the operation.
    #[error("canceled")]
    Canceled,
    /// The connection to the guest failed.
    #[error("SSH: {what}")]
    Ssh {
        /// The operation that failed.
        what: String,
        /// The cause that the library reports.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// The guest does not accept the user's password, or not in this way.
    #[error("the guest does not accept the password of {user:?} over WinRM (it offers: {offered})")]
    PasswordRefused {
        /// The user.
        user: String,
        /// The ways to authenticate that the guest offers.
        offered: String,
    },
    /// A command over WinRM failed, or the connection to the service.
    #[error(transparent)]
    Winrm(winrm::Error),
    /// The build user's login shell does not run commands, such as `nologin`.
    #[error("the login shell of the build user does not run commands; it printed {printed:?}")]
    LoginShell {
        /// The beginning of its output.
        printed: String,
    },
    /// A command wrote more than its sink accepts, and was ended.
    #[error("a command in the guest wrote more output than is allowed")]
    TooMuchOutput,
    /// The guest's SSH server and goldsmith have no algorithm in common.
    #[error(
        "the guest's SSH server and goldsmith have no {kind} in common: \
         the server offers {theirs}, goldsmith offers {ours}"
    )]
    NoCommonAlgorithm {
        /// The purpose of the algorithm, such as `cipher`.
        kind: String,
        /// Goldsmith's algorithms, joined by commas.
        ours: String,
        /// The server's algorithms, joined by commas.
        theirs: String,
    },
    /// The source of the command's standard input could not be read.
    #[error("cannot read the input for the guest's command")]
    Input(#[source] io::Error),
}

impl Error {
    /// Adds a path to an I/O error: `.map_err(Error::at(&path))`.
    pub(crate) fn at(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }

    /// Whether the connection to the guest is lost or could not be made, as when the guest restarts.
    /// What a command did until then is not known.
    pub fn is_lost_connection(&self) -> bool {
        use winrm::Error::{Cut, Io, ShellGone, Timeout};
        match self {
            Self::Ssh { .. } => true,
            Self::Winrm(error) => {
                matches!(error, Cut { .. } | Io { .. } | ShellGone | Timeout { .. })
            }
            _ => false,
        }
    }

    pub(crate) fn ssh(
        what: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Ssh { what: what.into(), source: Some(source.into()) }
    }
}

impl From<winrm::Error> for Error {
    fn from(error: winrm::Error) -> Self {
        match error {
            winrm::Error::Certificate { expected, actual } => {
                Self::Certificate { expected: expected.to_string(), actual: actual.to_string() }
            }
            winrm::Error::Unauthorized { user, offered } => Self::PasswordRefused { user, offered },
            winrm::Error::TooMuchOutput => Self::TooMuchOutput,
            winrm::Error::Input(source) => Self::Input(source),
            other => Self::Winrm(other),
        }
    }
}

/// How a machine ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// The guest shut itself down, possibly after an ACPI request.
    GuestShutdown,
    /// The guest's kernel panicked.
    GuestPanic,
    /// Goldsmith ended it.
    Stopped,
    /// The host's disk is full; the guest is paused in the middle of a write.
    DiskFull,
    /// A disk of the guest could not be read or written; the guest is paused.
    DiskError,
    /// QEMU ended unexpectedly: it was killed or crashed.
    Exited {
        /// The exit code, unless a signal ended QEMU.
        code: Option<i32>,
        /// The end of QEMU's output.
        output: String,
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
            Self::Exited { code: Some(code), output } => {
                write!(f, "QEMU exited with {code}: {output}")
            }
            Self::Exited { code: None, output } if output.is_empty() => {
                f.write_str("QEMU was killed by a signal")
            }
            Self::Exited { code: None, output } => {
                write!(f, "QEMU was killed by a signal: {output}")
            }
        }
    }
}
