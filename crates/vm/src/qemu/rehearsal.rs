//! Loads saved RAM into a second machine, which never runs.

use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

use super::{Drives, QemuMachine, launch};
use crate::{Error, Firmware, Host, MachineSpec, RamFile, disk};

/// The second machine: the sealed one, on overlays in its own folder and without forwarded ports.
pub(super) struct Rehearsal {
    host: Host,
    /// Describes the sealed machine, with its sealed files.
    sealed: MachineSpec,
    dir: PathBuf,
}

impl Rehearsal {
    /// `sealed` are the files of the machine before the seal. `None` for a machine on a bridge.
    pub(super) fn of(machine: &QemuMachine, sealed: &Drives, dir: &Path) -> Option<Self> {
        let spec = &machine.spec;
        if spec.bridge.is_some() {
            return None;
        }
        let is_secure = matches!(spec.firmware, Firmware::Uefi { secure_boot: true, .. });
        let firmware = match &sealed.vars {
            Some(vars) => Firmware::Uefi { vars: vars.clone(), secure_boot: is_secure },
            None => Firmware::Bios,
        };
        let (disk, data) = (sealed.disk.clone(), sealed.data.clone());
        let sealed = MachineSpec { firmware, disk, data, forwards: Vec::new(), ..spec.clone() };
        Some(Self { host: machine.host.clone(), sealed, dir: dir.to_owned() })
    }

    /// Loads the RAM and ends the machine.
    pub(super) async fn load(self, ram: RamFile, cancel: &CancellationToken) -> Result<(), Error> {
        let Self { host, mut sealed, dir } = self;
        sealed.run_dir = std::path::absolute(&dir).map_err(Error::at(&dir))?;
        sealed.resume_from = Some(ram);
        sealed.disk = overlay(&host, &sealed.run_dir, "disk.qcow2", &sealed.disk).await?;
        if let Firmware::Uefi { vars, .. } = &mut sealed.firmware {
            *vars = overlay(&host, &sealed.run_dir, "vars.qcow2", vars).await?;
        }
        // The state comes from the RAM.
        sealed.tpm = sealed.tpm.map(|_| sealed.run_dir.join("tpm"));
        for (lun, data) in sealed.data.iter_mut().enumerate() {
            *data = overlay(&host, &sealed.run_dir, &format!("data{lun}.qcow2"), data).await?;
        }
        launch::load(&host, &sealed, cancel).await
    }
}

async fn overlay(host: &Host, dir: &Path, name: &str, below: &Path) -> Result<PathBuf, Error> {
    let size = disk::info(host, below, Some("qcow2")).await?.virtual_size;
    let path = dir.join(name);
    disk::create_overlay(host, &path, below, size).await?;
    Ok(path)
}
