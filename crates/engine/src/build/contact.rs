//! First contact: what a machine is given so that goldsmith gets into it, and how it gets in.
//!
//! ```text
//! credentials ──▶ answers with the right host key ──▶ ready
//!       │ no answer in time, or another host key
//!       ▼
//! cloud-init's seed and credentials ──▶ answers ──▶ ready
//! ```
//!
//! Every machine is offered credentials (see [`vm::credentials`]). What differs is the NoCloud seed
//! ([`Seeding`]).

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use api::ErrorCode;
use futures_util::future::BoxFuture;
use guests::{At, Resumed, Within};
use images::error::{Coded, Error, Result, machine_error};
use tokio::time::Instant;
use vm::{Access, Guest, Machine, MachineSpec, OsType, seed::Seed};

use super::{
    Run, data_disks, network,
    power::{power_on, unless_gone},
    seeding::Seeding,
};
use crate::node::Shape;

/// How a machine became reachable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Came {
    Booted,
    /// By a boot, and nothing may change on its disk.
    BootedToBeLookedAt,
    Resumed,
}

/// A machine to get into.
pub(super) struct Contact<'a> {
    pub access: &'a Access,
    pub seeding: Seeding,
    /// The file for a new seed.
    pub seed: PathBuf,
    /// Cloud-init does its first-boot work once per instance.
    pub instance_id: &'a str,
    /// Whether the machine boots for the first time.
    pub is_new: bool,
    /// What a boot, as opposed to a resume, is for.
    pub boot: Came,
    pub serial_log: &'a Path,
}

/// Creates the overlays of a machine anew.
pub(super) type Disks<'a> = dyn Fn() -> BoxFuture<'a, Result<()>> + Sync + 'a;

/// A machine whose guest is ready for work.
pub(super) struct Entered {
    pub machine: Box<dyn Machine>,
    pub guest: Box<dyn Guest>,
    /// The credentials, with what the guest has added to them.
    pub access: Access,
    pub seeding: Seeding,
    /// From its start to the guest's first answer.
    pub answered: Duration,
    /// From its start to the end of its boot.
    pub settled: Duration,
}

/// The part of the boot timeout after which the first of two ways has failed. An image that takes
/// credentials answers sooner than one that needs cloud-init.
const FIRST_OF_TWO: u32 = 4;

impl Contact<'_> {
    /// Starts the machine and gets into it. `disks` is for a second start.
    pub(super) async fn establish(
        self,
        run: &Run<'_>,
        shape: &Shape,
        spec: MachineSpec,
        disks: &Disks<'_>,
    ) -> Result<Entered> {
        let limit = run.request.boot_timeout;
        let second = self.seeding.second().filter(|_| self.is_new && shape.os.is_linux());
        let Some(second) = second else {
            return Box::pin(self.attempt(run, shape, spec, limit, disks)).await;
        };
        let first = self.attempt(run, shape, spec.clone(), limit / FIRST_OF_TWO, disks);
        let error = match Box::pin(first).await {
            Err(error) if is_no_contact(&error) => error,
            result => return result,
        };
        run.cx.events.warn(format!(
            "the image cannot be entered by systemd credentials, so cloud-init has to let goldsmith in: \
             {}",
            error.message
        ));
        run.backend.end(&spec.run_dir).await.map_err(machine_error)?;
        disks().await?;
        let contact = Self { seeding: second, ..self };
        Box::pin(contact.attempt(run, shape, spec, limit, disks)).await
    }

    async fn attempt(
        &self,
        run: &Run<'_>,
        shape: &Shape,
        spec: MachineSpec,
        limit: Duration,
        disks: &Disks<'_>,
    ) -> Result<Entered> {
        let seed = self.write_seed(run, shape.os).await?;
        // Systemd reads credentials; Windows would not.
        let access = shape.os.is_linux().then(|| self.access.clone());
        let spec = MachineSpec { seed, access, ..spec };
        let started = Instant::now();
        let (machine, is_resumed) = power_on(run, spec, disks()).await?;
        let came = if is_resumed { Came::Resumed } else { self.boot };
        let enter = async {
            let waiting = run.cx.events.wait("the guest's first answer");
            let access = self.meet(run, shape.os, machine.as_ref(), limit).await?;
            let guest = machine.connect(&access, limit, &run.cx.cancel).await;
            drop(waiting);
            let guest = guest.map_err(|e| explained(machine_error(e)))?;
            let answered = started.elapsed();
            let at = At { machine: machine.as_ref(), guest: guest.as_ref(), access: &access };
            ready(run, shape.os, at, came).await?;
            if came != Came::Resumed {
                let name = data_disks::name(run, shape, at);
                unless_gone(machine.as_ref(), name).await?;
            }
            Ok((guest, access, answered))
        };
        match enter.await {
            Ok((guest, access, answered)) => {
                let (seeding, settled) = (self.seeding.clone(), started.elapsed());
                Ok(Entered { machine, guest, access, seeding, answered, settled })
            }
            Err(error) => Err(run.with_evidence(error, machine.as_ref(), self.serial_log).await),
        }
    }

    /// The credentials, completed by what the guest says of itself.
    async fn meet(
        &self,
        run: &Run<'_>,
        os: OsType,
        machine: &dyn Machine,
        limit: Duration,
    ) -> Result<Access> {
        let within = Within { limit, cancel: &run.cx.cancel };
        let access = self.access.clone();
        let met = guests::system(os).meet(machine, access, self.instance_id, within).await;
        met.map_err(explained)
    }

    /// The file to attach, if any.
    async fn write_seed(&self, run: &Run<'_>, os: OsType) -> Result<Option<PathBuf>> {
        let (access, network) = match &self.seeding {
            Seeding::Nothing => return Ok(None),
            Seeding::Known(seed) => return Ok(Some(seed.clone())),
            Seeding::Plain => (None, false),
            Seeding::User { network } => (Some(self.access), *network),
        };
        let bridge = run.bridge();
        let instance_id = self.instance_id;
        let contents = Seed { instance_id, access, network, bridge: bridge.as_ref() };
        guests::system(os).write_seed(&self.seed, &contents, &run.cx.cancel).await?;
        Ok(Some(self.seed.clone()))
    }
}

/// What a guest that does not answer lacks. A guest that answers with another key has a hint of its
/// own.
fn explained(error: Error) -> Error {
    if error.code != ErrorCode::BootTimeout {
        return error;
    }
    error.hint(
        "the image needs an SSH server that starts at boot, and DHCP on its network card; the serial log \
         and the screenshot show how far it came",
    )
}

/// Whether an error means that the guest did not let goldsmith in, or did not come up.
fn is_no_contact(error: &Error) -> bool {
    matches!(error.code, ErrorCode::BootTimeout | ErrorCode::GuestUnreachable)
}

/// Waits until the guest is ready for work.
async fn ready(run: &Run<'_>, os: OsType, at: At<'_>, came: Came) -> Result<()> {
    let system = guests::system(os);
    let settle = async {
        match came {
            Came::Booted => system.boot_ended(at, false).await,
            Came::BootedToBeLookedAt => system.boot_ended(at, true).await,
            Came::Resumed => {
                let mut entropy = [0; 64];
                getrandom::fill(&mut entropy).code(ErrorCode::InternalError, || {
                    "the host gives no random numbers".to_owned()
                })?;
                let now = jiff::Timestamp::now().as_second();
                system.resumed(at, Resumed { now, entropy: &entropy }).await
            }
        }
    };
    let _waiting = match came {
        Came::Booted | Came::BootedToBeLookedAt => run.cx.events.wait("the end of the boot"),
        Came::Resumed => run.cx.events.work("set clock and random numbers"),
    };
    let limit = run.request.boot_timeout;
    let exit = tokio::time::timeout(limit, unless_gone(at.machine, settle))
        .await
        .map_err(|_| not_booted(limit))??;
    if !exit.success() {
        run.cx.events.warn(format!("the guest's own start-up checks {exit}; going on"));
    }
    network::join(run, os, at, came == Came::Resumed).await
}

fn not_booted(limit: Duration) -> Error {
    Error::new(
        ErrorCode::BootTimeout,
        format!("the guest answers but did not finish its first boot within {} s", limit.as_secs()),
    )
    .hint("look at the serial log; goldsmith build --boot-timeout gives it longer")
}
