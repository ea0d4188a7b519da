//! The worker: chooses the next runs, has an [`Executor`] build them, and writes how they end.
//!
//! ```text
//! Queued ── choose ── claim (epoch + 1) ── executor: build ── outputs, images, operation, state: one commit
//!    ↑                                        ↑
//!    └── the service ends                     └── Canceling, seen when woken
//! ```
//!
//! A terminal state is written when the engine has returned, and it returns when everything is released.

mod admission;
mod choose;
mod execute;
mod executor;
mod janitor;
mod journal;
mod local;
mod machines;
mod metadata;
mod outcome;
mod recover;
mod row;
mod staged;

use std::{
    collections::{HashMap, HashSet},
    panic::AssertUnwindSafe,
    sync::Arc,
    time::Duration,
};

use api::ErrorCode;
use db::{ActiveRun, RunState};
use engine::may_wait;
use futures_util::FutureExt;
use images::error::Error;
use providers::image_builder::record::RunInput;
use service::App;
use tokio::task::{JoinHandle, JoinSet};

pub use choose::Capacity;
pub use executor::{Ended, Executor, Job, Progress};
pub use local::{Limits, Local};
pub(crate) use machines::forget_ended;

use choose::{Weight, choose};
use row::Owned;

/// Reads the rows without being woken, too: another process may have written.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// How long the runs may take to release everything when the service ends.
const LAST_WAIT: Duration = Duration::from_secs(30);

/// Executes runs, and ends retained machines whose time is over, until [`App::shutdown`]. The task ends
/// when everything is released.
pub fn start(app: App, executor: Arc<dyn Executor>) -> JoinHandle<()> {
    metrics::describe_gauge!("goldsmith_runs", "Runs that are not over, by state.");
    metrics::describe_counter!("goldsmith_runs_ended_total", "Runs that are over, by state.");
    tokio::spawn(janitor::work(app.clone(), executor.clone()));
    let worker =
        Worker { app, executor, active: HashMap::new(), resumed: None, tasks: JoinSet::new() };
    tokio::spawn(worker.work())
}

struct Worker {
    app: App,
    executor: Arc<dyn Executor>,
    /// The runs that are active here.
    active: HashMap<String, ActiveRun>,
    /// Runs of an earlier process that continue and did not begin yet; `None` before the recovery.
    resumed: Option<HashSet<String>>,
    /// Each ends with the run's id and whether it was begun.
    tasks: JoinSet<(String, bool)>,
}

impl Worker {
    async fn work(mut self) {
        let shutdown = self.app.shutdown().clone();
        while !shutdown.is_cancelled() {
            let advanced = self.advance().await;
            if let Err(e) = &advanced {
                tracing::error!(error = %images::error::chain(&e), "the runs cannot be read");
            }
            let done = tokio::select! {
                () = shutdown.cancelled() => None,
                () = self.app.worker_woken() => None,
                () = tokio::time::sleep(LOOK_AGAIN) => None,
                Some(done) = self.tasks.join_next(), if !self.tasks.is_empty() => Some(done),
            };
            if let Some(Ok((id, was_begun))) = done {
                self.release(&id, was_begun);
            }
        }
        // Every task has seen the shutdown and cancels its run.
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(LAST_WAIT, all).await.is_err() {
            tracing::warn!("some runs did not end in time; the next start releases what they hold");
        }
    }

    /// Reads the rows, ends canceled runs and begins the next ones.
    async fn advance(&mut self) -> Result<(), db::Error> {
        if self.resumed.is_none() {
            self.resumed = Some(recover::recover(&self.app, self.executor.as_ref()).await?);
        }
        let runs = self.app.store().active_runs().await?;
        for run in runs.iter().filter(|run| run.state == RunState::Canceling) {
            if self.active.contains_key(&run.id) {
                self.executor.cancel(&run.id);
            } else {
                // It never began, so it ends without a turn.
                self.begin(run.clone());
            }
        }
        let waiting: Vec<ActiveRun> = runs.into_iter().filter(|run| self.is_waiting(run)).collect();
        if waiting.is_empty() {
            self.app.set_waiting_for(None);
            return Ok(());
        }
        let weights: Vec<Weight<'_>> = waiting.iter().map(weight).collect();
        let active: Vec<Weight<'_>> = self.active.values().map(weight).collect();
        let chosen = choose(&weights, &active, may_wait(|| self.executor.capacity()));
        let shortage = match chosen.is_empty() {
            true => None,
            false => self.app.shortage().await,
        };
        let is_short = shortage.is_some();
        self.app.set_waiting_for(shortage.map(|shortage| shortage.text()));
        for run in chosen.into_iter().filter_map(|index| waiting.get(index)).filter(|_| !is_short) {
            self.begin(run.clone());
        }
        Ok(())
    }

    fn is_waiting(&self, run: &ActiveRun) -> bool {
        let resumed = || self.resumed.as_ref().is_some_and(|resumed| resumed.contains(&run.id));
        let is_due = match run.state {
            RunState::Queued => true,
            RunState::Running => resumed(),
            _ => false,
        };
        is_due && !self.active.contains_key(&run.id)
    }

    fn begin(&mut self, run: ActiveRun) {
        self.active.insert(run.id.clone(), run.clone());
        let (app, executor) = (self.app.within(&run.subscription), self.executor.clone());
        self.tasks.spawn(async move {
            let id = run.id.clone();
            let executed = execute::execute(&app, executor.as_ref(), run);
            let was_begun = AssertUnwindSafe(executed).catch_unwind().await;
            if was_begun.is_err() {
                executor.cancel(&id);
                after_panic(&app, &id).await;
            }
            (id, was_begun.unwrap_or(true))
        });
    }

    /// The run is no longer active here. A run that continues after a restart is started once.
    fn release(&mut self, id: &str, was_begun: bool) {
        self.active.remove(id);
        if let Some(resumed) = self.resumed.as_mut().filter(|_| was_begun) {
            resumed.remove(id);
        }
    }
}

/// A run must end after any fault.
async fn after_panic(app: &App, id: &str) {
    let error =
        Error::new(ErrorCode::InternalError, "the service panicked while the run was active");
    if let Ok(Some(run)) = app.store().run(id).await
        && !run.state.is_over()
    {
        let input = RunInput::of(&run).ok();
        let app = app.within(&run.subscription);
        execute::end(&app, Owned::of(&run), input.as_ref(), &Ended::failed(error)).await;
    }
}

fn weight(run: &ActiveRun) -> Weight<'_> {
    Weight {
        subscription: &run.subscription,
        queued: run.queued,
        vcpus: run.vcpus,
        memory_mib: run.memory_mib,
    }
}

#[cfg(test)]
mod tests;
