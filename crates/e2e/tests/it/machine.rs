//! Machines that tests start themselves.

use std::path::Path;

use vm::{Answer, Bounded, Firmware, Guest, Host, MachineSpec, Stdin, disk};

/// The most that a test reads from a guest.
const LIMIT: usize = 64 << 20;

/// A machine of two processors on the overlays in `dir`.
pub(crate) fn spec(dir: &Path, memory_mib: u64) -> MachineSpec {
    MachineSpec {
        name: "test".into(),
        run_dir: dir.to_owned(),
        os: vm::OsType::Linux,
        vcpus: 2,
        memory_mib,
        firmware: Firmware::Uefi { vars: dir.join("vars.qcow2"), secure_boot: false },
        disk: dir.join("disk.qcow2"),
        data: Vec::new(),
        seed: None,
        cds: Vec::new(),
        forwards: vec![(0, 22)],
        bridge: None,
        access: None,
        resume_from: None,
        migratable: true,
        machine_type: None,
        tpm: None,
        cpu_model: None,
    }
}

/// Creates overlays in `dir` on the files of the machine in `below`.
pub(crate) async fn overlays(host: &Host, dir: &Path, below: &Path) {
    for name in ["disk.qcow2", "vars.qcow2"] {
        let size = disk::info(host, &below.join(name), Some("qcow2")).await.unwrap();
        let (path, below) = (dir.join(name), below.join(name));
        disk::create_overlay(host, &path, &below, size.virtual_size).await.unwrap();
    }
}

/// The output of a command that succeeds.
pub(crate) async fn run(guest: &dyn Guest, command: &str, stdin: Stdin<'_>) -> String {
    let mut answer = Answer { out: Bounded::new(LIMIT), ..Answer::default() };
    let exit = guest.run(command, stdin, &mut answer).await.unwrap();
    assert!(exit.success(), "{exit}: {}", answer.err.text());
    answer.out.text()
}
