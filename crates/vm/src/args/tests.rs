use insta::assert_snapshot;

use super::*;
use crate::{
    Access, RamFile, RamFormat,
    host::{UefiFirmware, Version},
};

pub(crate) fn host(accel: Accel) -> Host {
    Host {
        qemu: "/usr/bin/qemu-system-x86_64".into(),
        qemu_img: "/usr/bin/qemu-img".into(),
        version: Version { major: 10, minor: 0, micro: 2 },
        accel,
        machine_type: "pc-q35-10.0".into(),
        cpu_model: "max".into(),
        uefi: Some(UefiFirmware { code: "/fw/CODE.fd".into(), vars: "/fw/VARS.fd".into() }),
        secure_uefi: Some(UefiFirmware {
            code: "/fw/SECURE.fd".into(),
            vars: "/fw/VARS.ms.fd".into(),
        }),
        bios: true,
        cpus: 2,
        memory_mib: 8192,
        has_mapped_ram: true,
        cpu_identity: String::new(),
    }
}

#[test]
fn named_cpu_model_is_used_and_part_of_keys() {
    let named = Host {
        cpu_model: "Haswell-noTSX".into(),
        cpu_identity: "GenuineIntel/6/63/2/0x49/fpu".into(),
        ..host(Accel::Kvm)
    };
    let updated = Host { cpu_identity: "GenuineIntel/6/63/2/0x50/fpu new".into(), ..named.clone() };
    assert!(lines(&named, &spec()).contains("\n-cpu Haswell-noTSX\n"));
    assert_eq!(
        (named.guest_cpu(OsType::Linux), updated.guest_cpu(OsType::Linux)),
        ("Haswell-noTSX".into(), "Haswell-noTSX".into())
    );
    assert_ne!(named.ram_identity(OsType::Linux), updated.ram_identity(OsType::Linux));

    let all = |host: &Host| Host { cpu_model: "host".into(), ..host.clone() };
    assert_eq!(all(&named).guest_cpu(OsType::Linux), "host GenuineIntel/6/63/2/0x49/fpu");
    assert_ne!(all(&named).guest_cpu(OsType::Linux), all(&updated).guest_cpu(OsType::Linux));
}

fn spec() -> MachineSpec {
    MachineSpec {
        name: "web server/1".into(),
        run_dir: "/data/runs/1".into(),
        os: OsType::Linux,
        vcpus: 2,
        memory_mib: 2048,
        firmware: Firmware::Uefi { vars: "/data/runs/1/vars.qcow2".into(), secure_boot: false },
        disk: "/data/runs/1/disk.qcow2".into(),
        data: Vec::new(),
        access: None,
        seed: Some("/data/runs/1/seed.img".into()),
        cds: Vec::new(),
        forwards: vec![(0, 22)],
        bridge: None,
        resume_from: None,
        migratable: true,
        machine_type: None,
        tpm: None,
        cpu_model: None,
    }
}

fn lines(host: &Host, spec: &MachineSpec) -> String {
    let mut text = String::new();
    for arg in arguments(host, spec) {
        text.push_str(if arg.starts_with('-') { "\n" } else { " " });
        text.push_str(&arg);
    }
    text
}

#[test]
fn uefi_machine_under_emulation() {
    let host = host(Accel::Tcg { why: "test".into() });
    assert_snapshot!(lines(&host, &spec()));
}

#[test]
fn bios_machine_under_kvm_resumed() {
    let spec = MachineSpec {
        firmware: Firmware::Bios,
        seed: None,
        forwards: vec![(8080, 80), (0, 22)],
        resume_from: Some(RamFile { path: "/data/nodes/a/ram".into(), format: RamFormat::Stream }),
        machine_type: Some("pc-q35-9.2".into()),
        cpu_model: Some("host".into()),
        ..spec()
    };
    assert_snapshot!(lines(&host(Accel::Kvm), &spec));
}

#[test]
fn credentials_are_named_but_not_shown_in_the_arguments() {
    let host = host(Accel::Tcg { why: "test".into() });
    let plain = lines(&host, &spec());
    let access = Access::generate("builder").unwrap();
    let offered = lines(&host, &MachineSpec { access: Some(access), ..spec() });
    let more: Vec<&str> = offered.lines().filter(|line| !plain.contains(line)).collect();
    let files = ["-smbios type=11,path=sysusers.smbios", "-smbios type=11,path=tmpfiles.smbios"];
    assert_eq!(more, files);
}

#[test]
fn machine_on_a_bridge_has_a_second_card_for_the_channel() {
    let bridge = Bridge {
        name: "br0".into(),
        tap: "gs0123456789ab".into(),
        mac: "02:67:0a:0b:0c:0d".into(),
    };
    let host = host(Accel::Tcg { why: "test".into() });
    let plain = lines(&host, &spec());
    let bridged = lines(&host, &MachineSpec { bridge: Some(bridge), ..spec() });
    let more: Vec<&str> = bridged.lines().filter(|line| !plain.contains(line)).collect();
    assert_eq!(
        more,
        [
            "-netdev tap,id=net0,ifname=gs0123456789ab,script=no,downscript=no",
            "-device virtio-net-pci,id=nic,bus=pcie.0,addr=0x4,netdev=net0,mac=02:67:0a:0b:0c:0d,romfile=",
            "-netdev user,id=net1,ipv6=off,restrict=on,net=192.0.2.0/24,hostfwd=tcp:127.0.0.1:0-:22",
            "-device virtio-net-pci,id=channel,bus=pcie.0,addr=0x8,netdev=net1,mac=02:67:00:00:00:01,romfile=",
        ]
    );
    let less: Vec<&str> = plain.lines().filter(|line| !bridged.contains(line)).collect();
    assert_eq!(less.len(), 2, "only the card and its network: {less:?}");
}

#[test]
fn data_disk_lun_is_its_position() {
    let data = vec!["/data/runs/1/data0.qcow2".into(), "/data/runs/1/data1.qcow2".into()];
    let with = lines(&host(Accel::Kvm), &MachineSpec { data, ..spec() });
    let without = lines(&host(Accel::Kvm), &spec());
    let common: Vec<&str> = without.lines().collect();
    let added: Vec<&str> = with.lines().filter(|line| !common.contains(line)).collect();
    assert_snapshot!(added.join("\n"));
    assert_eq!(with.lines().count(), common.len() + added.len(), "nothing else is changed");
}

#[test]
fn drive_that_takes_over_has_no_backing() {
    let taking = drive("disk-1", Path::new("/d,1"), true);
    assert_eq!(taking.get("backing"), Some(&Value::Null));
    assert_eq!(drive("disk-0", Path::new("/d"), false).get("backing"), None);
}

#[test]
fn absolute_rewrites_relative_paths() {
    let fixed = absolute(&MachineSpec { disk: "disk.qcow2".into(), ..spec() }).unwrap();
    assert_eq!(fixed.disk, std::env::current_dir().unwrap().join("disk.qcow2"));
    assert_eq!(fixed.run_dir, spec().run_dir);
}

fn windows() -> MachineSpec {
    MachineSpec {
        os: OsType::Windows,
        seed: Some("/data/runs/1/seed.iso".into()),
        access: Some(Access::generate("builder").unwrap()),
        forwards: crate::guest::forwards(OsType::Windows),
        ..spec()
    }
}

#[test]
fn windows_machine_under_emulation() {
    let host = host(Accel::Tcg { why: "test".into() });
    assert_snapshot!(lines(&host, &windows()));
}

#[test]
fn windows_machine_with_secure_boot_tpm_cds_and_data_disks_under_kvm() {
    let data = (0..7).map(|lun| format!("/data/runs/1/data{lun}.qcow2").into()).collect();
    let spec = MachineSpec {
        firmware: Firmware::Uefi { vars: "/data/runs/1/vars.qcow2".into(), secure_boot: true },
        tpm: Some("/data/runs/1/tpm".into()),
        cds: vec!["/isos/windows.iso".into()],
        data,
        ..windows()
    };
    assert_snapshot!(lines(&host(Accel::Kvm), &spec));
}

#[test]
fn each_system_has_a_processor_and_a_saved_ram_of_its_own() {
    let kvm = host(Accel::Kvm);
    assert_eq!(kvm.guest_cpu(OsType::Linux), "max");
    assert!(kvm.guest_cpu(OsType::Windows).starts_with("max,hv-relaxed,"));
    assert_eq!(kvm.ram_identity(OsType::Linux), "qemu-10.0.2 kvm layout-1");
    assert_eq!(kvm.ram_identity(OsType::Windows), "qemu-10.0.2 kvm layout-windows-1");
    let tcg = host(Accel::Tcg { why: "test".into() });
    assert_eq!(tcg.guest_cpu(OsType::Windows), "max");
}
