//! Template → plan: resolves everything and finds every mistake, without a machine.

use std::{path::PathBuf, sync::Arc};

use images::{error::Error, run_context::RunContext};
use sources::{SourceProperties, fetch};
use vm::{OsType, may_wait};

use super::{
    Wanted, check_machine, network,
    plan::{Plan, PlannedStep, title, validates_source_only},
    tags::Tags,
};
use crate::{
    customize::{self, Inputs, Purpose, Step},
    distribute,
    metadata::Metadata,
    optimize::{self, Optimize},
    template::Template,
};

/// The input of `resolve`.
#[derive(Debug, Clone)]
pub struct Input {
    pub name: String,
    pub template: Template,
    /// The base of relative script paths.
    pub base_dir: PathBuf,
    /// Limits for fetching the template's scripts and files.
    pub fetch: fetch::Limits,
    /// The instance metadata service for scripts; a local build has none.
    pub metadata: Option<Arc<dyn Metadata>>,
}

/// Resolves the source, the size and every script. Returns all mistakes together.
pub async fn resolve(cx: &RunContext, input: Input) -> Result<Plan, Vec<Error>> {
    let properties = &input.template.properties;
    let mut errors = Vec::new();
    let mut cx = cx.clone();
    cx.region_set = cx.region_set.or_at(input.template.location.as_deref());
    let cx = &cx;
    let inputs = Inputs { base_dir: &input.base_dir, limits: &input.fetch };
    errors.extend(distribute::admit(cx, &properties.distribute, &properties.source));
    let source = Wanted::resolve(cx, &input.template).await.map_err(|e| errors.push(e)).ok();
    // Nothing is known of a missing source, which has its own error.
    let unknown = SourceProperties {
        generation: 2,
        os: None,
        architecture: String::new(),
        disk_bytes: None,
        data_disks: Vec::new(),
    };
    let facts = source.as_ref().and_then(|found| may_wait(|| found.facts(cx, &properties.source)));
    let facts = facts.unwrap_or(unknown);
    let size = check_machine(&input.template, &facts).map_err(|e| errors.push(e)).ok();
    let tags = Tags::of(&input.template).map_err(|e| errors.push(e)).unwrap_or_default();
    let subnet =
        network::subnet(&cx.layout, &input.template).map_err(|e| errors.push(e)).ok().flatten();
    let customize: &[_] =
        if validates_source_only(&input.template) { &[] } else { &properties.customize };
    let steps = plan_steps(cx, customize, Purpose::CUSTOMIZE, facts.os, inputs, &mut errors).await;
    let misfit = properties.optimize.as_ref().zip(facts.os);
    errors.extend(misfit.and_then(|(wanted, os)| optimize::fits(wanted, os).err()));
    let optimize =
        optimize::resolve(cx, properties.optimize.as_ref(), inputs).await.unwrap_or_else(|error| {
            errors.push(error);
            Optimize::default()
        });
    let validators = properties.validate.as_ref().map_or(&[][..], |v| &v.in_vm_validations);
    let validators =
        plan_steps(cx, validators, Purpose::VALIDATE, facts.os, inputs, &mut errors).await;
    match (source, size) {
        (Some(source), Some(size)) if errors.is_empty() => Ok(Plan {
            timeout: properties.build_timeout(),
            tags,
            metadata: input.metadata,
            partition: cx.partition.clone(),
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

/// The steps that can be resolved. Adds the errors of the others.
async fn plan_steps(
    cx: &RunContext,
    steps: &[Step],
    purpose: Purpose,
    os: Option<OsType>,
    inputs: Inputs<'_>,
    errors: &mut Vec<Error>,
) -> Vec<PlannedStep> {
    let mut planned = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        let title = title(step.name.as_deref(), step.kind.kind(), index);
        match customize::resolve(cx, step, purpose, os, inputs).await {
            Ok(action) => planned.push(PlannedStep { index, title, action }),
            Err(error) => errors.push(error),
        }
    }
    planned
}
