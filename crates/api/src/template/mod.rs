//! Image templates: from text to a typed model, or to everything that is wrong with it.
//!
//! [`parse`] is the way in. It does no I/O: whether a script can be fetched, an image exists or a
//! customizer goes with the source's system is for later stages to say.
//!
//! One file per area holds the model, the table of fields and the rules that go with it; `read`
//! holds what they share: strict JSON with positions, tables, typed getters, suggestions.

mod api_version;
mod customize;
mod diagnostic;
mod distribute;
mod document;
mod gallery;
mod identity;
mod kind;
mod optimize;
mod properties;
mod read;
mod script;
mod source;
mod validate;
mod vm_profile;

use std::collections::BTreeMap;

use serde::Serialize;

pub use api_version::{ApiVersion, UnknownApiVersion};
pub use customize::{
    Customizer, CustomizerKind, FileCopy, PowerShell, Shell, WindowsRestart, WindowsUpdate,
};
pub use diagnostic::{Diagnostic, Severity};
pub use distribute::{Distributor, DistributorKind, ManagedImage, Vhd};
pub use document::parse;
pub use gallery::{
    Regions, ReplicationMode, SharedImage, StorageAccountType, TargetRegion, Versioning,
};
pub use identity::Identity;
pub use optimize::{Optimize, Workload};
pub use properties::{DataDisk, ErrorHandling, OnError, Properties};
pub use script::{Location, Script};
pub use source::{PlanInfo, PlatformImage, Source, gallery_version};
pub use validate::{Validate, Validator, ValidatorKind};
pub use vm_profile::{VmProfile, VnetConfig};

/// How to read a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParseOptions {
    /// The api-version that applies, whatever the text says.
    pub api_version: Option<ApiVersion>,
    /// Who reads it.
    pub face: Face,
}

/// Who reads a template, which decides what it must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Face {
    /// A command on a file: `identity` and `location` may be missing, scripts may be local files.
    File,
    /// The service.
    Service,
}

/// What came of reading a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed {
    /// The template, unless there is an error.
    pub template: Option<Template>,
    /// The api-version that applied.
    pub api_version: ApiVersion,
    /// Mistakes and doubts, in the order of the text.
    pub diagnostics: Vec<Diagnostic>,
}

/// An image template. Serialised it is a resource body with defaults filled in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Template {
    /// The region; none in a file that does without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// Tags of the template itself.
    pub tags: BTreeMap<String, String>,
    /// In whose name the service acts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// Everything else.
    pub properties: Properties,
}
