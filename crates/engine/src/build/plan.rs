//! Template → plan: everything resolved, every mistake found, nothing made on a machine.

use std::{path::PathBuf, time::Duration};

use api::{ErrorCode, template::Template};

use vm::Host;

use super::{Wanted, network};
use crate::{
    config::Subnet,
    customize::{self, Customizer},
    cx::Cx,
    error::{Error, Result},
    node::Shape,
    source::SourceImage,
    vm_size::{self, VmSize},
};

const GIB: u64 = 1024 * 1024 * 1024;

/// One customizer of the plan.
#[derive(Debug)]
pub struct PlannedStep {
    pub index: usize,
    /// The customizer's name, or its type and place.
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
    pub steps: Vec<PlannedStep>,
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
    let source = Wanted::resolve(cx, &properties.source).await.map_err(|e| errors.push(e)).ok();
    let size = size(&input.template, source.as_ref()).map_err(|e| errors.push(e)).ok();
    let subnet =
        network::subnet(&cx.layout, &input.template).map_err(|e| errors.push(e)).ok().flatten();
    let mut steps = Vec::new();
    for (index, block) in properties.customize.iter().enumerate() {
        match customize::resolve(cx, block, &input.base_dir).await {
            Ok(customizer) => {
                let title = title(block.name.as_deref(), block.kind.name(), index);
                steps.push(PlannedStep { index, title, customizer });
            }
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

fn title(name: Option<&str>, type_name: &str, index: usize) -> String {
    name.map_or_else(|| format!("{type_name} {}", index + 1), str::to_owned)
}

/// Parts of a template that are valid but that this version would silently leave out.
fn unsupported(template: &Template) -> Vec<Error> {
    let properties = &template.properties;
    let enabled_optimize = properties
        .optimize
        .as_ref()
        .is_some_and(|o| o.vm_boot || o.workload.as_ref().is_some_and(|w| w.enabled));
    let parts = [
        (properties.validate.is_some(), "properties.validate", "validators"),
        (enabled_optimize, "properties.optimize", "image optimization"),
        (
            !properties.additional_data_disks.is_empty(),
            "properties.additionalDataDisks",
            "data disks",
        ),
    ];
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
