//! `properties.vmProfile`: the build machine.

use serde::Serialize;

use super::ApiVersion;
use super::read::fields::{Field, Fields};
use super::read::{Node, Reader};
use crate::{ResourceId, ResourceKind};

/// The build machine.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VmProfile {
    /// The name of the VM size; by default the service chooses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vm_size: Option<String>,
    /// The size of the OS disk in GB; 0 means the size of the source.
    #[serde(rename = "osDiskSizeGB")]
    pub os_disk_size_gb: u32,
    /// The identities that scripts in the machine may use, without duplicates.
    pub user_assigned_identities: Vec<ResourceId>,
    /// The network of the machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vnet_config: Option<VnetConfig>,
}

/// The network of the build machine.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VnetConfig {
    /// An existing subnet for the machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subnet_id: Option<ResourceId>,
    /// An existing subnet for the builder, in the same network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_instance_subnet_id: Option<ResourceId>,
    /// The VM size of the proxy machine; by default the service chooses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_vm_size: Option<String>,
}

const FIELDS: &[Field] = &[
    Field::new("vmSize"),
    Field::new("osDiskSizeGB"),
    Field::since("userAssignedIdentities", ApiVersion::V2021_10_01).narrowing(),
    Field::since("vnetConfig", ApiVersion::V2020_02_14).narrowing(),
];

const VNET_CONFIG: &[Field] = &[
    Field::new("subnetId").narrowing(),
    Field::since("proxyVmSize", ApiVersion::V2021_10_01).narrowing(),
    Field::since("containerInstanceSubnetId", ApiVersion::V2024_02_01).narrowing(),
];

pub(super) fn read(reader: &mut Reader<'_>, node: &Node<'_>) -> Option<VmProfile> {
    let fields = reader.fields(node, FIELDS)?;
    let vm_size = reader.optional(&fields, "vmSize");
    let most = i64::from(i32::MAX);
    let os_disk_size_gb = reader.optional_integer(&fields, "osDiskSizeGB", 0..=most).unwrap_or(0);
    let identities = reader.list(&fields, "userAssignedIdentities");
    let mut user_assigned_identities = Vec::new();
    for node in &identities {
        // Duplicates are merged: scripts that request a token need not choose between them.
        if let Some(id) = reader.resource_id(node, &[ResourceKind::UserAssignedIdentity])
            && !user_assigned_identities.contains(&id)
        {
            user_assigned_identities.push(id);
        }
    }
    let vnet_config = fields.get("vnetConfig").and_then(|node| vnet_config(reader, &node));
    Some(VmProfile { vm_size, os_disk_size_gb, user_assigned_identities, vnet_config })
}

fn vnet_config(reader: &mut Reader<'_>, node: &Node<'_>) -> Option<VnetConfig> {
    let fields = reader.fields(node, VNET_CONFIG)?;
    let subnet = reader.present(&fields, "subnetId");
    let container = reader.present(&fields, "containerInstanceSubnetId");
    let proxy = reader.present(&fields, "proxyVmSize");
    let mut id = |field: &Option<(Node<'_>, String)>| {
        let (node, _) = field.as_ref()?;
        reader.resource_id(node, &[ResourceKind::Subnet])
    };
    let config = VnetConfig {
        subnet_id: id(&subnet),
        container_instance_subnet_id: id(&container),
        proxy_vm_size: proxy.as_ref().map(|(_, size)| size.clone()),
    };
    if let Some((node, _)) = &container {
        if subnet.is_none() {
            conflict(reader, &fields, node, "requires 'subnetId'");
        }
        if let (Some(build), Some(builder)) =
            (&config.subnet_id, &config.container_instance_subnet_id)
        {
            if build == builder {
                conflict(reader, &fields, node, "must be another subnet than 'subnetId'");
            } else if build.parent() != builder.parent() {
                conflict(reader, &fields, node, "must be in the same network as 'subnetId'");
            }
        }
    }
    if let Some((node, _)) = &proxy {
        if container.is_some() {
            let what = "and 'containerInstanceSubnetId' exclude each other: remove one of them";
            conflict(reader, &fields, node, what);
        } else if subnet.is_none() {
            let message =
                format!("{}Field 'proxyVmSize' has no effect without 'subnetId'", fields.failed());
            reader.warn(node, message, None);
        }
    }
    Some(config)
}

fn conflict(reader: &mut Reader<'_>, fields: &Fields<'_>, node: &Node<'_>, what: &str) {
    reader.error(node, format!("{}Field '{}' {what}", fields.failed(), node.field()), None);
}
