//! `properties.optimize`: changes to the customized machine that make machines from its image start
//! faster.
//!
//! - `vm_boot` is goldsmith's: [`guests::System::optimize`]. It removes what costs time at
//!   every boot or space on the disk, and nothing that another host may need (`docs/guide.md` lists
//!   it).
//! - [`Workload`] is the user's: its script runs, and the files that it read are recorded. A small
//!   unit in the image reads them again early in every boot, when the machine is idle.
//!
//! Each makes a node, before the one that generalizes.

use std::collections::BTreeMap;

use api::{
    ErrorCode,
    template::{self, Script},
};
use guests::StepOutput;
use images::{
    error::{Error, Result},
    run_context::RunContext,
};
use vm::OsType;

use crate::customize::{self, Action, Inputs, NamedFile, Place, Shell};

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

/// The error of an optimization that the source's system does not have.
pub(crate) fn fits(wanted: &template::Optimize, os: OsType) -> Result<()> {
    let is_workload = wanted.workload.as_ref().is_some_and(|workload| workload.enabled);
    if os == OsType::Linux || !is_workload {
        return Ok(());
    }
    let text = format!("the script of a workload is a shell script, and the source is {os}");
    Err(Error::new(ErrorCode::UnsupportedFeature, text)
        .target(WORKLOAD)
        .hint("leave the workload out; optimize.vmBoot goes with Windows as well"))
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

impl Workload {
    /// The inputs of the warmed node's key, beside its parent.
    pub(crate) fn inputs(&self) -> BTreeMap<String, String> {
        let mut inputs = self.script.inputs();
        inputs.insert("warm".to_owned(), guests::linux::warm_input());
        inputs
    }

    /// Runs the user's script and installs a unit in the image that reads the same files again.
    pub(crate) async fn warm(&self, place: &Place<'_>, out: &mut StepOutput) -> Result<()> {
        let script = async |out: &mut StepOutput| {
            self.script.apply(place, out).await.map_err(|mut error| {
                if error.code == ErrorCode::OptimizationFailed {
                    error.message = format!("the workload failed: {}", error.message);
                    error = error.target(WORKLOAD);
                }
                error
            })
        };
        guests::linux::warm(place.at.guest, out, script).await
    }
}
