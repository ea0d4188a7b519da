//! The steps that run in a machine: customizers in `properties.customize`, validators in
//! `properties.validate`. Their kinds are the caller's.

use serde::Serialize;

use super::kind::{Kind, Tagged, Union, read_kind, tagged};
use super::read::fields::Field;
use super::read::{Node, Reader};
use super::script::Owner;
use crate::ErrorCode;

/// A step that changes or checks the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(bound = "S: Tagged")]
pub struct Step<S> {
    /// Its path in the template, such as `properties.customize[2]`.
    #[serde(skip)]
    pub path: String,
    /// Free text; neither required nor unique.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The type with its settings.
    #[serde(flatten, serialize_with = "tagged")]
    pub kind: S,
}

/// The fields of every step.
const FIELDS: &[Field] = &[Field::new("type"), Field::new("name")];

/// Reads a list of steps.
pub(super) fn read_all<S>(
    reader: &mut Reader<'_>,
    nodes: &[Node<'_>],
    kinds: &'static [Kind<S>],
    owner: Owner,
) -> Vec<Step<S>> {
    let (what, code) = match owner {
        Owner::Customizer => ("customizer", ErrorCode::BadCustomizerType),
        Owner::Validator => ("validator", ErrorCode::BadValidatorType),
    };
    let union = Union { what, code, fields: FIELDS };
    reader.owner = owner;
    nodes.iter().filter_map(|node| read(reader, node, kinds, union)).collect()
}

fn read<S>(
    reader: &mut Reader<'_>,
    node: &Node<'_>,
    kinds: &'static [Kind<S>],
    union: Union,
) -> Option<Step<S>> {
    let (kind, fields) = read_kind(reader, node, kinds, union)?;
    let kind = kind?;
    Some(Step { path: node.path(), name: reader.optional(&fields, "name"), kind })
}
