//! Errors with a code for the user, chosen by the code that knows the meaning.

use std::io;

use api::ErrorCode;
pub use api::chain;

/// An error with a public half (code, message, target, hint) and a private half (the cause).
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// Stable code; decides the exit code and the page under `docs/errors`.
    pub code: ErrorCode,
    /// For the user: what happened, with the invalid value.
    pub message: String,
    /// The JSON path or the step that the error concerns.
    pub target: Option<String>,
    /// How to fix it.
    pub hint: Option<String>,
    /// Lines to show below the message: the last output of a script, the last serial lines.
    pub details: Vec<String>,
    /// The step that was running.
    pub step: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error with a code and a message for the user.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            target: None,
            hint: None,
            details: Vec::new(),
            step: None,
            source: None,
        }
    }

    /// Names the field or thing that the error concerns.
    #[must_use]
    pub fn target(mut self, target: impl Into<String>) -> Self {
        self.target = Some(target.into());
        self
    }

    /// Adds advice on how to fix it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Attaches lines of evidence.
    #[must_use]
    pub fn details(mut self, lines: impl IntoIterator<Item = String>) -> Self {
        self.details.extend(lines);
        self
    }

    /// Whether the error concerns the whole build or its host rather than the running step. Such an
    /// error does not blame the step and keeps its own wording.
    pub fn concerns_whole_build(&self) -> bool {
        use ErrorCode::{BuildTimeout, Canceled, DiskFull, StepTimedOut};
        matches!(self.code, BuildTimeout | Canceled | DiskFull | StepTimedOut)
    }

    /// Combines several mistakes into one error: the first, with the others in its details.
    ///
    /// # Errors
    /// `errors` is not empty.
    pub fn all(errors: Vec<Self>) -> Result<()> {
        let mut errors = errors.into_iter();
        let Some(mut first) = errors.next() else {
            return Ok(());
        };
        for other in errors {
            first.details.push(format!("also: {} ({})", other.message, other.code));
            first.details.extend(other.hint.map(|hint| format!("      {hint}")));
            first.details.extend(other.details);
        }
        Err(first)
    }

    /// Stores the cause, for the log and for `Error::source`.
    #[must_use]
    pub fn caused_by(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.source = Some(source.into());
        self
    }
}

/// Turns any result into one with an error code.
pub trait Coded<T> {
    /// Gives the error its code and its message for the user. The original error becomes the cause.
    fn code(self, code: ErrorCode, message: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E> Coded<T> for std::result::Result<T, E>
where
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn code(self, code: ErrorCode, message: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|e| {
            let source = e.into();
            if is_disk_full(source.as_ref()) {
                let text = format!("{}: the disk is full", message());
                return Error::new(ErrorCode::DiskFull, text)
                    .hint("goldsmith cache prune frees space")
                    .caused_by(source);
            }
            Error::new(code, message()).caused_by(source)
        })
    }
}

/// A full disk is reported as such, whatever operation met it.
fn is_disk_full(error: &(dyn std::error::Error + 'static)) -> bool {
    let full = error
        .downcast_ref::<std::io::Error>()
        .is_some_and(|e| e.kind() == std::io::ErrorKind::StorageFull);
    full || error.source().is_some_and(is_disk_full)
}

/// The hint for a full disk.
pub const NO_ROOM: &str = "free some space (goldsmith cache prune), or choose another place";

/// Classifies an I/O error: a full disk is the host's fault, every other error gets `otherwise`.
pub fn io_fault(error: io::Error, otherwise: ErrorCode, doing: String) -> Error {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Error::new(ErrorCode::DiskFull, format!("{doing}: the disk is full"))
                .hint(NO_ROOM)
                .caused_by(error)
        }
        // Blocking work reports a cancel this way, because it has no other error type.
        io::ErrorKind::Interrupted => Error::new(ErrorCode::Canceled, format!("{doing}: canceled")),
        _ => Error::new(otherwise, format!("{doing}: {error}")).caused_by(error),
    }
}

/// The message of a panic.
pub fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

/// The error of blocking work that was canceled.
pub fn stopped() -> io::Error {
    io::Error::from(io::ErrorKind::Interrupted)
}

/// The host key is set before the SSH server starts. So another key means that the guest took
/// nothing of what it was given.
const NOT_TAKEN: &str = "this is the build's own machine and no attack: the image took neither of the two \
    ways in. For systemd credentials it needs systemd 252 or newer and an sshd_config that includes \
    /etc/ssh/sshd_config.d/*.conf. For cloud-init's NoCloud seed (a medium labelled CIDATA), let cloud-init \
    be installed and enabled, let datasource_list name NoCloud or be absent, and remove \
    /etc/cloud/cloud-init.disabled and ds-identify's policy=disabled; cloud-init clean makes it run again";
const HARDENED_SSH: &str = "a customizer or the source has narrowed sshd's Ciphers, MACs, KexAlgorithms or \
    HostKeyAlgorithms: leave one of goldsmith's in the list (the host key is ssh-ed25519) until the last step";
const LOGIN_SHELL: &str = "leave the build user (goldsmith) a login shell that runs commands, such as \
    /bin/bash, until the last step: generalization removes the user";

/// The certificate is read from the console of the machine's first boot, and the password is set by the
/// answer file on its CD.
const NOT_ITS_CERTIFICATE: &str = "a step has given the guest's WinRM service another certificate: leave the \
    listener on port 5986 as it is until the last step; generalization removes it";
const NO_CERTIFICATE: &str = "the guest writes it to its serial port when the script of its CD runs; the last \
    lines of the console tell how far it came";
const REFUSED_PASSWORD: &str = "leave the build user, its password and the listeners of WinRM as they are until \
    the last step; generalization removes them. For a disk that is not generalized, check the name and the \
    password of its administrator";

/// Translates an error of a guest's command for the user.
pub fn guest_error(error: vm::Error) -> Error {
    machine_error(error)
}

/// Translates an error of the machine for the user.
pub fn machine_error(error: vm::Error) -> Error {
    let message = error.to_string();
    let (code, details, hint) = match &error {
        vm::Error::Timeout { serial, .. } => (ErrorCode::BootTimeout, serial.clone(), None),
        vm::Error::Gone { ended: vm::Ended::DiskFull, serial } => (
            ErrorCode::DiskFull,
            serial.clone(),
            Some("free space below the cache folder: goldsmith cache prune"),
        ),
        vm::Error::Gone { ended: vm::Ended::GuestShutdown, serial } => (
            ErrorCode::GuestStopped,
            serial.clone(),
            Some("a script must not shut the machine down: goldsmith does that at the end"),
        ),
        vm::Error::Gone { serial, .. } => (ErrorCode::GuestStopped, serial.clone(), None),
        vm::Error::Proc(vm::proc::Error::Failed { stderr_tail, .. })
            if stderr_tail.iter().any(|line| line.contains("No space left on device")) =>
        {
            (ErrorCode::DiskFull, Vec::new(), Some("goldsmith cache prune frees space"))
        }
        vm::Error::HostKey { .. } => (ErrorCode::GuestUnreachable, Vec::new(), Some(NOT_TAKEN)),
        vm::Error::NoCommonAlgorithm { .. } => {
            (ErrorCode::GuestUnreachable, Vec::new(), Some(HARDENED_SSH))
        }
        vm::Error::LoginShell { .. } => {
            (ErrorCode::GuestUnreachable, Vec::new(), Some(LOGIN_SHELL))
        }
        vm::Error::Certificate { .. } => {
            (ErrorCode::GuestUnreachable, Vec::new(), Some(NOT_ITS_CERTIFICATE))
        }
        vm::Error::NoCertificate { .. } => {
            (ErrorCode::GuestUnreachable, Vec::new(), Some(NO_CERTIFICATE))
        }
        vm::Error::PasswordRefused { .. } => {
            (ErrorCode::GuestUnreachable, Vec::new(), Some(REFUSED_PASSWORD))
        }
        vm::Error::Ssh { .. } | vm::Error::Winrm(_) | vm::Error::TooMuchOutput => {
            (ErrorCode::GuestUnreachable, Vec::new(), None)
        }
        vm::Error::Start { .. } | vm::Error::Proc(vm::proc::Error::NotFound { .. }) => {
            (ErrorCode::HostNotReady, Vec::new(), Some("run goldsmith doctor"))
        }
        vm::Error::HostLacks { remedy, .. } => (ErrorCode::HostNotReady, Vec::new(), Some(*remedy)),
        vm::Error::Bridge(why) => (ErrorCode::HostNotReady, Vec::new(), Some(why.remedy())),
        vm::Error::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
            (ErrorCode::DiskFull, Vec::new(), Some("goldsmith cache prune frees space"))
        }
        vm::Error::Canceled | vm::Error::Proc(vm::proc::Error::Canceled { .. }) => {
            (ErrorCode::Canceled, Vec::new(), None)
        }
        vm::Error::NotForwarded { .. }
        | vm::Error::Io { .. }
        | vm::Error::Qmp { .. }
        | vm::Error::Proc(_)
        | vm::Error::Input(_) => (ErrorCode::InternalError, Vec::new(), None),
    };
    let coded = Error::new(code, message).details(details).caused_by(error);
    match hint {
        Some(hint) => coded.hint(hint),
        None => coded,
    }
}
