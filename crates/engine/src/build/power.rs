//! Describes and starts the machines of a run: the build machine and temporary ones.

use std::{path::Path, time::Duration};

use api::ErrorCode;
use images::error::{Error, Result, machine_error};
use vm::{Machine, MachineSpec, RamFile};

use super::{Run, data_disks, firmware};
use crate::node::Shape;

/// Starts a machine and returns whether it was resumed. If the RAM does not load (another firmware,
/// a damaged file), warns and boots the disk instead, on overlays that `anew` creates.
pub(super) async fn power_on(
    run: &Run<'_>,
    spec: MachineSpec,
    anew: impl Future<Output = Result<()>>,
) -> Result<(Box<dyn Machine>, bool)> {
    let doing = if spec.resume_from.is_some() { "resume the machine" } else { "start the machine" };
    let _starting = run.cx.events.work(doing);
    let error = match run.backend.start(&spec, &run.cx.cancel).await {
        Ok(machine) => return Ok((machine, spec.resume_from.is_some())),
        Err(error) => machine_error(error),
    };
    let final_ones = [ErrorCode::Canceled, ErrorCode::DiskFull];
    if spec.resume_from.is_none() || final_ones.contains(&error.code) {
        return Err(error);
    }
    run.cx.events.warn(format!("the saved RAM cannot be resumed, booting the disk: {error}"));
    run.backend.end(&spec.run_dir).await.map_err(machine_error)?;
    anew.await?;
    let spec = MachineSpec { resume_from: None, ..spec };
    let machine = run.backend.start(&spec, &run.cx.cancel).await.map_err(machine_error)?;
    Ok((machine, false))
}

impl Run<'_> {
    /// A machine of this run: its sockets are in `run_dir`, its disks in `work`. How it is entered
    /// is added by [`super::contact`].
    pub(super) fn spec(
        &self,
        shape: &Shape,
        run_dir: &Path,
        work: &Path,
        resume_from: Option<RamFile>,
    ) -> MachineSpec {
        MachineSpec {
            name: self.id.clone(),
            run_dir: run_dir.to_owned(),
            os: shape.os,
            vcpus: shape.vcpus,
            memory_mib: shape.memory_mib,
            firmware: firmware::of(shape, work),
            disk: work.join("disk.qcow2"),
            data: data_disks::files(shape, work),
            access: None,
            seed: None,
            cds: Vec::new(),
            forwards: vm::guest::forwards(shape.os),
            bridge: self.bridge(),
            resume_from,
            migratable: true,
            machine_type: None,
            tpm: firmware::tpm(shape, run_dir),
            cpu_model: None,
        }
    }
}

/// How long a guest may take from closing its connections to power-off.
const SHUTTING_DOWN: Duration = Duration::from_secs(60);

/// Awaits work in a guest, but ends as soon as its machine ends.
pub(super) async fn unless_gone<T>(
    machine: &dyn Machine,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    let error = tokio::select! {
        result = work => match result {
            Err(error) if error.code == ErrorCode::GuestUnreachable => error,
            result => return result,
        },
        () = machine.gone() => return Err(gone(machine)),
    };
    match tokio::time::timeout(SHUTTING_DOWN, machine.gone()).await {
        Ok(()) => Err(gone(machine)),
        Err(_) => Err(error.hint("a script must neither restart the machine nor cut its network")),
    }
}

/// The error of a machine that ended unexpectedly.
fn gone(machine: &dyn Machine) -> Error {
    let ended = machine.ended().unwrap_or(vm::Ended::Stopped);
    machine_error(vm::Error::Gone { ended, serial: machine.serial_tail(20) })
}
