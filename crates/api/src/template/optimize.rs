//! `properties.optimize`: optimizations of the finished image for a faster start.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::ApiVersion;
use super::read::fields::Field;
use super::read::{Node, Reader};
use crate::ErrorCode;

/// Optimizations of the finished image for a faster start.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Optimize {
    /// Whether the boot is optimized.
    #[serde(serialize_with = "as_object")]
    pub vm_boot: bool,
    /// The warm-up of a workload.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workload: Option<Workload>,
}

/// The warm-up of a workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Workload {
    /// Whether the warm-up is enabled.
    #[serde(rename = "state", serialize_with = "as_state")]
    pub enabled: bool,
    /// The address of the script that runs the workload.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub script_uri: Option<String>,
    /// SHA-256 of the script as 64 lower-case hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256_checksum: Option<String>,
}

pub(super) const STATES: &[(&str, bool)] = &[("Enabled", true), ("Disabled", false)];

/// The only field of `vmBoot` and of `autoRun`.
pub(super) const STATE: &[Field] = &[Field::new("state")];

const FIELDS: &[Field] = &[Field::new("vmBoot"), Field::since("workload", ApiVersion::V2025_10_01)];

const WORKLOAD: &[Field] =
    &[Field::new("state"), Field::new("scriptUri"), Field::new("sha256Checksum")];

fn state(enabled: bool) -> &'static str {
    if enabled { "Enabled" } else { "Disabled" }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
fn as_state<S: Serializer>(enabled: &bool, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(state(*enabled))
}

/// Serializes a boolean as an object with a `state`.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
pub(super) fn as_object<S: Serializer>(enabled: &bool, serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(1))?;
    map.serialize_entry("state", state(*enabled))?;
    map.end()
}

pub(super) fn read(reader: &mut Reader<'_>, node: &Node<'_>) -> Option<Optimize> {
    let fields = reader.fields(node, FIELDS)?;
    let vm_boot = fields.get("vmBoot").is_some_and(|node| read_state(reader, &node));
    let workload = fields.get("workload").and_then(|node| workload(reader, &node));
    Some(Optimize { vm_boot, workload })
}

/// Reads an object whose `state` is Enabled or, by default, Disabled.
pub(super) fn read_state(reader: &mut Reader<'_>, node: &Node<'_>) -> bool {
    let Some(fields) = reader.fields(node, STATE) else {
        return false;
    };
    reader.optional_choice(&fields, "state", STATES).unwrap_or(false)
}

fn workload(reader: &mut Reader<'_>, node: &Node<'_>) -> Option<Workload> {
    let fields = reader.fields(node, WORKLOAD)?;
    let enabled = reader.optional_choice(&fields, "state", STATES).unwrap_or(false);
    let script = reader.present(&fields, "scriptUri");
    match &script {
        Some((node, uri)) => reader.location(node, uri),
        None if enabled => {
            let hint = "give the address of the script that warms the workload, or set `state` to \
                        `Disabled`";
            let code = ErrorCode::ValidationFailed;
            reader.missing(&fields, "scriptUri", code, Some(hint.to_owned()));
        }
        None => {}
    }
    Some(Workload {
        enabled,
        script_uri: script.map(|(_, uri)| uri),
        sha256_checksum: reader.checksum(&fields),
    })
}
