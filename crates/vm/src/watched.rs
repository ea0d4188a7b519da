//! A backend that tells of its machines as they come and go, whoever starts them.

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
    Access, Backend, Ended, Error, Firmware, Guest, Machine, MachineSpec, Seal, Sealed, may_wait,
};

/// What became of a machine. The number tells apart those of a [`Watched`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// It runs, and this is what it has, read from what it was made of.
    Started {
        /// From 1.
        machine: u32,
        /// Virtual processors.
        vcpus: u32,
        /// Memory in MiB.
        memory_mib: u64,
        /// 1 boots by BIOS, 2 by UEFI.
        generation: u8,
        /// Virtual sizes in bytes, the OS disk first.
        disks: Vec<u64>,
    },
    /// It is gone. One that was left to run is not.
    Ended {
        /// Its number.
        machine: u32,
    },
}

type Tell = Arc<dyn Fn(Seen) + Send + Sync>;

/// A backend whose machines are told of.
pub struct Watched<'a> {
    backend: &'a dyn Backend,
    tell: Tell,
    last: AtomicU32,
}

impl<'a> Watched<'a> {
    /// `tell` is called from any task and must not block.
    pub fn new(backend: &'a dyn Backend, tell: impl Fn(Seen) + Send + Sync + 'static) -> Self {
        Self { backend, tell: Arc::new(tell), last: AtomicU32::new(0) }
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
        (self.tell)(may_wait(|| started(number, spec)));
        let told = Arc::new(Told { number, tell: self.tell.clone(), is_told: false.into() });
        let dropped = CancellationToken::new();
        let (gone, own) = (inner.gone(), told.clone());
        let is_dropped = dropped.clone().cancelled_owned();
        tokio::spawn(async move {
            tokio::select! {
                () = gone => own.ended(),
                () = is_dropped => {}
            }
        });
        let is_left = AtomicBool::new(false);
        Ok(Box::new(WatchedMachine { inner, told, is_left, _dropped: dropped.drop_guard() }))
    }

    async fn check_bridge(&self, name: &str) -> Result<(), Error> {
        self.backend.check_bridge(name).await
    }

    async fn end(&self, run_dir: &Path) -> Result<(), Error> {
        self.backend.end(run_dir).await
    }
}

fn started(machine: u32, spec: &MachineSpec) -> Seen {
    let generation = match &spec.firmware {
        Firmware::Uefi { .. } => 2,
        Firmware::Bios => 1,
    };
    let disks = std::iter::once(&spec.disk).chain(&spec.data);
    Seen::Started {
        machine,
        vcpus: spec.vcpus,
        memory_mib: spec.memory_mib,
        generation,
        disks: disks.map(|disk| virtual_size(disk).unwrap_or_default()).collect(),
    }
}

/// The size that a qcow2 file's header names.
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

/// Tells of a machine's end, once.
struct Told {
    number: u32,
    tell: Tell,
    is_told: AtomicBool,
}

impl Told {
    fn ended(&self) {
        if !self.is_told.swap(true, Ordering::Relaxed) {
            (self.tell)(Seen::Ended { machine: self.number });
        }
    }
}

struct WatchedMachine {
    inner: Box<dyn Machine>,
    told: Arc<Told>,
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
            self.told.ended();
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
            vcpus: 2,
            memory_mib: 1024,
            firmware: Firmware::Bios,
            disk: dir.join("disk.qcow2"),
            data: Vec::new(),
            seed: None,
            forwards: Vec::new(),
            bridge: None,
            resume_from: None,
            migratable: true,
            machine_type: None,
            cpu_model: None,
        }
    }

    #[tokio::test]
    async fn a_machine_is_told_of_until_it_ends_unless_it_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let (send, mut seen) = mpsc::channel(16);
        let fake = Fake::new();
        let backend = Watched::new(&fake, move |change| send.try_send(change).unwrap());
        let start = async || backend.start(&spec(dir.path()), &CancellationToken::new()).await;
        let started = |machine| Seen::Started {
            machine,
            vcpus: 2,
            memory_mib: 1024,
            generation: 1,
            disks: vec![3 << 30],
        };
        let machine = start().await.unwrap();
        assert_eq!(seen.recv().await.unwrap(), started(1));
        machine.stop(Duration::ZERO).await.unwrap();
        assert_eq!(seen.recv().await.unwrap(), Seen::Ended { machine: 1 });
        drop(machine);

        drop(start().await.unwrap());
        let left = start().await.unwrap();
        left.leave_running();
        drop(left);
        drop(backend);
        let mut rest = Vec::new();
        while let Some(change) = seen.recv().await {
            rest.push(change);
        }
        assert_eq!(rest, [started(2), Seen::Ended { machine: 2 }, started(3)]);
    }
}
