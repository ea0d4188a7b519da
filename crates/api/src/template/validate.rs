//! `properties.validate`: the validation of the finished image.

use serde::Serialize;

use super::kind::{Kind, Tagged};
use super::read::fields::Field;
use super::read::{Node, Reader};
use super::script::Owner;
use super::step::{self, Step};

/// The validation of a machine that was booted from the finished image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", bound = "S: Tagged")]
pub struct Validate<S> {
    /// Whether to distribute the image even if a validator fails. The run still fails.
    pub continue_distribute_on_failure: bool,
    /// Whether to validate the unchanged source image instead of a build.
    pub source_validation_only: bool,
    /// The validators, in order.
    #[serde(rename = "inVMValidations")]
    pub in_vm_validations: Vec<Step<S>>,
}

const FIELDS: &[Field] = &[
    Field::new("continueDistributeOnFailure"),
    Field::new("sourceValidationOnly"),
    Field::new("inVMValidations"),
];

pub(super) fn read<S>(
    reader: &mut Reader<'_>,
    node: &Node<'_>,
    kinds: &'static [Kind<S>],
) -> Option<Validate<S>> {
    let fields = reader.fields(node, FIELDS)?;
    let continue_distribute_on_failure = reader.switch(&fields, "continueDistributeOnFailure");
    let source_validation_only = reader.switch(&fields, "sourceValidationOnly");
    let nodes = reader.list(&fields, "inVMValidations");
    let in_vm_validations = step::read_all(reader, &nodes, kinds, Owner::Validator);
    Some(Validate { continue_distribute_on_failure, source_validation_only, in_vm_validations })
}
