//! Machines that are QEMU processes.
//!
//! ```text
//! start: spawn → QMP → (resume: load RAM) → query forwarded ports → running
//! running → ended, by: guest's shutdown | stop() | disk error | QEMU's exit   (`watch` observes it)
//! ```
//! QEMU outlives a crash of goldsmith. The path of the pid file in its arguments identifies it.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use serde_json::json;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::{
    Access, Backend, Ended, Error, Firmware, Guest, Host, Machine, MachineSpec, Seal, Sealed,
    args::{self, PID_FILE, QMP_SOCKET, SERIAL_LOG, SERIAL_SOCKET},
    may_wait,
    proc::Daemon,
    qmp, serial, tap,
    tpm::{self, Tpm},
    transfer_cd,
};

mod contact;
mod last_words;
mod launch;
mod orphan;
mod ram;
mod rehearsal;
mod saving;
mod seal;
mod transfer;
mod usernet;
mod watch;

use watch::Watch;

/// How long QEMU may take to exit after a request.
const QUIT: Duration = Duration::from_secs(3);
/// Console lines that an error carries.
const TAIL: usize = 20;

/// Starts QEMU processes on this host.
#[derive(Debug, Clone)]
pub struct Qemu {
    host: Host,
    recorder: Option<Arc<dyn winrm::Recorder>>,
}

impl Qemu {
    /// A backend for a probed host.
    pub fn new(host: Host) -> Self {
        Self { host, recorder: None }
    }

    /// This backend, but each exchange with the WinRM service of a guest is shown to `recorder`.
    #[must_use]
    pub fn recorded(self, recorder: Arc<dyn winrm::Recorder>) -> Self {
        Self { recorder: Some(recorder), ..self }
    }

    /// The probed host.
    pub fn host(&self) -> &Host {
        &self.host
    }
}

#[async_trait]
impl Backend for Qemu {
    async fn start(
        &self,
        spec: &MachineSpec,
        cancel: &CancellationToken,
    ) -> Result<Box<dyn Machine>, Error> {
        let spec = args::absolute(spec).map_err(Error::at(&spec.run_dir))?;
        let mut machine = launch::launch(&self.host, spec, cancel).await?;
        machine.recorder = self.recorder.clone();
        Ok(Box::new(machine))
    }

    async fn end(&self, run_dir: &Path) -> Result<(), Error> {
        end(run_dir).await
    }

    async fn check_bridge(&self, name: &str) -> Result<(), Error> {
        Ok(tap::check(name).await?)
    }
}

/// [`Backend::end`] for QEMU's machines. It works without an installed QEMU.
pub async fn end(run_dir: &Path) -> Result<(), Error> {
    let run_dir = std::path::absolute(run_dir).map_err(Error::at(run_dir))?;
    orphan::end(&run_dir).await?;
    remove_leftovers(&run_dir);
    Ok(())
}

/// A running QEMU.
struct QemuMachine {
    spec: MachineSpec,
    host: Host,
    qmp: Arc<qmp::Client>,
    daemon: Daemon,
    tpm: Option<Tpm>,
    watch: Arc<Watch>,
    /// Host port and guest port.
    forwards: Vec<(u16, u16)>,
    drives: tokio::sync::Mutex<Drives>,
    /// Held while QEMU saves the RAM.
    saves: Arc<tokio::sync::Mutex<()>>,
    /// Held while the medium is changed.
    transfers: tokio::sync::Mutex<()>,
    /// Whether there may be a medium in the drive for transfers.
    has_medium: AtomicBool,
    left_running: AtomicBool,
    /// Sees the exchange with the guest's WinRM service.
    recorder: Option<Arc<dyn winrm::Recorder>>,
}

/// The files that QEMU currently writes to.
struct Drives {
    generation: u32,
    disk: PathBuf,
    vars: Option<PathBuf>,
    data: Vec<PathBuf>,
}

impl Drives {
    fn of(spec: &MachineSpec) -> Self {
        let vars = match &spec.firmware {
            Firmware::Uefi { vars, .. } => Some(vars.clone()),
            Firmware::Bios => None,
        };
        Self { generation: 0, disk: spec.disk.clone(), vars, data: spec.data.clone() }
    }
}

#[async_trait]
impl Machine for QemuMachine {
    async fn connect(
        &self,
        access: &Access,
        deadline: Duration,
        cancel: &CancellationToken,
    ) -> Result<Box<dyn Guest>, Error> {
        contact::connect(self, access, deadline, cancel).await
    }

    async fn seal(&self, request: &Seal) -> Result<Sealed, Error> {
        seal::seal(self, request).await
    }

    async fn wait_off(&self, deadline: Duration) -> Result<(), Error> {
        let off = async {
            self.watch.gone().await;
            if !matches!(self.ended(), Some(Ended::DiskFull | Ended::DiskError)) {
                self.daemon.ended().await;
                // Then its state is complete.
                if let Some(tpm) = &self.tpm {
                    tpm.end().await;
                }
            }
        };
        if tokio::time::timeout(deadline, off).await.is_err() {
            return Err(self.timeout("the guest's shutdown", deadline));
        }
        match self.ended() {
            Some(Ended::GuestShutdown | Ended::Stopped) => Ok(()),
            _ => Err(self.gone_error()),
        }
    }

    async fn screenshot(&self, path: &Path) -> Result<(), Error> {
        let path = std::path::absolute(path).map_err(Error::at(path))?;
        self.command("screendump", json!({ "filename": path, "format": "png" })).await.map(drop)
    }

    fn serial_tail(&self, lines: usize) -> Vec<String> {
        may_wait(|| serial::tail(&self.spec.run_dir.join(SERIAL_LOG), lines))
    }

    async fn console_line(
        &self,
        beginning: &str,
        deadline: Duration,
        cancel: &CancellationToken,
    ) -> Result<String, Error> {
        let log = self.spec.run_dir.join(SERIAL_LOG);
        let line = async {
            let console = self.watch.console();
            let mut progress = console.progress();
            let mut search = serial::Search::new(beginning, console.start());
            loop {
                let cut = progress.borrow_and_update().cut;
                let found = may_wait(|| search.advance(&log, cut));
                if let Some(rest) = found.map_err(Error::at(&log))? {
                    return Ok(rest);
                }
                if progress.changed().await.is_err() {
                    return std::future::pending().await;
                }
            }
        };
        tokio::select! {
            biased;
            () = cancel.cancelled() => Err(Error::Canceled),
            line = line => line,
            () = self.watch.gone() => Err(self.gone_error()),
            () = tokio::time::sleep(deadline) => {
                Err(self.timeout("the guest's report on its serial port", deadline))
            }
        }
    }

    async fn press(&self, key: &str) -> Result<(), Error> {
        let keys = json!({ "keys": [{ "type": "qcode", "data": key }] });
        self.command("send-key", keys).await.map(drop)
    }

    async fn insert(&self, file: &Path, name: &str) -> Result<(), Error> {
        transfer::insert(self, file, name).await
    }

    async fn eject(&self) -> Result<(), Error> {
        transfer::eject(self).await.map(drop)
    }

    fn resets(&self) -> tokio::sync::watch::Receiver<u64> {
        self.watch.resets()
    }

    fn gone(&self) -> WaitForCancellationFutureOwned {
        self.watch.gone()
    }

    fn ended(&self) -> Option<Ended> {
        self.watch.ended()
    }

    fn forwarded(&self, guest_port: u16) -> Option<u16> {
        self.forwards.iter().find(|(_, guest)| *guest == guest_port).map(|(host, _)| *host)
    }

    async fn stop(&self, grace: Duration) -> Result<(), Error> {
        if !grace.is_zero() && !self.daemon.has_ended() {
            let ask = async {
                let _ = self.qmp.execute("system_powerdown", json!({})).await;
                self.watch.gone().await;
            };
            let _ = tokio::time::timeout(grace, ask).await;
        }
        end_process(&self.qmp, &self.daemon).await;
        if let Some(tpm) = &self.tpm {
            tpm.end().await;
        }
        remove_leftovers(&self.spec.run_dir);
        Ok(())
    }

    fn leave_running(&self) {
        self.left_running.store(true, Ordering::Relaxed);
    }

    async fn plug_in(&self) -> Result<(), Error> {
        set_link(&self.qmp, true).await
    }
}

impl QemuMachine {
    async fn command(
        &self,
        command: &str,
        arguments: serde_json::Value,
    ) -> Result<serde_json::Value, Error> {
        match self.qmp.execute(command, arguments).await {
            Ok(value) => Ok(value),
            Err(error) => Err(self.qmp_error(command, error).await),
        }
    }

    /// A closed connection means that QEMU is exiting. The reason for its end says more.
    async fn qmp_error(&self, command: &str, error: qmp::Error) -> Error {
        if matches!(error, qmp::Error::Closed { .. } | qmp::Error::Io(_))
            && tokio::time::timeout(QUIT, self.watch.gone()).await.is_ok()
        {
            return self.gone_error();
        }
        qmp_error(command, &error)
    }

    fn gone_error(&self) -> Error {
        let ended = self.ended().unwrap_or(Ended::Stopped);
        Error::Gone { ended, serial: self.serial_tail(TAIL) }
    }

    fn timeout(&self, what: &str, after: Duration) -> Error {
        Error::Timeout { what: what.to_owned(), after, serial: self.serial_tail(TAIL) }
    }
}

impl Drop for QemuMachine {
    fn drop(&mut self) {
        if !self.left_running.load(Ordering::Relaxed) && !self.daemon.has_ended() {
            self.daemon.process().kill();
        }
    }
}

/// Sets the link of the first network card up or down; the guest notices.
async fn set_link(qmp: &qmp::Client, up: bool) -> Result<(), Error> {
    let arguments = json!({ "name": args::NIC, "up": up });
    qmp.execute("set_link", arguments).await.map_err(|e| qmp_error("set_link", &e)).map(drop)
}

fn qmp_error(command: &str, error: &qmp::Error) -> Error {
    Error::Qmp { command: command.to_owned(), desc: error.to_string() }
}

/// QMP quit, then SIGKILL; returns when the process has exited.
async fn end_process(qmp: &qmp::Client, daemon: &Daemon) {
    if daemon.has_ended() {
        return;
    }
    let quit = async {
        let _ = qmp.execute("quit", json!({})).await;
        daemon.ended().await;
    };
    if tokio::time::timeout(QUIT, quit).await.is_err() {
        daemon.process().kill();
        daemon.ended().await;
    }
}

fn remove_leftovers(run_dir: &Path) {
    may_wait(|| {
        for name in [QMP_SOCKET, SERIAL_SOCKET, tpm::SOCKET, PID_FILE, transfer_cd::NAME] {
            let _ = fs::remove_file(run_dir.join(name));
        }
    })
}
