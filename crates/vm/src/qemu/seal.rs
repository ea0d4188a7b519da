//! Seals the current state of a machine while it runs.

use std::{path::PathBuf, time::Instant};

use serde_json::{Value, json};

use super::{Drives, QemuMachine, rehearsal::Rehearsal, saving::Turn, transfer};
use crate::{Error, RamSave, Seal, Sealed, args, may_wait, tpm};

/// Pauses the guest, puts new overlays on all drives, saves the RAM, and resumes the guest.
///
/// In the background, the guest is paused only until QEMU has captured its state. Otherwise most of
/// the RAM is written before the pause, where QEMU can do that, and the rest after the overlays, so
/// that a failure to save the RAM does not lose the disks.
pub(super) async fn seal(machine: &QemuMachine, request: &Seal) -> Result<Sealed, Error> {
    // QEMU saves one state at a time, so a second save waits for the end of the first.
    let turn = match &request.ram {
        Some(ram) => Some(Turn::take(machine, ram).await),
        None => None,
    };
    // A canceled copy may have left a medium.
    let _empty = transfer::eject(machine).await?;
    let mut drives = machine.drives.lock().await;
    check(request, &drives, machine.spec.tpm.is_some())?;
    let load_test = request.ram.as_ref().and_then(|ram| ram.load_test.as_ref());
    let rehearsal = load_test.and_then(|dir| Rehearsal::of(machine, &drives, dir));
    let nearly = match &turn {
        Some(turn) => turn.approach(machine).await,
        None => None,
    };
    let started = Instant::now();
    if nearly.is_none() {
        machine.command("stop", json!({})).await?;
    }
    let captured = match &turn {
        Some(turn) => turn.capture(machine).await,
        None => None,
    };
    let turned = match seal_tpm(machine, request) {
        Ok(()) => switch(machine, &mut drives, request).await,
        Err(error) => Err(error),
    };
    let stopped = match (&turn, nearly) {
        (_, Some(save)) if turned.is_ok() => Some(Turn::conclude(machine, save).await),
        (_, Some(save)) => {
            save.abandon(&machine.qmp).await;
            None
        }
        (Some(turn), None) if captured.is_none() && turned.is_ok() => {
            Some(turn.save_now(machine).await)
        }
        _ => None,
    };
    let resumed = machine.command("cont", json!({})).await;
    let seconds = started.elapsed().as_secs_f64();
    if let Err(error) = turned.and(resumed.map(drop)) {
        if let Some(captured) = captured {
            captured.abandon(&machine.qmp).await;
        }
        return Err(error);
    }
    let ram = match (turn, captured) {
        (Some(turn), Some(captured)) => Some(turn.save_in_background(machine, captured, rehearsal)),
        _ => stopped.map(RamSave::over),
    };
    Ok(Sealed { seconds, ram })
}

fn check(request: &Seal, drives: &Drives, has_tpm: bool) -> Result<(), Error> {
    let wrong = |desc: &str| {
        let command = "blockdev-snapshot".to_owned();
        Err(Error::Qmp { command, desc: desc.to_owned() })
    };
    if request.next_vars.is_some() != drives.vars.is_some() {
        return wrong("next_vars must be set if and only if the machine has UEFI variables");
    }
    if request.tpm.is_some() != has_tpm {
        return wrong("tpm must be set if and only if the machine has a TPM");
    }
    if request.next_data.len() != drives.data.len() {
        return wrong("next_data must have one entry for each data disk");
    }
    Ok(())
}

/// The guest is paused.
fn seal_tpm(machine: &QemuMachine, request: &Seal) -> Result<(), Error> {
    match (&machine.spec.tpm, &request.tpm) {
        (Some(state), Some(to)) => may_wait(|| tpm::copy_state(state, to)).map_err(Error::at(to)),
        _ => Ok(()),
    }
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
