//! What a machine's firmware keeps: UEFI variables, and the state of a virtual TPM.
//!
//! The variables of a node are an overlay like its disk. The state of the TPM is a few small files,
//! copied while the guest is paused. They are beside the disk with the prefix [`TPM`], so that they
//! have digests like all files of a node.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use api::ErrorCode;
use images::{
    absent,
    error::{Coded, Result, machine_error},
};
use vm::{Firmware, disk, may_wait};

use super::{Run, overlay::overlay};
use crate::node::Shape;

/// The prefix of the TPM's files in a node.
const TPM: &str = "tpm.";
const VARS: &str = "vars.qcow2";

/// The firmware of a machine that works in `work`.
pub(super) fn of(shape: &Shape, work: &Path) -> Firmware {
    match shape.uefi {
        true => Firmware::Uefi { vars: work.join(VARS), secure_boot: shape.secure_boot },
        false => Firmware::Bios,
    }
}

/// Creates the variables of a new machine in `dir`, as the firmware brings them.
pub(super) async fn new_vars(run: &Run<'_>, shape: &Shape, dir: &Path) -> Result<()> {
    disk::create_vars(run.host, &dir.join(VARS), shape.secure_boot).await.map_err(machine_error)
}

/// Creates variables in `work` on those of `below`, which is relative to `work`.
pub(super) async fn vars_upon(
    run: &Run<'_>,
    shape: &Shape,
    work: &Path,
    below: &Path,
) -> Result<()> {
    let firmware = run.host.firmware(shape.secure_boot).map_err(machine_error)?;
    overlay(run.host, work, below, VARS, firmware.vars_bytes()).await
}

/// The TPM's state while the machine of that run folder runs.
pub(super) fn tpm(shape: &Shape, run_dir: &Path) -> Option<PathBuf> {
    shape.tpm.then(|| run_dir.join("tpm"))
}

/// Gives a machine that has not started yet the TPM of a node, or a new one.
pub(super) fn begin_tpm(shape: &Shape, run_dir: &Path, node: Option<&Path>) -> Result<()> {
    let Some(state) = tpm(shape, run_dir) else { return Ok(()) };
    let begin = || -> io::Result<()> {
        absent::remove_tree(&state)?;
        fs::create_dir(&state)?;
        for path in node.map(absent::entries).transpose()?.unwrap_or_default() {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if let Some(name) = name.strip_prefix(TPM) {
                let copy = state.join(name);
                fs::copy(&path, &copy)?;
                writable(&copy)?;
            }
        }
        Ok(())
    };
    may_wait(begin).code(ErrorCode::HostNotReady, || "cannot restore the TPM's state".to_owned())
}

/// Files of nodes are read-only.
fn writable(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))
}

/// The folder that a seal writes the TPM's state to.
pub(super) fn sealed_tpm(shape: &Shape, work: &Path) -> Option<PathBuf> {
    shape.tpm.then(|| work.join("tpm"))
}

/// Moves the state that a seal has written beside the disk.
pub(super) fn keep_tpm(shape: &Shape, work: &Path) -> Result<()> {
    let Some(sealed) = sealed_tpm(shape, work) else { return Ok(()) };
    let keep = || -> io::Result<()> {
        for path in absent::entries(&sealed)? {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            fs::rename(&path, work.join(format!("{TPM}{name}")))?;
        }
        fs::remove_dir(&sealed)
    };
    may_wait(keep).code(ErrorCode::HostNotReady, || "cannot keep the TPM's state".to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn shape(tpm: bool) -> Shape {
        Shape {
            os: vm::OsType::Windows,
            vcpus: 2,
            memory_mib: 4096,
            disk_bytes: 1 << 30,
            uefi: true,
            secure_boot: true,
            tpm,
            data: Vec::new(),
            cpu: "host".to_owned(),
        }
    }

    #[test]
    fn state_of_a_tpm_goes_through_a_node() {
        let dir = tempfile::tempdir().unwrap();
        let (work, run) = (dir.path().join("work"), dir.path().join("run"));
        fs::create_dir_all(&run).unwrap();
        let sealed = sealed_tpm(&shape(true), &work).unwrap();
        fs::create_dir_all(&sealed).unwrap();
        fs::write(sealed.join("tpm2-00.permall"), "state").unwrap();
        keep_tpm(&shape(true), &work).unwrap();
        assert!(!sealed.exists() && work.join("tpm.tpm2-00.permall").is_file());
        fs::write(work.join("disk.qcow2"), "disk").unwrap();

        let state = tpm(&shape(true), &run).unwrap();
        for _ in 0..2 {
            begin_tpm(&shape(true), &run, Some(&work)).unwrap();
            assert_eq!(fs::read_to_string(state.join("tpm2-00.permall")).unwrap(), "state");
            assert_eq!(fs::read_dir(&state).unwrap().count(), 1);
            fs::write(state.join("tpm2-00.permall"), "changed").unwrap();
        }
        begin_tpm(&shape(true), &run, None).unwrap();
        assert_eq!(fs::read_dir(&state).unwrap().count(), 0, "a new machine has a new TPM");
    }

    #[test]
    fn machine_without_a_tpm_has_no_folder() {
        let dir = tempfile::tempdir().unwrap();
        begin_tpm(&shape(false), dir.path(), None).unwrap();
        keep_tpm(&shape(false), dir.path()).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
