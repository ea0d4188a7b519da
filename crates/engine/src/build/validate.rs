//! Validators: they check the image on a machine other than the one it was made on.
//!
//! ```text
//! nodes/<generalized>/ <- fork: boots once ── validator 1 ── validator 2 ── …   its disk goes
//! ```
//!
//! All validators share one fork and run in order; the first failure ends them. If only the source
//! is validated, the fork continues from its first boot. Validators are resolved like customizers,
//! and may change their machine freely.

use api::ErrorCode;
use guests::StepOutput;
use images::{
    digest::{Key, KeyBuilder},
    error::{Coded, Result},
    step::Step,
};
use vm::may_wait;

use super::{Entry, Fork, ForkOf, Plan, PlannedStep, Run, cached};
use crate::{node::Node, passed::Passed};

/// Version of how validators are executed. Raise it when a result could now differ.
const EXECUTOR: &str = "1";

/// The key of this very node's validation by the plan's validators, in order, with the identities
/// that they may use. A node that was made again is a different node. `None` if there is nothing to
/// validate.
pub(super) fn key(node: &Node, plan: &Plan) -> Option<Key> {
    if plan.validators.is_empty() {
        return None;
    }
    let mut builder =
        KeyBuilder::new(node.artifact_key().as_str(), "Validate").field("executor", EXECUTOR);
    if let Some(identities) = plan.identities() {
        builder = builder.field("identities", &identities);
    }
    for validator in &plan.validators {
        builder = builder.field("validator", validator.action.kind());
        for (name, value) in validator.action.inputs() {
            builder = builder.field(&name, &value);
        }
    }
    Some(builder.finish())
}

/// The object of a validation.
pub(super) struct Subject<'a> {
    /// Protected from eviction by the caller.
    pub node: &'a Node,
    /// How goldsmith connects to its machine.
    pub entry: Entry,
}

/// Runs every validator, unless they have passed on this very node before. The fork is in `slot`
/// while it exists, and stays there after a failure.
pub(super) async fn run(
    run: &Run<'_>,
    plan: &Plan,
    subject: Subject<'_>,
    slot: &mut Option<Fork>,
) -> Result<()> {
    let validators = &plan.validators;
    let Some(key) = key(subject.node, plan) else { return Ok(()) };
    let layout = &run.cx.layout;
    let before = may_wait(|| Passed::recall(layout, subject.node, &key));
    // An interrupted run reuses its own results, whatever the freshness.
    let counts =
        |before: &Passed| before.is_of(&run.id) || run.request.freshness.allows_age(before.age());
    if let Some(before) = before.filter(counts) {
        for validator in validators {
            let age = before.age().as_secs();
            cached(&run.cx, Step::Validate(validator.index), &validator.title, age);
        }
        return Ok(());
    }
    let Subject { node, entry } = subject;
    let fork = slot.insert(start(run, node, entry).await?);
    run.cx.events.note(format!(
        "it answered after {:.1} s and was up after {:.1} s",
        fork.entered.answered.as_secs_f64(),
        fork.entered.settled.as_secs_f64()
    ));
    fork.serve_metadata(run, plan).await?;
    let mut seconds = Vec::new();
    for validator in validators {
        seconds.push(apply(run, validator, fork).await?);
    }
    if let Err(e) = may_wait(|| Passed::now(&run.id, seconds).remember(layout, node, &key)) {
        run.cx.events.warn(format!("validation will be repeated next time: {e}"));
    }
    if let Some(fork) = slot.take()
        && let Err(e) = fork.stop(run).await
    {
        run.cx.events.warn(e.message);
    }
    Ok(())
}

async fn start(run: &Run<'_>, node: &Node, entry: Entry) -> Result<Fork> {
    let (title, what) = match &entry {
        Entry::New(_) => ("a machine from the finished image", "the finished image"),
        Entry::Own { .. } => ("a machine from the source", "the source image"),
    };
    let of = ForkOf { name: "validation", node, entry };
    run.cx.step(Step::Fork, title, Fork::start(run, of)).await.map_err(|mut error| {
        if !error.concerns_whole_build() {
            error.message = format!("{what} did not come up to be validated: {}", error.message);
            error.target.get_or_insert_with(|| "properties.validate".to_owned());
        }
        error
    })
}

/// Returns how long it took, in seconds.
async fn apply(run: &Run<'_>, validator: &PlannedStep, fork: &Fork) -> Result<f64> {
    let step = Step::Validate(validator.index);
    let mut out = may_wait(|| StepOutput::open(&step.to_string(), &run.cx, &run.log_dir))
        .code(ErrorCode::HostNotReady, || {
            format!("cannot write below {}", run.log_dir.display())
        })?;
    let work = async {
        let started = tokio::time::Instant::now();
        let place = fork.place();
        let apply = validator.action.apply(&place, &mut out);
        fork.unless_gone(apply).await?;
        Ok(started.elapsed().as_secs_f64())
    };
    run.cx.step(step, &validator.title, work).await.map_err(|error| {
        if error.concerns_whole_build() {
            return error;
        }
        let path = format!("properties.validate.inVMValidations[{}]", validator.index);
        let mut error = error.target(path);
        error.message = format!("validator {:?} failed: {}", validator.title, error.message);
        error
    })
}
