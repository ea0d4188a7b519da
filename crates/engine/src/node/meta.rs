//! `node.json`: what a node says of itself.

use std::collections::BTreeMap;

use images::digest::Key;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The machine a node was made on; part of the key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Shape {
    pub vcpus: u32,
    pub memory_mib: u64,
    /// Virtual size of the OS disk in bytes.
    pub disk_bytes: u64,
    pub uefi: bool,
    /// Data disks, by their LUNs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub data: Vec<DataShape>,
    /// The processor as the guest sees it: what it builds may be made for it.
    pub cpu: String,
}

/// A data disk of the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DataShape {
    /// Its virtual size.
    pub bytes: u64,
    /// What is on it before the first boot, by content digest; none for a blank one.
    pub source: Option<String>,
}

/// What a node's disk is an overlay on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Parent {
    /// A source image, by content digest.
    Source(String),
    /// Another node.
    Node(Key),
}

/// What the RAM of a node is tied to. It can only be resumed where all of this is the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RamMeta {
    /// QEMU, its acceleration and, where guests see it, the processor.
    pub identity: String,
    pub machine_type: String,
    pub cpu_model: String,
    /// Bytes of the RAM file on disk.
    pub bytes: u64,
    /// How long the seal took, in seconds: what saving RAM costs here.
    pub seconds: f64,
}

/// The whole of `node.json`.
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
    /// What went into the key, by name, to be able to say which input changed.
    pub inputs: BTreeMap<String, String>,
    pub shape: Shape,
    pub created: Timestamp,
    /// How long the step took, without the seal, in seconds.
    pub seconds: f64,
    /// Seconds of step time since the nearest node with RAM (this one included if it has none).
    pub since_ram_seconds: f64,
    pub ram: Option<RamMeta>,
    /// Sparse digests of the files beside this one, by name; none in nodes of an earlier goldsmith.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, String>,
    /// The booted node at the root of this chain; its folder holds the access and the seed.
    pub booted: Key,
}
