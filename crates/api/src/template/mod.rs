//! Image templates: parses text into a typed model, or into a list of all mistakes.
//!
//! [`parse`] is the entry point. It does no I/O: later stages check whether a script can be fetched,
//! an image exists, or a customizer supports the source's operating system.
//!
//! Each file contains the model of one area, its table of fields and its rules. `read` contains the
//! shared parts: strict JSON with positions, tables, typed getters, suggestions.
//!
//! The kinds of customizers, validators and distributors belong to the crate that executes them. It
//! passes a table of each to [`parse`]. A [`Kind`] has a name, a table of [`Field`]s and a function
//! that reads them with the getters of [`Reader`].

mod api_version;
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
mod step;
mod validate;
mod vm_profile;

use std::collections::BTreeMap;

use serde::Serialize;

pub use api_version::{ApiVersion, UnknownApiVersion};
pub use diagnostic::{Diagnostic, Severity};
pub use distribute::{Delivery, Destination, Target};
pub use document::parse;
pub use gallery::{Regions, StorageAccountType, TargetRegion};
pub use identity::Identity;
pub use kind::{Kind, Named, Tagged};
pub use optimize::{Optimize, Workload};
pub use properties::{DataDisk, ErrorHandling, OnError, Properties};
pub use read::fields::{Field, Fields};
pub use read::{Node, Reader};
pub use script::{Location, Script};
pub use source::{PlanInfo, PlatformImage, Source, gallery_version};
pub use step::Step;
pub use validate::Validate;
pub use vm_profile::{VmProfile, VnetConfig};

/// Options of [`parse`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParseOptions {
    /// The api-version that applies. If set, it overrides `apiVersion` in the text.
    pub api_version: Option<ApiVersion>,
    /// The origin of the template.
    pub face: Face,
}

/// The origin of a template, which decides which fields it must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Face {
    /// A file on the command line: `identity` and `location` may be missing, scripts may be local.
    File,
    /// A request to the service.
    Service,
}

/// The kinds that a template may name: `S` of steps, `D` of targets.
#[derive(Debug)]
pub struct Kinds<S: 'static, D: 'static> {
    /// The kinds of `customize`.
    pub customizers: &'static [Kind<S>],
    /// The kinds of `validate.inVMValidations`.
    pub validators: &'static [Kind<S>],
    /// The kinds of `distribute`.
    pub distributors: &'static [Kind<D>],
}

/// The result of [`parse`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed<S, D> {
    /// The template; `None` if a diagnostic is an error.
    pub template: Option<Template<S, D>>,
    /// The api-version that applied.
    pub api_version: ApiVersion,
    /// Errors and warnings, in the order of the text.
    pub diagnostics: Vec<Diagnostic>,
}

/// An image template. Its serialized form is a resource body that includes the defaults.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", bound = "S: Tagged, D: Tagged")]
pub struct Template<S, D> {
    /// The region; `None` only for a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// Tags of the template itself.
    pub tags: BTreeMap<String, String>,
    /// The identity that the service uses; `None` if the template has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// The field `properties`.
    pub properties: Properties<S, D>,
}
