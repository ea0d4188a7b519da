//! A restart of the guest, which must be seen by three signs: the machine resets, Windows says that
//! this is another boot, and it has settled.

use std::time::Duration;

use api::ErrorCode;
use images::error::{Error, Result, guest_error};
use tokio::time::{Instant, sleep, timeout_at};
use vm::{Exit, Sink, Stdin, StreamKind};

use super::{
    boot::{self, State},
    call::Unanswered,
    scripts,
};
use crate::{output::StepOutput, system::At};

/// What AIB runs.
pub const COMMAND: &str = r#"shutdown /r /f /t 0 /c "packer restart""#;
/// AIB's default.
pub const TIMEOUT: Duration = Duration::from_secs(5 * 60);
/// A restart has begun, or is scheduled, already.
const IN_PROGRESS: u32 = 1115;
const SCHEDULED: u32 = 1190;
/// How long the guest may take to say which boot this is, before the restart.
const BEFORE: Duration = Duration::from_secs(5 * 60);
const POLL: Duration = Duration::from_secs(5);

/// A restart.
#[derive(Debug, Clone, Copy)]
pub struct Restart<'a> {
    /// The command line for `cmd.exe`; [`COMMAND`] if the template has none.
    pub command: Option<&'a str>,
    /// A command line that must be executed before the guest counts as there. Its exit code does not
    /// matter.
    pub check_command: Option<&'a str>,
    /// How long all of it may take.
    pub timeout: Duration,
}

/// The version of it, for keys.
pub fn version() -> String {
    scripts::version(&[scripts::BOOT_ID, scripts::SETTLED])
}

/// How far a restart has come, for the error when the time is over.
#[derive(Default)]
struct Progress {
    has_reset: bool,
    has_checked: bool,
    /// Whether the guest's last answer was from another boot.
    is_another: bool,
    /// Whether it was complete, and only busy.
    is_complete: bool,
    /// What kept it from being settled, or from answering.
    last: String,
}

impl Progress {
    /// Whether the guest is there, although Windows is still at work on itself. That may take longer
    /// than any restart, and does not concern most scripts.
    fn is_there(&self) -> bool {
        self.has_reset && self.has_checked && self.is_another && self.is_complete
    }

    /// The error with the first sign that is missing.
    fn missing(&self, timeout: Duration) -> Error {
        let sign = match self {
            Self { has_reset: false, .. } => "the machine has not been reset".to_owned(),
            Self { has_checked: false, last, .. } => {
                format!("the machine was reset, and the check command cannot be run: {last}")
            }
            Self { is_another: false, last, .. } => {
                format!("the machine was reset, and the guest is not back: {last}")
            }
            Self { last, .. } => format!("the guest is back, and not settled: {last}"),
        };
        let text = format!("the restart is not complete after {} s: {sign}", timeout.as_secs());
        Error::new(ErrorCode::StepTimedOut, text)
            .hint("`restartTimeout` gives it longer, such as `15m`; `restartCommand` must restart the machine")
    }
}

impl Restart<'_> {
    /// Restarts the guest and waits until it is there again. The commands' output goes to `out`.
    ///
    /// # Errors
    /// `CustomizerFailed` for a command that fails; `StepTimedOut`, with the sign that is missing.
    pub async fn run(self, at: At<'_>, out: &mut StepOutput) -> Result<()> {
        let mut resets = at.machine.resets();
        let resets_before = *resets.borrow_and_update();
        let boot_before = boot::id_within(at, BEFORE).await?;
        let started = Instant::now();
        let deadline = started + self.timeout;
        self.command(at, out, deadline).await?;
        let mut progress =
            Progress { has_checked: self.check_command.is_none(), ..Progress::default() };
        let work = async {
            // Its other end is the machine; without it, there is nothing to wait for.
            if resets.wait_for(|resets| *resets > resets_before).await.is_err() {
                std::future::pending::<()>().await;
            }
            progress.has_reset = true;
            if let Some(command) = self.check_command {
                check(at, command, out, &mut progress).await;
            }
            settle(at, &boot_before, &mut progress).await;
        };
        let done = timeout_at(deadline, work).await;
        out.flush().await;
        if done.is_ok() || progress.is_there() {
            if done.is_err() {
                let note =
                    format!("goldsmith: the machine is there but not idle: {}\n", progress.last);
                let _ = out.take(StreamKind::Out, note.as_bytes()).await;
            }
            return Ok(());
        }
        Err(progress.missing(self.timeout))
    }

    async fn command(&self, at: At<'_>, out: &mut StepOutput, deadline: Instant) -> Result<()> {
        let command = self.command.unwrap_or(COMMAND);
        let ran = timeout_at(deadline, at.guest.run(command, Stdin::Empty, out)).await;
        out.flush().await;
        let what = match ran {
            Ok(Ok(Exit { code: Some(0 | IN_PROGRESS | SCHEDULED), .. })) => return Ok(()),
            Ok(Ok(exit)) => format!("the restart command {exit}"),
            // The guest may cut the connection before the command has ended.
            Ok(Err(error)) if error.is_lost_connection() => return Ok(()),
            Ok(Err(error)) => format!("the restart command cannot be run: {}", guest_error(error)),
            Err(_) => {
                format!("the restart command did not end within {} s", self.timeout.as_secs())
            }
        };
        Err(Error::new(ErrorCode::CustomizerFailed, what)
            .details(out.tail())
            .hint("without `restartCommand`, the machine restarts by shutdown /r /f /t 0"))
    }
}

/// Sends the template's command until the guest has executed it.
async fn check(at: At<'_>, command: &str, out: &mut StepOutput, progress: &mut Progress) {
    loop {
        match at.guest.run(command, Stdin::Empty, out).await {
            Ok(_) => {
                progress.has_checked = true;
                return;
            }
            Err(error) => {
                progress.last = guest_error(error).to_string();
                sleep(POLL).await;
            }
        }
    }
}

/// Waits until Windows says that it is another boot, and idle. The caller limits the time.
async fn settle(at: At<'_>, before: &str, progress: &mut Progress) {
    loop {
        match boot::look(at).await {
            Ok((boot, state)) => {
                progress.is_another = boot != before;
                progress.is_complete = !matches!(state, State::Incomplete(_));
                progress.last = match state {
                    State::Settled if progress.is_another => return,
                    State::Settled => "it answers from the boot of before".to_owned(),
                    State::Busy(why) => why,
                    State::Incomplete(state) => format!("the state of its image is {state}"),
                };
            }
            Err(Unanswered::Lost(error) | Unanswered::Failed(error)) => {
                progress.is_another = false;
                progress.last = error.to_string();
            }
        }
        sleep(POLL).await;
    }
}
