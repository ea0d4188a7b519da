//! The boot of a guest, and its waking up from saved RAM.

use std::time::Duration;

use api::ErrorCode;
use images::error::{Error, Result};
use tokio::time::{Instant, sleep};
use vm::Exit;

use super::{
    call::{Answers, Call, Unanswered, text},
    exit, scripts,
};
use crate::system::{At, FirstBoot};

/// For how long nothing of Windows' own must run.
const QUIET: u64 = 15;
const POLL: Duration = Duration::from_secs(5);
/// How long Windows may be at work on itself after its setup, before the build goes on with a
/// warning. Its maintenance may take longer than any step.
const BUSY: Duration = Duration::from_secs(10 * 60);
/// How long a guest may be silent in between: it may restart once more.
const SILENCE: Duration = Duration::from_secs(10 * 60);
/// The limits of one call.
const CALL: Duration = Duration::from_secs(3 * 60);
const EXTEND: Duration = Duration::from_secs(10 * 60);

/// What Windows does beside its work for us.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum State {
    Settled,
    /// With what.
    Busy(String),
    /// Windows Setup has not ended; the state of the image.
    Incomplete(String),
}

/// The scripts of [`ended`].
pub(super) fn ready_version() -> String {
    scripts::version(&[scripts::SETTLED, scripts::DEPROVISION])
}

/// The scripts of [`prepare`].
pub(super) fn prepare_version() -> String {
    scripts::version(&[scripts::EXTEND])
}

/// One look at the guest: which boot it is, and whether it has been idle for a while.
pub(super) async fn look(at: At<'_>) -> Result<(String, State), Unanswered> {
    let call = Call::new("looking whether Windows is idle", scripts::SETTLED, CALL);
    let answers = call.with("seconds", QUIET).ask(at.guest).await?;
    let boot = answers.need("boot").map_err(Unanswered::Failed)?.to_owned();
    Ok((boot, state(&answers)?))
}

fn state(answers: &Answers) -> Result<State, Unanswered> {
    if answers.has("settled") {
        Ok(State::Settled)
    } else if let Some(why) = answers.rest("busy") {
        Ok(State::Busy(text(why)))
    } else if let Some(state) = answers.rest("incomplete") {
        Ok(State::Incomplete(text(state)))
    } else {
        Err(Unanswered::Failed(answers.unexpected()))
    }
}

/// Which boot it is. A guest that is just restarting is asked again.
pub(super) async fn id_within(at: At<'_>, limit: Duration) -> Result<String> {
    let deadline = Instant::now() + limit;
    loop {
        let call = Call::new("asking which boot it is", scripts::BOOT_ID, CALL);
        match call.ask(at.guest).await {
            Ok(answers) => return answers.need("boot").map(str::to_owned),
            Err(unanswered) if Instant::now() >= deadline => return Err(unanswered.into()),
            Err(_) => sleep(POLL).await,
        }
    }
}

/// Waits until Windows Setup has ended and Windows is idle. Then the template's scripts find
/// `C:\DeprovisioningScript.ps1`, unless nothing may change.
pub(super) async fn ended(at: At<'_>, is_examined: bool) -> Result<Exit> {
    let mut complete_since = None;
    let mut silent_since = None;
    let settled = loop {
        match look(at).await {
            Ok((_, State::Settled)) => break true,
            Ok((_, State::Incomplete(_))) => silent_since = None,
            Ok((_, State::Busy(why))) => {
                silent_since = None;
                if complete_since.get_or_insert_with(Instant::now).elapsed() >= BUSY {
                    tracing::info!(why, "Windows is not idle; the build goes on");
                    break false;
                }
            }
            Err(Unanswered::Lost(error) | Unanswered::Failed(error)) => {
                if silent_since.get_or_insert_with(Instant::now).elapsed() >= SILENCE {
                    return Err(error);
                }
            }
        }
        sleep(POLL).await;
    };
    if !is_examined {
        let call = Call::new("placing C:\\DeprovisioningScript.ps1", scripts::DEPROVISION, CALL);
        let answers = call.ask(at.guest).await?;
        if !answers.has("placed") && !answers.has("there") {
            return Err(answers.unexpected());
        }
    }
    Ok(exit(u32::from(!settled)))
}

/// Sets the clock. Random numbers need nothing: Windows has no way to take them from outside, and
/// mixes in the times of interrupts.
pub(super) async fn resumed(at: At<'_>, now: i64) -> Result<Exit> {
    let answers =
        Call::new("setting the clock", scripts::CLOCK, CALL).with("now", now).ask(at.guest).await?;
    match answers.has("clock") {
        true => Ok(exit(0)),
        false => Err(answers.unexpected()),
    }
}

/// Gives the system's partition the rest of a larger disk.
pub(super) async fn prepare(at: At<'_>, first: FirstBoot) -> Result<Exit> {
    if !first.is_larger {
        return Ok(exit(0));
    }
    let answers = Call::new("extending the system's partition", scripts::EXTEND, EXTEND)
        .ask(at.guest)
        .await?;
    match answers.text("kept") {
        Some(why) => {
            tracing::info!(why, "the system's partition keeps its size");
            Ok(exit(1))
        }
        None if answers.has("extended") => Ok(exit(0)),
        None => Err(Error::from(Unanswered::Failed(answers.unexpected()))),
    }
}

/// The error of a guest whose first boot has failed, in its own words.
pub(super) fn failed(why: &str) -> Error {
    Error::new(ErrorCode::GuestUnreachable, format!("the first boot failed in the guest: {why}"))
        .hint("the serial log shows what it did before")
}
