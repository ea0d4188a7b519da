//! The hardware for Windows without a Windows: firmware with Secure Boot, a TPM, a CD, all disks. It
//! proves that all of it can be saved and resumed.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio_util::sync::CancellationToken;
use vm::{
    Accel, Access, Door, Error, Firmware, Host, Machine, MachineSpec, OsType, Qemu, RamFile,
    SaveRam, Seal, WindowsAccess,
    answer_cd::{self, CdFile},
    disk,
};

use crate::machine;

const DISK: u64 = 64 << 20;
const DISKS: [&str; 2] = ["disk.qcow2", "data0.qcow2"];
/// The CD with a file, in the run folder.
const MEDIUM: &str = "transfer.iso";
/// The file of swtpm with what a TPM keeps.
const STATE: &str = "tpm2-00.permall";

fn spec(dir: &Path, seed: &Path, resume_from: Option<RamFile>) -> MachineSpec {
    MachineSpec {
        os: OsType::Windows,
        firmware: Firmware::Uefi { vars: dir.join("vars.qcow2"), secure_boot: true },
        tpm: Some(dir.join("tpm")),
        data: vec![dir.join("data0.qcow2")],
        seed: Some(seed.to_owned()),
        cds: vec![seed.to_owned()],
        resume_from,
        forwards: vm::guest::forwards(OsType::Windows),
        ..machine::spec(dir, 256)
    }
}

/// Empty disks, and the variables as they come.
async fn first_folder(host: &Host, root: &Path) -> PathBuf {
    let dir = root.join("first");
    fs::create_dir(&dir).unwrap();
    let empty = root.join("empty.raw");
    fs::File::create(&empty).unwrap().set_len(DISK).unwrap();
    for name in DISKS {
        disk::create_overlay_on(host, &dir.join(name), &empty, "raw", DISK).await.unwrap();
    }
    let template = &host.secure_uefi.as_ref().unwrap().vars;
    let (vars, bytes) = (dir.join("vars.qcow2"), fs::metadata(template).unwrap().len());
    disk::create_overlay_on(host, &vars, template, "raw", bytes).await.unwrap();
    dir
}

async fn next_folder(host: &Host, root: &Path, name: &str, below: &Path) -> PathBuf {
    let dir = root.join(name);
    fs::create_dir(&dir).unwrap();
    machine::overlays(host, &dir, below).await;
    disk::create_overlay(host, &dir.join("data0.qcow2"), &below.join("data0.qcow2"), DISK)
        .await
        .unwrap();
    dir
}

/// Waits until the firmware has looked at its boot entries.
async fn booted(machine: &dyn Machine) {
    let limit = Duration::from_secs(300);
    machine.console_line("BdsDxe:", limit, &CancellationToken::new()).await.unwrap();
}

/// A file is put in and taken out, more than once.
async fn files_come_and_go(machine: &dyn Machine, run_dir: &Path) {
    let (file, medium) = (run_dir.join("file"), run_dir.join(MEDIUM));
    fs::write(&file, vec![1; 3 << 20]).unwrap();
    machine.eject().await.unwrap();
    for name in ["a", "b"] {
        machine.insert(&file, name).await.unwrap();
        assert!(fs::metadata(&medium).unwrap().len() > 3 << 20);
    }
    assert!(machine.insert(&run_dir.join("missing"), "c").await.is_err());
    assert!(!medium.exists(), "nothing is left in");
    machine.insert(&file, "d").await.unwrap();
    machine.eject().await.unwrap();
    assert!(!medium.exists());
}

/// The counters of a TPM change with each start; the seeds of another one differ in hundreds of bytes.
fn is_same_tpm(dir: &Path, kept: &[u8]) -> bool {
    let state = fs::read(dir.join("tpm").join(STATE)).unwrap();
    state.len() == kept.len() && state.iter().zip(kept).filter(|(a, b)| a != b).count() < 32
}

/// No system has set up the network card.
async fn nobody_answers(machine: &dyn Machine) {
    let windows = WindowsAccess {
        password: "none".into(),
        certificate: Some("ab".repeat(32)),
        door: Door::WinrmHttps,
    };
    let access = Access { windows: Some(windows), ..Access::generate("goldsmith").unwrap() };
    let limit = Duration::from_secs(5);
    let connected = machine.connect(&access, limit, &CancellationToken::new()).await;
    let Err(Error::Timeout { what, serial, .. }) = connected else { panic!("somebody answers") };
    assert_eq!(what, "the guest's first answer over WinRM (last: the guest's network is not up)");
    assert!(serial.iter().any(|line| line.starts_with("BdsDxe:")), "{serial:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn machine_for_windows_is_sealed_and_resumed_with_its_tpm() {
    let host = Host::probe(Some(Accel::Tcg { why: "KVM may lack what Secure Boot needs".into() }))
        .await
        .unwrap();
    let (root, never) = (tempfile::tempdir().unwrap(), CancellationToken::new());
    let (root, backend) = (root.path(), Qemu::new(host.clone()));
    let seed = root.join("seed.iso");
    let files = [CdFile { name: "Unattend.xml", content: b"<unattend/>" }];
    answer_cd::write(&seed, answer_cd::LABEL, &files, &never).await.unwrap();

    let first = first_folder(&host, root).await;
    let started = vm::Backend::start(&backend, &spec(&first, &seed, None), &never).await.unwrap();
    booted(started.as_ref()).await;
    nobody_answers(started.as_ref()).await;
    started.press("ret").await.unwrap();
    assert!(started.press("no such key").await.is_err());
    files_come_and_go(started.as_ref(), &first).await;

    let next = next_folder(&host, root, "next", &first).await;
    let file = first.join("file");
    let (load_test, ram) = (root.join("load-test"), first.join("ram"));
    fs::create_dir(&load_test).unwrap();
    let request = Seal {
        next_disk: next.join("disk.qcow2"),
        next_vars: Some(next.join("vars.qcow2")),
        next_data: vec![next.join("data0.qcow2")],
        tpm: Some(first.join("tpm-sealed")),
        ram: Some(SaveRam { path: ram.clone(), background: true, load_test: Some(load_test) }),
    };
    // As a canceled copy leaves it.
    started.insert(&file, "left").await.unwrap();
    let sealed = started.seal(&request).await.unwrap();
    assert!(!first.join(MEDIUM).exists(), "the RAM is saved with an empty drive");
    started.insert(&file, "while the RAM is written").await.unwrap();
    let saved = sealed.ram.unwrap().finish(&never).await.unwrap();
    started.stop(Duration::ZERO).await.unwrap();
    let kept = fs::read(first.join("tpm-sealed").join(STATE)).unwrap();

    let dir = next_folder(&host, root, "resumed", &first).await;
    let ram = RamFile { path: ram, format: saved.format };
    let resumed =
        vm::Backend::start(&backend, &spec(&dir, &seed, Some(ram)), &never).await.unwrap();
    resumed.press("ret").await.unwrap();
    files_come_and_go(resumed.as_ref(), &dir).await;
    assert_eq!(resumed.ended(), None);
    resumed.stop(Duration::ZERO).await.unwrap();
    assert!(is_same_tpm(&dir, &kept), "another TPM");

    let dir = next_folder(&host, root, "booted", &first).await;
    fs::rename(first.join("tpm-sealed"), dir.join("tpm")).unwrap();
    let disks = vm::Backend::start(&backend, &spec(&dir, &seed, None), &never).await.unwrap();
    booted(disks.as_ref()).await;
    disks.stop(Duration::ZERO).await.unwrap();
    assert!(is_same_tpm(&dir, &kept), "another TPM");
}
