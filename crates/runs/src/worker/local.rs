//! The executor in this process: the engine, on this host's machines.

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use api::ErrorCode;
use async_trait::async_trait;
use engine::{
    Backend, Host,
    build::{self, CACHE_TAG, Freshness, Input, OnError, Request},
};
use images::{
    error::{Coded, Error},
    event::{self, Event, Events, Optimization, RunOutput},
    layout::Layout,
    run_context::RunContext,
    step::Phase,
};
use providers::machine::Machine;
use service::{App, app::feeds::Feeds, conceal::Conceal, run_folder};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    Capacity,
    admission::Admission,
    executor::{Ended, Executor, Job, Progress},
    journal::Journal,
    metadata::OfRun,
    staged,
};

/// Settings that all runs share.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How long a guest may take from power-on to its first answer.
    pub boot_timeout: Duration,
    /// Least recently used nodes go when the cache takes more than this.
    pub cache_bytes: u64,
    /// How long a machine lives that a template's `errorHandling` retains.
    pub keep_for: Duration,
    /// How much of a guest's output each log file of a run can have.
    pub log_bytes: u64,
    /// The total capacity for machines; the host's by default.
    pub capacity: Option<Capacity>,
}

/// Executes runs in this process. Cheap to clone.
#[derive(Clone)]
pub struct Local {
    inner: Arc<Inner>,
}

struct Inner {
    app: App,
    layout: Layout,
    host: Host,
    backend: Arc<dyn Backend>,
    feeds: Feeds,
    limits: Limits,
    fetch: sources::fetch::Limits,
    active: Mutex<HashMap<String, Active>>,
}

#[derive(Clone)]
struct Active {
    cancel: CancellationToken,
    seen: Arc<tokio::sync::Mutex<mpsc::Receiver<Progress>>>,
}

impl Local {
    /// An executor that builds below the service's folders.
    pub fn new(app: &App, host: Host, backend: Arc<dyn Backend>, limits: Limits) -> Self {
        let (layout, feeds) = (app.settings().layout.clone(), app.feeds().clone());
        let (active, fetch) = (Mutex::default(), app.fetch_limits());
        let app = app.clone();
        Self { inner: Arc::new(Inner { app, layout, host, backend, feeds, limits, fetch, active }) }
    }
}

#[async_trait]
impl Executor for Local {
    async fn clean(&self) -> Vec<String> {
        let Inner { layout, backend, .. } = &*self.inner;
        match engine::janitor::sweep(layout, backend.as_ref()).await {
            Ok(problems) => problems,
            Err(e) => vec![format!("the cleaning up of earlier runs failed: {e}")],
        }
    }

    async fn end_due(&self) -> Vec<String> {
        let Inner { layout, backend, .. } = &*self.inner;
        match engine::janitor::release_due(layout, backend.as_ref()).await {
            Ok(problems) => problems,
            Err(e) => vec![format!("the ledgers cannot be read: {e}")],
        }
    }

    fn capacity(&self) -> Capacity {
        let Inner { layout, host, limits, .. } = &*self.inner;
        let mut left = limits.capacity.unwrap_or_else(|| Capacity::of(host));
        // Machines retained for inspection take capacity, too.
        for machine in build::retained_machines(layout).unwrap_or_default() {
            left.vcpus -= i64::from(machine.vcpus);
            left.memory_mib -= i64::try_from(machine.memory_mib).unwrap_or(i64::MAX);
        }
        left
    }

    fn submit(&self, job: Job) {
        let (send, seen) = mpsc::channel(SEEN);
        let active = Active {
            cancel: CancellationToken::new(),
            seen: Arc::new(tokio::sync::Mutex::new(seen)),
        };
        self.inner.active().insert(job.run_id.clone(), active.clone());
        let inner = self.inner.clone();
        tokio::spawn(async move { inner.execute(job, active.cancel, send).await });
    }

    fn cancel(&self, run_id: &str) {
        if let Some(active) = self.inner.active().get(run_id) {
            active.cancel.cancel();
        }
    }

    async fn observe(&self, run_id: &str) -> Option<Progress> {
        let active = self.inner.active().get(run_id).cloned()?;
        let seen = active.seen.lock().await.recv().await;
        if matches!(seen, None | Some(Progress::Ended(_))) {
            self.inner.active().remove(run_id);
        }
        seen
    }
}

impl Inner {
    fn active(&self) -> MutexGuard<'_, HashMap<String, Active>> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Executes one run. The last progress is always how it ended.
    async fn execute(
        self: Arc<Self>,
        job: Job,
        cancel: CancellationToken,
        send: mpsc::Sender<Progress>,
    ) {
        let (events, receiver) = Events::channel();
        let folder = run_folder::of(&self.layout, &job.run_id);
        let conceal = Conceal::of(&self.layout);
        let (feed, id, phases) = (self.feeds.open(&job.run_id), job.run_id.clone(), send.clone());
        let (limit, stop) = (self.limits.log_bytes, cancel.clone());
        let (sender, error) = tokio::sync::oneshot::channel::<Option<RunError>>();
        // On a thread of its own: it writes files.
        let journal = tokio::task::spawn_blocking(move || {
            let mut record = RunRecord::default();
            let mut journal = record
                .noted(Journal::open(&folder, &id, limit))
                .map(|journal| journal.concealing(conceal));
            if journal.is_none() {
                stop.cancel();
            }
            record.collect(journal.as_mut(), receiver, &phases, &feed, &stop);
            // A killed service sends no result: then the run is not over.
            let result = error.blocking_recv();
            if let (Some(journal), Ok(error)) = (&mut journal, &result) {
                record.noted(journal.end(error.as_deref()));
            }
            feed.changed();
            (record, result.ok().flatten())
        });
        let inner = self.clone();
        // A task of its own, so that a panic in the engine is this run's alone.
        let built = tokio::spawn(async move { inner.build(job, events, cancel).await }).await;
        let error = match built {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(Box::new(error)),
            Err(e) => Some(Box::new(Error::new(
                ErrorCode::InternalError,
                format!("the build ended in a panic: {e}"),
            ))),
        };
        // The receiver lives until its task has the result.
        let _ = sender.send(error);
        let (record, error) = journal.await.unwrap_or_else(|e| {
            let text = format!("the run's events were lost: {e}");
            (RunRecord::default(), Some(Box::new(Error::new(ErrorCode::InternalError, text))))
        });
        let RunRecord { outputs, optimization, broken } = record;
        // A run without its log has failed: its cancellation is only a consequence of that.
        let unless_of_its_own =
            error.filter(|error| broken.is_none() || error.code != ErrorCode::Canceled);
        let error = unless_of_its_own.map(|error| *error).or(broken);
        let _ = send.send(Progress::Ended(Ended { outputs, optimization, error })).await;
    }

    /// The same as `goldsmith build` does.
    async fn build(
        &self,
        job: Job,
        events: Events,
        cancel: CancellationToken,
    ) -> Result<(), Error> {
        let metadata = Arc::new(OfRun::new(&self.app.within(&job.subscription), &job));
        let mut cx = RunContext::new(self.layout.clone(), events, cancel);
        // The journal has all events.
        cx.log_bytes = None;
        cx.region_set = job.region_set;
        cx.worked = job.worked;
        let app = self.app.within(&job.subscription);
        cx.ownership = Some(Arc::new(Admission::new(app, job.input.template.clone())));
        cx.partition = job.partition;
        cx.subscription = Some(job.subscription.into());
        let request = Request {
            exports: Vec::new(),
            freshness: freshness(&job.input.template.tags)?,
            on_error: OnError::AsTemplate,
            keep_for: self.limits.keep_for,
            boot_timeout: self.limits.boot_timeout,
            cache_bytes: self.limits.cache_bytes,
            run_id: Some(job.run_id),
        };
        staged::fetch_scripts(&cx, &job.account, &job.input.template).await;
        let input = Input {
            fetch: self.fetch.clone(),
            name: job.name,
            template: job.input.template,
            base_dir: PathBuf::from("/"),
            metadata: Some(metadata),
        };
        let plan = tokio::select! {
            biased;
            () = cx.cancel.cancelled() => {
                return Err(Error::new(ErrorCode::Canceled, "canceled before the build"));
            }
            plan = build::resolve(&cx, input) => plan,
        };
        let plan = match plan {
            Ok(plan) => plan,
            Err(errors) => {
                let none = || Error::new(ErrorCode::InternalError, "the plan has no error to tell");
                return Err(Error::all(errors).err().unwrap_or_else(none));
            }
        };
        let built = build::build(&cx, &self.host, self.backend.as_ref(), &plan, &request);
        Box::pin(built).await.map(|_| ())
    }
}

type RunError = Box<Error>;

/// More than a run has phases and machines.
const SEEN: usize = 256;

/// What a run's end reports of its events.
#[derive(Default)]
struct RunRecord {
    outputs: Vec<RunOutput>,
    /// The result of an optimization.
    optimization: Option<Box<Optimization>>,
    /// Why the journal could not be written.
    broken: Option<Error>,
}

impl RunRecord {
    /// Records every event until the last sender is gone. A run whose journal cannot be written is
    /// canceled.
    fn collect(
        &mut self,
        mut journal: Option<&mut Journal>,
        mut receiver: event::Receiver,
        seen: &mpsc::Sender<Progress>,
        feed: &service::app::feeds::Feed,
        stop: &CancellationToken,
    ) {
        let mut phase = None;
        while let Some(event) = receiver.blocking_recv() {
            if let Some(open) = &mut journal {
                match self.noted(open.add(&event)) {
                    Some(true) => feed.changed(),
                    Some(false) => {}
                    None => {
                        journal = None;
                        stop.cancel();
                    }
                }
            }
            if let Some(news) = self.news(event, &mut phase)
                && seen.blocking_send(news).is_err()
            {
                tracing::debug!("the worker no longer follows the run");
            }
        }
    }

    /// The part of an event that concerns the run's row.
    fn news(&mut self, event: Event, phase: &mut Option<Phase>) -> Option<Progress> {
        match event {
            Event::Distributed { output } => self.outputs.push(output),
            Event::Optimized { optimization } => self.optimization = Some(Box::new(optimization)),
            Event::SourceResolved { source, .. } => return Some(Progress::Source(source)),
            Event::StepStarted { step, .. } => {
                let now = Phase::of(&step).filter(|now| *phase < Some(*now))?;
                *phase = Some(now);
                return Some(Progress::Phase(now));
            }
            Event::MachineStarted {
                machine: number,
                os_type: os,
                vcpus,
                memory_mib,
                generation,
                disks,
            } => {
                let machine = Machine { number, os, vcpus, memory_mib, generation, disks };
                return Some(Progress::MachineStarted(machine));
            }
            Event::MachineEnded { machine } => return Some(Progress::MachineEnded(machine)),
            _ => {}
        }
        None
    }

    /// The first failure of the journal is the run's error.
    fn noted<T>(&mut self, written: std::io::Result<T>) -> Option<T> {
        let error = match written.code(ErrorCode::InternalError, || {
            "the run's log cannot be written, so the run was ended".to_owned()
        }) {
            Ok(value) => return Some(value),
            Err(error) => error,
        };
        tracing::error!(error = ?error, "a run's journal cannot be written");
        self.broken.get_or_insert(error);
        None
    }
}

fn freshness(tags: &BTreeMap<String, String>) -> Result<Freshness, Error> {
    let tag = tags.iter().find(|(name, _)| name.eq_ignore_ascii_case(CACHE_TAG));
    Freshness::of_tag(tag.map(|(_, tag)| tag.as_str()))
        .map_err(|text| Error::new(ErrorCode::ValidationFailed, text).target("tags"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn cache_tag_decides_what_a_run_may_reuse() {
        let tagged = |name: &str, tag: &str| freshness(&[(name.into(), tag.into())].into());
        assert_eq!(freshness(&BTreeMap::new()).unwrap(), Freshness::FRESH);
        assert_eq!(tagged("Goldsmith.Cache", "steps").unwrap(), Freshness::default());
        let error = tagged("goldsmith.cache", "maybe").unwrap_err();
        assert_eq!(error.target.as_deref(), Some("tags"));
    }
}
