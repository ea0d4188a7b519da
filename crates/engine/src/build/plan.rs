//! A template with everything resolved.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use images::{config::Subnet, partition::Partition};
use sources::SourceImage;
use vm::Host;

use super::{Tags, Wanted, data_disks, seeding::Seeding};
use crate::{
    customize::Action, metadata::Metadata, node::Shape, optimize::Optimize, template::Template,
    vm_size::VmSize,
};

const GIB: u64 = 1024 * 1024 * 1024;

/// One customizer or validator of the plan.
#[derive(Debug)]
pub struct PlannedStep {
    pub index: usize,
    /// Its name, or its type and position.
    pub title: String,
    pub action: Box<dyn Action>,
}

/// A template with everything resolved.
#[derive(Debug)]
pub struct Plan {
    /// The template's name, for folders and messages.
    pub name: String,
    pub template: Template,
    /// The source, resolved but not fetched yet.
    pub source: Wanted,
    pub size: VmSize,
    /// The customizers; empty if only the source is validated.
    pub steps: Vec<PlannedStep>,
    pub optimize: Optimize,
    pub validators: Vec<PlannedStep>,
    pub timeout: Duration,
    /// What the template's tags ask for.
    pub tags: Tags,
    /// The subnet of its machine, if it is not on a network of its own.
    pub subnet: Option<Subnet>,
    /// The metadata service for the identities that scripts in the machine may use, if available.
    pub metadata: Option<Arc<dyn Metadata>>,
    /// The part of the cache with its nodes.
    pub partition: Partition,
}

impl Plan {
    /// The machine to build on, once the source is known.
    pub fn shape(&self, source: &SourceImage, host: &Host) -> Shape {
        let wanted = u64::from(self.os_disk_gb()) * GIB;
        let size = self.size.on(host);
        Shape {
            os: source.os(),
            vcpus: size.vcpus,
            memory_mib: size.memory_mib,
            disk_bytes: wanted.max(source.virtual_size),
            uefi: source.generation == 2,
            secure_boot: self.tags.secure_boot,
            tpm: self.tags.tpm,
            data: data_disks::shape(&self.template, source),
            cpu: host.guest_cpu(source.os()),
        }
    }

    /// Which part of the template's machine size the host lacks, if any. The default size is not
    /// checked.
    pub fn shortfall(&self, host: &Host) -> Option<String> {
        let profile = self.template.properties.vm_profile.as_ref()?;
        profile.vm_size.as_ref().and_then(|_| self.size.shortfall(host))
    }

    /// The part of the metadata service that the result may depend on: whether it is available, and
    /// its identities. `None` if the template requests no identity.
    pub fn identities(&self) -> Option<String> {
        let profile = self.template.properties.vm_profile.as_ref()?;
        let ids = &profile.user_assigned_identities;
        let ids: Vec<_> = ids.iter().map(|id| id.to_string().to_lowercase()).collect();
        let served = if self.metadata.is_some() { "served" } else { "absent" };
        (!ids.is_empty()).then(|| format!("{served} {}", ids.join(" ")))
    }

    /// The inputs of a user's script: the data it reads, and the identities it can use.
    pub(super) fn with_identities(
        &self,
        mut inputs: BTreeMap<String, String>,
    ) -> BTreeMap<String, String> {
        inputs.extend(self.identities().map(|ids| ("identities".to_owned(), ids)));
        inputs
    }

    /// The seed of its first boot.
    pub(super) fn seeding(&self, source: &SourceImage) -> Seeding {
        Seeding::of_build(&source.first_contact, self.tags.runs_cloud_init)
    }

    /// Whether the run only validates the source, without making an image.
    pub fn validates_source_only(&self) -> bool {
        validates_source_only(&self.template)
    }

    /// Whether an image is distributed although a validator failed.
    pub(super) fn distributes_what_failed(&self) -> bool {
        let validate = self.template.properties.validate.as_ref();
        validate.is_some_and(|validate| validate.continue_distribute_on_failure)
    }

    pub(super) fn os_disk_gb(&self) -> u32 {
        self.template.properties.vm_profile.as_ref().map_or(0, |profile| profile.os_disk_size_gb)
    }
}

pub(super) fn validates_source_only(template: &Template) -> bool {
    let validate = template.properties.validate.as_ref();
    validate.is_some_and(|validate| validate.source_validation_only)
}

pub(crate) fn title(name: Option<&str>, type_name: &str, index: usize) -> String {
    name.map_or_else(|| format!("{type_name} {}", index + 1), str::to_owned)
}
