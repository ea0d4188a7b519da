//! Translates a machine's description into QEMU's arguments, without I/O.
//!
//! A change here changes the hardware that a saved RAM expects, so that nodes of an earlier
//! goldsmith cannot be resumed. Raise [`hardware::version`] with it, unless it concerns only the host.
//! What the guests' systems have in common is here, the rest in [`linux`] and [`windows`].
//!
//! # KVM
//!
//! The choices for KVM come from the documentation of QEMU 10.0. They have not been measured,
//! because the hosts of our tests have no KVM. Left at QEMU's defaults, for these reasons:
//!
//! - Paravirtual clock, steal time, end of interrupt and asynchronous page faults, and the interrupt
//!   controllers in the kernel: on, for every processor model. Linux takes kvm-clock, so that it
//!   needs no `invtsc`, which `-only-migratable` would reject.
//! - RAM is anonymous memory, for which QEMU requests huge pages from the kernel. A memfd or
//!   hugetlbfs would need an administrator, and write-protecting shared memory a newer kernel.
//!   `prealloc` would touch all of it before the guest boots, and a build never uses most of it.
//! - Network cards have one queue: more would need multi-queue taps, and the user network has only one.
//! - SMM: present, if KVM has it. Firmware without Secure Boot does not use it.
//! - `cpu-pm` would let an idle guest occupy a processor of the host.

use std::{
    io,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use crate::{Accel, Access, Bridge, Firmware, Host, MachineSpec, OsType, credentials, hardware};

mod firmware;
mod linux;
mod windows;

/// The QMP socket in the run folder. The folder is QEMU's working directory, because a socket's
/// path is limited to 107 bytes.
pub(crate) const QMP_SOCKET: &str = "qmp.sock";
/// The serial console's log in the run folder.
pub(crate) const SERIAL_LOG: &str = "serial.log";
/// The socket that QEMU sends the serial console to.
pub(crate) const SERIAL_SOCKET: &str = "serial.sock";
/// The pid file in the run folder. Its absolute path also identifies the process.
pub(crate) const PID_FILE: &str = "qemu.pid";

/// The CD drive for files that are copied into the guest; it is empty unless one is on its way.
pub(crate) const TRANSFER: &str = "transfer";
pub(crate) const NIC: &str = "nic";
/// The second network card of a machine on a bridge, through which goldsmith connects to it.
pub(crate) const CHANNEL: &str = "channel";
/// The MAC address of that card. It is constant, since only its own guest sees it.
pub const CHANNEL_MAC: &str = "02:67:00:00:00:01";
/// QEMU's default MAC address, which the only card of a machine without a bridge has.
pub const DEFAULT_MAC: &str = "52:54:00:12:34:56";
/// The guest's address on that card, from DHCP or from the seed. The network is reserved for
/// documentation, so that it does not collide with a real subnet. DHCP offers neither a gateway
/// nor a name server.
pub const CHANNEL_ADDRESS: &str = "192.0.2.15/24";
const CHANNEL_NET: &str = "192.0.2.0/24";

/// The node name of a drive; each seal increments the generation.
pub(crate) fn node(drive: &str, generation: u32) -> String {
    format!("{drive}-{generation}")
}

pub(crate) fn data_drive(lun: usize) -> String {
    format!("data{lun}")
}

/// A qcow2 drive that no other machine uses. With `takes_over`, QEMU does not open the backing
/// file of the header: the seal sets it.
///
/// Zeroes that the guest writes take no space. Guest flushes are ignored: the seal syncs what is
/// worth keeping, and an unsealed drive is discarded after a power failure anyway.
///
/// Data passes through the host's page cache, since most of what a step writes is read again by
/// the next ones and by the conversion. So `aio` stays at `threads`: `native` requires `direct`.
/// Whether `io_uring`, which many containers and a sysctl of the kernel switch off, is faster with
/// the page cache has not been measured. An I/O thread would relieve QEMU's main thread, which has
/// little else to do.
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

/// The hardware for one system.
pub(crate) trait Layout: Sync {
    /// Options of `-machine`. Merging equal pages of guests would split huge pages, and let one guest
    /// find out what is in the memory of another one.
    fn machine(&self) -> &'static str;

    /// The value of `-rtc`.
    fn clock(&self) -> &'static str;

    /// The driver of network cards.
    fn card(&self) -> &'static str;

    /// Whether its guests know systemd's credentials.
    fn knows_credentials(&self) -> bool;

    /// The OS disk, the seed, CDs and data disks.
    fn drives(&self, args: &mut Args, spec: &MachineSpec);

    /// Further devices.
    fn others(&self, args: &mut Args);

    /// One or two.
    fn serial_ports(&self) -> usize;

    /// How many CDs it has room for, beside the seed.
    fn most_cds(&self) -> usize;

    /// Whether it has the drive [`TRANSFER`].
    fn has_transfer(&self) -> bool;
}

/// The hardware for that system.
pub(crate) fn layout(os: OsType) -> &'static dyn Layout {
    match os {
        OsType::Linux => &linux::Linux,
        OsType::Windows => &windows::Windows,
    }
}

/// The arguments for one machine, without the program's name. Paths in the description must be
/// absolute.
pub fn arguments(host: &Host, spec: &MachineSpec) -> Vec<String> {
    let layout = layout(spec.os);
    let mut args = Args::default();
    args.flag("-nodefaults").flag("-no-user-config");
    if spec.migratable {
        args.flag("-only-migratable");
    }
    // Threads with names: a save of the RAM lets the guest go first.
    args.put("-name", format!("goldsmith-{},debug-threads=on", safe_name(&spec.name)));
    args.put("-pidfile", spec.run_dir.join(PID_FILE).to_string_lossy());
    args.put("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
    processor(&mut args, host, spec, layout);
    if offered(spec).is_some() {
        for file in credentials::FILES {
            args.put("-smbios", format!("type=11,path={file}"));
        }
    }
    firmware::drives(&mut args, host, spec);
    layout.drives(&mut args, spec);
    network(&mut args, spec, layout.card());
    layout.others(&mut args);
    args.put("-device", "vmgenid,guid=auto");
    args.device("VGA", "vga0,bus=pcie.0,addr=0x6");
    firmware::tpm(&mut args, spec);
    args.put("-display", "none");
    for port in 0..layout.serial_ports() {
        args.put("-chardev", format!("socket,id=serial{port},path={SERIAL_SOCKET}"));
        args.put("-serial", format!("chardev:serial{port}"));
    }
    args.put("-chardev", format!("socket,id=qmp0,path={QMP_SOCKET},server=on,wait=off"));
    args.put("-mon", "chardev=qmp0,mode=control");
    if spec.resume_from.is_some() {
        args.put("-incoming", "defer");
    }
    args.0
}

/// The keys that the guest is offered as systemd's credentials.
pub(crate) fn offered(spec: &MachineSpec) -> Option<&Access> {
    spec.access.as_ref().filter(|_| layout(spec.os).knows_credentials())
}

fn processor(args: &mut Args, host: &Host, spec: &MachineSpec, layout: &dyn Layout) {
    let machine = spec.machine_type.as_deref().unwrap_or(&host.machine_type);
    let (options, firmware) = (layout.machine(), firmware::machine(spec));
    args.put("-machine", format!("{machine},{options}{firmware}"));
    args.put(
        "-accel",
        match host.accel {
            Accel::Kvm => "kvm",
            Accel::Tcg { .. } => "tcg,thread=multi,tb-size=512",
        },
    );
    let cpu = spec.cpu_model.as_deref().unwrap_or(&host.cpu_model);
    args.put("-cpu", format!("{cpu}{}", hardware::cpu_features(spec.os, host.accel == Accel::Kvm)));
    args.put("-smp", spec.vcpus.to_string());
    args.put("-m", format!("{}M", spec.memory_mib));
    args.put("-rtc", layout.clock());
}

pub(crate) fn read_only(node_name: &str, path: &Path) -> Value {
    let file = json!({ "driver": "file", "filename": path });
    json!({ "driver": "raw", "node-name": node_name, "read-only": true, "file": file })
}

/// The network card through which goldsmith connects to the guest.
pub(crate) fn contact_card(spec: &MachineSpec) -> &'static str {
    if spec.bridge.is_some() { CHANNEL } else { NIC }
}

/// The guest can connect out; inbound connections come only from this host's loopback. IPv6 is
/// off: guests would try it first, and most hosts do not route it.
fn network(args: &mut Args, spec: &MachineSpec, driver: &str) {
    let forwards: String = spec
        .forwards
        .iter()
        .map(|(host, guest)| format!(",hostfwd=tcp:127.0.0.1:{host}-:{guest}"))
        .collect();
    if let Some(bridge) = &spec.bridge {
        return on_bridge(args, bridge, &forwards, driver);
    }
    args.put("-netdev", format!("user,id=net0,ipv6=off{forwards}"));
    // Without the card's ROM, which would only try to boot from the network.
    args.device(driver, &format!("{NIC},bus=pcie.0,addr=0x4,netdev=net0,romfile="));
}

/// The bridge replaces the first card, so that the guest gives it the same name. The second card is
/// the channel, on which the guest can answer but not open connections.
///
/// Without `vhost`, whose device only administrators may open on many hosts. Its kernel thread also
/// writes to the guest's RAM on its own, which has not been tried while RAM is saved.
fn on_bridge(args: &mut Args, bridge: &Bridge, forwards: &str, driver: &str) {
    let (tap, mac) = (&bridge.tap, &bridge.mac);
    args.put("-netdev", format!("tap,id=net0,ifname={tap},script=no,downscript=no"));
    let card = format!("{NIC},bus=pcie.0,addr=0x4,netdev=net0,mac={mac},romfile=");
    args.device(driver, &card);
    let channel = format!("user,id=net1,ipv6=off,restrict=on,net={CHANNEL_NET}{forwards}");
    args.put("-netdev", channel);
    let card = format!("{CHANNEL},bus=pcie.0,addr=0x8,netdev=net1,mac={CHANNEL_MAC},romfile=");
    args.device(driver, &card);
}

/// The arguments so far.
#[derive(Default)]
pub(crate) struct Args(Vec<String>);

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

pub(crate) fn absolute(spec: &MachineSpec) -> io::Result<MachineSpec> {
    let mut spec = spec.clone();
    let fix = |path: &mut PathBuf| -> io::Result<()> {
        *path = std::path::absolute(&*path)?;
        Ok(())
    };
    fix(&mut spec.run_dir)?;
    fix(&mut spec.disk)?;
    if let Firmware::Uefi { vars, .. } = &mut spec.firmware {
        fix(vars)?;
    }
    let ram = spec.resume_from.as_mut().map(|ram| &mut ram.path);
    let others = spec.seed.iter_mut().chain(ram).chain(&mut spec.tpm).chain(&mut spec.cds);
    for path in others.chain(&mut spec.data) {
        fix(path)?;
    }
    Ok(spec)
}

#[cfg(test)]
pub(crate) mod tests;
