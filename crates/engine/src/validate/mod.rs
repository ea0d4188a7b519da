//! Validators: whether the image is as it should be, asked of a machine that is not the one it was
//! made on.
//!
//! ```text
//! nodes/<generalized>/ <- fork: boots once ── validator 1 ── validator 2 ── …   its disk goes
//! ```
//!
//! All validators share one fork and run in order; the first failure is the last. Where only the source
//! is validated, the fork goes on from its first boot. Validators are resolved as customizers are, and
//! may do to their machine what they like.

mod passed;

use std::path::Path;

use api::{
    ErrorCode,
    template::{Validate, Validator, ValidatorKind},
};
use vm::may_wait;

pub(crate) use self::passed::{Passed, forget_gone, key};
use crate::{
    build::{Entry, Fork, ForkOf, Plan, PlannedStep, Run, cached, planned_title},
    customize::{self, Customizer, Place},
    cx::Cx,
    error::{Coded, Result},
    node::Node,
    output::StepOutput,
    step::Step,
    windows,
};

/// Makes every validator ready, or says why it cannot be.
pub(crate) async fn resolve(
    cx: &Cx,
    validate: Option<&Validate>,
    base_dir: &Path,
) -> Vec<Result<PlannedStep>> {
    let blocks = validate.map_or(&[][..], |validate| &validate.in_vm_validations);
    let mut resolved = Vec::new();
    for (index, block) in blocks.iter().enumerate() {
        let title = planned_title(block.name.as_deref(), block.kind.name(), index);
        let ready = one(cx, block, base_dir).await;
        resolved.push(ready.map(|customizer| PlannedStep { index, title, customizer }));
    }
    resolved
}

async fn one(cx: &Cx, block: &Validator, base_dir: &Path) -> Result<Box<dyn Customizer>> {
    let place = Place { path: &block.path, base_dir, failure: ErrorCode::ValidatorFailed };
    match &block.kind {
        ValidatorKind::Shell(shell) => customize::shell(cx, shell, place).await,
        ValidatorKind::File(file) => customize::file(cx, file, place).await,
        ValidatorKind::PowerShell(_) => Err(windows::only(
            ErrorCode::UnsupportedValidatorType,
            "validator",
            block.kind.name(),
            &block.path,
        )),
    }
}

/// What is looked at.
#[derive(Clone, Copy)]
pub(crate) struct Subject<'a> {
    /// Held by the caller.
    pub node: &'a Node,
    /// How its machine is entered.
    pub entry: Entry,
}

/// Runs every validator, unless they have passed on this very node before. The fork is in `slot` while
/// there is one, and stays there after a failure.
pub(crate) async fn run(
    run: &Run<'_>,
    plan: &Plan,
    subject: Subject<'_>,
    slot: &mut Option<Fork>,
) -> Result<()> {
    let validators = &plan.validators;
    let Some(key) = key(subject.node, plan) else { return Ok(()) };
    let layout = &run.cx.layout;
    let before = may_wait(|| Passed::recall(layout, subject.node, &key));
    if let Some(before) = before.filter(|before| before.counts(run.request.freshness, &run.id)) {
        for validator in validators {
            let age = before.age().as_secs();
            cached(&run.cx, Step::Validate(validator.index), &validator.title, age);
        }
        return Ok(());
    }
    let fork = slot.insert(start(run, subject).await?);
    run.cx.events.note(format!(
        "it answered after {:.1} s and was up after {:.1} s",
        fork.answered.as_secs_f64(),
        fork.settled.as_secs_f64()
    ));
    fork.serve_metadata(run, plan).await?;
    let mut seconds = Vec::new();
    for validator in validators {
        seconds.push(apply(run, validator, fork).await?);
    }
    if let Err(e) = may_wait(|| Passed::now(&run.id, seconds).remember(layout, subject.node, &key))
    {
        run.cx.events.warn(format!("validation will be repeated next time: {e}"));
    }
    if let Some(fork) = slot.take()
        && let Err(e) = fork.stop(run).await
    {
        run.cx.events.warn(e.message);
    }
    Ok(())
}

async fn start(run: &Run<'_>, subject: Subject<'_>) -> Result<Fork> {
    let Subject { node, entry } = subject;
    let (title, what) = match entry {
        Entry::New { .. } => ("a machine from the finished image", "the finished image"),
        Entry::Own { .. } => ("a machine from the source", "the source image"),
    };
    let of = ForkOf { name: "validation", node, entry };
    run.cx.step(Step::Fork, title, Fork::start(run, of)).await.map_err(|mut error| {
        if !error.is_of_the_whole() {
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
        let apply = validator.customizer.apply(fork.guest.as_ref(), &mut out);
        fork.unless_gone(apply).await?;
        Ok(started.elapsed().as_secs_f64())
    };
    run.cx.step(step, &validator.title, work).await.map_err(|error| {
        if error.is_of_the_whole() {
            return error;
        }
        let path = format!("properties.validate.inVMValidations[{}]", validator.index);
        let mut error = error.target(path);
        error.message = format!("validator {:?} failed: {}", validator.title, error.message);
        error
    })
}
