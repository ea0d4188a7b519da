//! The hardware for Linux: virtio throughout. Each disk has a queue per vCPU.
//!
//! It has an HPET, from which Linux reads its clock under emulation. `driftfix` is for guests that count
//! the ticks of the RTC, which Linux does not.

use super::{Args, Layout, data_drive, drive, node, read_only};
use crate::MachineSpec;

pub(crate) struct Linux;

impl Layout for Linux {
    fn machine(&self) -> &'static str {
        "vmport=off,sata=off,dump-guest-core=off,mem-merge=off"
    }

    fn clock(&self) -> &'static str {
        "base=utc"
    }

    fn card(&self) -> &'static str {
        "virtio-net-pci"
    }

    fn knows_credentials(&self) -> bool {
        true
    }

    fn drives(&self, args: &mut Args, spec: &MachineSpec) {
        args.blockdev(&drive(&node("disk", 0), &spec.disk, false));
        let disk = node("disk", 0);
        args.device(
            "virtio-blk-pci",
            &format!("disk,bus=pcie.0,addr=0x2,drive={disk},bootindex=0"),
        );
        if let Some(seed) = &spec.seed {
            args.blockdev(&read_only("seed", seed));
            args.device("virtio-blk-pci", "seed,bus=pcie.0,addr=0x3,drive=seed");
        }
        data_disks(args, spec);
    }

    fn others(&self, args: &mut Args) {
        args.device("virtio-rng-pci", "rng0,bus=pcie.0,addr=0x5");
    }

    fn serial_ports(&self) -> usize {
        1
    }

    fn most_cds(&self) -> usize {
        0
    }

    fn has_transfer(&self) -> bool {
        false
    }
}

/// SCSI disks behind one controller, so that each has the LUN it has in Azure. A machine without
/// data disks has no controller.
fn data_disks(args: &mut Args, spec: &MachineSpec) {
    if spec.data.is_empty() {
        return;
    }
    args.device("virtio-scsi-pci", "scsi0,bus=pcie.0,addr=0x7");
    for (lun, path) in spec.data.iter().enumerate() {
        let (name, drive_node) = (data_drive(lun), node(&data_drive(lun), 0));
        args.blockdev(&drive(&drive_node, path, false));
        let address = format!("bus=scsi0.0,channel=0,scsi-id=0,lun={lun}");
        args.device("scsi-hd", &format!("{name},{address},drive={drive_node},serial={name}"));
    }
}
