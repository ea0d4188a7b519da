//! A temporary machine on a node's disk: it starts from the node's state, and its changes do not
//! reach the node.
//!
//! ```text
//! nodes/<key>/disk.qcow2 <- runs/<run id>/fork-<name>/disk.qcow2
//! ```
//!
//! The run's ledger records it before it exists, so that it is removed however the run ends. While
//! it runs, the caller protects the node from eviction.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use api::ErrorCode;
use futures_util::FutureExt;
use guests::At;
use images::{
    error::{Coded, Error, Result, machine_error},
    first_contact::FirstContact,
    ledger::Releasable,
};
use vm::{Access, Machine, OsType, RamFile, may_wait};

use super::{
    Plan, Run, access,
    contact::{Came, Contact, Entered},
    data_disks, firmware, identities,
    overlay::overlay,
    power::unless_gone,
    seeding::Seeding,
};
use crate::{customize::Place, metadata::Relay, node::Node};

/// The start of a fork.
pub(crate) struct ForkOf<'a> {
    /// The fork's name within the run, for paths.
    pub name: &'a str,
    pub node: &'a Node,
    pub entry: Entry,
}

/// How goldsmith connects to a fork.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    /// With new keys, on a new machine: new seed, new firmware variables. For a generalized node,
    /// which accepts no other login.
    New(FirstContact),
    /// With the keys of the node's machine, as the same machine again. With `resume` it resumes
    /// from the node's RAM if that exists. Otherwise it boots.
    Own { resume: bool },
}

/// A fork that is ready for work.
pub(crate) struct Fork {
    pub(super) entered: Entered,
    os: OsType,
    dir: PathBuf,
    serial_log: PathBuf,
    relay: Option<Relay>,
}

impl Fork {
    /// Starts a machine and returns once its guest is ready for work.
    pub(crate) async fn start(run: &Run<'_>, of: ForkOf<'_>) -> Result<Self> {
        let dir = run.run_dir.join(format!("fork-{}", of.name));
        let serial_log = run.log_dir.join(format!("serial-{}.log", of.name));
        may_wait(|| make_folder(run, &dir, &serial_log))
            .code(ErrorCode::HostNotReady, || format!("cannot write below {}", dir.display()))?;
        let Prepared { access, seeding, resume_from } = prepare(run, &of).await?;
        let disks = || overlays(run, &of, &dir).boxed();
        disks().await?;
        let shape = &of.node.meta.shape;
        let contact = Contact {
            access: &access,
            seeding,
            seed: dir.join("seed.img"),
            instance_id: &images::new_run_id(),
            is_new: matches!(of.entry, Entry::New(_)),
            boot: Came::BootedToBeLookedAt,
            serial_log: &serial_log,
        };
        let spec = run.spec(shape, &dir, &dir, resume_from);
        let entered = contact.establish(run, shape, spec, &disks).await?;
        Ok(Self { entered, os: shape.os, dir, serial_log, relay: None })
    }

    /// The machine, which may have ended.
    pub(crate) fn machine(&self) -> &dyn Machine {
        self.entered.machine.as_ref()
    }

    /// The credentials of its guest.
    pub(crate) fn access(&self) -> &Access {
        &self.entered.access
    }

    /// What an action is applied to.
    pub(super) fn place(&self) -> Place<'_> {
        let Entered { machine, guest, access, .. } = &self.entered;
        let at = At { machine: machine.as_ref(), guest: guest.as_ref(), access };
        Place { at, system: guests::system(self.os) }
    }

    /// Makes the metadata service available to scripts in its guest until the fork ends.
    pub(crate) async fn serve_metadata(&mut self, run: &Run<'_>, plan: &Plan) -> Result<()> {
        self.relay = identities::serve_metadata(run, plan, self.machine(), self.access()).await?;
        Ok(())
    }

    /// Awaits work in its guest, unless the machine ends first.
    pub(crate) async fn unless_gone<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        unless_gone(self.machine(), work).await
    }

    /// Adds the machine's last output to an error.
    pub(crate) async fn with_evidence(&self, run: &Run<'_>, error: Error) -> Error {
        run.with_evidence(error, self.machine(), &self.serial_log).await
    }

    /// The log file of its serial console.
    pub(crate) fn serial_log(&self) -> &Path {
        &self.serial_log
    }

    /// Ends it immediately and removes its disk, which has no further use.
    pub(crate) async fn stop(self, run: &Run<'_>) -> Result<()> {
        self.machine().stop(Duration::ZERO).await.map_err(machine_error)?;
        let remove = || -> std::io::Result<()> {
            fs::remove_dir_all(&self.dir)?;
            run.ledger.forget_released(&Releasable::Machine { run_dir: self.dir.clone() })
        };
        may_wait(remove).code(ErrorCode::InternalError, || {
            format!("cannot remove the throw-away machine in {}", self.dir.display())
        })
    }
}

/// The folder itself is part of the run's folder, which the ledger already records.
fn make_folder(run: &Run<'_>, dir: &Path, serial_log: &Path) -> std::io::Result<()> {
    run.ledger.hold(Releasable::Machine { run_dir: dir.to_owned() })?;
    fs::create_dir_all(dir)?;
    fs::File::create(serial_log)?;
    std::os::unix::fs::symlink(serial_log, dir.join("serial.log"))
}

/// A fork before its start.
struct Prepared {
    access: Access,
    seeding: Seeding,
    resume_from: Option<RamFile>,
}

async fn prepare(run: &Run<'_>, of: &ForkOf<'_>) -> Result<Prepared> {
    match &of.entry {
        Entry::New(image) => Ok(Prepared {
            access: access::of_image(of.node.meta.shape.os, image)?,
            seeding: Seeding::of_image(image),
            resume_from: None,
        }),
        Entry::Own { resume } => {
            let booted = run.booted(&of.node.meta)?;
            Ok(Prepared {
                access: access::read(&booted.file("access.json"))?,
                seeding: Seeding::of_node(booted.file("seed.img")),
                resume_from: match *resume {
                    true => run.ram_of(of.node).await?,
                    false => None,
                },
            })
        }
    }
}

/// Creates overlays on the node's files. A new machine gets empty firmware variables.
async fn overlays(run: &Run<'_>, of: &ForkOf<'_>, dir: &Path) -> Result<()> {
    let below = Path::new("../../../nodes").join(of.node.meta.key.as_str());
    let shape = &of.node.meta.shape;
    overlay(run.host, dir, &below, "disk.qcow2", shape.disk_bytes).await?;
    data_disks::upon(run, shape, dir, &below).await?;
    let is_new = matches!(of.entry, Entry::New(_));
    firmware::begin_tpm(shape, dir, (!is_new).then_some(of.node.dir()))?;
    match (shape.uefi, is_new) {
        (true, true) => firmware::new_vars(run, shape, dir).await,
        (true, false) => firmware::vars_upon(run, shape, dir, &below).await,
        (false, _) => Ok(()),
    }
}
