//! Chooses how a seal saves RAM, and ends the save after the seal.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use rustix::process::{Pid, setpriority_process};
use tokio::sync::OwnedMutexGuard;
use tokio_util::sync::CancellationToken;

use super::{
    QemuMachine,
    ram::{self, Save, background},
    rehearsal::Rehearsal,
};
use crate::{
    Error, RamFile, RamFormat, RamLost, RamSave, SaveRam, SavedRam, args::PID_FILE, may_wait,
};

/// The right to save the machine's RAM. No other save begins before it is dropped.
pub(super) struct Turn {
    path: PathBuf,
    in_background: bool,
    _turn: OwnedMutexGuard<()>,
}

impl Turn {
    /// Waits for the end of an earlier save. Asks QEMU before the guest is paused whether it can save
    /// in the background: that depends on its version, the kernel, permissions and devices.
    pub(super) async fn take(machine: &QemuMachine, request: &SaveRam) -> Self {
        let turn = machine.saves.clone().lock_owned().await;
        let mut in_background = request.background;
        if in_background && let Err(error) = background::allow(&machine.qmp, &machine.host).await {
            tracing::debug!(%error, "the RAM is not saved in the background");
            in_background = false;
        }
        let path = std::path::absolute(&request.path).unwrap_or_else(|_| request.path.clone());
        Self { path, in_background, _turn: turn }
    }

    /// Captures the state of the paused machine, if it can be saved in the background.
    pub(super) async fn capture(&self, machine: &QemuMachine) -> Option<Save> {
        if !self.in_background {
            return None;
        }
        match Save::in_background(&machine.qmp, &machine.host, self.path.clone()).await {
            Ok(captured) => {
                may_wait(|| let_the_guest_go_first(&machine.spec.run_dir));
                Some(captured)
            }
            Err(error) => {
                tracing::debug!(%error, "the guest is paused while its RAM is saved");
                None
            }
        }
    }

    /// Writes most of the RAM while the guest runs, unless it is saved in the background. Afterwards
    /// the guest is paused. `None`: it runs, and has to be paused.
    pub(super) async fn approach(&self, machine: &QemuMachine) -> Option<Save> {
        if self.in_background || !machine.host.has_mapped_ram {
            return None;
        }
        match Save::live(&machine.qmp, &machine.host, self.path.clone()).await {
            Ok(save) => Some(save),
            Err(error) => {
                tracing::debug!(%error, "the guest is paused while its RAM is saved");
                None
            }
        }
    }

    /// Writes the rest of the RAM while the guest is paused.
    pub(super) async fn conclude(machine: &QemuMachine, save: Save) -> Result<SavedRam, RamLost> {
        let began = save.began;
        let bytes = save.finish(&machine.qmp, &CancellationToken::new()).await;
        Ok(SavedRam {
            bytes: bytes.map_err(|error| not_saved(&error))?,
            seconds: began.elapsed().as_secs_f64(),
            format: machine.host.paused_ram_format(),
            is_tested: false,
        })
    }

    /// Saves the RAM while the machine is paused.
    pub(super) async fn save_now(&self, machine: &QemuMachine) -> Result<SavedRam, RamLost> {
        let save = ram::begin(&machine.qmp, &machine.host, self.path.clone()).await;
        Self::conclude(machine, save.map_err(|error| not_saved(&error))?).await
    }

    /// Lets the save of a captured state continue after the seal.
    pub(super) fn save_in_background(
        self,
        machine: &QemuMachine,
        captured: Save,
        rehearsal: Option<Rehearsal>,
    ) -> RamSave {
        let (save, saving) = RamSave::begin();
        // The machine may be dropped first. That kills QEMU, which ends the save.
        let (qmp, give_up) = (machine.qmp.clone(), saving.give_up.clone());
        tokio::spawn(async move {
            let began = captured.began;
            let written = captured.finish(&qmp, &give_up).await;
            let seconds = began.elapsed().as_secs_f64();
            let ram = RamFile { path: self.path.clone(), format: RamFormat::Stream };
            // The next save need not wait for the test of this one.
            drop((qmp, self));
            saving.end(match written {
                Ok(bytes) => tested(rehearsal, ram, &give_up).await.map(|is_tested| SavedRam {
                    bytes,
                    seconds,
                    format: RamFormat::Stream,
                    is_tested,
                }),
                Err(error) => Err(not_saved(&error)),
            });
        });
        save
    }
}

/// Whether the RAM was tested; an error if it does not load.
async fn tested(
    rehearsal: Option<Rehearsal>,
    ram: RamFile,
    give_up: &CancellationToken,
) -> Result<bool, RamLost> {
    let Some(rehearsal) = rehearsal else { return Ok(false) };
    let path = ram.path.clone();
    let lost = match rehearsal.load(ram, give_up).await {
        Ok(()) => return Ok(true),
        Err(Error::Canceled) => not_saved(&Error::Canceled),
        Err(error) => RamLost::DoesNotLoad(error.to_string()),
    };
    remove(&path);
    Err(lost)
}

/// The niceness of the thread that writes RAM. The processors of the guest take precedence on a busy
/// host, but the thread still gets its share: a processor that changes a page waits for it.
const NICENESS: i32 = 10;

/// Lowers the priority of the thread that writes the RAM. Without that, only the guest is slower.
fn let_the_guest_go_first(run_dir: &Path) {
    let lower = || -> io::Result<()> {
        let process = fs::read_to_string(run_dir.join(PID_FILE))?;
        for thread in fs::read_dir(format!("/proc/{}/task", process.trim()))? {
            let thread = thread?;
            let is_writer = fs::read_to_string(thread.path().join("comm"))?.contains("snapshot");
            let id = thread.file_name().to_str().and_then(|id| id.parse().ok());
            if let Some(id) = id.and_then(Pid::from_raw).filter(|_| is_writer) {
                setpriority_process(Some(id), NICENESS)?;
            }
        }
        Ok(())
    };
    if let Err(error) = lower() {
        tracing::debug!(%error, "the thread that writes the RAM has the guest's priority");
    }
}

fn remove(path: &Path) {
    let _ = may_wait(|| std::fs::remove_file(path));
}

fn not_saved(error: &Error) -> RamLost {
    RamLost::NotSaved(error.to_string())
}
