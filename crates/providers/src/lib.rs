//! The resource types, one file each, and the other services: groups, tags, roles, the catalogue of
//! platform images.
//!
//! Nothing here knows a socket or a worker: a call comes as an [`arm::Call`], and a requested run is a row.

pub mod compute;
mod identity;
pub mod image_builder;
mod linked;
pub mod machine;
pub mod namespaces;
mod network;
mod refusal;
pub mod resource_group;
pub mod storage;
pub mod subscription;
pub mod tags;
pub mod template_specs;

pub use compute::{platform_image, replication, sku};
pub(crate) use compute::{remove_stored, versions_of};

use arm::{Registry, ResourceType};
use service::App;

/// Every type that is served. A new one is a file and a line here.
const TYPES: &[&dyn ResourceType<App>] = &[
    &image_builder::ImageTemplates,
    &image_builder::RUN_OUTPUTS,
    &image_builder::TEMPLATE_RUNS,
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
    &template_specs::spec::TemplateSpec,
    &template_specs::version::Version,
    &machine::VIRTUAL_MACHINE,
    &machine::MANAGED_DISK,
    &machine::NETWORK_INTERFACE,
    &machine::SECURITY_GROUP,
];

/// The registry of all types, which the routes pass to [`arm::handle`].
pub static REGISTRY: Registry<App> = Registry::new(TYPES, namespaces::OTHERS);
