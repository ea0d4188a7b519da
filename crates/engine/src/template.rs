//! Image templates with the kinds of steps and targets that this crate implements.

use std::sync::Arc;

use api::template::{Kinds, ParseOptions};
use images::error::{Error, Result};

use crate::{
    customize::{self, CUSTOMIZERS, Customizer, Purpose, VALIDATORS},
    distribute::{DISTRIBUTORS, Distributor},
    optimize,
};
pub use crate::{
    customize::{NamedFile, Step},
    distribute::Target,
};

/// An image template that can be built.
pub type Template = api::template::Template<Arc<dyn Customizer>, Arc<dyn Distributor>>;
/// The result of [`parse`].
pub type Parsed = api::template::Parsed<Arc<dyn Customizer>, Arc<dyn Distributor>>;

const KINDS: Kinds<Arc<dyn Customizer>, Arc<dyn Distributor>> =
    Kinds { customizers: CUSTOMIZERS, validators: VALIDATORS, distributors: DISTRIBUTORS };

/// Parses an image template and reports all its mistakes.
pub fn parse(text: &str, options: &ParseOptions) -> Parsed {
    api::template::parse(text, options, &KINDS)
}

/// A script or file to fetch, and the step that names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Download<'a> {
    /// The step's path, such as `properties.customize[2]`.
    pub path: String,
    /// The step's folder in a staging account, such as `customize/2`.
    pub folder: String,
    pub file: NamedFile<'a>,
}

/// Every script and file that a build of the template fetches.
pub fn downloads(template: &Template) -> Vec<Download<'_>> {
    let of_steps = steps(template).filter_map(|(purpose, index, step)| {
        step.kind.file().map(|file| Download {
            path: step.path.clone(),
            folder: format!("{}/{index}", purpose.folder),
            file,
        })
    });
    let workload = template.properties.optimize.as_ref().and_then(optimize::file);
    let of_workload = workload.map(|file| Download {
        path: optimize::WORKLOAD.to_owned(),
        folder: "optimize/0".to_owned(),
        file,
    });
    of_steps.chain(of_workload).collect()
}

/// Rejects customizers and validators that only Windows has.
///
/// # Errors
/// `UnsupportedCustomizerType`, `UnsupportedValidatorType`; several are combined.
pub fn check_runs_on_linux(template: &Template) -> Result<()> {
    Error::all(windows_only(template))
}

/// The errors of all steps that only Windows has.
pub(crate) fn windows_only(template: &Template) -> Vec<Error> {
    steps(template)
        .filter_map(|(purpose, _, step)| customize::windows_only(step, purpose).err())
        .collect()
}

/// All customizers and validators, each with its purpose and index.
fn steps(template: &Template) -> impl Iterator<Item = (Purpose, usize, &Step)> {
    let properties = &template.properties;
    let validators = properties.validate.as_ref().map_or(&[][..], |v| &v.in_vm_validations);
    let of =
        |purpose, steps| <[Step]>::iter(steps).enumerate().map(move |(n, step)| (purpose, n, step));
    of(Purpose::CUSTOMIZE, &properties.customize[..]).chain(of(Purpose::VALIDATE, validators))
}
