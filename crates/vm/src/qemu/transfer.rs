//! Puts a file on a CD into a running machine, and takes it out again.

use std::{
    path::{Path, PathBuf},
    sync::atomic::Ordering,
};

use serde_json::json;
use tokio::sync::MutexGuard;

use super::QemuMachine;
use crate::{
    Error,
    args::{self, TRANSFER},
    transfer_cd,
};

/// The node of the medium, in the drive [`TRANSFER`].
const MEDIUM: &str = "transfer-medium";

/// Puts the file in, in place of an earlier one.
pub(super) async fn insert(machine: &QemuMachine, file: &Path, name: &str) -> Result<(), Error> {
    if !args::layout(machine.spec.os).has_transfer() {
        let desc = "this machine has no drive for a medium".to_owned();
        return Err(Error::Qmp { command: "blockdev-insert-medium".to_owned(), desc });
    }
    let _turn = machine.transfers.lock().await;
    take_out(machine).await?;
    let path = medium(machine);
    transfer_cd::write(&path, file, name).await?;
    machine.has_medium.store(true, Ordering::Relaxed);
    let inserted = put_in(machine, &path).await;
    if inserted.is_err() {
        let _ = take_out(machine).await;
    }
    inserted
}

/// Empties the drive, which stays empty as long as the guard exists. A saved RAM needs that: whoever
/// resumes it has no such medium.
pub(super) async fn eject(machine: &QemuMachine) -> Result<MutexGuard<'_, ()>, Error> {
    let turn = machine.transfers.lock().await;
    take_out(machine).await?;
    Ok(turn)
}

fn medium(machine: &QemuMachine) -> PathBuf {
    machine.spec.run_dir.join(transfer_cd::NAME)
}

async fn put_in(machine: &QemuMachine, path: &Path) -> Result<(), Error> {
    machine.command("blockdev-add", args::read_only(MEDIUM, path)).await?;
    open(machine).await?;
    let node = json!({ "id": TRANSFER, "node-name": MEDIUM });
    machine.command("blockdev-insert-medium", node).await?;
    machine.command("blockdev-close-tray", json!({ "id": TRANSFER })).await.map(drop)
}

/// Also when only a part of [`put_in`] was done.
async fn take_out(machine: &QemuMachine) -> Result<(), Error> {
    if !machine.has_medium.load(Ordering::Relaxed) {
        // Perhaps a part of one, which was canceled.
        transfer_cd::remove(&medium(machine));
        return Ok(());
    }
    open(machine).await?;
    machine.command("blockdev-remove-medium", json!({ "id": TRANSFER })).await?;
    machine.command("blockdev-close-tray", json!({ "id": TRANSFER })).await?;
    // It is not there if it could not be opened.
    let _ = machine.command("blockdev-del", json!({ "node-name": MEDIUM })).await;
    machine.has_medium.store(false, Ordering::Relaxed);
    transfer_cd::remove(&medium(machine));
    Ok(())
}

/// A guest locks the tray while it uses the medium. It is not asked.
async fn open(machine: &QemuMachine) -> Result<(), Error> {
    let tray = json!({ "id": TRANSFER, "force": true });
    machine.command("blockdev-open-tray", tray).await.map(drop)
}
