//! A temporary machine from a finished image, to test that it boots and works.
//!
//! The image is not written to: the machine has a temporary overlay. No seed is attached, so the
//! machine behaves as the image does anywhere.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use api::ErrorCode;
use images::{
    error::{Coded, Error, Result, machine_error},
    image_file::data::file_name,
    ledger::{Ledger, Releasable},
    run_context::RunContext,
};
use vm::{Backend, Ended, Firmware, Host, MachineSpec, OsType, disk, may_wait};

use crate::janitor;

/// The parameters of a test_boot.
#[derive(Debug, Clone)]
pub struct TestBoot {
    /// The guest's system.
    pub os: OsType,
    pub disk: PathBuf,
    /// `qcow2`, `raw`, `vpc` or `vmdk`: QEMU's names.
    pub format: String,
    pub virtual_size: u64,
    /// Data disks (qcow2) and their sizes, by LUN.
    pub data: Vec<(PathBuf, u64)>,
    pub uefi: bool,
    pub vcpus: u32,
    pub memory_mib: u64,
    /// Loopback ports (0: any free one) and the guest ports that they are forwarded to.
    pub publish: Vec<(u16, u16)>,
}

/// A published port: host and guest.
pub type Published = (u16, u16);

/// Boots the image and waits until the guest powers off or `cx.cancel` fires; both count as
/// success. `running` gets the ports and the serial log once the machine runs.
pub async fn run(
    cx: &RunContext,
    host: &Host,
    backend: &dyn Backend,
    test_boot: &TestBoot,
    running: impl FnOnce(&[Published], &Path),
) -> Result<()> {
    let id = images::new_run_id();
    let (dir, logs) = (cx.layout.runs().join(&id), cx.layout.logs().join(&id));
    let prepare = || -> std::io::Result<Ledger> {
        let ledger = Ledger::open(&cx.layout, &id)?;
        ledger.hold(Releasable::RunFolder { path: dir.clone() })?;
        ledger.hold(Releasable::Machine { run_dir: dir.clone() })?;
        std::fs::create_dir_all(&dir)?;
        std::fs::create_dir_all(&logs)?;
        Ok(ledger)
    };
    let ledger = may_wait(prepare).code(ErrorCode::HostNotReady, || {
        format!("cannot write below {}", cx.layout.cache().display())
    })?;
    let result = boot(cx, host, backend, test_boot, &dir, running).await;
    if result.is_err() {
        let _ = may_wait(|| std::fs::copy(dir.join("serial.log"), logs.join("serial.log")));
    }
    for problem in janitor::release(&ledger, backend).await {
        cx.events.warn(format!("could not be released: {problem}"));
    }
    ledger.close().code(ErrorCode::InternalError, || "cannot close the ledger".to_owned())?;
    result
}

async fn boot(
    cx: &RunContext,
    host: &Host,
    backend: &dyn Backend,
    test_boot: &TestBoot,
    dir: &Path,
    running: impl FnOnce(&[Published], &Path),
) -> Result<()> {
    let overlay = dir.join("disk.qcow2");
    disk::create_overlay_on(
        host,
        &overlay,
        &test_boot.disk,
        &test_boot.format,
        test_boot.virtual_size,
    )
    .await
    .map_err(|e| machine_error(e.into()))?;
    let mut data = Vec::new();
    for (lun, (disk, bytes)) in test_boot.data.iter().enumerate() {
        let overlay = dir.join(file_name(lun));
        disk::create_overlay(host, &overlay, disk, *bytes)
            .await
            .map_err(|e| machine_error(e.into()))?;
        data.push(overlay);
    }
    let spec = MachineSpec {
        name: format!("trial-{}", dir.file_name().unwrap_or_default().to_string_lossy()),
        run_dir: dir.to_owned(),
        os: test_boot.os,
        vcpus: test_boot.vcpus,
        memory_mib: test_boot.memory_mib,
        firmware: firmware(host, test_boot, dir).await?,
        disk: overlay,
        data,
        access: None,
        seed: None,
        cds: Vec::new(),
        forwards: test_boot.publish.clone(),
        bridge: None,
        resume_from: None,
        migratable: false,
        machine_type: None,
        tpm: None,
        cpu_model: None,
    };
    let machine = backend.start(&spec, &cx.cancel).await.map_err(machine_error)?;
    let ports: Vec<Published> = test_boot
        .publish
        .iter()
        .filter_map(|(_, guest)| Some((machine.forwarded(*guest)?, *guest)))
        .collect();
    running(&ports, &dir.join("serial.log"));
    tokio::select! {
        () = cx.cancel.cancelled() => {
            machine.stop(Duration::ZERO).await.map_err(machine_error)
        }
        () = machine.gone() => match machine.ended() {
            Some(Ended::GuestShutdown) | None => Ok(()),
            Some(ended) => Err(Error::new(ErrorCode::GuestStopped, format!("the machine ended: {ended}"))
                .details(machine.serial_tail(20))),
        },
    }
}

async fn firmware(host: &Host, test_boot: &TestBoot, dir: &Path) -> Result<Firmware> {
    if !test_boot.uefi {
        return Ok(Firmware::Bios);
    }
    let vars = dir.join("vars.qcow2");
    disk::create_vars(host, &vars, false).await.map_err(machine_error)?;
    Ok(Firmware::Uefi { vars, secure_boot: false })
}
