//! Installs Windows from the user's own ISO: one long boot, at whose end the machine powers off.
//!
//! ```text
//! Setup reads Autounattend.xml from a second CD ─→ audit mode runs install.ps1 ─→ Sysprep ─→ off
//! ```
//!
//! The guest reports on its serial ports, in lines that begin with a random word of this
//! installation. Only a machine that has said that Windows is generalized, and that powered off by
//! itself, leaves an image.

mod answers;

use std::{convert::Infallible, fs, path::Path, time::Duration};

use api::ErrorCode;
use images::{
    error::{Coded, Error, Result, machine_error},
    image_file::space,
    ledger::Releasable,
    run_context::RunContext,
};
use jiff::Timestamp;
use vm::{
    Accel, Ended, Firmware, Machine, MachineSpec, OsType,
    answer_cd::{self, CdFile},
    disk, may_wait,
};

use super::{
    DISK, Workshop, bootstrap,
    catalogue::{ResolvedEntry, WindowsIso},
};

/// How long the firmware may wait for a key before it goes on without the CD, and how often one is
/// pressed.
const PROMPT: Duration = Duration::from_secs(180);
const BETWEEN_KEYS: Duration = Duration::from_secs(1);
/// Reports of progress, in their order.
const STEPS: usize = 3;
/// How long the machine may take to power off after its last report.
const SHUTTING_DOWN: Duration = Duration::from_secs(10 * 60);
/// The last lines of the serial port in an error.
const TAIL: usize = 15;
const VCPUS: u32 = 2;

/// Creates `disk.qcow2` in the work folder and returns the concrete version.
pub(super) async fn make(
    cx: &RunContext,
    workshop: Workshop<'_>,
    entry: &ResolvedEntry,
    recipe: &WindowsIso,
    work: &Path,
) -> Result<String> {
    check(workshop, recipe)?;
    space::check(u64::from(recipe.work_mib) << 20, space::free(work)?, work)?;
    if workshop.host.accel != Accel::Kvm {
        cx.events.warn(
            "this host has no KVM: Windows Setup takes hours in software emulation, and may exceed \
             `minutes` of its entry in the catalogue",
        );
    }
    let started = Timestamp::now();
    // A word that nothing else in the guest writes.
    let mark = uuid::Uuid::new_v4().simple().to_string();
    let spec = spec(cx, workshop, entry.generation, recipe, work, &mark).await?;
    let held = Releasable::Machine { run_dir: spec.run_dir.clone() };
    may_wait(|| workshop.ledger.hold(held.clone()))
        .code(ErrorCode::HostNotReady, || "cannot write to the ledger".to_owned())?;
    let machine = workshop.backend.start(&spec, &cx.cancel).await.map_err(machine_error)?;
    let mut installed = installed(cx, machine.as_ref(), recipe, &mark).await;
    if let Err(error) = installed {
        installed = Err(with_evidence(error, machine.as_ref(), workshop.log_dir).await);
        machine.stop(Duration::ZERO).await.map_err(machine_error)?;
    }
    may_wait(|| workshop.ledger.forget_released(&held))
        .code(ErrorCode::InternalError, || "cannot write to the ledger".to_owned())?;
    installed?;
    may_wait(|| bootstrap::keep_only(work, &spec.disk))
        .code(ErrorCode::InternalError, || "tidy the work folder".to_owned())?;
    Ok(bootstrap::version(&recipe.version, started))
}

fn check(workshop: Workshop<'_>, recipe: &WindowsIso) -> Result<()> {
    for path in std::iter::once(&recipe.path).chain(&recipe.drivers) {
        if !may_wait(|| path.is_file()) {
            let text = format!("the catalogue names {}, which is not there", path.display());
            return Err(Error::new(ErrorCode::SourceUnavailable, text)
                .hint("name the ISO of a Windows that you have a licence for"));
        }
    }
    let needs = recipe.memory_mib;
    match workshop.host.memory_mib < needs {
        false => Ok(()),
        true => Err(Error::new(
            ErrorCode::HostNotReady,
            format!(
                "installing Windows needs {needs} MiB of memory, and this host has {}",
                workshop.host.memory_mib
            ),
        )
        .hint("memory-mib of the entry in the catalogue can be less")),
    }
}

/// The machine, with its new disk and the medium with the answers.
async fn spec(
    cx: &RunContext,
    workshop: Workshop<'_>,
    generation: u8,
    recipe: &WindowsIso,
    work: &Path,
    mark: &str,
) -> Result<MachineSpec> {
    let (host, run_dir) = (workshop.host, workshop.run_dir.join("installation"));
    may_wait(|| fs::create_dir_all(&run_dir))
        .code(ErrorCode::HostNotReady, || format!("cannot write to {}", run_dir.display()))?;
    let disk = work.join(DISK);
    let bytes = u64::from(recipe.disk_mib) << 20;
    disk::create(host, &disk, "qcow2", bytes).await.map_err(|e| machine_error(e.into()))?;
    let answers = work.join("answers.iso");
    let files = answers::files(recipe, generation, mark);
    let files: Vec<_> = files.iter().map(|(name, content)| CdFile { name, content }).collect();
    let written = answer_cd::write(&answers, answer_cd::LABEL, &files, &cx.cancel).await;
    written.map_err(machine_error)?;
    Ok(MachineSpec {
        name: format!("install-{mark}"),
        run_dir,
        os: OsType::Windows,
        vcpus: VCPUS.min(host.cpus.max(1)),
        memory_mib: recipe.memory_mib,
        firmware: firmware(workshop, generation, recipe, work).await?,
        disk,
        data: Vec::new(),
        access: None,
        seed: Some(answers),
        cds: std::iter::once(&recipe.path).chain(&recipe.drivers).cloned().collect(),
        forwards: Vec::new(),
        bridge: None,
        resume_from: None,
        migratable: false,
        machine_type: None,
        tpm: recipe.tpm.then(|| work.join("tpm")),
        cpu_model: None,
    })
}

async fn firmware(
    workshop: Workshop<'_>,
    generation: u8,
    recipe: &WindowsIso,
    work: &Path,
) -> Result<Firmware> {
    if generation == 1 {
        return Ok(Firmware::Bios);
    }
    let vars = work.join("vars.qcow2");
    disk::create_vars(workshop.host, &vars, recipe.secure_boot).await.map_err(machine_error)?;
    Ok(Firmware::Uefi { vars, secure_boot: recipe.secure_boot })
}

/// Waits until Windows is generalized and the machine is off.
async fn installed(
    cx: &RunContext,
    machine: &dyn Machine,
    recipe: &WindowsIso,
    mark: &str,
) -> Result<()> {
    let limit = Duration::from_secs(60 * u64::from(recipe.minutes));
    let sealed = async {
        tokio::select! {
            // Later than the limit of everything, whose error says more.
            result = reports(cx, machine, mark, 2 * limit) => result,
            never = press_keys(machine, mark, cx) => match never {},
        }
    };
    let ended = tokio::select! {
        biased;
        result = tokio::time::timeout(limit, sealed) => match result {
            Ok(Err(error)) if error.code == ErrorCode::GuestStopped => Err(gone(machine.ended())),
            Ok(result) => result,
            Err(_) => Err(late(recipe)),
        },
        () = machine.gone() => Err(gone(machine.ended())),
        () = cx.cancel.cancelled() => return Err(super::canceled()),
    };
    ended?;
    let _waiting = cx.events.wait("the machine's power-off");
    machine.wait_off(SHUTTING_DOWN).await.map_err(machine_error)
}

/// Shows what the guest reports, until it says how the installation ended.
async fn reports(
    cx: &RunContext,
    machine: &dyn Machine,
    mark: &str,
    limit: Duration,
) -> Result<()> {
    let line = async |word: &str| {
        let beginning = format!("goldsmith {mark} {word}");
        machine.console_line(&beginning, limit, &cx.cancel).await.map_err(machine_error)
    };
    let steps = async {
        let mut doing = cx.events.wait("Windows Setup");
        for step in 1..=STEPS {
            let text = line(&format!("step {step} ")).await?;
            cx.events.note(text.clone());
            drop(doing);
            doing = cx.events.wait(text);
        }
        line("sealed").await.map(drop)
    };
    tokio::select! {
        result = steps => result,
        said = line("failed ") => Err(Error::new(
            ErrorCode::SourceUnavailable,
            format!("Windows could not be generalized after its installation: {}", said?),
        )),
    }
}

/// The firmware starts from the CD only if a key is pressed, and Setup's own restarts must not.
async fn press_keys(machine: &dyn Machine, mark: &str, cx: &RunContext) -> Infallible {
    let begun = format!("goldsmith {mark} step 1 ");
    let pressing = async {
        loop {
            if let Err(error) = machine.press("ret").await {
                tracing::debug!(%error, "no key was pressed");
            }
            tokio::time::sleep(BETWEEN_KEYS).await;
        }
    };
    tokio::select! {
        () = pressing => {}
        _ = machine.console_line(&begun, PROMPT, &cx.cancel) => {}
    }
    std::future::pending().await
}

/// Adds what the machine shows: Setup has its errors on the screen.
async fn with_evidence(error: Error, machine: &dyn Machine, log_dir: &Path) -> Error {
    if error.code == ErrorCode::Canceled {
        return error;
    }
    let error = error.details(machine.serial_tail(TAIL));
    let path = log_dir.join("installation.png");
    match machine.screenshot(&path).await {
        Ok(()) => error.details([format!("screen: {}", path.display())]),
        Err(_) => error,
    }
}

fn late(recipe: &WindowsIso) -> Error {
    let text = format!("Windows was not installed within {} min", recipe.minutes);
    Error::new(ErrorCode::SourceUnavailable, text).hint(
        "the serial port shows how far it came; `minutes` of the entry in the catalogue gives it longer",
    )
}

fn gone(ended: Option<Ended>) -> Error {
    let how = ended.map_or_else(String::new, |ended| format!(": {ended}"));
    let text = format!("the machine ended before Windows was generalized{how}");
    Error::new(ErrorCode::SourceUnavailable, text).hint(
        "a medium that needs another index, language or product-key stops Setup; the serial port shows \
         how far it came",
    )
}

#[cfg(test)]
mod tests;
