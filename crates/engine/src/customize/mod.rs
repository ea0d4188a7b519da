//! Customizers: a template's changes to the machine, one file per kind. Validators are customizers on
//! another machine.
//!
//! A customizer is resolved before anything is created: its scripts are fetched and its inputs
//! named, so that the key of its node covers everything it can read.
//!
//! To add a kind: its file, its `mod` line, and its entry in [`CUSTOMIZERS`] or [`VALIDATORS`].

mod file;
mod power_shell;
mod shell;
mod windows_restart;
mod windows_update;

use std::{collections::BTreeMap, fmt::Debug, path::Path, sync::Arc};

use api::{
    ErrorCode,
    template::{ApiVersion, Kind, Script, Tagged},
};
use async_trait::async_trait;
use guests::{At, StepOutput, System};
use images::{
    error::{Error, Result},
    run_context::RunContext,
};
use serde_json::{Map, Value};
use sources::fetch::{self, Fetched};
use vm::OsType;

pub(crate) use self::shell::Shell;

/// The kinds of customizers.
pub const CUSTOMIZERS: &[Kind<Arc<dyn Customizer>>] = &[
    // Messages list them in this order.
    shell::KIND,
    power_shell::KIND,
    file::KIND,
    windows_restart::KIND,
    windows_update::KIND,
];

/// The kinds of validators.
pub const VALIDATORS: &[Kind<Arc<dyn Customizer>>] = &[
    // Messages list them in this order.
    shell::KIND,
    power_shell::KIND,
    file::KIND.since(ApiVersion::V2022_07_01),
];

/// A customizer or validator of a template.
pub type Step = api::template::Step<Arc<dyn Customizer>>;

/// The settings of one customizer or validator.
#[async_trait]
pub trait Customizer: Tagged + Debug + Send + Sync {
    /// The script or file that it reads. A customizer cannot fetch anything else: this one is pinned
    /// in the field `sha256Checksum` when a template is created, and handed to
    /// [`Customizer::action`].
    fn file(&self) -> Option<NamedFile<'_>> {
        None
    }

    /// Changes its fields in a stored template to what Azure returns.
    fn respond(&self, _fields: &mut Map<String, Value>) {}

    /// The only system that has it.
    fn needs(&self) -> Option<OsType> {
        None
    }

    /// What it does in the guest. `file` is the fetched [`Customizer::file`]; `failure` is the error
    /// code for a script that fails, or a file that cannot be copied.
    ///
    /// # Errors
    /// With the field, if any, as target.
    async fn action(
        &self,
        _cx: &RunContext,
        _file: Option<Fetched>,
        _failure: ErrorCode,
    ) -> Result<Box<dyn Action>> {
        Err(Error::new(ErrorCode::InternalError, format!("{} has no action", self.kind())))
    }
}

/// A script or file that a step names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NamedFile<'a> {
    /// The field of the address.
    pub field: &'static str,
    /// The address as written.
    pub uri: &'a str,
    pub sha256: Option<&'a str>,
    /// The container of a staging account that stores it.
    pub container: &'static str,
}

impl<'a> NamedFile<'a> {
    /// The file of a script that is not inline.
    pub(crate) fn of(script: &'a Script, container: &'static str) -> Option<Self> {
        match script {
            Script::Uri { uri, sha256_checksum } => Some(Self {
                field: "scriptUri",
                uri,
                sha256: sha256_checksum.as_deref(),
                container,
            }),
            Script::Inline(_) => None,
        }
    }
}

/// A customizer that is ready to be applied.
#[async_trait]
pub trait Action: Send + Sync {
    /// `Shell`, `File`: the type in the template.
    fn kind(&self) -> &'static str;

    /// Everything it can read, by name: digests and values, for the key.
    fn inputs(&self) -> BTreeMap<String, String>;

    /// Applies it in the guest.
    async fn apply(&self, place: &Place<'_>, out: &mut StepOutput) -> Result<()>;
}

/// The machine that an action is applied to.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    /// The machine and its guest.
    pub at: At<'a>,
    /// The guest's system.
    pub system: &'static dyn System,
}

impl Debug for dyn Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:?}", self.kind(), self.inputs())
    }
}

/// The difference between customizers and validators.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Purpose {
    name: &'static str,
    /// The folder of its files in a staging account.
    pub(crate) folder: &'static str,
    failure: ErrorCode,
    unsupported: ErrorCode,
}

impl Purpose {
    pub(crate) const CUSTOMIZE: Self = Self {
        name: "customizer",
        folder: "customize",
        failure: ErrorCode::CustomizerFailed,
        unsupported: ErrorCode::UnsupportedCustomizerType,
    };
    pub(crate) const VALIDATE: Self = Self {
        name: "validator",
        folder: "validate",
        failure: ErrorCode::ValidatorFailed,
        unsupported: ErrorCode::UnsupportedValidatorType,
    };
}

/// The origin of scripts and files.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Inputs<'a> {
    /// The base of relative paths.
    pub base_dir: &'a Path,
    /// Limits for fetching addresses.
    pub limits: &'a fetch::Limits,
}

/// Resolves a step of the template: fetches its file and checks what can be checked. `os` is the
/// source's system, if it is known.
///
/// # Errors
/// `ScriptUnreachable`, `ChecksumMismatch`, `UnsupportedCustomizerType`, `UnsupportedValidatorType`;
/// each names the step's JSON path.
pub(crate) async fn resolve(
    cx: &RunContext,
    step: &Step,
    purpose: Purpose,
    os: Option<OsType>,
    inputs: Inputs<'_>,
) -> Result<Box<dyn Action>> {
    fits(step, purpose, os)?;
    ready(cx, step.kind.as_ref(), &step.path, inputs, purpose.failure).await
}

/// Fetches the file of a customizer at a path of the template.
pub(crate) async fn ready(
    cx: &RunContext,
    customizer: &dyn Customizer,
    path: &str,
    Inputs { base_dir, limits }: Inputs<'_>,
    failure: ErrorCode,
) -> Result<Box<dyn Action>> {
    let at = |mut error: Error| match error.target.take() {
        Some(field) => error.target(format!("{path}.{field}")),
        None => error,
    };
    let file = match customizer.file() {
        Some(NamedFile { field, uri, sha256, .. }) => {
            let fetched = fetch::script(cx, uri, Some(base_dir), sha256, limits).await;
            Some(fetched.map_err(|error| at(error.target(field)))?)
        }
        None => None,
    };
    customizer.action(cx, file, failure).await.map_err(at)
}

/// The file of a customizer that has one.
fn required(file: Option<Fetched>) -> Result<Fetched> {
    file.ok_or_else(|| Error::new(ErrorCode::InternalError, "the file of a step was not fetched"))
}

/// The error of a step that the source's system, if it is known, does not have.
pub(crate) fn fits(step: &Step, purpose: Purpose, os: Option<OsType>) -> Result<()> {
    let (Some(os), Some(needed)) = (os, step.kind.needs()) else { return Ok(()) };
    if os == needed {
        return Ok(());
    }
    let (name, kind) = (purpose.name, step.kind.kind());
    let text = format!("{name} type {kind} is for {needed}, and the source is {os}");
    let others = match os {
        OsType::Linux => "Shell or File",
        OsType::Windows => "PowerShell or File",
    };
    Err(Error::new(purpose.unsupported, text)
        .target(step.path.clone())
        .hint(format!("with a source of {os} use type {others}")))
}
