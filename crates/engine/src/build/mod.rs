//! A run: from a plan to artifacts, in one function to read from top to bottom ([`forge`]).
//!
//! The ledger records everything that a run creates before it exists. [`build`] releases the ledger
//! however [`forge`] ends: its last line, an error, a deadline, cancel, a panic. After `kill -9`
//! the [janitor](crate::janitor) does.

mod access;
mod advance;
mod chain;
mod contact;
mod data_disks;
mod disk_limit;
mod firmware;
mod first_boot;
mod fork;
mod freshness;
mod history;
mod identities;
mod lacks;
mod live;
mod machine;
mod measure;
mod network;
mod overlay;
mod plan;
mod power;
mod ram;
mod report;
mod resolve;
mod retained;
mod seeding;
mod sound;
mod tags;
mod validate;
mod wanted;

use std::{
    panic::AssertUnwindSafe,
    path::{Path, PathBuf},
    time::Duration,
};

use api::ErrorCode;
use futures_util::FutureExt;
use images::{
    error::{Coded, Error, Result},
    event::{Event, RunOutput, StepOutcome},
    export::{self, ExportSpec, Exported},
    image_file::artifact::{Standalone, standalone},
    ledger::{Ledger, Releasable},
    run_context::RunContext,
    step::{Phase, Step},
    store::Origin,
};
use jiff::Timestamp;
use sources::{SourceImage, Workshop};
use std::sync::{
    OnceLock,
    atomic::{AtomicUsize, Ordering},
};
use tokio::time::Instant;
use vm::{Accel, Backend, Host, Machine, OsType, Watched, may_wait, off_runtime};

pub use chain::{Chain, Link, Role};
pub(crate) use fork::{Entry, Fork, ForkOf};
pub use freshness::{CACHE_TAG, Freshness, age};
pub use history::{Forecast, Hit, forecast};
pub use lacks::lacks;
pub use machine::{check_machine, check_sizes};
pub use network::{SUBNET_FIELD, unbound as unbound_subnet, wanted as wanted_subnet};
pub use plan::{Plan, PlannedStep};
pub use report::Report;
pub use resolve::{Input, resolve};
pub use retained::{OnError, RetainedMachine, retained_machines};
pub use tags::{CLOUD_INIT_TAG, SECURE_BOOT_TAG, TPM_TAG, Tags};
pub use wanted::Wanted;

use crate::{distribute, janitor, node::NodeStore};
use advance::advance;
use live::Live;
use validate::Subject;

/// The parameters of a build.
#[derive(Debug, Clone)]
pub struct Request {
    pub exports: Vec<ExportSpec>,
    pub freshness: Freshness,
    /// How to treat the machine when a step in the guest fails.
    pub on_error: OnError,
    /// How long a retained machine lives.
    pub keep_for: Duration,
    /// How long a guest may take from power-on to its first answer.
    pub boot_timeout: Duration,
    /// The size limit of the cache. Beyond it, the least recently used nodes are evicted.
    pub cache_bytes: u64,
    /// The run's name, a GUID, if the caller already has one. A run with the name of an interrupted
    /// one continues from its last node, whatever the freshness: those nodes are its own.
    pub run_id: Option<String>,
}

/// How long the end of a run waits for uploads to be aborted.
const ABORT_LIMIT: Duration = Duration::from_secs(5);

/// One run and its context.
pub(crate) struct Run<'a> {
    pub id: String,
    pub cx: RunContext,
    pub host: &'a Host,
    pub backend: &'a dyn Backend,
    pub request: &'a Request,
    pub store: NodeStore,
    pub ledger: Ledger,
    pub started: Timestamp,
    pub run_dir: PathBuf,
    pub log_dir: PathBuf,
    /// Its port on a bridge, if its template names a subnet.
    pub port: OnceLock<network::Port>,
    work_number: AtomicUsize,
}

impl Run<'_> {
    fn next_work_number(&self) -> usize {
        self.work_number.fetch_add(1, Ordering::Relaxed)
    }

    /// Adds the machine's last output to an error: serial lines and a screenshot.
    async fn with_evidence(&self, error: Error, machine: &dyn Machine, serial_log: &Path) -> Error {
        let path = self.log_dir.join("screen.png");
        let mut error = error;
        match tokio::time::timeout(Duration::from_secs(5), machine.screenshot(&path)).await {
            Ok(Ok(())) => error.details.push(format!("screenshot: {}", path.display())),
            Ok(Err(e)) => tracing::debug!(error = %e, "no screenshot"),
            Err(_) => tracing::debug!("no screenshot in time"),
        }
        error.details.push(format!("serial log: {}", serial_log.display()));
        error
    }
}

/// Builds the plan's image. When this returns, only nodes (they are the cache), artifacts, logs,
/// and a retained machine are left behind.
///
/// # Errors
/// The first error, with its step. A resource that could not be released is reported as a warning
/// and stays in the ledger for the janitor.
pub async fn build(
    cx: &RunContext,
    host: &Host,
    backend: &dyn Backend,
    plan: &Plan,
    request: &Request,
) -> Result<Report> {
    let started = Instant::now();
    may_wait(|| export::check(&request.exports))?;
    plan.check_exports(&request.exports)?;
    network::check(backend, plan).await?;
    let events = cx.events.clone();
    let backend = Watched::new(backend, move |seen| events.send(seen.into()));
    let run = open(cx, host, &backend, plan, request).await?;
    run.cx.events.send(Event::RunStarted { run_id: run.id.clone(), template: plan.name.clone() });
    let mut machines = Machines::default();
    // On the heap, since it contains every step.
    let forging = Box::pin(forge(&run, plan, &mut machines));
    let result = AssertUnwindSafe(forging).catch_unwind().await;
    let result = result.unwrap_or_else(|_| {
        Err(Error::new(ErrorCode::InternalError, "goldsmith panicked between two steps"))
    });
    let result = finish(&run, plan, machines, result).await;
    let releasing = cx.events.work("release");
    release(&run).await;
    if let Err(e) = sources::sweep(&run.cx.layout).await {
        run.cx.events.warn(format!("a work folder could not be removed: {e}"));
    }
    let (layout, most) = (run.cx.layout.clone(), request.cache_bytes);
    if let Err(e) = off_runtime(move || crate::cache::trim(&layout, most)).await {
        run.cx.events.warn(format!("the cache could not be trimmed: {e}"));
    }
    drop(releasing);
    let (id, log_dir) = (run.id.clone(), run.log_dir.clone());
    let closed = run.ledger.close();
    if let Err(e) = closed {
        cx.events.warn(format!("the ledger of run {id} could not be closed: {e}"));
    }
    result.map(|report| Report { seconds: started.elapsed().as_secs_f64(), log_dir, ..report })
}

/// The present machines of a run; one at a time.
#[derive(Default)]
struct Machines {
    live: Option<Live>,
    fork: Option<Fork>,
}

/// The run itself.
async fn forge(run: &Run<'_>, plan: &Plan, machines: &mut Machines) -> Result<Report> {
    let cx = &run.cx;
    let workshop = Workshop {
        host: run.host,
        backend: run.backend,
        ledger: &run.ledger,
        run_dir: &run.run_dir,
        log_dir: &run.log_dir,
    };
    let obtain = plan.source.obtain(cx, workshop);
    let source = cx.step(Step::Source, &plan.source.title(), obtain).await?;
    let (exact, digest) = (source.exact_version.clone(), source.digest.clone());
    cx.events.send(Event::SourceResolved { source: exact, digest });
    plan.check_disks(&source, &run.request.exports)?;
    let data = data_disks::check(&plan.template, source.data.len())?;
    export::check_data(&run.request.exports, data)?;
    let source_only = plan.validates_source_only();
    let distributors = &plan.template.properties.distribute;
    let distributors = if source_only { &[][..] } else { distributors };
    let (targets, chain) = may_wait(|| -> Result<_> {
        let targets = distribute::check(cx, distributors, source.version(), &run.id)?;
        distribute::check_compatibility(cx, distributors, &source)?;
        let chain = network::chain(run, plan, &source)?;
        history::remember(&cx.layout, plan, &chain);
        Ok((targets, chain))
    })?;
    if let Wanted::Catalogue(entry) = &plan.source
        && let Some(stands_for) = entry.stands_for()
    {
        cx.events.warn(stands_for);
    }
    if let Some(shortfall) = plan.shortfall(run.host) {
        cx.events.warn(shortfall);
    }
    if !chain.shape.os.is_linux() && run.host.accel != Accel::Kvm {
        cx.events.warn(
            "this host has no KVM: Windows is emulated, and its first boot may take hours; give it \
             --boot-timeout, and the template buildTimeoutInMinutes",
        );
    }
    if plan.identities().is_some() && source.os() == OsType::Windows {
        cx.events.warn(identities::NOT_ON_WINDOWS);
    } else if plan.identities().is_some() && plan.metadata.is_none() {
        cx.events.warn(
            "scripts cannot use vmProfile.userAssignedIdentities: a local build has no authority that \
             gives out tokens; run the template with the service",
        );
    }

    // On the heap, since it contains the start of a machine and every step.
    let advance = Box::pin(advance(run, plan, &source, &chain, &mut machines.live));
    let (sealed, _held) = advance.await?;
    if source_only {
        let subject = Subject { node: &sealed, entry: Entry::Own { resume: true } };
        validate::run(run, plan, subject, &mut machines.fork).await?;
        let report = Report::new(run, &source, &chain, Vec::new(), Vec::new());
        return Ok(Report { source_validation_only: true, ..report });
    }
    let optimization = measure::optimization(run, &chain).await?;

    // The image is converted while it is validated. Distribution begins after both.
    let convert = cx.step(Step::Convert, "standalone image", async {
        let key = sealed.artifact_key();
        let image = standalone(cx, run.host, &sealed.disk(), &key).await?;
        image.with_data(cx, run.host, &sealed.data_disks()).await
    });
    let entry = Entry::New(source.first_contact.once_generalized());
    let validate = check(run, plan, Subject { node: &sealed, entry }, &mut machines.fork);
    let (invalid, image) = tokio::try_join!(validate, convert)?;
    let delivered = deliver(run, &image, origin(run, plan, &source), &targets).await;
    let (outputs, exports) = match (delivered, invalid) {
        (Ok(delivered), None) => delivered,
        (Err(error), None) => return Err(error),
        (Err(error), Some(_)) if error.code == ErrorCode::Canceled => return Err(error),
        (delivered, Some(invalid)) => return Err(with_delivery(invalid, delivered)),
    };
    Ok(Report { optimization, ..Report::new(run, &source, &chain, outputs, exports) })
}

/// Validates the image. Returns the error of an image that is distributed all the same.
async fn check(
    run: &Run<'_>,
    plan: &Plan,
    subject: Subject<'_>,
    slot: &mut Option<Fork>,
) -> Result<Option<Error>> {
    let Err(mut error) = validate::run(run, plan, subject, slot).await else {
        return Ok(None);
    };
    let is_over = matches!(error.code, ErrorCode::Canceled | ErrorCode::BuildTimeout);
    if is_over || !plan.distributes_what_failed() {
        return Err(error);
    }
    let on_error = plan.template.properties.error_handling.on_validation_error;
    if !run.request.on_error.keeps(on_error)
        && let Some(fork) = slot.take()
    {
        error = fork.with_evidence(run, error).await;
        if let Err(e) = fork.stop(run).await {
            run.cx.events.warn(e.message);
        }
    }
    run.cx.events.warn(format!("{}; distributing all the same", error.message));
    Ok(Some(error))
}

type Delivered = (Vec<RunOutput>, Vec<Exported>);

/// Delivers the image to its targets and exports.
async fn deliver(
    run: &Run<'_>,
    image: &Standalone,
    origin: Origin,
    targets: &distribute::Targets,
) -> Result<Delivered> {
    let cx = &run.cx;
    let facts =
        distribute::DeliveryContext { run_id: run.id.clone(), started: run.started, origin };
    let outputs = cx
        .step(Step::Distribute, "distribute", async {
            distribute::publish(cx, run.host, image, &facts, targets, &run.ledger).await
        })
        .await?;
    let exports = cx
        .step(Step::Export, "export", async {
            export::write_all(cx, run.host, image, &run.request.exports, &run.ledger, &run.id).await
        })
        .await
        .map_err(|error| error.details(outputs.iter().map(distribute::published)))?;
    Ok((outputs, exports))
}

/// A failed validation is the first error, whatever the result of the distribution after it.
fn with_delivery(invalid: Error, delivered: Result<Delivered>) -> Error {
    match delivered {
        Ok((outputs, _)) => invalid.details(outputs.iter().map(distribute::published)),
        Err(second) => {
            let also = format!("also: {} ({})", second.message, second.code);
            invalid.details(std::iter::once(also).chain(second.details))
        }
    }
}

/// The origin of the image, for its record.
fn origin(run: &Run<'_>, plan: &Plan, source: &SourceImage) -> Origin {
    Origin {
        os_type: source.os_type.clone(),
        architecture: source.architecture.clone(),
        generation: format!("V{}", source.generation),
        source: Some(source.urn.clone()),
        source_version: Some(source.exact_version.clone()),
        template: Some(plan.name.clone()),
        run_id: Some(run.id.clone()),
        first_contact: source.first_contact.once_generalized(),
    }
}

/// Handles the end of the run while its machine still exists: collects evidence, or retains the
/// machine.
async fn finish(
    run: &Run<'_>,
    plan: &Plan,
    mut machines: Machines,
    result: Result<Report>,
) -> Result<Report> {
    if let Some(live) = &mut machines.live
        && let Err(e) = live.settled(run).await
    {
        run.cx.events.warn(format!("the last node could not be published: {e}"));
    }
    let Err(error) = result else { return result };
    let serial_log = run.log_dir.join("serial.log");
    let handling = plan.template.properties.error_handling;
    // A fork that is idle while another step fails has no evidence.
    let fork = machines
        .fork
        .as_ref()
        .filter(|_| error.step.as_deref().and_then(Phase::of) == Some(Phase::Validating));
    let (machine, access, serial_log, on_error) = match (fork, &machines.live) {
        (Some(fork), _) => {
            (fork.machine(), fork.access(), fork.serial_log(), handling.on_validation_error)
        }
        (None, Some(live)) => {
            (live.machine.as_ref(), &live.access, &*serial_log, handling.on_customizer_error)
        }
        (None, None) => return Err(error),
    };
    if error.code == ErrorCode::Canceled || machine.ended().is_some() {
        return Err(error);
    }
    let error = run.with_evidence(error, machine, serial_log).await;
    if !run.request.on_error.keeps(on_error) {
        return Err(error);
    }
    Err(match may_wait(|| retained::keep(run, plan, machine, access)) {
        Ok(until) => error.hint(format!(
            "the machine is kept until {until:.0}: enter it with `goldsmith shell {id}` on its host, \
             release it with `goldsmith ledger release {id}`",
            id = run.id
        )),
        Err(e) => {
            run.cx.events.warn(format!("the machine could not be kept: {e}"));
            error
        }
    })
}

async fn open<'a>(
    cx: &RunContext,
    host: &'a Host,
    backend: &'a dyn Backend,
    plan: &Plan,
    request: &'a Request,
) -> Result<Run<'a>> {
    let id = run_id(request)?;
    let (run_dir, log_dir) = (cx.layout.runs().join(&id), cx.layout.logs().join(&id));
    let prepare = || -> std::io::Result<Ledger> {
        let ledger = Ledger::open(&cx.layout, &id)?;
        ledger.hold(Releasable::RunFolder { path: run_dir.clone() })?;
        ledger.hold(Releasable::WorkNodes { nodes: cx.layout.nodes(), run_id: id.clone() })?;
        ledger.hold(Releasable::Machine { run_dir: run_dir.clone() })?;
        for dir in [&run_dir, &log_dir, &cx.layout.nodes()] {
            std::fs::create_dir_all(dir)?;
        }
        // The serial log is written in the run's folder, which is removed; the log folder stays.
        std::fs::File::create(log_dir.join("serial.log"))?;
        std::os::unix::fs::symlink(log_dir.join("serial.log"), run_dir.join("serial.log"))?;
        Ok(ledger)
    };
    let ledger = may_wait(prepare).code(ErrorCode::HostNotReady, || {
        format!(
            "cannot write below {} and {}",
            cx.layout.cache().display(),
            cx.layout.data().display()
        )
    })?;
    let mut cx = cx.clone();
    cx.deadline = Some(Instant::now() + plan.timeout.saturating_sub(cx.worked));
    cx.region_set = cx.region_set.or_at(plan.template.location.as_deref());
    Ok(Run {
        store: NodeStore::new(&cx.layout),
        started: Timestamp::now(),
        id,
        cx,
        host,
        backend,
        request,
        ledger,
        run_dir,
        log_dir,
        port: OnceLock::new(),
        work_number: AtomicUsize::new(0),
    })
}

/// The janitor removes only run folders whose name is a GUID.
fn run_id(request: &Request) -> Result<String> {
    let Some(given) = &request.run_id else { return Ok(images::new_run_id()) };
    let wrong = || format!("`{given}` cannot name a run: it is not a GUID");
    let id = uuid::Uuid::parse_str(given).code(ErrorCode::InternalError, wrong)?;
    Ok(id.to_string())
}

/// Releases the run's resources, newest first, except retained ones.
async fn release(run: &Run<'_>) {
    for problem in janitor::release(&run.ledger, run.backend).await {
        run.cx.events.warn(format!("could not be released: {problem}"));
    }
    if !run.cx.settled(ABORT_LIMIT).await {
        let secs = ABORT_LIMIT.as_secs();
        run.cx.events.warn(format!(
            "an upload could not be taken back within {secs} s: parts of it may stay"
        ));
    }
}

/// Reports a step that was skipped because its node exists.
pub(crate) fn cached(cx: &RunContext, step: Step, title: &str, age_seconds: u64) {
    cx.events.send(Event::StepFinished {
        step: step.to_string(),
        title: title.to_owned(),
        seconds: 0.0,
        outcome: StepOutcome::Cached { age_seconds },
    });
}
