//! What can go wrong with a guest's WinRM service.

use std::{io, time::Duration};

use crate::Fingerprint;

/// A command or a question to the service failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The service does not accept the user and password, or not this way to authenticate.
    #[error("the guest does not accept the password of {user:?} (it offers: {offered})")]
    Unauthorized {
        /// The user's name.
        user: String,
        /// The ways to authenticate that the service offers, or `nothing`.
        offered: String,
    },
    /// The service has another certificate than the expected one.
    #[error("the guest's certificate has the fingerprint {actual}, expected {expected}")]
    Certificate {
        /// The fingerprint that was expected.
        expected: Fingerprint,
        /// The fingerprint of the certificate that the service has.
        actual: Fingerprint,
    },
    /// The service refused a request.
    #[error("the guest's WinRM service refused a request: {}{message}", fault_code(*code))]
    Fault {
        /// The number of the fault, when it has one. Many are Windows error codes.
        code: Option<u32>,
        /// What the service says about it, at most a few hundred characters.
        message: String,
    },
    /// A connection ended within a command. Some of its output may be lost.
    #[error("the connection to the guest was cut {during}")]
    Cut {
        /// What was waited for.
        during: String,
        /// Why, as far as known.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// The command's shell no longer exists, as after a restart of the guest.
    #[error(
        "the command's shell in the guest is gone; the guest or its WinRM service has restarted"
    )]
    ShellGone,
    /// The service did not answer in time.
    #[error("the guest did not answer {during} within {limit:?}")]
    Timeout {
        /// What was waited for.
        during: String,
        /// How long.
        limit: Duration,
    },
    /// The command cannot be sent to `cmd.exe`.
    #[error("the command cannot be run: {0}")]
    Command(String),
    /// The output's receiver wants no more.
    #[error("the command writes too much")]
    TooMuchOutput,
    /// The service answered something that is not WinRM, or too much at once.
    #[error("the guest's WinRM service answered something unexpected: {0}")]
    Protocol(String),
    /// The command's standard input could not be read.
    #[error("cannot read the command's input")]
    Input(#[source] io::Error),
    /// The service cannot be reached.
    #[error("cannot {what}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

fn fault_code(code: Option<u32>) -> String {
    code.map(|code| format!("{code} (0x{code:08X}): ")).unwrap_or_default()
}
