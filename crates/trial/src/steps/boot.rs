//! The first boot.

use api::ErrorCode;
use images::error::{Error, Result, machine_error};
use serde_json::json;

use super::Facts;
use crate::bed::{Bed, Start};

pub(super) async fn start(bed: &mut Bed<'_>, facts: &mut Facts) -> Result<()> {
    let on = bed.image().await?;
    let identity = bed.new_identity().await?;
    bed.start(Start { on, identity, resume_from: None, is_trusted: false }).await?;
    facts.insert("accelerator".into(), json!(bed.host.accel.name()));
    Ok(())
}

/// The first line that only the script on the medium can have written.
pub(super) async fn medium(bed: &mut Bed<'_>, facts: &mut Facts) -> Result<()> {
    let live = bed.live.as_ref().ok_or_else(machine_gone)?;
    let beginning = format!("goldsmith {} ", live.identity.instance_id);
    let line = live
        .machine
        .console_line(&beginning, bed.trial.boot_timeout, &bed.cx.cancel)
        .await
        .map_err(machine_error)?;
    facts.insert("firstLine".into(), json!(line));
    Ok(())
}

pub(super) async fn answers(bed: &mut Bed<'_>, facts: &mut Facts) -> Result<()> {
    bed.enter(true).await?;
    if let Some(windows) = bed.live.as_ref().and_then(|live| live.identity.access.windows.as_ref())
    {
        facts.insert("door".into(), json!(windows.door));
        facts.insert("certificate".into(), json!(windows.certificate));
    }
    Ok(())
}

fn machine_gone() -> Error {
    Error::new(ErrorCode::GuestStopped, "the machine has ended")
}
