//! `properties.distribute`: the targets of the finished image. Their kinds are the caller's.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::kind::{Kind, Tagged, Union, read_kind, tagged};
use super::read::fields::{Field, Fields};
use super::read::{Node, Reader};
use crate::{ErrorCode, tags};

/// A target of the finished image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", bound = "D: Tagged")]
pub struct Target<D> {
    /// Its path in the template, such as `properties.distribute[0]`.
    #[serde(skip)]
    pub path: String,
    /// The name of the run output; unique in the template, without case.
    pub run_output_name: String,
    /// Tags of the artifact.
    pub artifact_tags: BTreeMap<String, String>,
    /// The type with its settings.
    #[serde(flatten, serialize_with = "tagged")]
    pub kind: D,
}

/// The settings of a kind of target, and what a run writes there.
pub trait Delivery: Tagged {
    /// What every run replaces. `None` if each run creates a new artifact.
    fn destination(&self) -> Option<Destination>;
}

/// What a target writes. No two targets of a template may have the same `key`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// A word for it, such as `image`.
    pub what: &'static str,
    /// The field that names it.
    pub field: &'static str,
    /// It as a comparable key.
    pub key: String,
}

impl<T: Delivery + ?Sized> Delivery for Arc<T> {
    fn destination(&self) -> Option<Destination> {
        (**self).destination()
    }
}

/// The fields of every target.
const FIELDS: &[Field] =
    &[Field::new("type"), Field::new("runOutputName"), Field::new("artifactTags")];

pub(super) fn read_all<D: Delivery>(
    reader: &mut Reader<'_>,
    properties: &Fields<'_>,
    kinds: &'static [Kind<D>],
) -> Vec<Target<D>> {
    let Some(node) = reader.required(properties, "distribute") else {
        return Vec::new();
    };
    let nodes = reader.elements(&node);
    if node.is_empty_list() {
        let hint = Some(
            "`{\"type\": \"VHD\", \"runOutputName\": \"disk\"}` is the shortest form".to_owned(),
        );
        reader.bad_value_hint(&node, "At least one target is needed.", hint);
    }
    let mut in_use = InUse::default();
    nodes.iter().filter_map(|node| read(reader, node, kinds, &mut in_use)).collect()
}

/// Names and targets that earlier distributors use, each with the path of its distributor.
#[derive(Default)]
struct InUse {
    /// The names of run outputs, in lower case.
    names: Vec<(String, String)>,
    /// The keys of [`Destination`].
    targets: Vec<(String, String)>,
}

/// Registers a name or target. Returns the path of the distributor that already uses it.
fn take(in_use: &mut Vec<(String, String)>, what: String, path: &str) -> Option<String> {
    let other = in_use.iter().find(|(other, _)| *other == what).map(|(_, path)| path.clone());
    in_use.push((what, path.to_owned()));
    other
}

fn read<D: Delivery>(
    reader: &mut Reader<'_>,
    node: &Node<'_>,
    kinds: &'static [Kind<D>],
    in_use: &mut InUse,
) -> Option<Target<D>> {
    let code = ErrorCode::BadDistributeType;
    let union = Union { what: "distributor", code, fields: FIELDS };
    let (kind, fields) = read_kind(reader, node, kinds, union)?;
    let run_output_name =
        reader.required(&fields, "runOutputName").and_then(|node| run_output_name(reader, &node));
    let artifact_tags = reader.tags(&fields, "artifactTags", tags::MOST);
    let (run_output_name, kind) = (run_output_name?, kind?);
    let path = node.path();
    let other = take(&mut in_use.names, run_output_name.to_lowercase(), &path);
    if let (Some(other), Some(name)) = (other, fields.get("runOutputName")) {
        let reason = format!("'{other}' has the same name; names must differ in more than case.");
        let hint = Some("give every target a different name".to_owned());
        reader.bad_value_hint(&name, &reason, hint);
    }
    if let Some(Destination { what, field, key }) = kind.destination()
        && let Some(other) = take(&mut in_use.targets, key, &path)
        && let Some(target) = fields.get(field)
    {
        let reason = format!("'{other}' writes the same {what}.");
        let hint = Some("remove or change one of the two".to_owned());
        reader.bad_value_hint(&target, &reason, hint);
    }
    Some(Target { path, run_output_name, artifact_tags, kind })
}

fn run_output_name(reader: &mut Reader<'_>, node: &Node<'_>) -> Option<String> {
    let name = reader.text(node)?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.len() > 64 || !name.chars().all(allowed) {
        reader.bad_value(node, "A name must be 1 to 64 letters, digits, `-`, `_` or `.`.");
        return None;
    }
    Some(name)
}
