//! The description of a machine.

use std::path::PathBuf;

use crate::{Access, Bridge, OsType, RamFile};

/// A machine to start. All paths are made absolute before QEMU sees them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineSpec {
    /// Shown in process lists. Characters other than letters, digits, `-`, `_` and `.` become `-`.
    pub name: String,
    /// Holds sockets, logs and the pid file. One machine per folder; the folder must exist.
    pub run_dir: PathBuf,
    /// The guest's system, for which the virtual hardware is chosen.
    pub os: OsType,
    /// Virtual processors.
    pub vcpus: u32,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// The firmware, which starts the guest's boot loader.
    pub firmware: Firmware,
    /// The OS disk: a qcow2 file that no other machine uses.
    pub disk: PathBuf,
    /// Data disks in the order of their LUNs: qcow2 files that no other machine uses.
    pub data: Vec<PathBuf>,
    /// The keys that the machine offers to its guest as systemd credentials (see
    /// [`crate::credentials`]); a guest that does not know them ignores them.
    pub access: Option<Access>,
    /// The medium that tells the guest what a machine is for: on Linux the NoCloud seed (see
    /// [`crate::seed`]), on Windows a CD. A resumed machine needs the same one.
    pub seed: Option<PathBuf>,
    /// Further CDs, from which an empty machine boots. Only the hardware for Windows has room for some.
    pub cds: Vec<PathBuf>,
    /// Forwarded ports: a loopback port of the host (0: any free port) and the guest's TCP port.
    pub forwards: Vec<(u16, u16)>,
    /// Attaches the machine to a bridge. The user-mode network then carries only the forwarded
    /// ports; the guest reaches nothing through it.
    pub bridge: Option<Bridge>,
    /// A RAM file that [`crate::Machine::seal`] wrote; without it the machine boots.
    pub resume_from: Option<RamFile>,
    /// Whether the machine's RAM may be saved when it is sealed. A device or disk format that
    /// cannot be saved (such as an overlay on a VHD or VMDK) is then an error at start.
    pub migratable: bool,
    /// Overrides the host's newest machine type. A resumed machine needs the original type.
    pub machine_type: Option<String>,
    /// The state folder of a virtual TPM, if the machine has one. An empty folder is a new TPM. Of no
    /// meaning when RAM is resumed, which holds the state; the folder must exist all the same.
    pub tpm: Option<PathBuf>,
    /// Overrides the host's CPU model.
    pub cpu_model: Option<String>,
}

/// The firmware of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Firmware {
    /// Generation 2.
    Uefi {
        /// The UEFI variables: a qcow2 file that no other machine uses.
        vars: PathBuf,
        /// Whether the firmware starts only signed boot loaders.
        secure_boot: bool,
    },
    /// Generation 1.
    Bios,
}
