//! A run: from a plan to artifacts, in one function read from top to bottom ([`forge`]).
//!
//! What a run makes is in its ledger before it exists. [`build`] releases the ledger whatever ended
//! [`forge`]: its last line, an error, a deadline, cancel, a panic. After `kill -9` the
//! [janitor](crate::janitor) does.

mod access;
mod advance;
mod chain;
mod data_disks;
mod freshness;
mod history;
mod kept;
mod live;
mod machine;
mod plan;
mod report;
mod wanted;

use std::{panic::AssertUnwindSafe, path::PathBuf, time::Duration};

use api::ErrorCode;
use futures_util::FutureExt;
use jiff::Timestamp;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::time::Instant;
use vm::{Backend, Host, Machine};

pub use chain::{Chain, Link, Role, age};
pub use freshness::{CACHE_TAG, Freshness};
pub use history::{Forecast, Hit, forecast};
pub use kept::{Kept, kept};
pub use machine::check_machine;
pub use plan::{Input, Plan, PlannedStep, resolve};
pub use report::Report;
pub use wanted::Wanted;

use crate::{
    cx::Cx,
    distribute,
    error::{Coded, Error, Result},
    event::{Event, Outcome},
    export::{self, ExportSpec},
    janitor,
    ledger::{Held, Ledger},
    node::NodeStore,
    source::{self, SourceImage},
    step::Step,
    store::Origin,
};
use advance::advance;
use live::Live;

/// What `build` is asked for.
#[derive(Debug, Clone)]
pub struct Request {
    pub exports: Vec<ExportSpec>,
    pub freshness: Freshness,
    /// Keep the machine this long when a step in the guest fails (`--on-error keep`).
    pub keep: Option<Duration>,
    /// How long a guest may take from power-on to its first answer.
    pub boot_timeout: Duration,
    /// Least recently used nodes go when the cache takes more than this.
    pub cache_bytes: u64,
    /// The run's name, a GUID, where the caller has one already. A run under the name of one that was
    /// cut off goes on from its last node, whatever the freshness: those nodes are its own.
    pub run_id: Option<String>,
}

/// Limits of single steps; the whole build has the template's own.
const SOURCE_LIMIT: Duration = Duration::from_secs(60 * 60);
const DISTRIBUTE_LIMIT: Duration = Duration::from_secs(4 * 60 * 60);

/// One run and what it works with.
pub(crate) struct Run<'a> {
    pub id: String,
    pub cx: Cx,
    pub host: &'a Host,
    pub backend: &'a dyn Backend,
    pub request: &'a Request,
    pub store: NodeStore,
    pub ledger: Ledger,
    pub started: Timestamp,
    pub run_dir: PathBuf,
    pub log_dir: PathBuf,
    /// Virtual size of the UEFI variables, as this host's firmware has them.
    pub vars_bytes: u64,
    work_number: AtomicUsize,
}

impl Run<'_> {
    fn next_work_number(&self) -> usize {
        self.work_number.fetch_add(1, Ordering::Relaxed)
    }

    /// Adds what the machine last showed to an error: serial lines and a screenshot.
    async fn with_evidence(&self, error: Error, machine: &dyn Machine) -> Error {
        let path = self.log_dir.join("screen.png");
        let mut error = error;
        match tokio::time::timeout(Duration::from_secs(5), machine.screenshot(&path)).await {
            Ok(Ok(())) => error.details.push(format!("screenshot: {}", path.display())),
            Ok(Err(e)) => tracing::debug!(error = %e, "no screenshot"),
            Err(_) => tracing::debug!("no screenshot in time"),
        }
        error.details.push(format!("serial log: {}", self.log_dir.join("serial.log").display()));
        error
    }
}

/// Forges the plan's image. Nothing that was made on the way is left behind when this returns, but
/// for nodes (they are the cache), artifacts, logs, and the machine if it was to be kept.
///
/// # Errors
/// The first failure, with its step. What could not be released is told as a warning and stays in
/// the ledger for the janitor.
pub async fn build(
    cx: &Cx,
    host: &Host,
    backend: &dyn Backend,
    plan: &Plan,
    request: &Request,
) -> Result<Report> {
    let started = Instant::now();
    export::check(&request.exports)?;
    let run = open(cx, host, backend, plan, request).await?;
    run.cx.events.send(Event::RunStarted { run_id: run.id.clone(), template: plan.name.clone() });
    let mut live = None;
    let result = AssertUnwindSafe(forge(&run, plan, &mut live)).catch_unwind().await;
    let result = result.unwrap_or_else(|_| {
        Err(Error::new(ErrorCode::InternalError, "goldsmith panicked between two steps"))
    });
    let result = finish(&run, plan, live, result).await;
    release(&run).await;
    if let Err(e) = source::sweep(&run.cx.layout).await {
        run.cx.events.warn(format!("a work folder could not be removed: {e}"));
    }
    if let Err(e) = crate::cache::trim(&run.cx.layout, request.cache_bytes) {
        run.cx.events.warn(format!("the cache could not be trimmed: {e}"));
    }
    let (id, log_dir) = (run.id.clone(), run.log_dir.clone());
    let closed = run.ledger.close();
    if let Err(e) = closed {
        cx.events.warn(format!("the ledger of run {id} could not be closed: {e}"));
    }
    result.map(|report| Report { seconds: started.elapsed().as_secs_f64(), log_dir, ..report })
}

/// The run itself.
async fn forge(run: &Run<'_>, plan: &Plan, live: &mut Option<Live>) -> Result<Report> {
    let cx = &run.cx;
    let source = cx
        .step(Step::Source, &plan.source.title(), SOURCE_LIMIT, plan.source.obtain(cx, run.host))
        .await?;
    plan.check_disk(&source)?;
    let data = data_disks::check(&plan.template, source.data.len())?;
    export::check_data(&run.request.exports, data)?;
    let distributors = &plan.template.properties.distribute;
    let targets = distribute::check(cx, distributors, Some(source.version()))?;
    let chain = Chain::compute(plan, &source, run.host, &run.store, run.request.freshness, &run.id);
    history::remember(&cx.layout, plan, &chain);
    if plan.identities().is_some() && plan.metadata.is_none() {
        cx.events.warn(
            "scripts cannot use vmProfile.userAssignedIdentities: a local build has no authority that \
             gives out tokens; run the template with the service",
        );
    }

    let (sealed, _held) = advance(run, plan, &source, &chain, live).await?;

    let image = cx
        .step(Step::Convert, "standalone image", DISTRIBUTE_LIMIT, async {
            let key = sealed.artifact_key();
            let image = distribute::standalone(cx, run.host, &sealed.disk(), &key).await?;
            image.with_data(cx, run.host, &sealed).await
        })
        .await?;
    let facts = distribute::Facts {
        run_id: run.id.clone(),
        started: run.started,
        origin: origin(run, plan, &source),
    };
    let outputs = cx
        .step(Step::Distribute, "distribute", DISTRIBUTE_LIMIT, async {
            distribute::publish(cx, run.host, &image, &facts, &targets).await
        })
        .await?;
    let exports = cx
        .step(Step::Export, "export", DISTRIBUTE_LIMIT, async {
            export::write_all(cx, run.host, &image, &run.request.exports, &run.ledger, &run.id)
                .await
        })
        .await?;
    Ok(Report::new(run, &source, &chain, outputs, exports))
}

/// What an image's record says of where it comes from.
fn origin(run: &Run<'_>, plan: &Plan, source: &SourceImage) -> Origin {
    Origin {
        os_type: source.os_type.clone(),
        architecture: source.architecture.clone(),
        generation: format!("V{}", source.generation),
        source: Some(source.urn.clone()),
        source_version: Some(source.exact_version.clone()),
        template: Some(plan.name.clone()),
        run_id: Some(run.id.clone()),
    }
}

/// Looks at how the run ended while its machine is still there: evidence, or keeping it.
async fn finish(
    run: &Run<'_>,
    plan: &Plan,
    live: Option<Live>,
    result: Result<Report>,
) -> Result<Report> {
    let Some(mut live) = live else { return result };
    if let Err(e) = live.settled().await {
        run.cx.events.warn(format!("the last node could not be published: {e}"));
    }
    let Err(error) = result else { return result };
    if error.code == ErrorCode::Canceled || live.machine.ended().is_some() {
        return Err(error);
    }
    let error = run.with_evidence(error, live.machine.as_ref()).await;
    let Some(time) = run.request.keep else {
        return Err(error);
    };
    Err(match kept::keep(run, plan, &live, time) {
        Ok(()) => error.hint(format!(
            "the machine is kept for {} min: enter it with `goldsmith shell {}`",
            time.as_secs() / 60,
            run.id
        )),
        Err(e) => {
            run.cx.events.warn(format!("the machine could not be kept: {e}"));
            error
        }
    })
}

async fn open<'a>(
    cx: &Cx,
    host: &'a Host,
    backend: &'a dyn Backend,
    plan: &Plan,
    request: &'a Request,
) -> Result<Run<'a>> {
    let id = run_id(request)?;
    let (run_dir, log_dir) = (cx.layout.runs().join(&id), cx.layout.logs().join(&id));
    let prepare = || -> std::io::Result<Ledger> {
        let ledger = Ledger::open(&cx.layout, &id)?;
        ledger.hold(Held::RunFolder { path: run_dir.clone() })?;
        ledger.hold(Held::WorkNodes { nodes: cx.layout.nodes(), run_id: id.clone() })?;
        ledger.hold(Held::Machine { run_dir: run_dir.clone() })?;
        for dir in [&run_dir, &log_dir, &cx.layout.nodes()] {
            std::fs::create_dir_all(dir)?;
        }
        // The serial log is written in the run's folder, which goes; the log folder stays.
        std::fs::File::create(log_dir.join("serial.log"))?;
        std::os::unix::fs::symlink(log_dir.join("serial.log"), run_dir.join("serial.log"))?;
        Ok(ledger)
    };
    let ledger = prepare().code(ErrorCode::HostNotReady, || {
        format!(
            "cannot write below {} and {}",
            cx.layout.cache().display(),
            cx.layout.data().display()
        )
    })?;
    let mut cx = cx.clone();
    cx.deadline = Some(Instant::now() + plan.timeout);
    Ok(Run {
        store: NodeStore::new(&cx.layout),
        vars_bytes: vars_bytes(host),
        started: Timestamp::now(),
        id,
        cx,
        host,
        backend,
        request,
        ledger,
        run_dir,
        log_dir,
        work_number: AtomicUsize::new(0),
    })
}

/// The janitor removes the folders of runs that are named by a GUID, and no others.
fn run_id(request: &Request) -> Result<String> {
    let Some(given) = &request.run_id else { return Ok(crate::new_run_id()) };
    let wrong = || format!("`{given}` cannot name a run: it is no GUID");
    let id = uuid::Uuid::parse_str(given).code(ErrorCode::InternalError, wrong)?;
    Ok(id.to_string())
}

fn vars_bytes(host: &Host) -> u64 {
    let vars = host.uefi.as_ref().map(|uefi| &uefi.vars);
    vars.and_then(|path| std::fs::metadata(path).ok()).map_or(0, |meta| meta.len())
}

/// Releases what the run holds, newest first, unless it is kept.
async fn release(run: &Run<'_>) {
    for problem in janitor::release(&run.ledger, run.backend).await {
        run.cx.events.warn(format!("could not be released: {problem}"));
    }
}

/// A step that was not carried out because its node is there.
fn cached(cx: &Cx, step: Step, title: &str, age_seconds: u64) {
    cx.events.send(Event::StepFinished {
        step: step.to_string(),
        title: title.to_owned(),
        seconds: 0.0,
        outcome: Outcome::Cached { age_seconds },
    });
}

/// What an error of a guest's command means for the user.
pub(crate) fn guest_error(error: vm::Error) -> Error {
    machine_error(error)
}

/// What an error of the machine means for the user.
pub(crate) fn machine_error(error: vm::Error) -> Error {
    let message = error.to_string();
    let (code, details, hint) = match &error {
        vm::Error::Timeout { serial, .. } => (ErrorCode::BootTimeout, serial.clone(), None),
        vm::Error::Gone { ended: vm::Ended::DiskFull, serial } => (
            ErrorCode::DiskFull,
            serial.clone(),
            Some("free space below the cache folder: goldsmith cache prune"),
        ),
        vm::Error::Gone { ended: vm::Ended::GuestShutdown, serial } => (
            ErrorCode::GuestStopped,
            serial.clone(),
            Some("a customizer must not shut the machine down: goldsmith does that at the end"),
        ),
        vm::Error::Gone { serial, .. } => (ErrorCode::GuestStopped, serial.clone(), None),
        vm::Error::Proc(vm::proc::Error::Failed { stderr_tail, .. })
            if stderr_tail.iter().any(|line| line.contains("No space left on device")) =>
        {
            (ErrorCode::DiskFull, Vec::new(), Some("goldsmith cache prune frees space"))
        }
        vm::Error::HostKey { .. } | vm::Error::Ssh { .. } => {
            (ErrorCode::GuestUnreachable, Vec::new(), None)
        }
        vm::Error::Start { .. } | vm::Error::Proc(vm::proc::Error::NotFound { .. }) => {
            (ErrorCode::HostNotReady, Vec::new(), Some("run goldsmith doctor"))
        }
        vm::Error::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
            (ErrorCode::DiskFull, Vec::new(), Some("goldsmith cache prune frees space"))
        }
        vm::Error::Canceled | vm::Error::Proc(vm::proc::Error::Canceled { .. }) => {
            (ErrorCode::Canceled, Vec::new(), None)
        }
        vm::Error::Io { .. } | vm::Error::Qmp { .. } | vm::Error::Proc(_) | vm::Error::Input(_) => {
            (ErrorCode::InternalError, Vec::new(), None)
        }
    };
    let coded = Error::new(code, message).details(details).caused_by(error);
    match hint {
        Some(hint) => coded.hint(hint),
        None => coded,
    }
}
