//! From a machine's description to QEMU's arguments; pure.
//!
//! Whatever is changed here changes what a saved RAM expects, so nodes of an earlier goldsmith
//! cannot be resumed: raise [`LAYOUT`](crate::spec::LAYOUT) with it.

use std::{
    io,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use crate::{Accel, Bridge, Firmware, Host, MachineSpec};

/// The QMP socket in the run folder. QEMU works in there, as a socket's path may only have 107
/// bytes.
pub(crate) const QMP_SOCKET: &str = "qmp.sock";
/// The serial console's log in the run folder.
pub(crate) const SERIAL_LOG: &str = "serial.log";
/// The socket that QEMU sends the serial console to.
pub(crate) const SERIAL_SOCKET: &str = "serial.sock";
/// The process id in the run folder; its absolute path also marks the process.
pub(crate) const PID_FILE: &str = "qemu.pid";

/// The network card.
pub(crate) const NIC: &str = "nic";
/// The second card of a machine on a bridge, by which it is reached from here.
pub(crate) const CHANNEL: &str = "channel";
/// Its hardware address. Always the same, as it is seen by nobody but its guest.
pub const CHANNEL_MAC: &str = "02:67:00:00:00:01";
/// What QEMU gives the one card of a machine without a bridge.
pub const DEFAULT_MAC: &str = "52:54:00:12:34:56";
/// The guest's address there, as it is asked for by DHCP or set by the seed. The network is one that
/// is reserved for documentation, so that no subnet is in its way; no gateway and no name server
/// are given out.
pub const CHANNEL_ADDRESS: &str = "192.0.2.15/24";
/// The network of the channel.
const CHANNEL_NET: &str = "192.0.2.0/24";

/// Node names of the drives; each seal adds one to the generation.
pub(crate) fn node(drive: &str, generation: u32) -> String {
    format!("{drive}-{generation}")
}

/// The name of the data disk with that LUN among the drives.
pub(crate) fn data_drive(lun: usize) -> String {
    format!("data{lun}")
}

/// A qcow2 drive of the machine's own. `sealed` ones get no backing file from their header: it is
/// put in by the seal.
///
/// Zeroes that the guest writes take no room. Flushes of the guest are not waited for. What is kept is written to the disk when it is sealed,
/// and what is not sealed is worth nothing after a power failure.
pub(crate) fn drive(node_name: &str, path: &Path, takes_over: bool) -> Value {
    let cache = json!({ "direct": false, "no-flush": true });
    let mut drive = json!({
        "driver": "qcow2",
        "node-name": node_name,
        "discard": "unmap",
        "detect-zeroes": "unmap",
        "cache": cache,
        "file": { "driver": "file", "filename": path, "discard": "unmap", "cache": cache },
    });
    if takes_over {
        drive["backing"] = Value::Null;
    }
    drive
}

/// The arguments for one machine, without the program itself. Paths in the description must be
/// absolute.
pub fn arguments(host: &Host, spec: &MachineSpec) -> Vec<String> {
    let mut args = Args::default();
    args.flag("-nodefaults").flag("-no-user-config");
    if spec.migratable {
        args.flag("-only-migratable");
    }
    args.put("-name", format!("goldsmith-{}", safe_name(&spec.name)));
    args.put("-pidfile", spec.run_dir.join(PID_FILE).to_string_lossy());
    args.put("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
    processor(&mut args, host, spec);
    drives(&mut args, host, spec);
    network(&mut args, spec);
    args.device("virtio-rng-pci", "rng0,bus=pcie.0,addr=0x5");
    args.put("-device", "vmgenid,guid=auto");
    args.device("VGA", "vga0,bus=pcie.0,addr=0x6");
    args.put("-display", "none");
    args.put("-chardev", format!("socket,id=serial0,path={SERIAL_SOCKET}"));
    args.put("-serial", "chardev:serial0");
    args.put("-chardev", format!("socket,id=qmp0,path={QMP_SOCKET},server=on,wait=off"));
    args.put("-mon", "chardev=qmp0,mode=control");
    if spec.resume_from.is_some() {
        args.put("-incoming", "defer");
    }
    args.0
}

fn processor(args: &mut Args, host: &Host, spec: &MachineSpec) {
    let machine = spec.machine_type.as_deref().unwrap_or(&host.machine_type);
    let flash = match spec.firmware {
        Firmware::Uefi { .. } => format!(",pflash0=code,pflash1={}", node("vars", 0)),
        Firmware::Bios => String::new(),
    };
    args.put("-machine", format!("{machine},vmport=off,sata=off,dump-guest-core=off{flash}"));
    args.put(
        "-accel",
        match host.accel {
            Accel::Kvm => "kvm",
            Accel::Tcg { .. } => "tcg,thread=multi,tb-size=512",
        },
    );
    args.put("-cpu", spec.cpu_model.as_deref().unwrap_or(&host.cpu_model));
    args.put("-smp", spec.vcpus.to_string());
    args.put("-m", format!("{}M", spec.memory_mib));
    args.put("-rtc", "base=utc");
}

fn drives(args: &mut Args, host: &Host, spec: &MachineSpec) {
    if let Firmware::Uefi { vars } = &spec.firmware {
        let code = host.uefi.as_ref().map_or(Path::new(""), |uefi| &uefi.code);
        args.blockdev(&read_only("code", code));
        args.blockdev(&drive(&node("vars", 0), vars, false));
    }
    args.blockdev(&drive(&node("disk", 0), &spec.disk, false));
    let disk = node("disk", 0);
    args.device("virtio-blk-pci", &format!("disk,bus=pcie.0,addr=0x2,drive={disk},bootindex=0"));
    if let Some(seed) = &spec.seed {
        args.blockdev(&read_only("seed", seed));
        args.device("virtio-blk-pci", "seed,bus=pcie.0,addr=0x3,drive=seed");
    }
    data_disks(args, spec);
}

/// SCSI disks behind one controller, since that gives each the LUN it has in Azure; a machine without
/// them has no controller either.
fn data_disks(args: &mut Args, spec: &MachineSpec) {
    if spec.data.is_empty() {
        return;
    }
    args.device("virtio-scsi-pci", "scsi0,bus=pcie.0,addr=0x7");
    for (lun, path) in spec.data.iter().enumerate() {
        let (name, drive_node) = (data_drive(lun), node(&data_drive(lun), 0));
        args.blockdev(&drive(&drive_node, path, false));
        let place = format!("bus=scsi0.0,channel=0,scsi-id=0,lun={lun}");
        args.device("scsi-hd", &format!("{name},{place},drive={drive_node},serial={name}"));
    }
}

fn read_only(node_name: &str, path: &Path) -> Value {
    let file = json!({ "driver": "file", "filename": path });
    json!({ "driver": "raw", "node-name": node_name, "read-only": true, "file": file })
}

/// The card that is reached from here.
pub(crate) fn reached_card(spec: &MachineSpec) -> &'static str {
    if spec.bridge.is_some() { CHANNEL } else { NIC }
}

/// Out yes, in only from this host's loopback. No IPv6, as it would lead nowhere on most hosts and
/// be tried first.
fn network(args: &mut Args, spec: &MachineSpec) {
    let forwards: String = spec
        .forwards
        .iter()
        .map(|(host, guest)| format!(",hostfwd=tcp:127.0.0.1:{host}-:{guest}"))
        .collect();
    if let Some(bridge) = &spec.bridge {
        return on_bridge(args, bridge, &forwards);
    }
    args.put("-netdev", format!("user,id=net0,ipv6=off{forwards}"));
    // Without its ROM, which would only try to boot from the network.
    args.device("virtio-net-pci", &format!("{NIC},bus=pcie.0,addr=0x4,netdev=net0,romfile="));
}

/// The bridge in the place of the one card, so that the guest calls it the same; and the channel,
/// where the guest can answer and begin nothing.
fn on_bridge(args: &mut Args, bridge: &Bridge, forwards: &str) {
    let (tap, mac) = (&bridge.tap, &bridge.mac);
    args.put("-netdev", format!("tap,id=net0,ifname={tap},script=no,downscript=no"));
    let card = format!("{NIC},bus=pcie.0,addr=0x4,netdev=net0,mac={mac},romfile=");
    args.device("virtio-net-pci", &card);
    let channel = format!("user,id=net1,ipv6=off,restrict=on,net={CHANNEL_NET}{forwards}");
    args.put("-netdev", channel);
    let card = format!("{CHANNEL},bus=pcie.0,addr=0x8,netdev=net1,mac={CHANNEL_MAC},romfile=");
    args.device("virtio-net-pci", &card);
}

#[derive(Default)]
struct Args(Vec<String>);

impl Args {
    fn flag(&mut self, flag: &str) -> &mut Self {
        self.0.push(flag.to_owned());
        self
    }

    fn put(&mut self, flag: &str, value: impl Into<String>) {
        self.0.extend([flag.to_owned(), value.into()]);
    }

    fn blockdev(&mut self, node: &Value) {
        self.put("-blockdev", node.to_string());
    }

    fn device(&mut self, driver: &str, id_and_options: &str) {
        self.put("-device", format!("{driver},id={id_and_options}"));
    }
}

fn safe_name(name: &str) -> String {
    name.chars()
        .map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' })
        .collect()
}

/// The same description with absolute paths.
pub(crate) fn absolute(spec: &MachineSpec) -> io::Result<MachineSpec> {
    let mut spec = spec.clone();
    let fix = |path: &mut PathBuf| -> io::Result<()> {
        *path = std::path::absolute(&*path)?;
        Ok(())
    };
    fix(&mut spec.run_dir)?;
    fix(&mut spec.disk)?;
    if let Firmware::Uefi { vars } = &mut spec.firmware {
        fix(vars)?;
    }
    let others = [&mut spec.seed, &mut spec.resume_from].into_iter().flatten();
    for path in others.chain(&mut spec.data) {
        fix(path)?;
    }
    Ok(spec)
}

#[cfg(test)]
mod tests;
