//! Template → plan: everything resolved, every mistake found, nothing made on a machine.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use api::{ErrorCode, template::Template};

use images::{
    config::Subnet,
    cx::Cx,
    error::{Error, Result},
    export::ExportSpec,
};
use sources::{Facts, SourceImage, fetch};
use vm::{Host, may_wait};

use super::{Wanted, check_machine, data_disks, machine, network, validate, vhd_limit};
use crate::{
    customize::{self, Customizer, Inputs},
    distribute,
    metadata::Metadata,
    node::Shape,
    optimize::{self, Optimize},
    vm_size::VmSize,
};

const GIB: u64 = 1024 * 1024 * 1024;

/// One customizer or validator of the plan.
#[derive(Debug)]
pub struct PlannedStep {
    pub index: usize,
    /// Its name, or its type and place.
    pub title: String,
    pub customizer: Box<dyn Customizer>,
}

/// A template with everything resolved.
#[derive(Debug)]
pub struct Plan {
    /// The template's name, for folders and messages.
    pub name: String,
    pub template: Template,
    /// The source, resolved to something concrete but not fetched yet.
    pub source: Wanted,
    pub size: VmSize,
    /// The customizers; none where only the source is validated.
    pub steps: Vec<PlannedStep>,
    pub optimize: Optimize,
    pub validators: Vec<PlannedStep>,
    pub timeout: Duration,
    /// Where its machine is, if not on a network of its own.
    pub subnet: Option<Subnet>,
    /// What answers for the identities that scripts in the machine may use, where something does.
    pub metadata: Option<Arc<dyn Metadata>>,
}

/// What `resolve` is given.
#[derive(Debug, Clone)]
pub struct Input {
    pub name: String,
    pub template: Template,
    /// Relative script paths are relative to this folder.
    pub base_dir: PathBuf,
    /// How scripts and files that the template names are fetched.
    pub fetch: fetch::Limits,
    /// What answers scripts that ask the instance metadata service; a local build has none.
    pub metadata: Option<Arc<dyn Metadata>>,
}

/// Resolves the source, the size and every script. Several mistakes come back together.
pub async fn resolve(cx: &Cx, input: Input) -> Result<Plan, Vec<Error>> {
    let properties = &input.template.properties;
    let mut errors = Vec::new();
    let mut cx = cx.clone();
    cx.geography = cx.geography.or_at(input.template.location.as_deref());
    let cx = &cx;
    let inputs = Inputs { base_dir: &input.base_dir, limits: &input.fetch };
    errors.extend(distribute::admit(cx, &input.template));
    let source = Wanted::resolve(cx, &input.template).await.map_err(|e| errors.push(e)).ok();
    // Of a source that is not there nothing is known; it has its own error.
    let unknown = Facts {
        generation: 2,
        architecture: String::new(),
        disk_bytes: None,
        data_disks: Vec::new(),
    };
    let facts = source.as_ref().and_then(|found| may_wait(|| found.facts(cx, &properties.source)));
    let facts = facts.unwrap_or(unknown);
    let size = check_machine(&input.template, &facts).map_err(|e| errors.push(e)).ok();
    let subnet =
        network::subnet(&cx.layout, &input.template).map_err(|e| errors.push(e)).ok().flatten();
    let mut steps = Vec::new();
    let customize: &[_] =
        if validates_source_only(&input.template) { &[] } else { &properties.customize };
    for (index, block) in customize.iter().enumerate() {
        match customize::resolve(cx, block, inputs).await {
            Ok(customizer) => {
                let title = title(block.name.as_deref(), block.kind.name(), index);
                steps.push(PlannedStep { index, title, customizer });
            }
            Err(error) => errors.push(error),
        }
    }
    let optimize =
        optimize::resolve(cx, properties.optimize.as_ref(), inputs).await.unwrap_or_else(|error| {
            errors.push(error);
            Optimize::default()
        });
    let mut validators = Vec::new();
    for resolved in validate::resolve(cx, properties.validate.as_ref(), inputs).await {
        match resolved {
            Ok(validator) => validators.push(validator),
            Err(error) => errors.push(error),
        }
    }
    match (source, size) {
        (Some(source), Some(size)) if errors.is_empty() => Ok(Plan {
            timeout: properties.build_timeout(),
            metadata: input.metadata,
            name: input.name,
            source,
            size,
            steps,
            optimize,
            validators,
            subnet,
            template: input.template,
        }),
        _ => Err(errors),
    }
}

impl Plan {
    /// The machine to build on, once the source is known.
    pub fn shape(&self, source: &SourceImage, host: &Host) -> Shape {
        let wanted = u64::from(self.os_disk_gb()) * GIB;
        let size = self.size.on(host);
        Shape {
            vcpus: size.vcpus,
            memory_mib: size.memory_mib,
            disk_bytes: wanted.max(source.virtual_size),
            uefi: source.generation == 2,
            data: data_disks::shape(&self.template, source),
            cpu: host.guest_cpu(),
        }
    }

    /// What the host lacks of the size that the template asks for. The default is taken as it comes.
    pub fn shortfall(&self, host: &Host) -> Option<String> {
        let profile = self.template.properties.vm_profile.as_ref()?;
        profile.vm_size.as_ref().and_then(|_| self.size.shortfall(host))
    }

    /// Refuses a disk that is smaller than its source, and disks that fit into no VHD where one is asked for.
    pub fn check_disks(&self, source: &SourceImage, exports: &[ExportSpec]) -> Result<()> {
        machine::check_os_disk(self.os_disk_gb(), source.virtual_size)?;
        let brought: Vec<_> = source.data.iter().map(|disk| disk.virtual_size).collect();
        vhd_limit::check(&self.template, source.virtual_size, &brought, exports)
    }

    /// What the metadata service stands for, as far as the result may depend on it: whether there is
    /// one, and for whom. None where the template asks for no identity.
    pub fn identities(&self) -> Option<String> {
        let profile = self.template.properties.vm_profile.as_ref()?;
        let ids = &profile.user_assigned_identities;
        let ids: Vec<_> = ids.iter().map(|id| id.to_string().to_lowercase()).collect();
        let served = if self.metadata.is_some() { "served" } else { "absent" };
        (!ids.is_empty()).then(|| format!("{served} {}", ids.join(" ")))
    }

    /// What a script of the user's depends on: what it reads, and whom it can act for.
    pub(super) fn with_identities(
        &self,
        mut inputs: BTreeMap<String, String>,
    ) -> BTreeMap<String, String> {
        inputs.extend(self.identities().map(|ids| ("identities".to_owned(), ids)));
        inputs
    }

    /// Whether the source is all that is looked at, and nothing is made.
    pub fn validates_source_only(&self) -> bool {
        validates_source_only(&self.template)
    }

    /// Whether an image is distributed although a validator failed.
    pub(super) fn distributes_what_failed(&self) -> bool {
        let validate = self.template.properties.validate.as_ref();
        validate.is_some_and(|validate| validate.continue_distribute_on_failure)
    }

    /// Refuses to write an image to a file where none is made, or where it does not fit.
    pub(super) fn check_exports(&self, exports: &[ExportSpec]) -> Result<()> {
        if exports.is_empty() || !self.validates_source_only() {
            return vhd_limit::check(&self.template, 0, &[], exports);
        }
        Err(Error::new(
            ErrorCode::InvalidArgument,
            "there is no image to export: the template validates its source only",
        )
        .target("properties.validate.sourceValidationOnly")
        .hint("leave --export out, or sourceValidationOnly"))
    }

    fn os_disk_gb(&self) -> u32 {
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
