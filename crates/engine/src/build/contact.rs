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
use images::error::{Coded, Error, Result, guest_error, machine_error};
use tokio::time::Instant;
use vm::{
    Access, Discard, Guest, Machine, MachineSpec, Stdin,
    seed::{self, Seed},
};

use super::{
    Run, data_disks,
    first_boot::{BOOTED, SETTLED},
    network,
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
        let Some(second) = self.seeding.second().filter(|_| self.is_new) else {
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
        let seed = self.write_seed(run).await?;
        let spec = MachineSpec { seed, access: Some(self.access.clone()), ..spec };
        let started = Instant::now();
        let (machine, is_resumed) = power_on(run, spec, disks()).await?;
        let came = if is_resumed { Came::Resumed } else { self.boot };
        let enter = async {
            let waiting = run.cx.events.wait("the guest's first answer");
            let guest = machine.connect(self.access, limit, &run.cx.cancel).await;
            drop(waiting);
            let guest = guest.map_err(|e| explained(machine_error(e)))?;
            let answered = started.elapsed();
            ready(run, machine.as_ref(), guest.as_ref(), came).await?;
            if came != Came::Resumed {
                let name = data_disks::name(run, shape, guest.as_ref());
                unless_gone(machine.as_ref(), name).await?;
            }
            Ok((guest, answered))
        };
        match enter.await {
            Ok((guest, answered)) => {
                let (seeding, settled) = (self.seeding.clone(), started.elapsed());
                Ok(Entered { machine, guest, seeding, answered, settled })
            }
            Err(error) => Err(run.with_evidence(error, machine.as_ref(), self.serial_log).await),
        }
    }

    /// The file to attach, if any.
    async fn write_seed(&self, run: &Run<'_>) -> Result<Option<PathBuf>> {
        let (access, network) = match &self.seeding {
            Seeding::Nothing => return Ok(None),
            Seeding::Known(seed) => return Ok(Some(seed.clone())),
            Seeding::Plain => (None, false),
            Seeding::User { network } => (Some(self.access), *network),
        };
        let bridge = run.bridge();
        let instance_id = self.instance_id;
        let contents = Seed { instance_id, access, network, bridge: bridge.as_ref() };
        seed::write(&self.seed, &contents, &run.cx.cancel).await.map_err(machine_error)?;
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

/// After a resume the clock shows the time of the seal, and two resumes of the same node would have
/// the same random numbers. Both are corrected before any other command runs.
const RESUMED: &str =
    "sudo sh -c 'read -r seed; echo $seed > /dev/urandom; exec date -s @'$now' > /dev/null'";

/// Waits until the guest is ready for work.
async fn ready(run: &Run<'_>, machine: &dyn Machine, guest: &dyn Guest, came: Came) -> Result<()> {
    let mut entropy = [0; 64];
    getrandom::fill(&mut entropy)
        .code(ErrorCode::InternalError, || "the host gives no random numbers".to_owned())?;
    let line: String =
        entropy.iter().map(|byte| format!("{byte:02x}")).chain(["\n".into()]).collect();
    let (command, stdin) = match came {
        Came::Booted => (BOOTED.to_owned(), Stdin::Empty),
        Came::BootedToBeLookedAt => (SETTLED.to_owned(), Stdin::Empty),
        Came::Resumed => {
            let now = jiff::Timestamp::now().as_second();
            (RESUMED.replace("'$now'", &now.to_string()), Stdin::Bytes(line.as_bytes()))
        }
    };
    let _waiting = match came {
        Came::Booted | Came::BootedToBeLookedAt => run.cx.events.wait("the end of the boot"),
        Came::Resumed => run.cx.events.work("set clock and random numbers"),
    };
    let limit = run.request.boot_timeout;
    let settle = async { guest.run(&command, stdin, &mut Discard).await.map_err(guest_error) };
    let exit = tokio::time::timeout(limit, unless_gone(machine, settle))
        .await
        .map_err(|_| not_booted(limit))??;
    if !exit.success() {
        run.cx.events.warn(format!("the guest's own start-up checks {exit}; going on"));
    }
    network::join(run, machine, guest, came == Came::Resumed).await
}

fn not_booted(limit: Duration) -> Error {
    Error::new(
        ErrorCode::BootTimeout,
        format!("the guest answers but did not finish its first boot within {} s", limit.as_secs()),
    )
    .hint("look at the serial log; goldsmith build --boot-timeout gives it longer")
}
