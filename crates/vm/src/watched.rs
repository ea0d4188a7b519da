//! A backend that reports the start and the end of its machines.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use tokio_util::sync::{CancellationToken, DropGuard, WaitForCancellationFutureOwned};

use crate::{
    Access, Backend, Ended, Error, Firmware, Guest, Machine, MachineSpec, OsType, Seal, Sealed,
    may_wait,
};

/// A machine started or ended. Each machine of a [`Watched`] has its own number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MachineChange {
    /// The machine runs.
    Started {
        /// Its number, from 1.
        machine: u32,
        /// The guest's system.
        os: OsType,
        /// Virtual processors.
        vcpus: u32,
        /// Memory in MiB.
        memory_mib: u64,
        /// 1 boots by BIOS, 2 by UEFI.
        generation: u8,
        /// Virtual sizes in bytes, the OS disk first.
        disks: Vec<u64>,
    },
    /// The machine ended. Not reported for a machine that is left running.
    Ended {
        /// The number from [`MachineChange::Started`].
        machine: u32,
    },
}

type Report = Arc<dyn Fn(MachineChange) + Send + Sync>;

/// A backend that reports its machines.
pub struct Watched<'a> {
    backend: &'a dyn Backend,
    report: Report,
    last: AtomicU32,
}

impl<'a> Watched<'a> {
    /// `report` is called from any task and must not block.
    pub fn new(
        backend: &'a dyn Backend,
        report: impl Fn(MachineChange) + Send + Sync + 'static,
    ) -> Self {
        Self { backend, report: Arc::new(report), last: AtomicU32::new(0) }
    }
}

#[async_trait]
impl Backend for Watched<'_> {
    async fn start(
        &self,
        spec: &MachineSpec,
        cancel: &CancellationToken,
    ) -> Result<Box<dyn Machine>, Error> {
        let inner = self.backend.start(spec, cancel).await?;
        let number = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        (self.report)(may_wait(|| started(number, spec)));
        let end =
            Arc::new(EndReport { number, report: self.report.clone(), is_sent: false.into() });
        let dropped = CancellationToken::new();
        let (gone, end_of_machine) = (inner.gone(), end.clone());
        let is_dropped = dropped.clone().cancelled_owned();
        tokio::spawn(async move {
            tokio::select! {
                () = gone => end_of_machine.send(),
                () = is_dropped => {}
            }
        });
        let is_left = AtomicBool::new(false);
        Ok(Box::new(WatchedMachine { inner, end, is_left, _dropped: dropped.drop_guard() }))
    }

    async fn check_bridge(&self, name: &str) -> Result<(), Error> {
        self.backend.check_bridge(name).await
    }

    async fn end(&self, run_dir: &Path) -> Result<(), Error> {
        self.backend.end(run_dir).await
    }
}

fn started(machine: u32, spec: &MachineSpec) -> MachineChange {
    let generation = match &spec.firmware {
        Firmware::Uefi { .. } => 2,
        Firmware::Bios => 1,
    };
    let disks = std::iter::once(&spec.disk).chain(&spec.data);
    MachineChange::Started {
        machine,
        os: spec.os,
        vcpus: spec.vcpus,
        memory_mib: spec.memory_mib,
        generation,
        disks: disks.map(|disk| virtual_size(disk).unwrap_or_default()).collect(),
    }
}

/// The virtual size in a qcow2 file's header, in bytes.
fn virtual_size(disk: &Path) -> io::Result<u64> {
    let mut header = [0; 32];
    File::open(disk)?.read_exact_at(&mut header, 0)?;
    if !header.starts_with(b"QFI\xfb") {
        return Err(io::Error::other("not a qcow2 file"));
    }
    let mut size = [0; 8];
    size.copy_from_slice(&header[24..32]);
    Ok(u64::from_be_bytes(size))
}

/// Reports a machine's end, once.
struct EndReport {
    number: u32,
    report: Report,
    is_sent: AtomicBool,
}

impl EndReport {
    fn send(&self) {
        if !self.is_sent.swap(true, Ordering::Relaxed) {
            (self.report)(MachineChange::Ended { machine: self.number });
        }
    }
}

struct WatchedMachine {
    inner: Box<dyn Machine>,
    end: Arc<EndReport>,
    is_left: AtomicBool,
    _dropped: DropGuard,
}

#[async_trait]
impl Machine for WatchedMachine {
    async fn connect(
        &self,
        access: &Access,
        deadline: Duration,
        cancel: &CancellationToken,
    ) -> Result<Box<dyn Guest>, Error> {
        self.inner.connect(access, deadline, cancel).await
    }

    async fn plug_in(&self) -> Result<(), Error> {
        self.inner.plug_in().await
    }

    async fn seal(&self, request: &Seal) -> Result<Sealed, Error> {
        self.inner.seal(request).await
    }

    async fn wait_off(&self, deadline: Duration) -> Result<(), Error> {
        self.inner.wait_off(deadline).await
    }

    async fn screenshot(&self, path: &Path) -> Result<(), Error> {
        self.inner.screenshot(path).await
    }

    fn serial_tail(&self, lines: usize) -> Vec<String> {
        self.inner.serial_tail(lines)
    }

    async fn console_line(
        &self,
        beginning: &str,
        deadline: Duration,
        cancel: &CancellationToken,
    ) -> Result<String, Error> {
        self.inner.console_line(beginning, deadline, cancel).await
    }

    async fn press(&self, key: &str) -> Result<(), Error> {
        self.inner.press(key).await
    }

    async fn insert(&self, file: &Path, name: &str) -> Result<(), Error> {
        self.inner.insert(file, name).await
    }

    async fn eject(&self) -> Result<(), Error> {
        self.inner.eject().await
    }

    fn resets(&self) -> tokio::sync::watch::Receiver<u64> {
        self.inner.resets()
    }

    fn gone(&self) -> WaitForCancellationFutureOwned {
        self.inner.gone()
    }

    fn ended(&self) -> Option<Ended> {
        self.inner.ended()
    }

    fn forwarded(&self, guest_port: u16) -> Option<u16> {
        self.inner.forwarded(guest_port)
    }

    async fn stop(&self, grace: Duration) -> Result<(), Error> {
        self.inner.stop(grace).await
    }

    fn leave_running(&self) {
        self.is_left.store(true, Ordering::Relaxed);
        self.inner.leave_running();
    }
}

impl Drop for WatchedMachine {
    fn drop(&mut self) {
        // Dropping it kills it, unless it was left to run.
        if !self.is_left.load(Ordering::Relaxed) {
            self.end.send();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use tokio::sync::mpsc;

    use super::*;
    use crate::fake::Fake;

    fn spec(dir: &Path) -> MachineSpec {
        let mut header = b"QFI\xfb".to_vec();
        header.resize(24, 0);
        header.extend((3_u64 << 30).to_be_bytes());
        std::fs::write(dir.join("disk.qcow2"), header).unwrap();
        MachineSpec {
            name: "m".into(),
            run_dir: dir.to_owned(),
            os: crate::OsType::Linux,
            vcpus: 2,
            memory_mib: 1024,
            firmware: Firmware::Bios,
            disk: dir.join("disk.qcow2"),
            data: Vec::new(),
            access: None,
            seed: None,
            cds: Vec::new(),
            forwards: Vec::new(),
            bridge: None,
            resume_from: None,
            migratable: true,
            machine_type: None,
            tpm: None,
            cpu_model: None,
        }
    }

    #[tokio::test]
    async fn end_is_reported_once_unless_machine_is_left_running() {
        let dir = tempfile::tempdir().unwrap();
        let (send, mut changes) = mpsc::channel(16);
        let fake = Fake::new();
        let backend = Watched::new(&fake, move |change| send.try_send(change).unwrap());
        let start = async || backend.start(&spec(dir.path()), &CancellationToken::new()).await;
        let started = |machine| MachineChange::Started {
            machine,
            os: OsType::Linux,
            vcpus: 2,
            memory_mib: 1024,
            generation: 1,
            disks: vec![3 << 30],
        };
        let machine = start().await.unwrap();
        assert_eq!(changes.recv().await.unwrap(), started(1));
        machine.stop(Duration::ZERO).await.unwrap();
        assert_eq!(changes.recv().await.unwrap(), MachineChange::Ended { machine: 1 });
        drop(machine);

        drop(start().await.unwrap());
        let left = start().await.unwrap();
        left.leave_running();
        drop(left);
        drop(backend);
        let mut rest = Vec::new();
        while let Some(change) = changes.recv().await {
            rest.push(change);
        }
        assert_eq!(rest, [started(2), MachineChange::Ended { machine: 2 }, started(3)]);
    }
}
