//! The disks of a guest: bringing them online, and what must be on them before they are sealed.

use std::time::Duration;

use api::ErrorCode;
use images::error::{Error, Result};
use tokio::time::{Instant, sleep};
use vm::Exit;

use super::{call::Call, exit, scripts};
use crate::system::{At, Synced};

/// Covers everything that a step wrote; a slow disk of the host may take long.
const SYNC: Duration = Duration::from_secs(30 * 60);
/// How long installers may keep the disk from being sealed. After large updates Windows is at work for
/// more than an hour; the template's own limit may be shorter.
const BUSY: Duration = Duration::from_secs(2 * 60 * 60);
const POLL: Duration = Duration::from_secs(5);
const ONLINE: Duration = Duration::from_secs(5 * 60);

pub(super) fn version(disks: usize) -> String {
    format!("{} {disks}", scripts::version(&[scripts::DISKS]))
}

/// Brings the data disks online.
pub(super) async fn online(at: At<'_>, disks: usize) -> Result<Exit> {
    let call = Call::new("bringing the data disks online", scripts::DISKS, ONLINE);
    let answers = call.with("disks", disks).ask(at.guest).await?;
    let online: usize = answers.need("online")?.parse().map_err(|_| answers.unexpected())?;
    Ok(exit(u32::from(online < disks)))
}

/// Writes everything to the disk. Waits for installers of Windows, in whose middle no disk should be
/// sealed.
pub(super) async fn sync(at: At<'_>) -> Result<Synced> {
    let busy_until = Instant::now() + BUSY;
    loop {
        let answers = Call::new("sync", scripts::SYNC, SYNC).ask(at.guest).await?;
        if answers.has("synced") {
            return Ok(Synced::Done);
        }
        if let Some(why) = answers.text("stopping") {
            tracing::info!(why, "the guest is about to shut down or to restart");
            return Ok(Synced::Stopping);
        }
        if let Some(why) = answers.text("failed") {
            let text = format!("the guest cannot write its volumes to the disk: {why}");
            return Err(Error::new(ErrorCode::GuestUnreachable, text));
        }
        let Some(why) = answers.text("busy") else { return Err(answers.unexpected()) };
        if Instant::now() >= busy_until {
            let minutes = BUSY.as_secs() / 60;
            let text = format!("the guest still installs after {minutes} minutes: {why}");
            return Err(Error::new(ErrorCode::StepTimedOut, text)
                .hint("let the script wait for what it starts, or restart the machine after it"));
        }
        sleep(POLL).await;
    }
}
