//! Finds the UEFI and BIOS firmware that distributions install beside QEMU.
//!
//! Distributions describe firmware in JSON files (QEMU's `docs/interop/firmware.json`). Files are
//! tried in the order of their names; a file in `/etc` hides one in `/usr/share`.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde::Deserialize;

/// UEFI firmware in two parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UefiFirmware {
    /// The path of the code: raw, read-only, shared by all machines.
    pub code: PathBuf,
    /// The path of the variables' template: raw, copied for each machine.
    pub vars: PathBuf,
}

impl UefiFirmware {
    /// The size of the variables in bytes; 0 if they cannot be read.
    pub fn vars_bytes(&self) -> u64 {
        crate::may_wait(|| fs::metadata(&self.vars)).map_or(0, |meta| meta.len())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Descriptor {
    #[serde(default)]
    interface_types: Vec<String>,
    mapping: Mapping,
    #[serde(default)]
    targets: Vec<Target>,
    #[serde(default)]
    features: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Mapping {
    device: String,
    mode: Option<String>,
    executable: Option<Part>,
    nvram_template: Option<Part>,
}

#[derive(Deserialize)]
struct Part {
    filename: PathBuf,
    format: String,
}

#[derive(Deserialize)]
struct Target {
    architecture: String,
    #[serde(default)]
    machines: Vec<String>,
}

/// The first firmware without Secure Boot that has a description; otherwise one at a well-known path.
pub(super) fn find(root: &Path) -> Option<UefiFirmware> {
    let well_known = [
        ("usr/share/OVMF/OVMF_CODE_4M.fd", "usr/share/OVMF/OVMF_VARS_4M.fd"),
        ("usr/share/edk2/x64/OVMF_CODE.4m.fd", "usr/share/edk2/x64/OVMF_VARS.4m.fd"),
        ("usr/share/edk2/ovmf/OVMF_CODE.fd", "usr/share/edk2/ovmf/OVMF_VARS.fd"),
    ];
    let unfit = ["requires-smm", "secure-boot", "enrolled-keys"];
    let fits = |features: &[String]| !features.iter().any(|name| unfit.contains(&name.as_str()));
    first(root, &fits, &well_known)
}

/// The same for firmware that starts only what Microsoft has signed.
pub(super) fn find_secure(root: &Path) -> Option<UefiFirmware> {
    let well_known = [
        ("usr/share/OVMF/OVMF_CODE_4M.ms.fd", "usr/share/OVMF/OVMF_VARS_4M.ms.fd"),
        ("usr/share/edk2/ovmf/OVMF_CODE.secboot.fd", "usr/share/edk2/ovmf/OVMF_VARS.secboot.fd"),
    ];
    let has = |features: &[String], name: &str| features.iter().any(|feature| feature == name);
    let fits = |features: &[String]| has(features, "secure-boot") && has(features, "enrolled-keys");
    first(root, &fits, &well_known)
}

fn first(
    root: &Path,
    fits: &dyn Fn(&[String]) -> bool,
    well_known: &[(&str, &str)],
) -> Option<UefiFirmware> {
    let mut files = BTreeMap::new();
    for folder in ["usr/share/qemu/firmware", "etc/qemu/firmware"] {
        for entry in fs::read_dir(root.join(folder)).into_iter().flatten().flatten() {
            files.insert(entry.file_name(), entry.path());
        }
    }
    let described =
        files.values().filter_map(|file| described(&fs::read_to_string(file).ok()?, fits));
    let well_known =
        well_known.iter().map(|(code, vars)| UefiFirmware { code: code.into(), vars: vars.into() });
    described.chain(well_known).find_map(|firmware| existing(root, &firmware))
}

/// The firmware with paths below `root`, if both files exist.
fn existing(root: &Path, firmware: &UefiFirmware) -> Option<UefiFirmware> {
    let below_root = |path: &Path| {
        let path = root.join(path.strip_prefix("/").unwrap_or(path));
        path.is_file().then_some(path)
    };
    Some(UefiFirmware { code: below_root(&firmware.code)?, vars: below_root(&firmware.vars)? })
}

fn described(descriptor: &str, has_fitting: &dyn Fn(&[String]) -> bool) -> Option<UefiFirmware> {
    let it: Descriptor = serde_json::from_str(descriptor).ok()?;
    let for_us = |target: &Target| {
        let q35 = target.machines.iter().any(|m| m.starts_with("pc-q35"));
        target.architecture == "x86_64" && q35
    };
    let split = it.mapping.mode.as_deref().is_none_or(|mode| mode == "split");
    let fits = it.interface_types.iter().any(|kind| kind == "uefi")
        && it.mapping.device == "flash"
        && split
        && it.targets.iter().any(for_us)
        && has_fitting(&it.features);
    let (code, vars) = (it.mapping.executable?, it.mapping.nvram_template?);
    let raw = code.format == "raw" && vars.format == "raw";
    (fits && raw).then_some(UefiFirmware { code: code.filename, vars: vars.filename })
}

/// Whether SeaBIOS is installed, which QEMU loads without being configured.
pub(super) fn has_bios(root: &Path) -> bool {
    ["usr/share/seabios/bios-256k.bin", "usr/share/qemu/bios-256k.bin"]
        .iter()
        .any(|path| root.join(path).is_file())
}
