//! The hardware for Windows: devices that every edition since Windows 8 and Server 2012 has drivers
//! for.
//!
//! Not measured, because the hosts of our tests have no licensed Windows; these are the choices of
//! virt-install and of people who build such images:
//!
//! - Disks and CDs on AHCI. A virtio disk needs a driver that was bound before the disk became the
//!   boot disk; images from Azure have only Hyper-V's.
//! - One more CD drive is always there and usually empty: files that are too large for the connection come
//!   on media that QMP puts in. It has the last port of the controller.
//! - [`CARD`] is `e1000e`; `e1000` is the alternative, for editions that lack its driver.
//! - No HPET, whose interrupts cost Windows much. It counts the ticks of the RTC instead, which
//!   `driftfix` repeats when they came late.
//! - The clock is in UTC, which needs the time zone UTC or the setting `RealTimeIsUniversal`.
//! - Two serial ports: images from Azure may give the first one to the emergency console (EMS), and Windows
//!   then hides it from programs.

use super::{Args, Layout, TRANSFER, data_drive, drive, node, read_only};
use crate::MachineSpec;

pub(crate) struct Windows;

const CARD: &str = "e1000e";
/// Ports of an AHCI controller. The chipset's has the OS disk and the CDs.
const PORTS: usize = 6;
/// The chipset's ports that are left beside the OS disk, the seed and the drive for transfers.
const MOST_CDS: usize = PORTS - 3;
/// The slot of the first controller for data disks. There is room for Azure's 64 disks.
const DATA_SLOT: usize = 0x10;

impl Layout for Windows {
    fn machine(&self) -> &'static str {
        "vmport=off,hpet=off,dump-guest-core=off,mem-merge=off"
    }

    fn clock(&self) -> &'static str {
        "base=utc,driftfix=slew"
    }

    fn card(&self) -> &'static str {
        CARD
    }

    fn knows_credentials(&self) -> bool {
        false
    }

    fn drives(&self, args: &mut Args, spec: &MachineSpec) {
        let disk = node("disk", 0);
        args.blockdev(&drive(&disk, &spec.disk, false));
        // A rotation rate of 1 stands for a disk without rotation: Windows trims such disks.
        args.device("ide-hd", &format!("disk,bus=ide.0,drive={disk},rotation_rate=1,bootindex=0"));
        if let Some(seed) = &spec.seed {
            args.blockdev(&read_only("seed", seed));
            args.device("ide-cd", "seed,bus=ide.1,drive=seed");
        }
        for (number, cd) in spec.cds.iter().enumerate() {
            let (name, port, order) = (format!("cd{number}"), number + 2, number + 1);
            args.blockdev(&read_only(&name, cd));
            args.device("ide-cd", &format!("{name},bus=ide.{port},drive={name},bootindex={order}"));
        }
        args.device("ide-cd", &format!("{TRANSFER},bus=ide.{}", PORTS - 1));
        data_disks(args, spec);
    }

    fn others(&self, _: &mut Args) {}

    fn serial_ports(&self) -> usize {
        2
    }

    fn most_cds(&self) -> usize {
        MOST_CDS
    }

    fn has_transfer(&self) -> bool {
        true
    }
}

/// In the order of their LUNs, six for each controller.
fn data_disks(args: &mut Args, spec: &MachineSpec) {
    for (lun, path) in spec.data.iter().enumerate() {
        let (number, port) = (lun / PORTS, lun % PORTS);
        if port == 0 {
            let slot = DATA_SLOT + number;
            args.device("ich9-ahci", &format!("sata{number},bus=pcie.0,addr={slot:#x}"));
        }
        let (name, drive_node) = (data_drive(lun), node(&data_drive(lun), 0));
        args.blockdev(&drive(&drive_node, path, false));
        let place = format!("bus=sata{number}.{port},drive={drive_node}");
        args.device("ide-hd", &format!("{name},{place},rotation_rate=1,serial={name}"));
    }
}
