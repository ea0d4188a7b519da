//! `properties.validate`: the validation of the finished image.

use serde::Serialize;

use super::ApiVersion;
use super::customize::{
    FILE, FileCopy, POWER_SHELL, PowerShell, SHELL, Shell, read_file, read_power_shell, read_shell,
};
use super::kind::{Kind, Union, read_kind};
use super::read::fields::{Field, Fields};
use super::read::{Node, Reader};
use super::script::Owner;
use crate::ErrorCode;

/// The validation of a machine that was booted from the finished image.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Validate {
    /// Whether to distribute the image even if a validator fails. The run still fails.
    pub continue_distribute_on_failure: bool,
    /// Whether to validate the unchanged source image instead of a build.
    pub source_validation_only: bool,
    /// The validators, in order.
    #[serde(rename = "inVMValidations")]
    pub in_vm_validations: Vec<Validator>,
}

/// A step that checks the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Validator {
    /// Its path in the template, such as `properties.validate.inVMValidations[0]`.
    #[serde(skip)]
    pub path: String,
    /// Free text; neither required nor unique.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The type with its settings.
    #[serde(flatten)]
    pub kind: ValidatorKind,
}

/// The types of validators.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type")]
pub enum ValidatorKind {
    /// Runs a shell script (Linux).
    Shell(Shell),
    /// Runs a PowerShell script (Windows).
    PowerShell(PowerShell),
    /// Copies a file into the machine.
    File(FileCopy),
}

impl ValidatorKind {
    /// The value of `type`.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Shell(_) => "Shell",
            Self::PowerShell(_) => "PowerShell",
            Self::File(_) => "File",
        }
    }
}

const FIELDS: &[Field] = &[
    Field::new("continueDistributeOnFailure"),
    Field::new("sourceValidationOnly"),
    Field::new("inVMValidations"),
];

const KINDS: &[Kind<ValidatorKind>] = &[
    Kind::new("Shell", SHELL, |reader, fields| {
        read_shell(reader, fields, Owner::Validator).map(ValidatorKind::Shell)
    }),
    Kind::new("PowerShell", POWER_SHELL, |reader, fields| {
        read_power_shell(reader, fields, Owner::Validator).map(ValidatorKind::PowerShell)
    }),
    Kind { name: "File", since: ApiVersion::V2022_07_01, fields: FILE, read: file },
];

pub(super) fn read(reader: &mut Reader<'_>, node: &Node<'_>) -> Option<Validate> {
    let fields = reader.fields(node, FIELDS)?;
    let continue_distribute_on_failure = reader.switch(&fields, "continueDistributeOnFailure");
    let source_validation_only = reader.switch(&fields, "sourceValidationOnly");
    let nodes = reader.list(&fields, "inVMValidations");
    let in_vm_validations = nodes.iter().filter_map(|node| validator(reader, node)).collect();
    Some(Validate { continue_distribute_on_failure, source_validation_only, in_vm_validations })
}

fn validator(reader: &mut Reader<'_>, node: &Node<'_>) -> Option<Validator> {
    let union = Union { what: "validator", code: ErrorCode::BadValidatorType };
    let (kind, fields) = read_kind(reader, node, KINDS, union)?;
    Some(Validator { path: node.path(), name: reader.optional(&fields, "name"), kind })
}

fn file(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Option<ValidatorKind> {
    read_file(reader, fields, Owner::Validator).map(ValidatorKind::File)
}
