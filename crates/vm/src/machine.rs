//! What the rest of the program may do with a machine, whoever runs it.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use async_trait::async_trait;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::{Access, Ended, Error, Guest, MachineSpec};

/// Starts machines.
#[async_trait]
pub trait Backend: Send + Sync {
    /// Starts (or resumes) a machine and returns once it runs; the guest is far from ready then.
    async fn start(
        &self,
        spec: &MachineSpec,
        cancel: &CancellationToken,
    ) -> Result<Box<dyn Machine>, Error>;

    /// Ends whatever still runs for a run folder, also after a crash of ours. "Not there" is
    /// success.
    async fn end(&self, run_dir: &Path) -> Result<(), Error>;

    /// Whether machines can be put on that bridge of the host. Those that have no real network can.
    async fn check_bridge(&self, _name: &str) -> Result<(), Error> {
        Ok(())
    }
}

/// A running machine. Dropping it kills it, as a second net; [`Machine::stop`] is the way.
#[async_trait]
pub trait Machine: Send + Sync {
    /// Waits until the guest answers over SSH with the right host key.
    ///
    /// A wrong key and the machine's end are errors at once; the deadline's error carries the last
    /// lines of the console. May be called again, for a further or a fresh connection.
    async fn connect(
        &self,
        access: &Access,
        deadline: Duration,
        cancel: &CancellationToken,
    ) -> Result<Box<dyn Guest>, Error>;

    /// Makes all drives continue on new overlays, and saves the RAM if asked to. The guest stands
    /// still meanwhile and does not notice.
    ///
    /// Afterwards nobody writes to the former files; they may be moved, and the caller brings them to
    /// the disk (`fsync`) while the guest goes on: after a package installation that takes seconds.
    /// The new overlays must stay where they are until they have been sealed themselves.
    async fn seal(&self, request: &Seal) -> Result<Sealed, Error>;

    /// Waits until the guest has powered off and QEMU has ended.
    async fn wait_off(&self, deadline: Duration) -> Result<(), Error>;

    /// Writes what the screen shows, as PNG.
    async fn screenshot(&self, path: &Path) -> Result<(), Error>;

    /// The last lines of the serial console, without control characters.
    fn serial_tail(&self, lines: usize) -> Vec<String>;

    /// Resolves when the machine ended for any reason, or cannot go on.
    fn gone(&self) -> WaitForCancellationFutureOwned;

    /// How it ended, once [`Machine::gone`] resolved.
    fn ended(&self) -> Option<Ended>;

    /// The loopback port that leads to a port of the guest.
    fn forwarded(&self, guest_port: u16) -> Option<u16>;

    /// Ends the machine: ACPI power button if `grace` is not zero, then QMP quit, then SIGKILL.
    /// Returns when the process is gone.
    async fn stop(&self, grace: Duration) -> Result<(), Error>;

    /// Lets the machine run on after this value, and this program, are gone.
    fn leave_running(&self);

    /// Plugs a machine on a bridge in. One that was resumed starts with its cable pulled, as it still
    /// believes in an address that may be another machine's by now: it sees the cable come back and asks
    /// for an address anew.
    async fn plug_in(&self) -> Result<(), Error>;
}

/// What [`Machine::seal`] is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seal {
    /// An overlay made beforehand (see [`crate::disk::create_overlay`]), of the same virtual size.
    /// The backing file in its header may be a path that comes into being only later.
    pub next_disk: PathBuf,
    /// The same for the UEFI variables; exactly when the machine has any.
    pub next_vars: Option<PathBuf>,
    /// The same for the data disks: one for each.
    pub next_data: Vec<PathBuf>,
    /// Where to save the RAM; the file must not exist.
    pub ram: Option<PathBuf>,
}

/// What came of a seal.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sealed {
    /// Bytes that the RAM file takes on the disk. `None` although it was asked for: saving failed
    /// (the reason is logged), the file is gone again, and the seal holds for the disks alone.
    pub ram_bytes: Option<u64>,
    /// How long the guest stood still.
    pub seconds: f64,
}
