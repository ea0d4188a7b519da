//! Saves RAM while the guest runs: QEMU's capability `background-snapshot`.
//!
//! QEMU keeps the state of the devices in memory and protects all pages. It then writes one page
//! after the other, first those that the guest is about to change. The kernel reports these
//! (`userfaultfd`); without that, QEMU rejects the capability.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::{CLEANUP_LIMIT, STATE_POLL, Way, is_complete, set_up, state, too_slow};
use crate::{Error, Host, RamFormat, qemu::qmp_error, qmp};

/// How long the guest may be paused until QEMU has captured its state. Mapping all of a large RAM
/// takes longest.
const CAPTURE_LIMIT: Duration = Duration::from_secs(20);

/// Whether QEMU can save this machine's RAM in the background. `Err` has its reason why not.
pub(in crate::qemu) async fn allow(qmp: &qmp::Client, host: &Host) -> Result<(), Error> {
    set_up(qmp, host, RamFormat::Stream, Way::Background).await
}

/// Waits until QEMU has captured the whole state of a paused machine.
///
/// The status `active` is not enough: QEMU reports it before it captures the devices and protects
/// the pages. It writes the first page only after that.
pub(super) async fn captured(qmp: &qmp::Client) -> Result<(), Error> {
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
pub(super) async fn cleaned_up(qmp: &qmp::Client) -> Result<(), Error> {
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
pub(super) async fn outlast_power_off(qmp: &qmp::Client, outlast: bool) -> Result<(), Error> {
    let action = if outlast { "pause" } else { "poweroff" };
    let done = qmp.execute("set-action", json!({ "shutdown": action })).await;
    done.map_err(|e| qmp_error("set-action", &e)).map(drop)
}

#[cfg(test)]
mod tests;
