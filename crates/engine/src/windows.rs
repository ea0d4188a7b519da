//! Template features that only Windows has, which goldsmith does not support yet.

use api::{
    ErrorCode,
    template::{CustomizerKind, Template, ValidatorKind},
};
use images::error::{Error, Result};

const WAY_OUT: &str = "goldsmith builds Linux images; with a Linux source use type Shell or File";

/// The error of a step that only Windows has. `what` is `customizer` or `validator`.
pub(crate) fn only(code: ErrorCode, what: &str, kind: &str, path: &str) -> Error {
    let text = format!("{what} type {kind} is for Windows, which does not run here yet");
    Error::new(code, text).target(path).hint(WAY_OUT)
}

/// Rejects customizers and validators that only Windows has.
///
/// # Errors
/// `UnsupportedCustomizerType`, `UnsupportedValidatorType`; several are combined.
pub fn check_runs_on_linux(template: &Template) -> Result<()> {
    Error::all(steps(template))
}

/// The errors of all steps that only Windows has.
pub(crate) fn steps(template: &Template) -> Vec<Error> {
    let customize = template.properties.customize.iter().filter_map(|step| match step.kind {
        CustomizerKind::Shell(_) | CustomizerKind::File(_) => None,
        CustomizerKind::PowerShell(_)
        | CustomizerKind::WindowsRestart(_)
        | CustomizerKind::WindowsUpdate(_) => {
            let code = ErrorCode::UnsupportedCustomizerType;
            Some(only(code, "customizer", step.kind.name(), &step.path))
        }
    });
    let validators = template.properties.validate.iter();
    let validate = validators.flat_map(|validate| &validate.in_vm_validations).filter_map(|step| {
        match step.kind {
            ValidatorKind::Shell(_) | ValidatorKind::File(_) => None,
            ValidatorKind::PowerShell(_) => {
                let code = ErrorCode::UnsupportedValidatorType;
                Some(only(code, "validator", step.kind.name(), &step.path))
            }
        }
    });
    customize.chain(validate).collect()
}
