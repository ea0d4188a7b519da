//! Seals, and machines that start from them.

use api::ErrorCode;
use guests::{Resumed, Synced};
use images::{
    error::{Coded, Result, machine_error},
    ledger::Releasable,
};
use serde_json::json;
use tokio::time::Instant;
use vm::{RamFile, SaveRam, Seal, disk, may_wait};

use super::{
    Facts,
    scripts::{self, failed},
    upload,
};
use crate::bed::{Bed, Drives, Left, Start, cannot_write, system};

/// How much the guest's clock may differ from the host's, in seconds.
const CLOCK: f64 = 10.0;
const MARKED: &str = r"C:\Windows\Temp\trial-sealed.bin";
const BYTES: usize = 1024 * 1024;

/// A machine that was sealed.
struct SealedMachine {
    left: Left,
    ram: Option<RamFile>,
}

/// The machine goes on from its RAM as if nothing had happened.
pub(super) async fn resume(bed: &mut Bed<'_>, facts: &mut Facts) -> Result<()> {
    let before = scripts::boot_id(bed).await?;
    let sealed = seal(bed, true, facts).await?;
    let Left { identity, drives } = sealed.left;
    let begun = Instant::now();
    bed.start(Start { on: drives, identity, resume_from: sealed.ram, is_trusted: false }).await?;
    reconnect(bed).await?;
    facts.insert("secondsToAnswer".into(), json!(begun.elapsed().as_secs()));
    let mut entropy = [0; 64];
    getrandom::fill(&mut entropy)
        .code(ErrorCode::InternalError, || "the host gives no random numbers".to_owned())?;
    let now = jiff::Timestamp::now().as_second();
    let live = bed.at().await?;
    let exit = system().resumed(live.at()?, Resumed { now, entropy: &entropy }).await?;
    if !exit.success() {
        return Err(failed(format!("setting the clock {exit}")));
    }
    let after = scripts::boot_id(bed).await?;
    if before != after {
        return Err(failed(format!(
            "the guest has booted: its boot id was {before}, and is {after}"
        )));
    }
    let away = scripts::clock(bed).await? - jiff::Timestamp::now().as_second() as f64;
    facts.insert("clockDifferenceSeconds".into(), json!(away));
    match away.abs() < CLOCK {
        true => Ok(()),
        false => Err(failed(format!("the guest's clock differs from this host's by {away} s"))),
    }
}

/// The guest boots from a disk that was sealed while it ran.
pub(super) async fn cold_boot(bed: &mut Bed<'_>, facts: &mut Facts) -> Result<()> {
    let before = scripts::boot_id(bed).await?;
    let expected = upload::copy(bed, "cold-boot", MARKED, BYTES).await?;
    let sealed = seal(bed, false, facts).await?;
    let Left { identity, drives } = sealed.left;
    let begun = Instant::now();
    bed.start(Start { on: drives, identity, resume_from: None, is_trusted: false }).await?;
    bed.enter(false).await?;
    facts.insert("secondsToBoot".into(), json!(begun.elapsed().as_secs()));
    let digest = scripts::digest(bed).await?;
    if !digest.eq_ignore_ascii_case(&expected) {
        return Err(failed(format!(
            "{MARKED} had the digest {expected} before the seal, and has {digest}"
        )));
    }
    if scripts::boot_id(bed).await? == before {
        return Err(failed("the boot id did not change by a boot".to_owned()));
    }
    Ok(())
}

/// Connects to a resumed guest, without the waits of a boot.
async fn reconnect(bed: &mut Bed<'_>) -> Result<()> {
    let limit = bed.trial.boot_timeout;
    let live = bed.live.as_mut().ok_or_else(|| failed("the machine has ended".to_owned()))?;
    let guest = live.machine.connect(&live.identity.access, limit, &bed.cx.cancel).await;
    live.guest = Some(guest.map_err(machine_error)?);
    Ok(())
}

/// Seals the machine as a build does between two steps, and ends it.
async fn seal(bed: &mut Bed<'_>, with_ram: bool, facts: &mut Facts) -> Result<SealedMachine> {
    let next = bed.fresh("next");
    let ram = with_ram.then(|| bed.fresh("ram"));
    let load_test = with_ram.then(|| bed.fresh("load-test"));
    may_wait(|| std::fs::create_dir_all(&next))
        .code(ErrorCode::HostNotReady, || cannot_write(&next))?;
    if let Some(dir) = &load_test {
        let hold = || -> std::io::Result<()> {
            bed.ledger.hold(Releasable::Machine { run_dir: dir.clone() })?;
            std::fs::create_dir_all(dir)
        };
        may_wait(hold).code(ErrorCode::HostNotReady, || cannot_write(dir))?;
    }
    let host = bed.host;
    let cancel = bed.cx.cancel.clone();
    let live = bed.at().await?;
    match system().sync(live.at()?).await? {
        Synced::Done => {}
        Synced::Stopping => return Err(failed("Windows is about to restart".to_owned())),
        Synced::Failed(exit) => return Err(failed(format!("sync in the guest {exit}"))),
    }
    let Drives { disk, bytes, .. } = &live.drives;
    let next_disk = next.join("disk.qcow2");
    disk::create_overlay(host, &next_disk, disk, *bytes)
        .await
        .map_err(|e| machine_error(e.into()))?;
    let next_vars = live.drives.next_vars(host, &next).await?;
    let save = ram.clone().map(|path| SaveRam { path, background: false, load_test });
    let seal = Seal { next_disk, next_vars, next_data: Vec::new(), ram: save, tpm: None };
    let sealed = live.machine.seal(&seal).await.map_err(machine_error)?;
    facts.insert("pausedSeconds".into(), json!(sealed.seconds));
    let left = Left { identity: live.identity.clone(), drives: live.drives.clone() };
    let ram = match (sealed.ram, ram) {
        (Some(save), Some(path)) => {
            let saved = save.finish(&cancel).await.map_err(|lost| failed(lost.to_string()))?;
            facts.insert("ramBytes".into(), json!(saved.bytes));
            facts.insert("ramSeconds".into(), json!(saved.seconds));
            Some(RamFile { path, format: saved.format })
        }
        _ => None,
    };
    bed.end().await?;
    bed.last = Some(left.clone());
    Ok(SealedMachine { left, ram })
}
