//! Saves RAM while the guest runs: QEMU's capability `background-snapshot`.
//!
//! QEMU keeps the state of the devices in memory and protects all pages. It then writes one page
//! after the other, first those that the guest is about to change. The kernel reports these
//! (`userfaultfd`); without that, QEMU rejects the capability.

use std::{fs::File, path::PathBuf, time::Duration};

use serde_json::{Value, json};
use tokio::{sync::broadcast, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    CLEANUP_LIMIT, STATE_POLL, Way, address, create, end, is_complete, set_up, size, state,
    too_slow,
};
use crate::{
    Error, Host, RamFormat, may_wait,
    qemu::qmp_error,
    qmp::{self, Event},
};

/// How long the guest may be paused until QEMU has captured its state. Mapping all of a large RAM
/// takes longest.
const CAPTURE_LIMIT: Duration = Duration::from_secs(20);

/// Whether QEMU can save this machine's RAM in the background. `Err` has its reason why not.
pub(in crate::qemu) async fn allow(qmp: &qmp::Client, host: &Host) -> Result<(), Error> {
    set_up(qmp, host, RamFormat::Stream, Way::Background).await
}

/// A save in progress. Its file is removed unless the save succeeds.
pub(in crate::qemu) struct Background {
    path: PathBuf,
    file: File,
    events: broadcast::Receiver<Event>,
}

impl Background {
    /// Captures the state of a paused machine, after [`allow`]. The machine may run as soon as this
    /// returns.
    pub(in crate::qemu) async fn begin(
        qmp: &qmp::Client,
        host: &Host,
        path: PathBuf,
    ) -> Result<Self, Error> {
        let file = create(&path)?;
        let address = address(qmp, host, &path, &file).await?;
        let save = Self { path, file, events: qmp.events() };
        let begun = async {
            outlast_power_off(qmp, true).await?;
            qmp.execute("migrate", address).await.map_err(|e| qmp_error("migrate", &e))?;
            captured(qmp).await
        };
        match begun.await {
            Ok(()) => Ok(save),
            Err(error) => {
                save.abandon(qmp).await;
                Err(error)
            }
        }
    }

    /// Waits until the file is complete. Returns the bytes that it takes on the disk.
    pub(in crate::qemu) async fn finish(
        mut self,
        qmp: &qmp::Client,
        give_up: &CancellationToken,
    ) -> Result<u64, Error> {
        let events = self.events.resubscribe();
        let ended = tokio::select! {
            ended = end(qmp, "migrate", std::mem::replace(&mut self.events, events)) => ended,
            () = give_up.cancelled() => Err(Error::Canceled),
        };
        match ended {
            Ok(()) => {
                let bytes = size(&self.path, &self.file);
                clean_up(qmp).await?;
                bytes
            }
            Err(error) => {
                self.abandon(qmp).await;
                Err(error)
            }
        }
    }

    /// Ends the save and removes its file.
    pub(in crate::qemu) async fn abandon(self, qmp: &qmp::Client) {
        // Fails if the save has ended, and if QEMU has.
        let _ = qmp.execute("migrate_cancel", json!({})).await;
        if let Err(error) = clean_up(qmp).await {
            tracing::debug!(%error, "QEMU has not ended the save of the RAM");
        }
        let _ = may_wait(|| std::fs::remove_file(&self.path));
    }
}

/// Waits until QEMU has captured the whole state of a paused machine.
///
/// The status `active` is not enough: QEMU reports it before it captures the devices and protects
/// the pages. It writes the first page only after that.
async fn captured(qmp: &qmp::Client) -> Result<(), Error> {
    let started = Instant::now();
    loop {
        let state = state(qmp).await?;
        let pages = |kind: &str| state["ram"][kind].as_u64().unwrap_or_default();
        if is_complete("migrate", &state)? || pages("normal") + pages("duplicate") > 0 {
            return Ok(());
        }
        if started.elapsed() > CAPTURE_LIMIT {
            return Err(too_slow("migrate", "the machine's state is not captured", CAPTURE_LIMIT));
        }
        tokio::time::sleep(STATE_POLL).await;
    }
}

/// Waits until QEMU accepts the next migration, and lets it exit again with its guest.
///
/// QEMU reports the end of a migration before it has lifted the protection of the pages, and then
/// rejects or confuses the next one. Meanwhile its list of connections to break ("yank") has an
/// entry for the migration.
async fn clean_up(qmp: &qmp::Client) -> Result<(), Error> {
    let started = Instant::now();
    loop {
        let entries = qmp.execute("query-yank", json!({})).await;
        let entries = entries.map_err(|e| qmp_error("query-yank", &e))?;
        let is_migration = |entry: &Value| entry["type"] == "migration";
        if !entries.as_array().is_some_and(|entries| entries.iter().any(is_migration)) {
            break;
        }
        if started.elapsed() > CLEANUP_LIMIT {
            return Err(too_slow("query-yank", "the migration is not finalized", CLEANUP_LIMIT));
        }
        tokio::time::sleep(STATE_POLL).await;
    }
    outlast_power_off(qmp, false).await?;
    let status = qmp.execute("query-status", json!({})).await;
    let status = status.map_err(|e| qmp_error("query-status", &e))?;
    // The guest powered off meanwhile.
    if status["status"] == "shutdown" {
        qmp.execute("quit", json!({})).await.map_err(|e| qmp_error("quit", &e))?;
    }
    Ok(())
}

/// Whether QEMU remains after its guest has powered off. Its exit would end the save, which is
/// probably nearly complete, since a guest takes seconds to shut down. The machine counts as ended
/// at once; only the wait for QEMU's exit takes as long as the save.
async fn outlast_power_off(qmp: &qmp::Client, outlast: bool) -> Result<(), Error> {
    let action = if outlast { "pause" } else { "poweroff" };
    let done = qmp.execute("set-action", json!({ "shutdown": action })).await;
    done.map_err(|e| qmp_error("set-action", &e)).map(drop)
}

#[cfg(test)]
mod tests;
