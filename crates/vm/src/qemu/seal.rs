//! Seals the current state of a machine while it runs.

use std::{fs::File, path::PathBuf, time::Instant};

use serde_json::{Value, json};

use super::{Drives, QemuMachine, ram};
use crate::{Error, Seal, Sealed, args, may_wait};

/// Pauses the guest, puts new overlays on all drives, saves the RAM, resumes the guest, and then
/// syncs the sealed files to disk.
///
/// The overlays come first, so that a failure to save the RAM does not lose the disks.
pub(super) async fn seal(machine: &QemuMachine, request: &Seal) -> Result<Sealed, Error> {
    let mut drives = machine.drives.lock().await;
    if request.next_vars.is_some() != drives.vars.is_some() {
        let desc = "next_vars must be set if and only if the machine has UEFI variables".to_owned();
        return Err(Error::Qmp { command: "blockdev-snapshot".to_owned(), desc });
    }
    if request.next_data.len() != drives.data.len() {
        let desc = "next_data must have one entry for each data disk".to_owned();
        return Err(Error::Qmp { command: "blockdev-snapshot".to_owned(), desc });
    }
    let started = Instant::now();
    machine.command("stop", json!({})).await?;
    let turned = switch(machine, &mut drives, request).await;
    let ram_bytes = match &turned {
        Ok(()) => save_ram(machine, request).await,
        Err(_) => None,
    };
    let resumed = machine.command("cont", json!({})).await;
    turned?;
    resumed?;
    let seconds = started.elapsed().as_secs_f64();
    Ok(Sealed { ram_bytes, seconds })
}

/// Switches all drives to their next file, or none.
async fn switch(machine: &QemuMachine, drives: &mut Drives, request: &Seal) -> Result<(), Error> {
    let next = drives.generation + 1;
    let absolute = |path: &PathBuf| std::path::absolute(path).map_err(Error::at(path));
    let disk = absolute(&request.next_disk)?;
    let vars = request.next_vars.as_ref().map(absolute).transpose()?;
    let data: Vec<PathBuf> = request.next_data.iter().map(absolute).collect::<Result<_, _>>()?;
    let mut changes = vec![("disk".to_owned(), &disk)];
    changes.extend(vars.as_ref().map(|path| ("vars".to_owned(), path)));
    changes.extend(data.iter().enumerate().map(|(lun, path)| (args::data_drive(lun), path)));
    let mut actions = Vec::new();
    let mut added: Vec<String> = Vec::new();
    for (drive, path) in &changes {
        let (old, new) = (args::node(drive, drives.generation), args::node(drive, next));
        if let Err(error) = machine.command("blockdev-add", args::drive(&new, path, true)).await {
            remove(machine, &added).await;
            return Err(error);
        }
        let data = json!({ "node": old, "overlay": new });
        actions.push(json!({ "type": "blockdev-snapshot", "data": data }));
        added.push(new);
    }
    if let Err(error) = machine.command("transaction", json!({ "actions": actions })).await {
        remove(machine, &added).await;
        return Err(error);
    }
    *drives = Drives { generation: next, disk, vars, data };
    Ok(())
}

async fn remove(machine: &QemuMachine, nodes: &[String]) {
    for node in nodes {
        let _: Result<Value, _> =
            machine.command("blockdev-del", json!({ "node-name": node })).await;
    }
}

async fn save_ram(machine: &QemuMachine, request: &Seal) -> Option<u64> {
    let path = request.ram.as_ref()?;
    let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
    match ram::save(&machine.qmp, &path, machine.mapped_ram).await {
        Ok(bytes) => Some(bytes),
        Err(error) => {
            tracing::warn!(%error, "cannot save the machine's RAM; its disks are sealed");
            let _ = may_wait(|| std::fs::remove_file(&path));
            None
        }
    }
}

/// Syncs files to disk.
pub(super) async fn sync(files: Vec<PathBuf>) -> Result<(), Error> {
    let work = tokio::task::spawn_blocking(move || {
        for path in files {
            File::open(&path).and_then(|file| file.sync_all()).map_err(Error::at(&path))?;
        }
        Ok(())
    });
    work.await.unwrap_or_else(|e| Err(Error::at("")(std::io::Error::other(e))))
}
