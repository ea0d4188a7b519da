//! Image templates with the kinds of steps and targets that this crate implements.

use std::sync::Arc;

use api::template::{Kinds, ParseOptions};
use images::error::{Error, Result};
use vm::OsType;

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

/// Rejects what the system of the template's source does not have: customizers and validators of
/// the other system, a workload on Windows.
///
/// # Errors
/// `UnsupportedCustomizerType`, `UnsupportedValidatorType`, `UnsupportedFeature`; several are
/// combined.
pub fn check_system(template: &Template, os: OsType) -> Result<()> {
    Error::all(misfits(template, os))
}

/// The errors of [`check_system`].
pub(crate) fn misfits(template: &Template, os: OsType) -> Vec<Error> {
    let steps = steps(template);
    let steps =
        steps.filter_map(|(purpose, _, step)| customize::fits(step, purpose, Some(os)).err());
    let optimize = template.properties.optimize.as_ref();
    steps.chain(optimize.and_then(|wanted| optimize::fits(wanted, os).err())).collect()
}

/// All customizers and validators, each with its purpose and index.
fn steps(template: &Template) -> impl Iterator<Item = (Purpose, usize, &Step)> {
    let properties = &template.properties;
    let validators = properties.validate.as_ref().map_or(&[][..], |v| &v.in_vm_validations);
    let of =
        |purpose, steps| <[Step]>::iter(steps).enumerate().map(move |(n, step)| (purpose, n, step));
    of(Purpose::CUSTOMIZE, &properties.customize[..]).chain(of(Purpose::VALIDATE, validators))
}
