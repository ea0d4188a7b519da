//! The context of a step: folders, deadline, cancel, panic guard, events and fault points.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use api::ErrorCode;
use futures_util::FutureExt;
use tokio::time::Instant;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    error::{Error, Result, panic_text},
    event::{Event, Events, StepOutcome},
    layout::Layout,
    log,
    ownership::Ownership,
    partition::Partition,
    region_set::RegionSet,
    step::{Faults, Step},
};

/// The limit of a step outside of builds, which have a timeout of their own.
const WITHOUT_DEADLINE: Duration = Duration::from_secs(24 * 60 * 60);

/// The context of a piece of work: where its files are, where its events go and when it must stop.
#[derive(Debug, Clone)]
pub struct RunContext {
    pub layout: Layout,
    pub events: Events,
    /// Fires when the user or a deadline cancels the work.
    pub cancel: CancellationToken,
    /// The deadline of the whole work (`buildTimeoutInMinutes`).
    pub deadline: Option<Instant>,
    /// Time that earlier, interrupted attempts of the run took. It counts against the timeout.
    pub worked: Duration,
    /// The regions that the local store stands for, and the regions of galleries.
    pub region_set: RegionSet,
    /// Faults to inject; only tests set them.
    pub faults: Faults,
    /// How much guest output each log file of a run stores; `None` if the reader of the events
    /// stores it.
    pub log_bytes: Option<u64>,
    /// Cleanup that outlives its task, such as aborting an interrupted upload.
    pub afterwards: TaskTracker,
    /// Confirms that the work is still ours. `None` if no other process can take it over.
    pub ownership: Option<Arc<dyn Ownership>>,
    /// The part of the cache that the work uses.
    pub partition: Partition,
    /// The id of the subscription whose work this is; `None` for the user of this machine.
    pub subscription: Option<Arc<str>>,
}

impl RunContext {
    /// A context without a deadline and without faults.
    pub fn new(layout: Layout, events: Events, cancel: CancellationToken) -> Self {
        let (region_set, faults) = (RegionSet::default(), Faults::default());
        let afterwards = TaskTracker::new();
        let log_bytes = Some(log::DEFAULT_BYTES);
        Self {
            layout,
            events,
            cancel,
            deadline: None,
            worked: Duration::ZERO,
            region_set,
            faults,
            log_bytes,
            afterwards,
            ownership: None,
            partition: Partition::default(),
            subscription: None,
        }
    }

    /// Call it before writing anything that others see.
    ///
    /// # Errors
    /// Another process owns the work now.
    pub async fn confirm_ownership(&self) -> Result<()> {
        match &self.ownership {
            Some(ownership) => ownership.confirm().await,
            None => Ok(()),
        }
    }

    /// Waits until all tasks of [`afterwards`](Self::afterwards) end, but not longer than the
    /// limit.
    pub async fn settled(&self, limit: Duration) -> bool {
        self.afterwards.close();
        tokio::time::timeout(limit, self.afterwards.wait()).await.is_ok()
    }

    /// Time left until the deadline of the whole work.
    pub fn time_left(&self) -> Duration {
        self.deadline
            .map_or(Duration::MAX, |deadline| deadline.saturating_duration_since(Instant::now()))
    }
}

impl RunContext {
    /// Executes one step, which may use all the time that is left. Cancel, the deadline and a panic
    /// end it with an error that names the step. The run, not this function, releases the step's
    /// resources.
    ///
    /// # Errors
    /// The error of the work; `Canceled`, `BuildTimeout`, `StepTimedOut`, or `InternalError` after
    /// a panic.
    pub async fn step<T>(
        &self,
        step: Step,
        title: &str,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let name = step.to_string();
        let open = OpenStep::new(&self.events, &name, title);
        let limit = self.deadline.map_or(WITHOUT_DEADLINE, |_| self.time_left());
        let guarded = AssertUnwindSafe(async {
            self.faults.hit(step).await?;
            self.confirm_ownership().await?;
            work.await
        })
        .catch_unwind();
        let result = tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(canceled(&name)),
            result = tokio::time::timeout(limit, guarded) => match result {
                Ok(Ok(result)) => result,
                Ok(Err(panic)) => Err(panicked(&name, panic.as_ref())),
                Err(_) => Err(timed_out(self, &name)),
            },
        };
        match result {
            Ok(value) => {
                open.finish();
                Ok(value)
            }
            Err(mut error) => {
                drop(open);
                error.step.get_or_insert(name);
                Err(error)
            }
        }
    }
}

/// A step between its start and its end. Dropping it reports that the step failed, which includes a
/// step whose future was dropped because another one failed.
struct OpenStep<'a> {
    events: &'a Events,
    names: Option<(String, String)>,
    started: Instant,
}

impl<'a> OpenStep<'a> {
    fn new(events: &'a Events, step: &str, title: &str) -> Self {
        let (step, title) = (step.to_owned(), title.to_owned());
        events.send(Event::StepStarted { step: step.clone(), title: title.clone() });
        Self { events, names: Some((step, title)), started: Instant::now() }
    }

    fn finish(mut self) {
        let seconds = self.started.elapsed().as_secs_f64();
        if let Some((step, title)) = self.names.take() {
            let outcome = StepOutcome::Done;
            self.events.send(Event::StepFinished { step, title, seconds, outcome });
        }
    }
}

impl Drop for OpenStep<'_> {
    fn drop(&mut self) {
        let seconds = self.started.elapsed().as_secs_f64();
        if let Some((step, title)) = self.names.take() {
            self.events.send(Event::StepFailed { step, title, seconds });
        }
    }
}

fn canceled(step: &str) -> Error {
    Error::new(ErrorCode::Canceled, format!("canceled in step {step}"))
}

fn timed_out(cx: &RunContext, step: &str) -> Error {
    if cx.deadline.is_some() {
        return Error::new(
            ErrorCode::BuildTimeout,
            format!("the build's time ran out in step {step}"),
        )
        .target("properties.buildTimeoutInMinutes")
        .hint("give the template a larger buildTimeoutInMinutes (at most 960)");
    }
    Error::new(
        ErrorCode::StepTimedOut,
        format!("step {step} did not end within {} hours", WITHOUT_DEADLINE.as_secs() / 3600),
    )
    .hint(
        "see whether the disk or the folder that it works on still answers, then give the command again",
    )
}

fn panicked(step: &str, panic: &(dyn std::any::Any + Send)) -> Error {
    let text = panic_text(panic);
    Error::new(ErrorCode::InternalError, format!("goldsmith panicked in step {step}: {text}"))
        .hint("this is a fault of goldsmith: please report it with the template and this message")
}
