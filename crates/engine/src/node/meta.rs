//! `node.json`: the description of a node.

use std::collections::BTreeMap;

use images::digest::Key;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use vm::{OsType, RamFormat};

/// The RAM file. If it is damaged, the node's disk still boots.
pub(super) const RAM: &str = "ram";

/// The machine a node was made on; part of the key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Shape {
    /// The guest's system.
    #[serde(default, skip_serializing_if = "OsType::is_linux")]
    pub os: OsType,
    pub vcpus: u32,
    pub memory_mib: u64,
    /// Virtual size of the OS disk in bytes.
    pub disk_bytes: u64,
    pub uefi: bool,
    /// Whether its firmware starts only signed boot loaders.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub secure_boot: bool,
    /// Whether it has a virtual TPM.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tpm: bool,
    /// Data disks, by their LUNs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub data: Vec<DataShape>,
    /// The processor that the guest sees: the guest may compile for it.
    pub cpu: String,
}

/// A data disk of the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DataShape {
    /// Its virtual size.
    pub bytes: u64,
    /// Its content before the first boot, by content digest; `None` for a blank disk.
    pub source: Option<String>,
}

/// The base of a node's disk overlay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Parent {
    /// A source image, by content digest.
    Source(String),
    /// Another node.
    Node(Key),
}

/// The requirements of a node's RAM. It can be resumed only where all of them match.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RamMeta {
    /// QEMU, its acceleration and, if guests see it, the processor.
    pub identity: String,
    pub machine_type: String,
    pub cpu_model: String,
    /// Missing in nodes of an earlier goldsmith: [`vm::Host::paused_ram_format`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<RamFormat>,
    /// Bytes of the RAM file on disk.
    pub bytes: u64,
    /// From the pause to the complete file, in seconds: the cost of saving RAM on this host. Most
    /// of it the guest runs, but QEMU then takes a processor from it.
    pub seconds: f64,
}

/// The content of `node.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeMeta {
    pub format: u32,
    pub key: Key,
    pub parent: Parent,
    /// `Boot`, `Shell`, `File`, `Generalize`.
    pub kind: String,
    /// The step's name for people.
    pub title: String,
    /// The inputs of the key, by name, to find the input that changed.
    pub inputs: BTreeMap<String, String>,
    pub shape: Shape,
    pub created: Timestamp,
    /// The duration of the step without the seal, in seconds.
    pub seconds: f64,
    /// Seconds of step time since the nearest node with RAM (this one included if it has none).
    pub since_ram_seconds: f64,
    pub ram: Option<RamMeta>,
    /// Sparse digests of the files beside this one, by name; empty in nodes of an earlier
    /// goldsmith.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, String>,
    /// The booted node at the root of this chain. Its folder contains the credentials and the seed.
    pub booted: Key,
}
