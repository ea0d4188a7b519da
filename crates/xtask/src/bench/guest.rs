//! Access to the guests of the bench: keys, and a NoCloud seed equal to goldsmith's.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::json;

use super::{fresh, output, write};
use crate::Result;

/// The build user on Packer's side and on the floor.
pub(super) const USER: &str = "packer";

/// Goldsmith's machine type, without the options that only a saved machine needs.
pub(super) const MACHINE: &str = "q35,vmport=off,sata=off,dump-guest-core=off,mem-merge=off";

const OVMF_CODE: &str = "/usr/share/OVMF/OVMF_CODE_4M.fd";
const OVMF_VARS: &str = "/usr/share/OVMF/OVMF_VARS_4M.fd";

/// Keys of the build user and of the guest.
pub(super) struct Access {
    dir: PathBuf,
}

impl Access {
    pub(super) fn generate(dir: &Path) -> Result<Self> {
        let dir = fresh(dir)?;
        for name in ["user", "host"] {
            let path = dir.join(name);
            output(
                "ssh-keygen",
                &["-q", "-t", "ed25519", "-N", "", "-C", "bench", "-f", &path.to_string_lossy()],
            )?;
        }
        Ok(Self { dir })
    }

    pub(super) fn private_key(&self) -> PathBuf {
        self.dir.join("user")
    }

    /// The base64 part of the build user's public key, as the generalization script wants it.
    pub(super) fn public_blob(&self) -> Result<String> {
        let line = self.read("user.pub")?;
        let blob = line.split_whitespace().nth(1);
        blob.map(str::to_owned).ok_or_else(|| "ssh-keygen wrote no public key".to_owned())
    }

    /// Writes the seed medium.
    pub(super) fn write_seed(&self, folder: &Path) -> Result<PathBuf> {
        let config = json!({
            "users": [{
                "name": USER,
                "shell": "/bin/bash",
                "lock_passwd": true,
                "sudo": "ALL=(ALL) NOPASSWD:ALL",
                "ssh_authorized_keys": [self.read("user.pub")?.trim()],
            }],
            "disable_root": true,
            "ssh_pwauth": false,
            "ssh_deletekeys": true,
            "ssh_genkeytypes": [],
            "ssh_keys": {
                "ed25519_private": self.read("host")?,
                "ed25519_public": self.read("host.pub")?.trim(),
            },
            "package_update": false,
            "package_upgrade": false,
        });
        let (meta, user) = (folder.join("meta-data"), folder.join("user-data"));
        write(&meta, &json!({ "instance-id": "bench-1", "local-hostname": "forge" }).to_string())?;
        write(&user, &format!("#cloud-config\n{config}\n"))?;
        let image = folder.join("seed.img");
        write(&image, "")?;
        fs::OpenOptions::new()
            .write(true)
            .open(&image)
            .and_then(|file| file.set_len(1440 * 1024))
            .map_err(|error| format!("{}: {error}", image.display()))?;
        let path = image.to_string_lossy();
        output("mkfs.vfat", &["-n", "CIDATA", &path])?;
        output("mcopy", &["-i", &path, &meta.to_string_lossy(), &user.to_string_lossy(), "::"])?;
        Ok(image)
    }

    fn read(&self, name: &str) -> Result<String> {
        let path = self.dir.join(name);
        fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
    }
}

/// A copy of the UEFI variables for one machine.
pub(super) fn copy_vars(folder: &Path) -> Result<PathBuf> {
    let vars = folder.join("vars.fd");
    fs::copy(OVMF_VARS, &vars).map_err(|error| format!("{OVMF_VARS}: {error} (package ovmf)"))?;
    Ok(vars)
}

/// The drives and devices of Packer's machine and the floor's: the same types as goldsmith's, either
/// with goldsmith's tuning (no disk flushes, no ROM on the network card) or with the defaults of QEMU
/// and Packer.
pub(super) fn devices(
    disk: &str,
    vars: &Path,
    seed: &Path,
    tuned: bool,
) -> Vec<(&'static str, String)> {
    let (cache, rom) = if tuned { ("unsafe", ",romfile=") } else { ("writeback", "") };
    vec![
        ("-drive", format!("if=pflash,unit=0,format=raw,readonly=on,file={OVMF_CODE}")),
        ("-drive", format!("if=pflash,unit=1,format=raw,file={}", vars.display())),
        ("-drive", format!("if=none,id=disk,format=qcow2,cache={cache},discard=unmap,file={disk}")),
        ("-drive", format!("if=none,id=seed,format=raw,readonly=on,file={}", seed.display())),
        ("-device", "virtio-blk-pci,drive=disk,bootindex=0".to_owned()),
        ("-device", "virtio-blk-pci,drive=seed".to_owned()),
        ("-device", format!("virtio-net-pci,netdev=net{rom}")),
        ("-device", "virtio-rng-pci".to_owned()),
    ]
}
