//! Carries out the steps and writes the archive.

use std::{
    collections::BTreeMap,
    fs, io,
    panic::AssertUnwindSafe,
    path::{Path, PathBuf},
};

use api::ErrorCode;
use engine::janitor;
use futures_util::FutureExt;
use images::{
    error::{Coded, Error, Result, panic_text},
    event::{Event, StepOutcome},
    ledger::{Ledger, Releasable},
    run_context::RunContext,
};
use serde_json::{Value, json};
use tokio::time::Instant;
use vm::{Backend, Host, may_wait};

use crate::{
    Exchange, Outcome, Report, StepReport, Trial,
    archive::Archive,
    bed::Bed,
    steps::{Facts, Step},
};

/// Logs and screenshots that are larger are left out.
const LARGEST_FILE: u64 = 32 * 1024 * 1024;

/// Carries out the trial and writes its archive. Steps that fail are in the report, and no error.
/// A cancel skips the remaining steps; the archive is written all the same.
///
/// # Errors
/// `HostNotReady`, `DiskFull`: the archive cannot be written.
pub async fn run(
    cx: &RunContext,
    host: &Host,
    backend: &dyn Backend,
    trial: &Trial,
    exchange: &Exchange,
) -> Result<Report> {
    let id = images::new_run_id();
    let dir = cx.layout.runs().join(&id);
    let partial = partial(&trial.archive);
    let prepare = || -> io::Result<Ledger> {
        let ledger = Ledger::open(&cx.layout, &id)?;
        ledger.hold(Releasable::RunFolder { path: dir.clone() })?;
        ledger.hold(Releasable::PartialFile { path: partial.clone() })?;
        fs::create_dir_all(dir.join("evidence"))?;
        // An archive that cannot be written must be known before hours of work.
        fs::File::create(&partial)?;
        Ok(ledger)
    };
    let ledger = may_wait(prepare).code(ErrorCode::HostNotReady, || {
        format!("cannot write {} or below {}", partial.display(), cx.layout.cache().display())
    })?;
    let mut bed = Bed::new(cx, (host, backend), trial, (&ledger, &dir));
    let mut report = Report::new(image(trial), host_facts(host, trial));
    perform(&mut bed, exchange, &mut report).await;
    if let Err(error) = bed.end().await {
        cx.events.warn(format!("the machine could not be ended: {error}"));
    }
    let written = may_wait(|| write(&bed, exchange, &report, &partial));
    let written = written.and_then(|()| {
        may_wait(|| fs::rename(&partial, &trial.archive))?;
        ledger.forget_released(&Releasable::PartialFile { path: partial.clone() })
    });
    drop(bed);
    for problem in janitor::release(&ledger, backend).await {
        cx.events.warn(format!("could not be released: {problem}"));
    }
    ledger.close().code(ErrorCode::InternalError, || "cannot close the ledger".to_owned())?;
    written
        .code(ErrorCode::HostNotReady, || format!("cannot write {}", trial.archive.display()))?;
    Ok(report)
}

/// The name of an archive that is not finished.
fn partial(archive: &Path) -> PathBuf {
    let mut name = archive.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    archive.with_file_name(name)
}

async fn perform(bed: &mut Bed<'_>, exchange: &Exchange, report: &mut Report) {
    let mut outcomes: BTreeMap<&'static str, Outcome> = BTreeMap::new();
    for (number, step) in Step::ALL.into_iter().enumerate() {
        let (begun, mut facts) = (Instant::now(), Facts::new());
        let outcome = match obstacle(bed, step, &outcomes) {
            Some(reason) => Outcome::skipped(reason),
            None => {
                exchange.begin(step.name());
                attempt(bed, step, &mut facts).await
            }
        };
        let seconds = begun.elapsed().as_secs_f64();
        let is_tried = !matches!(outcome, Outcome::Skipped { .. });
        let screen = match is_tried {
            true => screen(bed, number, step).await,
            false => None,
        };
        if step == Step::Guest {
            report.guest = facts.clone();
        }
        outcomes.insert(step.name(), outcome.clone());
        let (step, proves) = (step.name(), step.proves());
        report.steps.push(StepReport { step, proves, outcome, seconds, facts, screen });
    }
}

/// Why a step is not carried out.
fn obstacle(
    bed: &Bed<'_>,
    step: Step,
    outcomes: &BTreeMap<&'static str, Outcome>,
) -> Option<String> {
    if bed.cx.cancel.is_cancelled() {
        return Some("the trial was canceled".to_owned());
    }
    if let Some(reason) = step.not_asked_for(bed.trial) {
        return Some(reason.to_owned());
    }
    step.needs().iter().find_map(|needed| match outcomes.get(needed.name()) {
        Some(Outcome::Pass) => None,
        Some(Outcome::Fail { .. }) => {
            Some(format!("it needs the step {}, which failed", needed.name()))
        }
        Some(Outcome::Skipped { .. }) | None => {
            Some(format!("it needs the step {}, which was skipped", needed.name()))
        }
    })
}

/// Carries out one step, which a cancel, its limit or a panic ends.
async fn attempt(bed: &mut Bed<'_>, step: Step, facts: &mut Facts) -> Outcome {
    let (name, limit, cancel) = (step.name(), step.limit(bed.trial), bed.cx.cancel.clone());
    let events = bed.cx.events.clone();
    let title = step.proves().to_owned();
    events.send(Event::StepStarted { step: name.to_owned(), title: title.clone() });
    let begun = Instant::now();
    let work = AssertUnwindSafe(step.perform(bed, facts)).catch_unwind();
    let result = tokio::select! {
        biased;
        () = cancel.cancelled() => Err(Error::new(ErrorCode::Canceled, "canceled")),
        result = tokio::time::timeout(limit, work) => match result {
            Ok(Ok(result)) => result,
            Ok(Err(panic)) => {
                let text = format!("goldsmith panicked: {}", panic_text(panic.as_ref()));
                Err(Error::new(ErrorCode::InternalError, text))
            }
            Err(_) => {
                let text = format!("the step did not end within {} s", limit.as_secs());
                Err(Error::new(ErrorCode::StepTimedOut, text))
            }
        },
    };
    let seconds = begun.elapsed().as_secs_f64();
    let step = name.to_owned();
    match result {
        Ok(()) => {
            let outcome = StepOutcome::Done;
            events.send(Event::StepFinished { step, title, seconds, outcome });
            Outcome::Pass
        }
        Err(error) => {
            events.send(Event::StepFailed { step, title, seconds });
            match error.code {
                ErrorCode::Canceled => Outcome::skipped("the trial was canceled"),
                _ => {
                    events.note(format!("{name} failed: {error}"));
                    Outcome::failed(&error)
                }
            }
        }
    }
}

/// The screen after a step: the name of a file of the archive.
async fn screen(bed: &Bed<'_>, number: usize, step: Step) -> Option<String> {
    let name = format!("screen-{number:02}-{}.png", step.name());
    let path = bed.evidence().join(&name);
    bed.screenshot(&path).await.then_some(name)
}

fn image(trial: &Trial) -> Value {
    json!({
        "image": trial.title,
        "generation": if trial.is_uefi { 2 } else { 1 },
        "vcpus": trial.vcpus,
        "memoryMib": trial.memory_mib,
    })
}

fn host_facts(host: &Host, trial: &Trial) -> Value {
    json!({
        "qemu": host.version.to_string(),
        "accelerator": host.accel.name(),
        "machineType": host.machine_type,
        "cpuModel": host.cpu_model,
        "cpus": host.cpus,
        "memoryMib": host.memory_mib,
        "findings": trial.findings,
    })
}

/// Writes the archive. Everything passes through the filter of secrets.
fn write(bed: &Bed<'_>, exchange: &Exchange, report: &Report, path: &Path) -> io::Result<()> {
    let stamp = report.started.strftime("%Y%m%d-%H%M%S");
    let seconds = u64::try_from(report.started.as_second()).unwrap_or_default();
    let mut archive = Archive::create(path, &format!("goldsmith-trial-{stamp}"), seconds)?;
    let mut add = |name: &str, mut content: Vec<u8>| {
        bed.secrets.mask(&mut content);
        archive.add(name, &content)
    };
    add("report.txt", report.text().into_bytes())?;
    add("report.json", serde_json::to_vec_pretty(report)?)?;
    add("winrm.json", exchange.transcript(&bed.secrets).into_bytes())?;
    for (name, file) in evidence(bed.dir)? {
        match fs::metadata(&file)?.len() {
            bytes if bytes > LARGEST_FILE => {
                add(&format!("{name}.left-out"), format!("{bytes} bytes\n").into_bytes())?;
            }
            _ => add(&name, fs::read(&file)?)?,
        }
    }
    archive.finish()
}

/// The files of evidence with their names in the archive.
fn evidence(dir: &Path) -> io::Result<BTreeMap<String, PathBuf>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(dir)? {
        let folder = entry?;
        if !folder.file_type()?.is_dir() {
            continue;
        }
        let machine = folder.file_name().to_string_lossy().into_owned();
        for entry in fs::read_dir(folder.path())? {
            let file = entry?;
            let name = file.file_name().to_string_lossy().into_owned();
            if machine == "evidence" {
                files.insert(name, file.path());
            } else if Path::new(&name).extension().is_some_and(|end| end == "log") {
                files.insert(format!("{machine}-{name}"), file.path());
            }
        }
    }
    Ok(files)
}
