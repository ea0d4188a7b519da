//! What a step may use, and what surrounds it: a deadline, cancel, panic, events, fault points.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use api::ErrorCode;
use futures_util::FutureExt;
use tokio::time::Instant;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    error::{Error, Result},
    event::{Event, Events, Outcome},
    geography::Geography,
    layout::Layout,
    log,
    ownership::Ownership,
    step::{Faults, Step},
};

/// How long a step may take where nothing else limits it: outside of builds, which have a time-out of their own.
const WITHOUT_DEADLINE: Duration = Duration::from_secs(24 * 60 * 60);

/// The surroundings of a piece of work: where things are, whom to tell, when to stop.
#[derive(Debug, Clone)]
pub struct Cx {
    pub layout: Layout,
    pub events: Events,
    /// Fires when the user (or a deadline) wants the work to end.
    pub cancel: CancellationToken,
    /// When the whole of it must be done (`buildTimeoutInMinutes`).
    pub deadline: Option<Instant>,
    /// How long earlier attempts of a run that was cut off have taken; it counts against its time-out.
    pub worked: Duration,
    /// Which regions the local store stands for, and where galleries are.
    pub geography: Geography,
    /// Faults to inject; none outside tests.
    pub faults: Faults,
    /// How much of the guest's output each log file of a run keeps; `None` where the reader of the
    /// events keeps it.
    pub log_bytes: Option<u64>,
    /// What takes back a thing whose maker is gone already, such as an upload that was cut off.
    pub afterwards: TaskTracker,
    /// Who says whether the work is still ours; nobody where it cannot be another's.
    pub ownership: Option<Arc<dyn Ownership>>,
}

impl Cx {
    /// Surroundings without a deadline and without faults.
    pub fn new(layout: Layout, events: Events, cancel: CancellationToken) -> Self {
        let (geography, faults) = (Geography::default(), Faults::default());
        let afterwards = TaskTracker::new();
        let log_bytes = Some(log::DEFAULT_BYTES);
        Self {
            layout,
            events,
            cancel,
            deadline: None,
            worked: Duration::ZERO,
            geography,
            faults,
            log_bytes,
            afterwards,
            ownership: None,
        }
    }

    /// To be asked before something is written that others see.
    ///
    /// # Errors
    /// Another process owns the work now.
    pub async fn confirm_ownership(&self) -> Result<()> {
        match &self.ownership {
            Some(ownership) => ownership.confirm().await,
            None => Ok(()),
        }
    }

    /// Waits until nothing goes on [afterwards](Self::afterwards), but not for longer than the limit.
    pub async fn settled(&self, limit: Duration) -> bool {
        self.afterwards.close();
        tokio::time::timeout(limit, self.afterwards.wait()).await.is_ok()
    }

    /// Time left until the deadline of the whole.
    pub fn time_left(&self) -> Duration {
        self.deadline
            .map_or(Duration::MAX, |deadline| deadline.saturating_duration_since(Instant::now()))
    }
}

impl Cx {
    /// Carries out one step, which has all the time that is left of the whole. Cancel, the deadline and a panic end
    /// it as an error that names the step; what the step held is released by the run, not here.
    ///
    /// # Errors
    /// That of the work; `Canceled`, `BuildTimeout`, `StepTimedOut`, or `InternalError` after a panic.
    pub async fn step<T>(
        &self,
        step: Step,
        title: &str,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let name = step.to_string();
        let started = Instant::now();
        self.events.send(Event::StepStarted { step: name.clone(), title: title.to_owned() });
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
        let seconds = started.elapsed().as_secs_f64();
        match result {
            Ok(value) => {
                let title = title.to_owned();
                self.events.send(Event::StepFinished {
                    step: name,
                    title,
                    seconds,
                    outcome: Outcome::Done,
                });
                Ok(value)
            }
            Err(mut error) => {
                error.step.get_or_insert(name);
                Err(error)
            }
        }
    }
}

fn canceled(step: &str) -> Error {
    Error::new(ErrorCode::Canceled, format!("canceled in step {step}"))
}

fn timed_out(cx: &Cx, step: &str) -> Error {
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
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned());
    Error::new(ErrorCode::InternalError, format!("goldsmith panicked in step {step}: {text}"))
        .hint("this is a fault of goldsmith: please report it with the template and this message")
}
