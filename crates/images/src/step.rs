//! The steps of a run, their logs, and the faults that tests inject into them.

use std::sync::Arc;

use api::ErrorCode;
use strum::{Display, IntoStaticStr};
use tokio::sync::Notify;

use crate::error::{Error, Result};

/// The steps of a run, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Display)]
#[strum(serialize_all = "lowercase")]
pub enum Step {
    /// Reads the template and makes the plan: reports every mistake at once, creates nothing.
    Resolve,
    /// The source image is fetched or bootstrapped.
    Source,
    /// A machine boots from the source for the first time and is sealed.
    Boot,
    /// A machine resumes from a node.
    Start,
    /// One customizer, by its index in the template.
    #[strum(to_string = "customize[{0}]")]
    Customize(usize),
    /// The user's workload runs once, and its reads are recorded (`optimize.workload`).
    Workload,
    /// The boot path is cleaned and the disk is trimmed (`optimize.vmBoot`).
    Optimize,
    /// Removes everything that belongs to this one machine.
    Generalize,
    /// The guest powers off; its disk is final.
    #[strum(to_string = "power off")]
    PowerOff,
    /// Machines boot with the disks from before and after the optimization, to compare them.
    Measure,
    /// A machine boots from the finished image, or from the source, for the validators.
    Fork,
    /// One validator, by its index in the template.
    #[strum(to_string = "validate[{0}]")]
    Validate(usize),
    /// The sealed disk becomes one standalone image.
    Convert,
    /// All distributors, side by side.
    Distribute,
    /// Every `--export`.
    Export,
}

/// The phases of a run that clients of the service see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, IntoStaticStr)]
pub enum Phase {
    /// The source is fetched and a machine boots.
    Building,
    /// The machine becomes what the template says.
    Customizing,
    /// It is made to start faster.
    Optimizing,
    /// Validators check the image on a machine of its own.
    Validating,
    /// The image is delivered to its targets.
    Distributing,
}

impl Phase {
    /// The phase of a step, by the step's name in events.
    pub fn of(step: &str) -> Option<Self> {
        match step {
            "resolve" | "source" | "boot" => Some(Self::Building),
            "start" | "generalize" | "power off" => Some(Self::Customizing),
            "workload" | "optimize" | "measure" => Some(Self::Optimizing),
            "fork" => Some(Self::Validating),
            // It runs in parallel with validation and is not a phase of its own.
            "convert" => None,
            "distribute" | "export" => Some(Self::Distributing),
            step if step.starts_with("customize[") => Some(Self::Customizing),
            step => step.starts_with("validate[").then_some(Self::Validating),
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// The log of the steps that change the machine.
pub const CUSTOMIZATION_LOG: &str = "customization.log";
/// The log of the steps that only check the result.
pub const VALIDATION_LOG: &str = "validation.log";

/// The log for a step's output.
pub fn log_of(step: &str) -> &'static str {
    match Phase::of(step) {
        Some(Phase::Validating) => VALIDATION_LOG,
        Some(Phase::Building | Phase::Customizing | Phase::Optimizing | Phase::Distributing)
        | None => CUSTOMIZATION_LOG,
    }
}

/// A fault to inject at the start of a step. Only tests do so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The step fails.
    Error,
    /// The step panics.
    Panic,
    /// The step never ends.
    Hang,
}

/// The faults and their steps.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    at: Option<(Step, Fault)>,
    hanging: Arc<Notify>,
}

impl Faults {
    /// One fault at one step.
    pub fn at(step: Step, fault: Fault) -> Self {
        Self { at: Some((step, fault)), ..Self::default() }
    }

    /// Waits until a step hangs.
    pub async fn hanging(&self) {
        self.hanging.notified().await;
    }

    /// Injects the fault of that step, if there is one.
    ///
    /// # Errors
    /// The injected fault is an error.
    #[expect(clippy::panic, reason = "it is the fault that was asked for")]
    pub(crate) async fn hit(&self, step: Step) -> Result<()> {
        match self.at.filter(|(at, _)| *at == step) {
            None => Ok(()),
            Some((_, Fault::Error)) => {
                Err(Error::new(ErrorCode::InternalError, format!("fault at {step}")))
            }
            Some((_, Fault::Panic)) => panic!("fault at {step}"),
            Some((_, Fault::Hang)) => {
                self.hanging.notify_one();
                std::future::pending().await
            }
        }
    }
}
