//! `properties.optimize`: changes to the customized machine that make machines from its image start
//! faster.
//!
//! - [`vm_boot`] is goldsmith's: `optimize.sh`, as root in the guest. It removes what costs time at
//!   every boot or space on the disk, and nothing that another host may need (`docs/guide.md` lists
//!   it).
//! - [`Workload`] is the user's: its script runs, and `warm.sh` records the files it read. A small
//!   unit in the image reads them again early in every boot, when the machine is idle.
//!
//! Each makes a node, before the one that generalizes.

use std::collections::BTreeMap;

use api::{
    ErrorCode,
    template::{self, Script},
};
use images::{
    digest::digest,
    error::{Error, Result},
    run_context::RunContext,
};
use vm::{Guest, Stdin};

use crate::{
    customize::{self, Action, Inputs, NamedFile, Shell},
    output::StepOutput,
};

const VM_BOOT: &str = include_str!("optimize.sh");
const WARM: &str = include_str!("warm.sh");
/// The path of the workload in a template.
pub(crate) const WORKLOAD: &str = "properties.optimize.workload";

/// The optimizations of a plan.
#[derive(Debug, Default)]
pub struct Optimize {
    /// Whether to optimize boot and disk.
    pub vm_boot: bool,
    /// The user's workload.
    pub workload: Option<Workload>,
}

/// The script that warms a workload.
#[derive(Debug)]
pub struct Workload {
    script: Box<dyn Action>,
}

/// The script of a workload, also of one that is disabled.
pub(crate) fn file(wanted: &template::Optimize) -> Option<NamedFile<'_>> {
    let workload = wanted.workload.as_ref()?;
    let (uri, sha256) = (workload.script_uri.as_deref()?, workload.sha256_checksum.as_deref());
    Some(NamedFile { field: "scriptUri", uri, sha256, container: "shell" })
}

/// Resolves the template's optimizations: fetches the workload's script.
///
/// # Errors
/// `ScriptUnreachable`, `ChecksumMismatch`, `ValidationFailed`, with the field as target.
pub(crate) async fn resolve(
    cx: &RunContext,
    wanted: Option<&template::Optimize>,
    inputs: Inputs<'_>,
) -> Result<Optimize> {
    let Some(wanted) = wanted else { return Ok(Optimize::default()) };
    let workload = match wanted.workload.as_ref().filter(|workload| workload.enabled) {
        None => None,
        Some(workload) => {
            let uri = workload.script_uri.clone().ok_or_else(|| {
                Error::new(ErrorCode::ValidationFailed, "the workload has no script")
                    .target(format!("{WORKLOAD}.scriptUri"))
                    .hint("give the address of the script that warms it")
            })?;
            let sha256_checksum = workload.sha256_checksum.clone();
            let shell = Shell { script: Script::Uri { uri, sha256_checksum } };
            let failure = ErrorCode::OptimizationFailed;
            let script = customize::ready(cx, &shell, WORKLOAD, inputs, failure).await?;
            Some(Workload { script })
        }
    };
    Ok(Optimize { vm_boot: wanted.vm_boot, workload })
}

/// The inputs of the optimized node's key, beside its parent.
pub(crate) fn inputs() -> BTreeMap<String, String> {
    BTreeMap::from([("script".to_owned(), digest(VM_BOOT.as_bytes()))])
}

/// Optimizes boot and disk.
pub(crate) async fn vm_boot(guest: &dyn Guest, out: &mut StepOutput) -> Result<()> {
    as_root(guest, VM_BOOT, "optimize", out).await
}

impl Workload {
    /// The inputs of the warmed node's key, beside its parent.
    pub(crate) fn inputs(&self) -> BTreeMap<String, String> {
        let mut inputs = self.script.inputs();
        inputs.insert("warm".to_owned(), digest(WARM.as_bytes()));
        inputs
    }

    /// Runs the user's script and installs a unit in the image that reads the same files again.
    pub(crate) async fn warm(&self, guest: &dyn Guest, out: &mut StepOutput) -> Result<()> {
        as_root(guest, WARM, "warm before", out).await?;
        self.script.apply(guest, out).await.map_err(|mut error| {
            if error.code == ErrorCode::OptimizationFailed {
                error.message = format!("the workload failed: {}", error.message);
                error = error.target(WORKLOAD);
            }
            error
        })?;
        as_root(guest, WARM, "warm after", out).await
    }
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
