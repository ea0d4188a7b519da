//! The interface that all guests have in common.

use std::{collections::BTreeMap, path::Path, time::Duration};

use async_trait::async_trait;
use images::error::Result;
use tokio::io::AsyncRead;
use tokio_util::sync::CancellationToken;
use vm::{Access, Exit, Guest, Machine, OsType, seed::Seed};

use crate::output::StepOutput;

/// A running machine and the connection to its guest.
#[derive(Clone, Copy)]
pub struct At<'a> {
    /// The machine, whose resets and console tell what the connection cannot.
    pub machine: &'a dyn Machine,
    /// The connection.
    pub guest: &'a dyn Guest,
    /// The keys that the connection was made with.
    pub access: &'a Access,
}

/// The part of the work in a guest that depends on its system.
#[async_trait]
pub trait System: Send + Sync {
    /// Which system it is.
    fn os_type(&self) -> OsType;

    /// New credentials for a machine of it.
    fn new_access(&self) -> Result<Access>;

    /// Writes the medium that tells a new machine what it is for, with mode 0600.
    async fn write_seed(
        &self,
        path: &Path,
        seed: &Seed<'_>,
        cancel: &CancellationToken,
    ) -> Result<()>;

    /// Completes the credentials of a new machine by what its guest says on the console: a
    /// certificate that it has made. The seed's `instance_id` proves that the guest was told to.
    async fn meet(
        &self,
        machine: &dyn Machine,
        access: Access,
        instance_id: &str,
        within: Within<'_>,
    ) -> Result<Access>;

    /// The version of what [`System::write_seed`] makes, for the first boot's key.
    fn seed_input(&self) -> String;

    /// The digest of what [`System::boot_ended`] does, for the first boot's key.
    fn ready_input(&self) -> String;

    /// The digest of what [`System::prepare`] does, for the first boot's key.
    fn prepare_input(&self) -> String;

    /// The digest of what [`System::name_data_disks`] does, for the first boot's key.
    fn data_disks_input(&self, disks: usize) -> String;

    /// The inputs of the generalized node's key.
    fn generalize_inputs(&self) -> BTreeMap<String, String>;

    /// The inputs of the optimized node's key.
    fn optimize_inputs(&self) -> BTreeMap<String, String>;

    /// Waits until the boot is over, so that it does not interfere with the first step. With
    /// `is_examined`, nothing on the disk may change.
    async fn boot_ended(&self, at: At<'_>, is_examined: bool) -> Result<Exit>;

    /// After a resume the clock shows the time of the seal, and two resumes of the same node would
    /// have the same random numbers. Corrects both; runs before anything else.
    async fn resumed(&self, at: At<'_>, resumed: Resumed<'_>) -> Result<Exit>;

    /// Does what a build needs of a first boot and nothing else has done.
    async fn prepare(&self, at: At<'_>, first: FirstBoot) -> Result<Exit>;

    /// Gives data disks the names or letters by which scripts find them.
    async fn name_data_disks(&self, at: At<'_>, disks: usize) -> Result<Exit>;

    /// Waits, within limits, until the guest has dropped the address of its unplugged network card.
    async fn unplugged(&self, at: At<'_>, mac: &str) -> Result<Exit>;

    /// Waits until the network card has an address. The caller limits the time.
    async fn addressed(&self, at: At<'_>, mac: &str) -> Result<Exit>;

    /// Writes everything to the disk, so that the disk can be sealed.
    async fn sync(&self, at: At<'_>) -> Result<Synced>;

    /// Copies a file into the guest. Its standard error goes to `out`.
    async fn copy(&self, at: At<'_>, copying: Copying<'_>, out: &mut StepOutput) -> Result<Copied>;

    /// Removes what makes the machine start slowly and its disk large.
    async fn optimize(&self, at: At<'_>, out: &mut StepOutput) -> Result<()>;

    /// Removes the identity of this machine and the traces of its build, and powers off. Returns
    /// when the guest has promised to power off; the machine's end is for the caller to await.
    async fn generalize(&self, at: At<'_>, traces: &Traces, out: &mut StepOutput) -> Result<()>;
}

/// The end of a wait.
#[derive(Clone, Copy)]
pub struct Within<'a> {
    /// How long it may take.
    pub limit: Duration,
    /// The run's token.
    pub cancel: &'a CancellationToken,
}

/// A machine that has booted for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FirstBoot {
    /// Whether its firmware is UEFI.
    pub uefi: bool,
    /// Whether its disk is larger than the source's, so that the root file system can grow.
    pub is_larger: bool,
    /// Whether it had a seed that gives it work to do.
    pub is_seeded: bool,
}

/// The data for a resumed guest.
#[derive(Clone, Copy)]
pub struct Resumed<'a> {
    /// Seconds since 1970.
    pub now: i64,
    /// Random bytes.
    pub entropy: &'a [u8],
}

/// The result of [`System::sync`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Synced {
    /// Everything is on the disk.
    Done,
    /// The guest is shutting down, or about to: its state must not be kept.
    Stopping,
    /// The guest could not do it.
    Failed(Exit),
}

/// A file to copy.
pub struct Copying<'a> {
    /// The content.
    pub content: &'a mut (dyn AsyncRead + Send + Unpin),
    /// Its size in bytes.
    pub bytes: u64,
    /// The file with the content, if there is one: a large one then may reach the guest without the connection.
    pub path: Option<&'a Path>,
    /// The path in the guest.
    pub destination: &'a str,
    /// How long it may take.
    pub limit: Duration,
}

/// The result of [`System::copy`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Copied {
    /// The guest has the file; its SHA-256 there, in lower-case hexadecimal.
    Arrived(String),
    /// The destination is a folder.
    IsFolder,
    /// The guest could not write it; the text completes "cannot write …: ".
    Failed(String),
}

/// The traces that generalization searches for, beside those of every build.
#[derive(Debug, Clone)]
pub struct Traces {
    /// MAC addresses of the build machine's cards.
    pub cards: Vec<String>,
}
