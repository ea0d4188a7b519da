//! What a machine has.

use std::path::PathBuf;

/// The version of the hardware that QEMU's arguments describe ([`crate::args`]). RAM that was saved
/// with another one cannot be resumed.
pub(crate) const LAYOUT: u32 = 1;

/// A machine to start. All paths are made absolute before QEMU sees them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineSpec {
    /// Shown in process lists; letters, digits, `-`, `_` and `.` survive, the rest becomes `-`.
    pub name: String,
    /// Sockets, logs and the pid file go here. One machine per folder; the folder exists.
    pub run_dir: PathBuf,
    /// Virtual processors.
    pub vcpus: u32,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// What starts the guest's boot loader.
    pub firmware: Firmware,
    /// The disk: a qcow2 file of the machine's own.
    pub disk: PathBuf,
    /// Data disks, in the order of their LUNs: qcow2 files of the machine's own.
    pub data: Vec<PathBuf>,
    /// The NoCloud seed; see [`crate::seed`]. A resumed machine needs the same one.
    pub seed: Option<PathBuf>,
    /// Loopback ports of the host (0: any free one) and the guest's TCP ports they lead to.
    pub forwards: Vec<(u16, u16)>,
    /// Puts the machine on a bridge. The user-mode network is then a channel for the forwards alone:
    /// the guest reaches nothing through it.
    pub bridge: Option<Bridge>,
    /// A RAM file made by [`crate::Machine::seal`]; without it the machine boots.
    pub resume_from: Option<PathBuf>,
    /// Whether it may be sealed with its RAM: a device or disk format that cannot be saved is then an
    /// error at start. Disks below a VHD or VMDK cannot.
    pub migratable: bool,
    /// Overrides the host's newest machine type, as a resumed machine must.
    pub machine_type: Option<String>,
    /// Overrides the host's CPU model.
    pub cpu_model: Option<String>,
}

/// A place on a bridge of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bridge {
    /// The bridge device; it is there already.
    pub name: String,
    /// The tap device that is made for the machine (see [`crate::tap`]); whoever names it removes it.
    pub tap: String,
    /// The guest's hardware address on that network, as `02:00:00:00:00:00`.
    pub mac: String,
}

/// The firmware of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Firmware {
    /// Generation 2.
    Uefi {
        /// The variables: a qcow2 file of the machine's own.
        vars: PathBuf,
    },
    /// Generation 1.
    Bios,
}
