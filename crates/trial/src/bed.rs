//! The machines of a trial, one at a time, and the folder that holds them.
//!
//! ```text
//! runs/<id>/image.qcow2               a copy, if QEMU cannot save a machine on the image's format
//! runs/<id>/m<n>/                     machine n: sockets, logs, overlays
//! runs/<id>/next<n>/  runs/<id>/ram<n>   what a seal leaves
//! runs/<id>/evidence/                 output of scripts, screenshots
//! ```

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use api::ErrorCode;
use guests::{At, StepOutput, System, Within};
use images::{
    error::{Coded, Error, Result, machine_error},
    ledger::{Ledger, Releasable},
    run_context::RunContext,
};
use sources::{SourceImage, Workshop};
use vm::{
    Access, Backend, Firmware, Guest, Host, Machine, MachineSpec, OsType, RamFile, disk, may_wait,
    seed::Seed,
};

use crate::{Image, Trial, secrets::Secrets};

/// How long a machine may take to power off.
const POWER_OFF: Duration = Duration::from_secs(300);
/// How long a screenshot may take.
const SCREENSHOT: Duration = Duration::from_secs(5);

/// Everything that steps work on.
pub(crate) struct Bed<'a> {
    pub(crate) cx: &'a RunContext,
    pub(crate) host: &'a Host,
    pub(crate) backend: &'a dyn Backend,
    pub(crate) trial: &'a Trial,
    pub(crate) ledger: &'a Ledger,
    pub(crate) dir: &'a Path,
    pub(crate) secrets: Secrets,
    /// The running machine.
    pub(crate) live: Option<Live>,
    /// The drives of the machine that ran last.
    pub(crate) last: Option<Left>,
    /// The generalized drives.
    pub(crate) generalized: Option<Drives>,
    /// The image, if it is of the catalogue: protected from eviction.
    source: Option<SourceImage>,
    number: u32,
}

/// A running machine.
pub(crate) struct Live {
    pub(crate) machine: Box<dyn Machine>,
    /// The connection, once the guest has answered.
    pub(crate) guest: Option<Box<dyn Guest>>,
    pub(crate) identity: Identity,
    pub(crate) drives: Drives,
}

/// What makes a machine the same one after its next start.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) access: Access,
    /// Proves on the console that the guest has found the medium.
    pub(crate) instance_id: String,
    seed: PathBuf,
}

/// The drives of a machine.
#[derive(Clone)]
pub(crate) struct Drives {
    pub(crate) disk: PathBuf,
    format: String,
    /// The variables of UEFI. Without them a machine gets new ones.
    vars: Option<PathBuf>,
    pub(crate) bytes: u64,
}

/// A machine that has ended.
#[derive(Clone)]
pub(crate) struct Left {
    pub(crate) identity: Identity,
    pub(crate) drives: Drives,
}

/// How to start a machine.
pub(crate) struct Start {
    pub(crate) on: Drives,
    pub(crate) identity: Identity,
    pub(crate) resume_from: Option<RamFile>,
    /// With a TPM and Secure Boot.
    pub(crate) is_trusted: bool,
}

impl<'a> Bed<'a> {
    pub(crate) fn new(
        cx: &'a RunContext,
        (host, backend): (&'a Host, &'a dyn Backend),
        trial: &'a Trial,
        (ledger, dir): (&'a Ledger, &'a Path),
    ) -> Self {
        let (live, last, generalized) = (None, None, None);
        let (secrets, source, number) = (Secrets::default(), None, 0);
        Self {
            cx,
            host,
            backend,
            trial,
            ledger,
            dir,
            secrets,
            live,
            last,
            generalized,
            source,
            number,
        }
    }

    /// The folder of evidence.
    pub(crate) fn evidence(&self) -> PathBuf {
        self.dir.join("evidence")
    }

    /// The output of a step.
    pub(crate) fn output(&self, step: &str) -> Result<StepOutput> {
        let evidence = self.evidence();
        may_wait(|| StepOutput::open(step, self.cx, &evidence))
            .code(ErrorCode::HostNotReady, || cannot_write(&evidence))
    }

    /// A name for a file or folder of this trial that was not given out before.
    pub(crate) fn fresh(&mut self, kind: &str) -> PathBuf {
        self.number += 1;
        self.dir.join(format!("{kind}{}", self.number))
    }

    /// The drives of the image. An image in a format that a machine cannot be saved on is copied.
    pub(crate) async fn image(&mut self) -> Result<Drives> {
        let (cx, host) = (self.cx, self.host);
        let qcow2 = "qcow2".to_owned();
        match &self.trial.image {
            Image::Catalogue(entry) => {
                let evidence = self.evidence();
                let Self { backend, ledger, dir, .. } = *self;
                let workshop = Workshop { host, backend, ledger, run_dir: dir, log_dir: &evidence };
                let image = sources::obtain(cx, workshop, entry).await?;
                let (disk, bytes) = (image.disk.clone(), image.virtual_size);
                self.source = Some(image);
                Ok(Drives { disk, format: qcow2, vars: None, bytes })
            }
            Image::Disk { path, format, bytes } if matches!(format.as_str(), "qcow2" | "raw") => {
                let (disk, format) = (path.clone(), format.clone());
                Ok(Drives { disk, format, vars: None, bytes: *bytes })
            }
            Image::Disk { path, format, bytes } => {
                let copy = self.dir.join("image.qcow2");
                let facts = sources::ImageFacts { format: format.clone(), virtual_size: *bytes };
                sources::convert_in(cx, host, path, &facts, &copy).await?;
                Ok(Drives { disk: copy, format: qcow2, vars: None, bytes: *bytes })
            }
        }
    }

    /// A new machine's identity, with the medium that tells its guest.
    pub(crate) async fn new_identity(&mut self) -> Result<Identity> {
        let access = system().new_access()?;
        self.secrets.add_lines(&access.private_key);
        self.secrets.add_lines(&access.host_private_key);
        if let Some(windows) = &access.windows {
            self.secrets.add(&windows.password);
        }
        let (seed, instance_id) = (self.fresh("medium"), images::new_run_id());
        let contents =
            Seed { instance_id: &instance_id, access: Some(&access), network: true, bridge: None };
        system().write_seed(&seed, &contents, &self.cx.cancel).await?;
        Ok(Identity { access, instance_id, seed })
    }

    /// Starts a machine. The previous one must have ended.
    pub(crate) async fn start(&mut self, start: Start) -> Result<()> {
        let dir = self.fresh("m");
        let hold = || -> io::Result<()> {
            self.ledger.hold(Releasable::Machine { run_dir: dir.clone() })?;
            fs::create_dir_all(&dir)
        };
        may_wait(hold).code(ErrorCode::HostNotReady, || cannot_write(&dir))?;
        let drives = self.overlays(&start.on, &dir, start.is_trusted).await?;
        let firmware = match &drives.vars {
            Some(vars) => Firmware::Uefi { vars: vars.clone(), secure_boot: start.is_trusted },
            None => Firmware::Bios,
        };
        let tpm = start.is_trusted.then(|| dir.join("tpm"));
        if let Some(tpm) = &tpm {
            may_wait(|| fs::create_dir_all(tpm))
                .code(ErrorCode::HostNotReady, || cannot_write(tpm))?;
        }
        let spec = MachineSpec {
            name: format!("trial-{}", self.dir.file_name().unwrap_or_default().to_string_lossy()),
            run_dir: dir,
            os: OsType::Windows,
            vcpus: self.trial.vcpus,
            memory_mib: self.trial.memory_mib,
            firmware,
            disk: drives.disk.clone(),
            data: Vec::new(),
            access: None,
            seed: Some(start.identity.seed.clone()),
            cds: Vec::new(),
            forwards: vm::guest::forwards(OsType::Windows),
            bridge: None,
            resume_from: start.resume_from,
            migratable: true,
            machine_type: None,
            tpm,
            cpu_model: None,
        };
        self.last = Some(Left { identity: start.identity.clone(), drives: drives.clone() });
        let machine = self.backend.start(&spec, &self.cx.cancel).await.map_err(machine_error)?;
        self.live = Some(Live { machine, guest: None, identity: start.identity, drives });
        Ok(())
    }

    /// New overlays in `dir`.
    async fn overlays(&self, on: &Drives, dir: &Path, is_trusted: bool) -> Result<Drives> {
        let overlay = dir.join("disk.qcow2");
        disk::create_overlay_on(self.host, &overlay, &on.disk, &on.format, on.bytes)
            .await
            .map_err(|e| machine_error(e.into()))?;
        let vars = match (self.trial.is_uefi, &on.vars) {
            (false, _) => None,
            (true, Some(_)) if !is_trusted => on.next_vars(self.host, dir).await?,
            (true, _) => {
                let path = dir.join("vars.qcow2");
                disk::create_vars(self.host, &path, is_trusted).await.map_err(machine_error)?;
                Some(path)
            }
        };
        Ok(Drives { disk: overlay, format: "qcow2".to_owned(), vars, bytes: on.bytes })
    }

    /// Waits until the guest of a new machine has said who it is, connects, and waits for the end of
    /// the boot.
    pub(crate) async fn enter(&mut self, is_new: bool) -> Result<()> {
        let (cx, limit) = (self.cx, self.trial.boot_timeout);
        let live = self.live.as_mut().ok_or_else(no_machine)?;
        if is_new {
            let (access, id) = (live.identity.access.clone(), &live.identity.instance_id);
            let within = Within { limit, cancel: &cx.cancel };
            live.identity.access = system().meet(live.machine.as_ref(), access, id, within).await?;
            self.last = Some(live.left());
        }
        let connected = live.machine.connect(&live.identity.access, limit, &cx.cancel);
        live.guest = Some(connected.await.map_err(machine_error)?);
        let ended = system().boot_ended(live.at()?, false);
        let exit = tokio::time::timeout(limit, ended).await.map_err(|_| {
            let text = format!("the guest did not finish its boot within {} s", limit.as_secs());
            Error::new(ErrorCode::BootTimeout, text)
        })??;
        if !exit.success() {
            cx.events.warn(format!("the guest's own start-up checks {exit}; going on"));
        }
        Ok(())
    }

    /// The machine and its guest. One that has ended is started again from its disk, so that a step
    /// that ended it does not stop the others.
    pub(crate) async fn at(&mut self) -> Result<&Live> {
        let is_usable = self
            .live
            .as_ref()
            .is_some_and(|live| live.machine.ended().is_none() && live.guest.is_some());
        if !is_usable {
            self.end().await?;
            let left = self.last.clone().ok_or_else(no_machine)?;
            self.cx.events.note("the machine has ended and is started again");
            let (on, identity) = (left.drives, left.identity);
            self.start(Start { on, identity, resume_from: None, is_trusted: false }).await?;
            self.enter(false).await?;
        }
        self.live.as_ref().ok_or_else(no_machine)
    }

    /// Ends the machine as a power cut does.
    pub(crate) async fn end(&mut self) -> Result<()> {
        let Some(live) = self.live.take() else { return Ok(()) };
        live.machine.stop(Duration::ZERO).await.map_err(machine_error)
    }

    /// Waits until the machine has powered off.
    pub(crate) async fn powered_off(&mut self) -> Result<Left> {
        let live = self.live.take().ok_or_else(no_machine)?;
        let left = live.left();
        live.machine.wait_off(POWER_OFF).await.map_err(machine_error)?;
        Ok(left)
    }

    /// Writes the screen to a file and returns whether there is one.
    pub(crate) async fn screenshot(&self, path: &Path) -> bool {
        let Some(live) = self.live.as_ref().filter(|live| live.machine.ended().is_none()) else {
            return false;
        };
        let shot = tokio::time::timeout(SCREENSHOT, live.machine.screenshot(path)).await;
        matches!(shot, Ok(Ok(())))
    }
}

impl Live {
    /// The machine and its guest, for work in it.
    pub(crate) fn at(&self) -> Result<At<'_>> {
        let guest = self.guest.as_deref().ok_or_else(no_machine)?;
        Ok(At { machine: self.machine.as_ref(), guest, access: &self.identity.access })
    }

    fn left(&self) -> Left {
        Left { identity: self.identity.clone(), drives: self.drives.clone() }
    }
}

impl Drives {
    /// For a machine with new variables of UEFI.
    pub(crate) fn without_vars(self) -> Self {
        Self { vars: None, ..self }
    }

    /// A new overlay in `dir` on the variables of UEFI.
    pub(crate) async fn next_vars(&self, host: &Host, dir: &Path) -> Result<Option<PathBuf>> {
        let Some(vars) = &self.vars else { return Ok(None) };
        let path = dir.join("vars.qcow2");
        let info =
            disk::info(host, vars, Some("qcow2")).await.map_err(|e| machine_error(e.into()))?;
        disk::create_overlay(host, &path, vars, info.virtual_size)
            .await
            .map_err(|e| machine_error(e.into()))?;
        Ok(Some(path))
    }
}

/// The system of a trial's guests.
pub(crate) fn system() -> &'static dyn System {
    guests::system(OsType::Windows)
}

fn no_machine() -> Error {
    Error::new(ErrorCode::InternalError, "there is no machine to work on")
}

pub(crate) fn cannot_write(path: &Path) -> String {
    format!("cannot write below {}", path.display())
}
