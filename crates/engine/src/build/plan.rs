//! Template → plan: everything resolved, every mistake found, nothing made on a machine.

use std::{path::PathBuf, time::Duration};

use api::{ErrorCode, template::Template};

use vm::Host;

use super::{Wanted, network};
use crate::{
    config::Subnet,
    customize::{self, Customizer},
    cx::Cx,
    distribute,
    error::{Error, Result},
    export::ExportSpec,
    node::Shape,
    optimize::{self, Optimize},
    source::SourceImage,
    validate,
    vm_size::{self, VmSize},
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
}

/// What `resolve` is given.
#[derive(Debug, Clone)]
pub struct Input {
    pub name: String,
    pub template: Template,
    /// Relative script paths are relative to this folder.
    pub base_dir: PathBuf,
}

/// Resolves the source, the size and every script. Several mistakes come back together.
pub async fn resolve(cx: &Cx, input: Input) -> Result<Plan, Vec<Error>> {
    let properties = &input.template.properties;
    let mut errors = unsupported(&input.template);
    let mut cx = cx.clone();
    cx.geography = cx.geography.or_at(input.template.location.as_deref());
    let cx = &cx;
    errors.extend(distribute::admit(cx, &properties.distribute));
    let source = Wanted::resolve(cx, &input.template).await.map_err(|e| errors.push(e)).ok();
    let size = size(&input.template, source.as_ref()).map_err(|e| errors.push(e)).ok();
    let subnet =
        network::subnet(&cx.layout, &input.template).map_err(|e| errors.push(e)).ok().flatten();
    let mut steps = Vec::new();
    let customize: &[_] =
        if validates_source_only(&input.template) { &[] } else { &properties.customize };
    for (index, block) in customize.iter().enumerate() {
        match customize::resolve(cx, block, &input.base_dir).await {
            Ok(customizer) => {
                let title = title(block.name.as_deref(), block.kind.name(), index);
                steps.push(PlannedStep { index, title, customizer });
            }
            Err(error) => errors.push(error),
        }
    }
    let optimize = optimize::resolve(cx, properties.optimize.as_ref(), &input.base_dir)
        .await
        .unwrap_or_else(|error| {
            errors.push(error);
            Optimize::default()
        });
    let mut validators = Vec::new();
    for resolved in validate::resolve(cx, properties.validate.as_ref(), &input.base_dir).await {
        match resolved {
            Ok(validator) => validators.push(validator),
            Err(error) => errors.push(error),
        }
    }
    match (source, size) {
        (Some(source), Some(size)) if errors.is_empty() => Ok(Plan {
            timeout: properties.build_timeout(),
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
        Shape {
            vcpus: self.size.vcpus,
            memory_mib: self.size.memory_mib,
            disk_bytes: wanted.max(source.virtual_size),
            uefi: source.generation == 2,
            cpu: format!("{} {}", host.cpu_model, host.cpu_identity).trim_end().to_owned(),
        }
    }

    /// Refuses a disk that is smaller than its source: it can only grow.
    pub fn check_disk(&self, source: &SourceImage) -> Result<()> {
        let gb = self.os_disk_gb();
        if gb == 0 || u64::from(gb) * GIB >= source.virtual_size {
            return Ok(());
        }
        Err(Error::new(
            ErrorCode::ValidationFailed,
            format!(
                "osDiskSizeGB is {gb} but the source image needs {}",
                source.virtual_size.div_ceil(GIB)
            ),
        )
        .target("properties.vmProfile.osDiskSizeGB")
        .hint("the OS disk can only grow; leave osDiskSizeGB out to take the source's size"))
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

    /// Refuses to write an image to a file where none is made.
    pub(super) fn check_exports(&self, exports: &[ExportSpec]) -> Result<()> {
        if exports.is_empty() || !self.validates_source_only() {
            return Ok(());
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

fn size(template: &Template, source: Option<&Wanted>) -> Result<VmSize> {
    let profile = template.properties.vm_profile.as_ref();
    let given = profile.and_then(|profile| profile.vm_size.as_deref()).filter(|s| !s.is_empty());
    let generation = source.map_or(2, Wanted::generation);
    let default = if generation == 1 { vm_size::DEFAULT_GEN1 } else { vm_size::DEFAULT_GEN2 };
    vm_size::find(given.unwrap_or(default))
}

fn validates_source_only(template: &Template) -> bool {
    let validate = template.properties.validate.as_ref();
    validate.is_some_and(|validate| validate.source_validation_only)
}

pub(crate) fn title(name: Option<&str>, type_name: &str, index: usize) -> String {
    name.map_or_else(|| format!("{type_name} {}", index + 1), str::to_owned)
}

/// Parts of a template that are valid but that this version would silently leave out.
fn unsupported(template: &Template) -> Vec<Error> {
    let properties = &template.properties;
    let parts = [(
        !properties.additional_data_disks.is_empty(),
        "properties.additionalDataDisks",
        "data disks",
    )];
    parts
        .into_iter()
        .filter(|(present, _, _)| *present)
        .map(|(_, path, what)| {
            Error::new(
                ErrorCode::UnsupportedFeature,
                format!("this version of goldsmith cannot do {what} yet"),
            )
            .target(path)
            .hint("remove the block to build without it")
        })
        .collect()
}
