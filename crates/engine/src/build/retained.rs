//! Machines that are retained after a failure (`--on-error keep`, or `errorHandling` of the
//! template), and how to connect to them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use api::ErrorCode;
use images::{
    absent::or_none,
    clock::{Deadline, Reading},
    error::{Coded, Error, Result, machine_error},
    first_contact::FirstContact,
    layout::Layout,
    ledger,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use vm::{Access, Door, Guest, Machine};

use super::{Run, access::write_secret, plan::Plan};

/// A retained machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RetainedMachine {
    pub run_id: String,
    pub template: String,
    pub until: Timestamp,
    #[serde(default)]
    pub vcpus: u32,
    #[serde(default)]
    pub memory_mib: u64,
    /// Loopback port that is forwarded to the guest's SSH or WinRM.
    pub port: u16,
    pub user: String,
    /// The build user's private key, in a file that only its owner can read.
    pub key_file: PathBuf,
    /// A `known_hosts` file with the guest's own key.
    pub known_hosts: PathBuf,
    /// The credentials for WinRM, for a guest that goldsmith entered so: in a file that only its
    /// owner can read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub winrm: Option<PathBuf>,
}

impl RetainedMachine {
    /// A connection to a guest that is entered over WinRM; `None` for SSH.
    ///
    /// # Errors
    /// The credentials cannot be read.
    pub fn over_winrm(&self) -> Result<Option<Box<dyn Guest>>> {
        let Some(path) = &self.winrm else { return Ok(None) };
        let access = super::access::read(path)?;
        vm::guest::over_winrm(self.port, &access).map(Some).map_err(machine_error)
    }
}

/// How to treat the machine of a step that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnError {
    /// As `errorHandling` of the template says.
    #[default]
    AsTemplate,
    /// Remove it.
    Cleanup,
    /// Retain it.
    Keep,
}

impl OnError {
    /// Whether to retain it, given the template's setting.
    pub(super) fn keeps(self, template: api::template::OnError) -> bool {
        match self {
            Self::AsTemplate => template == api::template::OnError::Abort,
            Self::Cleanup => false,
            Self::Keep => true,
        }
    }
}

/// Lets the machine outlive this process, and records how to connect to it. Returns the end of the
/// retention.
pub(super) fn keep(
    run: &Run<'_>,
    plan: &Plan,
    machine: &dyn Machine,
    access: &Access,
) -> Result<Timestamp> {
    let dir = &run.run_dir;
    let port = machine.forwarded(vm::guest::port(access)).ok_or_else(|| {
        Error::new(ErrorCode::GuestUnreachable, "the machine has no port that leads to it")
    })?;
    let boot = vm::boot_id().unwrap_or_default();
    let deadline = Deadline::after(run.request.keep_for, &Reading::now(), &boot);
    let until = deadline.wall;
    let size = plan.size.on(run.host);
    let is_winrm = access.windows.as_ref().is_some_and(|windows| windows.door != Door::Ssh);
    let kept = RetainedMachine {
        run_id: run.id.clone(),
        template: plan.name.clone(),
        until,
        vcpus: size.vcpus,
        memory_mib: size.memory_mib,
        port,
        user: access.user.clone(),
        key_file: dir.join("id"),
        known_hosts: dir.join("known_hosts"),
        winrm: is_winrm.then(|| dir.join("winrm.json")),
    };
    if let Some(path) = &kept.winrm {
        super::access::write(path, access, &FirstContact::default())?;
    }
    write_secret(&kept.key_file, access.private_key.as_bytes())?;
    let host = format!("[127.0.0.1]:{port} {}\n", access.host_public_key);
    write(&kept.known_hosts, host.as_bytes())?;
    write(&dir.join(FILE), &serde_json::to_vec_pretty(&kept).unwrap_or_default())?;
    run.ledger
        .keep_until(&deadline)
        .code(ErrorCode::InternalError, || "cannot write the ledger".to_owned())?;
    machine.leave_running();
    Ok(until)
}

const FILE: &str = "kept.json";

/// All retained machines, newest first.
pub fn retained_machines(layout: &Layout) -> std::io::Result<Vec<RetainedMachine>> {
    let mut all = Vec::new();
    for run_id in ledger::runs(layout)? {
        let path = layout.runs().join(run_id).join(FILE);
        let Some(text) = or_none(fs::read(&path))? else { continue };
        let damaged = |e| std::io::Error::other(format!("{} is damaged: {e}", path.display()));
        all.push(serde_json::from_slice::<RetainedMachine>(&text).map_err(damaged)?);
    }
    all.reverse();
    Ok(all)
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes)
        .code(ErrorCode::InternalError, || format!("cannot write {}", path.display()))
}
