//! `identity`: the identity with which the service reads sources and writes images.

use jsonc_parser::ast::{ObjectProp, Value};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::ApiVersion;
use super::Face;
use super::diagnostic::Severity;
use super::read::fields::{Field, Fields};
use super::read::{Node, Reader, failed, span};
use crate::{ErrorCode, ResourceId, ResourceKind};

/// The identity that the service uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type")]
pub enum Identity {
    /// A user-assigned identity; exactly one is supported.
    #[serde(rename_all = "camelCase")]
    UserAssigned {
        /// The id of the identity.
        #[serde(rename = "userAssignedIdentities", serialize_with = "as_map")]
        id: ResourceId,
    },
    /// No identity.
    None,
}

fn as_map<S: Serializer>(id: &ResourceId, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Empty {}
    let mut map = serializer.serialize_map(Some(1))?;
    map.serialize_entry(id, &Empty {})?;
    map.end()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Type {
    UserAssigned,
    None,
}

const TYPES: &[(&str, Type)] = &[("UserAssigned", Type::UserAssigned), ("None", Type::None)];

const FIELDS: &[Field] = &[
    Field::new("type"),
    Field::new("userAssignedIdentities"),
    Field::ignored("principalId"),
    Field::ignored("tenantId"),
];

/// The template's identity. The api-version and the face decide whether it may be missing.
pub(super) fn read(reader: &mut Reader<'_>, root: &Fields<'_>) -> Option<Identity> {
    let Some(node) = root.get("identity") else {
        if reader.version >= ApiVersion::V2020_02_14 {
            missing(reader, root);
        }
        return None;
    };
    let fields = reader.fields(&node, FIELDS)?;
    let kind = reader.required(&fields, "type").and_then(|node| identity_type(reader, &node));
    let map = fields.get("userAssignedIdentities");
    let ids = map.as_ref().map(|map| identities(reader, map)).unwrap_or_default();
    match kind? {
        Type::None => {
            if let Some(map) = map.filter(|_| !ids.is_empty()) {
                reader.bad_value(&map, "Type 'None' has no identities.");
            }
            Some(Identity::None)
        }
        Type::UserAssigned => match (map, ids.as_slice()) {
            (_, [id]) => id.clone().map(|id| Identity::UserAssigned { id }),
            (None, _) => {
                let hint = Some("add the id of one identity as a key with the value {}".to_owned());
                reader.missing(
                    &fields,
                    "userAssignedIdentities",
                    ErrorCode::ValidationFailed,
                    hint,
                );
                None
            }
            (Some(map), ids) => {
                let reason = format!(
                    "Exactly one user-assigned identity is supported, found {}.",
                    ids.len()
                );
                reader.bad_value(&map, &reason);
                None
            }
        },
    }
}

fn missing(reader: &mut Reader<'_>, root: &Fields<'_>) {
    let (severity, hint) = match reader.face {
        Face::File => (
            Severity::Warning,
            "a local build does not need it; Azure and the service need a user-assigned identity",
        ),
        Face::Service => (Severity::Error, "add a user-assigned identity"),
    };
    let (code, at) = (ErrorCode::ValidationFailed, root.at_field("identity"));
    let message = format!("{}Missing field 'identity'", failed(""));
    reader.note(severity, code, at, message, Some(hint.to_owned()));
}

fn identity_type(reader: &mut Reader<'_>, node: &Node<'_>) -> Option<Type> {
    let system = node
        .value
        .as_string_lit()
        .is_some_and(|text| text.value.to_lowercase().contains("systemassigned"));
    if system {
        let hint = Some("use `UserAssigned` and name one identity".to_owned());
        reader.bad_value_hint(node, "System-assigned identities are not supported.", hint);
        return None;
    }
    reader.choice(node, TYPES)
}

/// One entry per key of the map: the id, or `None` if the key is not an id.
fn identities(reader: &mut Reader<'_>, map: &Node<'_>) -> Vec<Option<ResourceId>> {
    let Value::Object(object) = map.value else {
        reader.wrong_type(map, "an object with ids as keys");
        return vec![None];
    };
    let present = object.properties.iter().filter(|p| !matches!(p.value, Value::NullKeyword(_)));
    let mut ids = Vec::new();
    for id in present.map(|prop| identity_id(reader, map, prop)) {
        // Keys that differ only in case denote the same identity.
        if id.is_none() || !ids.contains(&id) {
            ids.push(id);
        }
    }
    ids
}

fn identity_id(
    reader: &mut Reader<'_>,
    map: &Node<'_>,
    prop: &ObjectProp<'_>,
) -> Option<ResourceId> {
    let name = prop.name.as_str();
    let entry = Node::child(map, &prop.value, name);
    if !matches!(prop.value, Value::Object(_)) {
        reader.wrong_type(&entry, "an object");
    }
    match reader.parse_id(name, &[ResourceKind::UserAssignedIdentity]) {
        Ok(id) => Some(id),
        Err((reason, hint)) => {
            let at = (map.path(), span(&prop.name));
            let message = format!("{}Key '{name}' is wrong. {reason}", failed(&map.path()));
            reader.fail(ErrorCode::ValidationFailed, at, message, Some(hint));
            None
        }
    }
}
