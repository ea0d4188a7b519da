//! The interface of machines, independent of the backend that runs them.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use async_trait::async_trait;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::{Access, Ended, Error, Guest, MachineSpec, RamSave, SaveRam};

/// Starts machines.
#[async_trait]
pub trait Backend: Send + Sync {
    /// Starts or resumes a machine and returns once it runs. The guest still has to boot.
    async fn start(
        &self,
        spec: &MachineSpec,
        cancel: &CancellationToken,
    ) -> Result<Box<dyn Machine>, Error>;

    /// Ends the machine of a run folder, also one that an earlier process left. Succeeds if no
    /// machine runs.
    async fn end(&self, run_dir: &Path) -> Result<(), Error>;

    /// Checks that machines can be attached to that bridge. Backends without a real network accept
    /// every name.
    async fn check_bridge(&self, _name: &str) -> Result<(), Error> {
        Ok(())
    }
}

/// A running machine. End it with [`Machine::stop`]; dropping it kills it as a safety net.
#[async_trait]
pub trait Machine: Send + Sync {
    /// Waits until the guest answers, over SSH or WinRM, and proves with the right key or certificate
    /// that it is the guest.
    ///
    /// A wrong key and the machine's end are immediate errors. The error of a missed deadline
    /// carries the last lines of the console. Every call opens another connection.
    async fn connect(
        &self,
        access: &Access,
        deadline: Duration,
        cancel: &CancellationToken,
    ) -> Result<Box<dyn Guest>, Error>;

    /// Switches all drives to new overlays, and saves the RAM if requested. The guest is paused
    /// meanwhile and does not notice. Returns as soon as it runs again, perhaps before its RAM is
    /// written ([`Sealed::ram`]). A second seal with RAM waits for the end of that.
    ///
    /// Afterwards the previous files are no longer written to and may be moved. The caller syncs
    /// them to disk while the guest continues, since after a package installation that takes
    /// seconds. The new overlays must not move until they are sealed themselves.
    async fn seal(&self, request: &Seal) -> Result<Sealed, Error>;

    /// Waits until the guest has powered off and QEMU has ended. The caller syncs the disks.
    async fn wait_off(&self, deadline: Duration) -> Result<(), Error>;

    /// Writes a PNG of the screen.
    async fn screenshot(&self, path: &Path) -> Result<(), Error>;

    /// The last lines of the serial console, without control characters.
    fn serial_tail(&self, lines: usize) -> Vec<String>;

    /// Waits for a line on the serial console that begins with `beginning`, and returns the rest of
    /// it, of a bounded length and without control characters. Lines from before the call count.
    async fn console_line(
        &self,
        beginning: &str,
        deadline: Duration,
        cancel: &CancellationToken,
    ) -> Result<String, Error>;

    /// Presses a key of the machine's keyboard, by QEMU's name (`ret`, `spc`, `a`). A CD may ask for one
    /// before it boots, and says so for seconds only.
    async fn press(&self, key: &str) -> Result<(), Error>;

    /// Puts a file into the machine, on a CD under this name of at most 64 ASCII characters; replaces an
    /// earlier one. The CD is as large as the file, is in the run folder, and lasts until
    /// [`Machine::eject`], the next seal, or the machine's end. The guest notices it some seconds
    /// later. Only the hardware for Windows has a drive for it.
    async fn insert(&self, file: &Path, name: &str) -> Result<(), Error>;

    /// Takes the CD of [`Machine::insert`] out, whatever the guest does with it, and removes it.
    /// Succeeds if there is none.
    async fn eject(&self) -> Result<(), Error>;

    /// How often the guest has reset its machine since the start.
    fn resets(&self) -> watch::Receiver<u64>;

    /// Resolves when the machine has ended for any reason, or cannot continue.
    fn gone(&self) -> WaitForCancellationFutureOwned;

    /// How it ended, once [`Machine::gone`] resolved.
    fn ended(&self) -> Option<Ended>;

    /// The loopback port of the host that is forwarded to a port of the guest.
    fn forwarded(&self, guest_port: u16) -> Option<u16>;

    /// Ends the machine: ACPI power button if `grace` is not zero, then QMP quit, then SIGKILL.
    /// Returns when the process has exited.
    async fn stop(&self, grace: Duration) -> Result<(), Error>;

    /// Keeps the machine running after this value is dropped, and after this process ends.
    fn leave_running(&self);

    /// Connects the network link of a machine on a bridge. A resumed machine starts with its link
    /// down, because its old address may belong to another machine by now. When the link comes up,
    /// the guest requests a new address.
    async fn plug_in(&self) -> Result<(), Error>;
}

/// The request to [`Machine::seal`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seal {
    /// An existing overlay (see [`crate::disk::create_overlay`]) of the same virtual size. The
    /// backing file in its header need not exist yet.
    pub next_disk: PathBuf,
    /// The same for the UEFI variables; required if and only if the machine has them.
    pub next_vars: Option<PathBuf>,
    /// The same for the data disks: one overlay for each.
    pub next_data: Vec<PathBuf>,
    /// A folder that does not exist yet, for the state of the TPM: copied while the guest is paused, so
    /// that it fits the disk. Required if and only if the machine has a TPM.
    pub tpm: Option<PathBuf>,
    /// Whether and how to save the RAM.
    pub ram: Option<SaveRam>,
}

/// The result of a seal.
#[derive(Debug)]
pub struct Sealed {
    /// How long the guest was paused.
    pub seconds: f64,
    /// The save of the RAM, if requested. It may still be in progress. If the guest powers off
    /// meanwhile, QEMU completes the save before it exits; any other end of the machine ends the
    /// save.
    pub ram: Option<RamSave>,
}
