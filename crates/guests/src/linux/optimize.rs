//! The optimization of boot and disk, and the warming of a workload.

use std::collections::BTreeMap;

use api::ErrorCode;
use images::{
    digest::digest,
    error::{Error, Result},
};
use vm::{Guest, Stdin};

use crate::output::StepOutput;

const VM_BOOT: &str = include_str!("optimize.sh");
const WARM: &str = include_str!("warm.sh");

pub(super) fn inputs() -> BTreeMap<String, String> {
    BTreeMap::from([("script".to_owned(), digest(VM_BOOT.as_bytes()))])
}

pub(super) async fn vm_boot(guest: &dyn Guest, out: &mut StepOutput) -> Result<()> {
    as_root(guest, VM_BOOT, "optimize", out).await
}

/// The input of a warmed node's key.
pub fn warm_input() -> String {
    digest(WARM.as_bytes())
}

/// Runs a workload between two readings of what is in memory, and installs a unit in the image that
/// reads the same files again.
///
/// # Errors
/// That of the workload; `OptimizationFailed` for goldsmith's own script.
pub async fn warm(
    guest: &dyn Guest,
    out: &mut StepOutput,
    workload: impl AsyncFnOnce(&mut StepOutput) -> Result<()>,
) -> Result<()> {
    as_root(guest, WARM, "warm before", out).await?;
    workload(out).await?;
    as_root(guest, WARM, "warm after", out).await
}

/// Runs one of goldsmith's scripts as root. The script stays in memory, so that no part of it is in
/// the image. `words` are its name and its parameters.
async fn as_root(guest: &dyn Guest, script: &str, words: &str, out: &mut StepOutput) -> Result<()> {
    let command = format!("sudo sh -c \"$(cat)\" {words}");
    let exit = guest
        .run(&command, Stdin::Bytes(script.as_bytes()), out)
        .await
        .map_err(images::error::guest_error)?;
    out.flush().await;
    if exit.success() {
        return Ok(());
    }
    Err(Error::new(
        ErrorCode::OptimizationFailed,
        format!("goldsmith's own script ({words}) {exit}"),
    )
    .target("properties.optimize")
    .details(out.tail())
    .hint("set the state to Disabled to build without it"))
}
