//! Restarts of the guest, wanted and unwanted.

use std::time::Duration;

use guests::windows::{restart::Restart, script::Rights, update::Update};
use images::error::Result;
use serde_json::json;
use tokio::time::Instant;

use super::{
    Facts,
    scripts::{self, failed},
};
use crate::bed::{Bed, system};

const RESTART: &str = include_str!("../scripts/restart.ps1");
/// How long the reset may come after the end of the job.
const RESET: Duration = Duration::from_secs(300);

/// Windows restarts while a job runs.
pub(super) async fn job_restart(bed: &mut Bed<'_>, facts: &mut Facts) -> Result<()> {
    let before = scripts::boot_id(bed).await?;
    let mut resets = bed.at().await?.machine.resets();
    let count = *resets.borrow_and_update();
    let end = match scripts::run(bed, "job-restart", RESTART, Rights::System).await {
        Ok(ran) => format!("exit code {}", ran.code),
        Err(error) => error.message,
    };
    facts.insert("endOfTheJob".into(), json!(end));
    let reset = tokio::time::timeout(RESET, resets.wait_for(|now| *now > count)).await;
    facts.insert("reset".into(), json!(matches!(reset, Ok(Ok(_)))));
    back(bed).await?;
    let after = scripts::boot_id(bed).await?;
    facts.insert("bootIdChanged".into(), json!(before != after));
    match (reset, before == after) {
        (Ok(Ok(_)), false) => Ok(()),
        (_, true) => Err(failed("the guest did not restart, by its boot id".to_owned())),
        _ => Err(failed("QEMU reported no reset of the machine".to_owned())),
    }
}

pub(super) async fn restart(bed: &mut Bed<'_>, facts: &mut Facts) -> Result<()> {
    let before = scripts::boot_id(bed).await?;
    let mut out = bed.output("restart")?;
    let timeout = bed.trial.boot_timeout;
    let live = bed.at().await?;
    let resets = live.machine.resets();
    let count = *resets.borrow();
    let begun = Instant::now();
    let restart = Restart { command: None, check_command: None, timeout };
    restart.run(live.at()?, &mut out).await?;
    facts.insert("seconds".into(), json!(begun.elapsed().as_secs()));
    facts.insert("resets".into(), json!(*resets.borrow() - count));
    let after = scripts::boot_id(bed).await?;
    facts.insert("bootIdChanged".into(), json!(before != after));
    match before == after {
        true => Err(failed("the boot id did not change by a restart".to_owned())),
        false => Ok(()),
    }
}

/// A round of Windows Update. With `search_only` a filter takes out whatever is found.
pub(super) async fn updates(bed: &mut Bed<'_>, facts: &mut Facts, search_only: bool) -> Result<()> {
    let mut out = bed.output(if search_only { "update-search" } else { "updates" })?;
    let live = bed.at().await?;
    let none = ["exclude:$true".to_owned()];
    let filters = if search_only { none.as_slice() } else { &[] };
    let update = Update { criteria: None, filters, limit: 0 };
    let begun = Instant::now();
    update.run(live.at()?, &mut out).await?;
    facts.insert("seconds".into(), json!(begun.elapsed().as_secs()));
    facts.insert("lines".into(), json!(out.tail()));
    Ok(())
}

/// Waits for the end of a boot that goldsmith did not cause.
async fn back(bed: &mut Bed<'_>) -> Result<()> {
    let limit = bed.trial.boot_timeout;
    let live = bed.at().await?;
    let ended = system().boot_ended(live.at()?, false);
    // That Windows is not idle yet does not matter here.
    tokio::time::timeout(limit, ended)
        .await
        .map_err(|_| failed(format!("the guest did not come back within {} s", limit.as_secs())))?
        .map(drop)
}
