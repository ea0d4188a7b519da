//! The interface of executors. The worker decides when a run begins; an executor builds it and reports
//! its progress.

use std::time::Duration;

use async_trait::async_trait;
use images::{
    error::Error,
    event::{Optimization, RunOutput},
    partition::Partition,
    region_set::RegionSet,
    step::Phase,
};
use providers::{image_builder::record::RunInput, machine::Machine};

use super::Capacity;

/// One run to execute.
#[derive(Debug, Clone)]
pub struct Job {
    /// The run's id, which is the engine's as well: an interrupted run continues under the same.
    pub run_id: String,
    /// The id of its subscription.
    pub subscription: String,
    /// The part of the cache that it uses.
    pub partition: Partition,
    /// The template's name.
    pub name: String,
    /// What it builds.
    pub input: RunInput,
    /// The storage account that has the template's scripts.
    pub account: String,
    /// How long earlier attempts at it have taken.
    pub worked: Duration,
    /// The service's regions, and the locations of the galleries that the template names.
    pub region_set: RegionSet,
}

/// A progress report of a run.
#[derive(Debug)]
pub enum Progress {
    /// It is in this phase now.
    Phase(Phase),
    /// It holds this machine now.
    MachineStarted(Machine),
    /// The machine of this number is gone.
    MachineEnded(u32),
    /// Its source: the URN with its concrete version, or the id of an image.
    Source(String),
    /// It is over and holds nothing any more. This is the last report.
    Ended(Ended),
}

/// How a run ended.
#[derive(Debug)]
pub struct Ended {
    /// The delivered outputs, also of a failed run.
    pub outputs: Vec<RunOutput>,
    /// What the optimization of boot and disk brought, if it was measured.
    pub optimization: Option<Box<Optimization>>,
    /// Why it failed, if it did.
    pub error: Option<Error>,
}

impl Ended {
    /// A run that failed and delivered nothing.
    pub(crate) fn failed(error: Error) -> Self {
        Self { outputs: Vec::new(), optimization: None, error: Some(error) }
    }
}

/// Executes runs: in this process by default, possibly one per host behind a queue.
#[async_trait]
pub trait Executor: Send + Sync {
    /// Releases what runs of an earlier process still hold. Returns what could not be released.
    async fn clean(&self) -> Vec<String>;

    /// Ends retained machines whose time is over. Returns what could not be released.
    async fn end_due(&self) -> Vec<String>;

    /// How much it can execute at once.
    fn capacity(&self) -> Capacity;

    /// Begins; returns at once.
    fn submit(&self, job: Job);

    /// Cancels a run, which ends soon. A run that is not here is ignored.
    fn cancel(&self, run_id: &str);

    /// Waits for the next progress of a run. `None` if it is not here or was over before.
    async fn observe(&self, run_id: &str) -> Option<Progress>;
}
