//! Starts QEMU from a machine's description.

use std::{
    fs::File,
    os::fd::AsRawFd,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{Drives, QemuMachine, Watch, last_words::last_words, qmp_error, ram, usernet};
use crate::{
    Error, Firmware, Host, MachineSpec,
    args::{self, QMP_SOCKET},
    console::Console,
    credentials, host, may_wait,
    proc::{Command, Daemon},
    qmp, tap,
    tpm::Tpm,
};

/// QEMU's own output, in the run folder.
const QEMU_LOG: &str = "qemu.log";
/// From the program's start to its socket; far more than QEMU needs.
const SOCKET_DEADLINE: Duration = Duration::from_secs(30);
/// The socket is polled, because nothing reports its creation.
const SOCKET_POLL: Duration = Duration::from_millis(3);

/// Starts QEMU and returns when the guest runs. No process remains after a failure, or when the
/// future is dropped.
pub(super) async fn launch(
    host: &Host,
    spec: MachineSpec,
    cancel: &CancellationToken,
) -> Result<QemuMachine, Error> {
    check(host, &spec)?;
    super::remove_leftovers(&spec.run_dir);
    if let Some(bridge) = &spec.bridge {
        tap::create(bridge).await?;
    }
    let (starting, console, log_path) = spawn(host, &spec, cancel).await?;
    let daemon = starting.qemu.as_ref().ok_or(Error::Canceled)?;
    let ready = tokio::select! {
        () = cancel.cancelled() => Err(Error::Canceled),
        ready = alive(daemon, &log_path, make_ready(host, &spec)) => ready,
    };
    // QEMU has read them.
    credentials::remove(&spec.run_dir);
    let (qmp, forwards) = match ready {
        Ok(ready) => ready,
        Err(error) => {
            starting.end().await;
            super::remove_leftovers(&spec.run_dir);
            return Err(explained(error));
        }
    };
    let (Some(daemon), tpm) = starting.finish() else {
        return Err(Error::Canceled);
    };
    let watch = Watch::over(&daemon, &qmp, console, log_path);
    Ok(QemuMachine {
        drives: tokio::sync::Mutex::new(Drives::of(&spec)),
        saves: Arc::default(),
        transfers: tokio::sync::Mutex::default(),
        has_medium: AtomicBool::new(false),
        host: host.clone(),
        left_running: AtomicBool::new(false),
        recorder: None,
        spec,
        qmp: Arc::new(qmp),
        daemon,
        tpm,
        watch,
        forwards,
    })
}

/// Starts QEMU, loads the RAM of the machine, and ends QEMU. The guest never runs.
pub(super) async fn load(
    host: &Host,
    spec: &MachineSpec,
    cancel: &CancellationToken,
) -> Result<(), Error> {
    super::remove_leftovers(&spec.run_dir);
    let (starting, _console, log_path) = spawn(host, spec, cancel).await?;
    let daemon = starting.qemu.as_ref().ok_or(Error::Canceled)?;
    let work = async { load_ram(host, spec, &open_socket(&spec.run_dir).await?).await };
    let loaded = tokio::select! {
        () = cancel.cancelled() => Err(Error::Canceled),
        loaded = alive(daemon, &log_path, work) => loaded,
    };
    starting.end().await;
    credentials::remove(&spec.run_dir);
    super::remove_leftovers(&spec.run_dir);
    loaded
}

fn check(host: &Host, spec: &MachineSpec) -> Result<(), Error> {
    if let Firmware::Uefi { secure_boot, .. } = spec.firmware {
        host.firmware(secure_boot)?;
    }
    let most = args::layout(spec.os).most_cds();
    if spec.cds.len() > most {
        let output = format!("{} CDs are too many: there is room for {most}", spec.cds.len());
        return Err(Error::Start { output });
    }
    Ok(())
}

/// QEMU finds out what the kernel's KVM lacks.
fn explained(error: Error) -> Error {
    match &error {
        Error::Start { output } if output.contains(host::NO_SMM) => Error::HostLacks {
            what: "Secure Boot needs System Management Mode, which this host's KVM does not offer",
            remedy: "build on another host, or without KVM (--accel tcg), which takes many times longer",
        },
        Error::Start { output } if output.contains("HyperV") || output.contains("Hyper-V") => {
            Error::HostLacks {
                what: "this host's KVM does not offer Windows the interfaces of a hypervisor (Hyper-V)",
                remedy: "use a kernel with CONFIG_KVM_HYPERV, or build without KVM (--accel tcg), which takes \
                         many times longer",
            }
        }
        _ => error,
    }
}

/// Starts the program, and the emulator of its TPM before it. Also returns the path of its log.
async fn spawn(
    host: &Host,
    spec: &MachineSpec,
    cancel: &CancellationToken,
) -> Result<(Starting, Console, PathBuf), Error> {
    let mut starting = Starting { qemu: None, tpm: None };
    if let Some(state) = &spec.tpm {
        starting.tpm = Some(tokio::select! {
            () = cancel.cancelled() => return Err(Error::Canceled),
            tpm = Tpm::start(&spec.run_dir, state) => tpm?,
        });
    }
    if let Some(access) = args::offered(spec) {
        credentials::write(&spec.run_dir, access)?;
    }
    let log_path = spec.run_dir.join(QEMU_LOG);
    let log = may_wait(|| File::create(&log_path)).map_err(Error::at(&log_path))?;
    let ports = args::layout(spec.os).serial_ports();
    let console =
        may_wait(|| Console::open(&spec.run_dir, ports)).map_err(Error::at(&spec.run_dir))?;
    let command = Command::new(&host.qemu).args(args::arguments(host, spec)).cwd(&spec.run_dir);
    starting.qemu = Some(command.start(log)?);
    Ok((starting, console, log_path))
}

/// A QEMU and its TPM without an owner yet; killed on drop.
struct Starting {
    qemu: Option<Daemon>,
    tpm: Option<Tpm>,
}

impl Starting {
    fn finish(mut self) -> (Option<Daemon>, Option<Tpm>) {
        (self.qemu.take(), self.tpm.take())
    }

    async fn end(mut self) {
        if let Some(daemon) = self.qemu.take() {
            daemon.process().kill();
            daemon.ended().await;
        }
        if let Some(tpm) = self.tpm.take() {
            tpm.kill();
            tpm.end().await;
        }
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        if let Some(daemon) = &self.qemu {
            daemon.process().kill();
        }
        if let Some(tpm) = &self.tpm {
            tpm.kill();
        }
    }
}

async fn make_ready(
    host: &Host,
    spec: &MachineSpec,
) -> Result<(qmp::Client, Vec<(u16, u16)>), Error> {
    let qmp = open_socket(&spec.run_dir).await?;
    if spec.resume_from.is_some() {
        load_ram(host, spec, &qmp).await?;
        // The guest's network settings are outdated: see `Machine::plug_in`.
        if spec.bridge.is_some() {
            super::set_link(&qmp, false).await?;
        }
        qmp.execute("cont", json!({})).await.map_err(|e| qmp_error("cont", &e))?;
    }
    let forwards = usernet::query(&qmp).await.map_err(|e| qmp_error("info usernet", &e))?;
    Ok((qmp, usernet::forwards(&forwards)))
}

async fn load_ram(host: &Host, spec: &MachineSpec, qmp: &qmp::Client) -> Result<(), Error> {
    match &spec.resume_from {
        Some(file) => ram::load(qmp, host, file).await,
        None => Ok(()),
    }
}

/// Awaits work with QEMU, unless QEMU exits first.
async fn alive<T>(
    daemon: &Daemon,
    log: &Path,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let died = async {
        daemon.ended().await;
        Error::Start { output: last_words(log) }
    };
    tokio::select! {
        biased;
        error = died => Err(error),
        done = work => match done {
            // QEMU reports an error and then exits. If it has exited, its last output says more.
            Err(error) => {
                let soon = Duration::from_millis(500);
                let dead = tokio::time::timeout(soon, daemon.ended()).await.is_ok();
                Err(if dead { Error::Start { output: last_words(log) } } else { error })
            }
            done => done,
        },
    }
}

/// Connects through the folder's descriptor, because a socket's path is limited to 107 bytes.
async fn open_socket(run_dir: &Path) -> Result<qmp::Client, Error> {
    let folder = may_wait(|| File::open(run_dir)).map_err(Error::at(run_dir))?;
    let socket = PathBuf::from(format!("/proc/self/fd/{}/{QMP_SOCKET}", folder.as_raw_fd()));
    let attempts = async {
        loop {
            match qmp::Client::connect(&socket).await {
                Err(qmp::Error::Io(_)) => tokio::time::sleep(SOCKET_POLL).await,
                other => return other,
            }
        }
    };
    match tokio::time::timeout(SOCKET_DEADLINE, attempts).await {
        Ok(Ok(client)) => Ok(client),
        Ok(Err(error)) => Err(qmp_error("qmp_capabilities", &error)),
        Err(_) => Err(Error::Timeout {
            what: "QEMU's start".to_owned(),
            after: SOCKET_DEADLINE,
            serial: Vec::new(),
        }),
    }
}
