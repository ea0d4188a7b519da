//! The resource types, one file each, and what is served beside them: groups, tags, roles, the
//! catalogue of platform images.

pub(crate) mod authorization;
pub(crate) mod compute;
mod identity;
pub(crate) mod image_builder;
pub(crate) mod machine;
pub(crate) mod namespaces;
mod network;
pub(crate) mod quotas;
pub(crate) mod resource_group;
mod service;
pub(crate) mod storage;
pub(crate) mod stored;
pub(crate) mod subscription;
pub(crate) mod tags;

pub(crate) use compute::{platform_image, remove_stored, replication, sku, versions_of};

use arm::{Registry, ResourceType};

use crate::App;

/// `kind` of the rows of image templates.
pub(crate) const TEMPLATES_KIND: &str = "microsoft.virtualmachineimages/imagetemplates";

/// Every type that is served. A new one is a file and a line here.
const TYPES: &[&dyn ResourceType<App>] = &[
    &image_builder::ImageTemplates,
    &image_builder::RunOutputs,
    &image_builder::Runs,
    &image_builder::Schedules,
    &image_builder::Triggers,
    &compute::image::Image,
    &compute::gallery::Gallery,
    &compute::definition::Definition,
    &compute::version::Version,
    &identity::Identity,
    &network::vnet::VirtualNetwork,
    &network::subnet::Subnet,
    &storage::StorageAccount,
    &machine::VIRTUAL_MACHINE,
    &machine::MANAGED_DISK,
    &machine::NETWORK_INTERFACE,
    &machine::SECURITY_GROUP,
];

/// What is served, as a value: the routes hand it to [`arm::handle`].
pub(crate) static REGISTRY: Registry<App> = Registry::new(TYPES, namespaces::OTHERS);
