//! A scripted backend for tests and dry runs. It records all calls and reacts by rules.
//!
//! Files are real (sealing creates them), guests are not. The last rule whose text a command
//! contains decides the reaction; without a rule, the command succeeds without output. `poweroff`
//! shuts the guest down.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use tokio::{io::AsyncReadExt, sync::watch};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::{
    Access, Backend, Ended, Error, Exit, Firmware, Guest, Machine, MachineSpec, Seal, Sealed, Sink,
    Stdin, StreamKind,
};

mod call;
mod media;
mod ram;
mod reaction;

pub use call::{Call, Mishap, Point};
pub use media::Media;
pub use reaction::{Reaction, Then};

type Answer = Arc<dyn Fn(&str, &[u8]) -> Reaction + Send + Sync>;

/// The backend. Clones share their state.
#[derive(Clone, Default)]
pub struct Fake {
    state: Arc<Mutex<State>>,
    flooded: Arc<AtomicU64>,
    media: Media,
}

#[derive(Default)]
struct State {
    calls: Vec<Call>,
    is_forgetful: bool,
    rules: Vec<(String, Answer)>,
    deaf: Vec<(String, Reaction)>,
    console: Vec<(String, String)>,
    mishaps: HashMap<Point, Mishap>,
    next: HashMap<Point, Mishap>,
    ram_written: Option<CancellationToken>,
    running: HashMap<PathBuf, Life>,
}

/// The lifetime of one machine.
#[derive(Clone, Default)]
struct Life {
    gone: CancellationToken,
    ended: Arc<Mutex<Option<Ended>>>,
    resets: Arc<watch::Sender<u64>>,
}

impl Life {
    fn end(&self, how: Ended) {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        ended.get_or_insert(how);
        drop(ended);
        self.gone.cancel();
    }

    fn ended(&self) -> Option<Ended> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn error(&self) -> Error {
        let ended = self.ended().unwrap_or(Ended::Stopped);
        Error::Gone { ended, serial: vec!["last words of the fake".to_owned()] }
    }
}

impl Fake {
    /// A backend whose machines succeed at every call.
    pub fn new() -> Self {
        let fake = Self::default();
        fake.on("poweroff", Reaction::then(Then::Gone(Ended::GuestShutdown)));
        fake
    }

    /// Like [`Fake::new`], but without a record of calls, for a long-running service.
    pub fn forgetful() -> Self {
        let fake = Self::new();
        fake.state().is_forgetful = true;
        fake
    }

    /// Adds a rule: commands that contain this text get this reaction.
    pub fn on(&self, needle: impl Into<String>, reaction: Reaction) {
        self.on_call(needle, move |_, _| reaction.clone());
    }

    /// Adds a rule that computes the reaction from the command and its input.
    pub fn on_call(
        &self,
        needle: impl Into<String>,
        answer: impl Fn(&str, &[u8]) -> Reaction + Send + Sync + 'static,
    ) {
        self.state().rules.push((needle.into(), Arc::new(answer)));
    }

    /// Adds a rule for commands that do not read their input, which may be endless.
    pub fn on_deaf(&self, needle: impl Into<String>, reaction: Reaction) {
        self.state().deaf.push((needle.into(), reaction));
    }

    /// Answers for the console: a wait for a line whose beginning contains `needle` gets this rest.
    pub fn on_console(&self, needle: impl Into<String>, rest: impl Into<String>) {
        self.state().console.push((needle.into(), rest.into()));
    }

    /// Makes a call fail from now on.
    pub fn at(&self, point: Point, mishap: Mishap) {
        self.state().mishaps.insert(point, mishap);
    }

    /// Makes only the next such call fail.
    pub fn once_at(&self, point: Point, mishap: Mishap) {
        self.state().next.insert(point, mishap);
    }

    /// Makes a call succeed again.
    pub fn behave(&self, point: Point) {
        self.state().mishaps.remove(&point);
    }

    /// All recorded calls.
    pub fn calls(&self) -> Vec<Call> {
        self.state().calls.clone()
    }

    /// The recorded commands of guests.
    pub fn commands(&self) -> Vec<String> {
        let command = |call| match call {
            Call::Run { command, .. } => Some(command),
            _ => None,
        };
        self.calls().into_iter().filter_map(command).collect()
    }

    /// How many bytes [floods](Then::Flood) have written so far.
    pub fn flooded(&self) -> u64 {
        self.flooded.load(Ordering::Relaxed)
    }

    /// The files that are in machines on CDs. It does not keep the backend alive, so that rules may have it.
    pub fn media(&self) -> Media {
        self.media.clone()
    }

    /// The run folders of running machines.
    pub fn running(&self) -> Vec<PathBuf> {
        self.state().running.keys().cloned().collect()
    }

    /// Ends a machine unexpectedly.
    pub fn lose(&self, run_dir: &Path, how: Ended) {
        if let Some(life) = self.state().running.remove(run_dir) {
            life.end(how);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record(&self, call: Call) {
        let mut state = self.state();
        if !state.is_forgetful {
            state.calls.push(call);
        }
    }

    fn answer(&self, command: &str, stdin: &[u8]) -> Reaction {
        let state = self.state();
        let rule = state.rules.iter().rev().find(|(needle, _)| command.contains(needle));
        let answer = rule.map(|(_, answer)| answer.clone());
        drop(state);
        answer.map_or_else(|| Reaction::exit(0), |answer| answer(command, stdin))
    }

    fn console_rule(&self, beginning: &str) -> Option<String> {
        let state = self.state();
        let rule = state.console.iter().rev().find(|(needle, _)| beginning.contains(needle));
        rule.map(|(_, rest)| rest.clone())
    }

    fn deaf(&self, command: &str) -> Option<Reaction> {
        let state = self.state();
        let rule = state.deaf.iter().rev().find(|(needle, _)| command.contains(needle));
        rule.map(|(_, reaction)| reaction.clone())
    }

    async fn apply_mishap(&self, point: Point, life: Option<&Life>) -> Result<(), Error> {
        let mishap = {
            let mut state = self.state();
            state.next.remove(&point).or_else(|| state.mishaps.get(&point).cloned())
        };
        match mishap {
            None => Ok(()),
            Some(Mishap::Fail(text)) => {
                Err(Error::Qmp { command: format!("{point:?}"), desc: text })
            }
            #[allow(clippy::panic, reason = "a test requests it")]
            Some(Mishap::Panic) => panic!("the test requested a panic in {point:?}"),
            Some(Mishap::Hang) => std::future::pending().await,
            Some(Mishap::WrongHostKey) => Err(Error::HostKey {
                expected: "SHA256:expected".to_owned(),
                actual: "SHA256:actual".to_owned(),
            }),
            Some(Mishap::Gone(ended)) => {
                let life = life.cloned().unwrap_or_default();
                life.end(ended);
                Err(life.error())
            }
        }
    }
}

#[async_trait]
impl Backend for Fake {
    async fn start(
        &self,
        spec: &MachineSpec,
        cancel: &CancellationToken,
    ) -> Result<Box<dyn Machine>, Error> {
        self.record(Call::Start(spec.clone()));
        tokio::select! {
            () = cancel.cancelled() => return Err(Error::Canceled),
            result = self.apply_mishap(Point::Start, None) => result?,
        }
        let ram = spec.resume_from.as_ref().map(|ram| &ram.path);
        let missing = [Some(&spec.disk), ram, spec.seed.as_ref()];
        let mut missing = missing.into_iter().flatten().chain(&spec.data).chain(&spec.cds);
        if let Some(path) = missing.find(|path| !path.exists()) {
            return Err(Error::Start { output: format!("Could not open '{}'", path.display()) });
        }
        let life = Life::default();
        self.state().running.insert(spec.run_dir.clone(), life.clone());
        Ok(Box::new(FakeMachine {
            fake: self.clone(),
            life,
            spec: spec.clone(),
            left_running: AtomicBool::new(false),
        }))
    }

    async fn end(&self, run_dir: &Path) -> Result<(), Error> {
        self.record(Call::End(run_dir.to_owned()));
        self.apply_mishap(Point::End, None).await?;
        self.lose(run_dir, Ended::Stopped);
        Ok(())
    }

    async fn check_bridge(&self, _name: &str) -> Result<(), Error> {
        self.apply_mishap(Point::CheckBridge, None).await
    }
}

struct FakeMachine {
    fake: Fake,
    life: Life,
    spec: MachineSpec,
    left_running: AtomicBool,
}

impl FakeMachine {
    fn end(&self, how: Ended) {
        self.life.end(how);
        self.fake.media.eject(&self.spec.run_dir);
        self.fake.state().running.remove(&self.spec.run_dir);
    }

    async fn apply_mishap(&self, point: Point) -> Result<(), Error> {
        self.fake.apply_mishap(point, Some(&self.life)).await
    }
}

#[async_trait]
impl Machine for FakeMachine {
    async fn connect(
        &self,
        _access: &Access,
        deadline: Duration,
        cancel: &CancellationToken,
    ) -> Result<Box<dyn Guest>, Error> {
        self.fake.record(Call::Connect);
        tokio::select! {
            biased;
            () = cancel.cancelled() => return Err(Error::Canceled),
            () = self.life.gone.cancelled() => return Err(self.life.error()),
            result = self.apply_mishap(Point::Connect) => result?,
            () = tokio::time::sleep(deadline) => {
                let what = "the guest's first answer over SSH".to_owned();
                return Err(Error::Timeout { what, after: deadline, serial: self.serial_tail(20) });
            }
        }
        Ok(Box::new(FakeGuest { fake: self.fake.clone(), life: self.life.clone() }))
    }

    async fn seal(&self, request: &Seal) -> Result<Sealed, Error> {
        self.fake.record(Call::Seal(request.clone()));
        self.apply_mishap(Point::Seal).await?;
        self.fake.media.eject(&self.spec.run_dir);
        let has_vars = matches!(self.spec.firmware, Firmware::Uefi { .. });
        if has_vars != request.next_vars.is_some() {
            let desc = "next_vars must be set if and only if the machine has UEFI variables";
            return Err(Error::Qmp { command: "blockdev-snapshot".into(), desc: desc.into() });
        }
        if self.spec.tpm.is_some() != request.tpm.is_some() {
            let desc = "tpm must be set if and only if the machine has a TPM";
            return Err(Error::Qmp { command: "blockdev-snapshot".into(), desc: desc.into() });
        }
        if let Some(tpm) = &request.tpm {
            fs::create_dir(tpm).map_err(Error::at(tpm))?;
        }
        if self.spec.data.len() != request.next_data.len() {
            let desc = "next_data must have one entry for each data disk";
            return Err(Error::Qmp { command: "blockdev-snapshot".into(), desc: desc.into() });
        }
        let next = std::iter::once(&request.next_disk).chain(&request.next_vars);
        for path in next.chain(&request.next_data) {
            if !path.exists() {
                fs::write(path, "overlay").map_err(Error::at(path))?;
            }
        }
        let ram = request.ram.as_ref().map(|ram| self.save_ram(ram)).transpose()?;
        Ok(Sealed { seconds: 0.0, ram })
    }

    async fn wait_off(&self, deadline: Duration) -> Result<(), Error> {
        self.fake.record(Call::WaitOff);
        let off = async {
            self.apply_mishap(Point::WaitOff).await?;
            self.life.gone.cancelled().await;
            Ok(())
        };
        match tokio::time::timeout(deadline, off).await {
            Ok(Ok(())) if self.life.ended() == Some(Ended::GuestShutdown) => Ok(()),
            Ok(Ok(())) => Err(self.life.error()),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(Error::Timeout {
                what: "the guest's shutdown".to_owned(),
                after: deadline,
                serial: self.serial_tail(20),
            }),
        }
    }

    async fn screenshot(&self, path: &Path) -> Result<(), Error> {
        self.fake.record(Call::Screenshot(path.to_owned()));
        self.apply_mishap(Point::Screenshot).await?;
        fs::write(path, b"\x89PNG\r\n\x1a\n").map_err(Error::at(path))
    }

    fn serial_tail(&self, lines: usize) -> Vec<String> {
        let all = ["fake login:", "last words of the fake"].map(str::to_owned);
        all.into_iter().take(lines).collect()
    }

    async fn console_line(
        &self,
        beginning: &str,
        deadline: Duration,
        cancel: &CancellationToken,
    ) -> Result<String, Error> {
        let rule = self.fake.console_rule(beginning);
        if let Some(rest) = rule {
            return Ok(rest);
        }
        tokio::select! {
            () = cancel.cancelled() => Err(Error::Canceled),
            () = self.life.gone.cancelled() => Err(self.life.error()),
            () = tokio::time::sleep(deadline) => Err(Error::Timeout {
                what: "the guest's report on its serial port".to_owned(),
                after: deadline,
                serial: self.serial_tail(20),
            }),
        }
    }

    async fn press(&self, key: &str) -> Result<(), Error> {
        self.fake.record(Call::Press(key.to_owned()));
        Ok(())
    }

    async fn insert(&self, file: &Path, name: &str) -> Result<(), Error> {
        self.fake.record(Call::Insert { file: file.to_owned(), name: name.to_owned() });
        self.apply_mishap(Point::Insert).await?;
        self.fake.media.insert(&self.spec.run_dir, name, file);
        Ok(())
    }

    async fn eject(&self) -> Result<(), Error> {
        self.fake.record(Call::Eject);
        self.apply_mishap(Point::Eject).await?;
        self.fake.media.eject(&self.spec.run_dir);
        Ok(())
    }

    fn resets(&self) -> watch::Receiver<u64> {
        self.life.resets.subscribe()
    }

    fn gone(&self) -> WaitForCancellationFutureOwned {
        self.life.gone.clone().cancelled_owned()
    }

    fn ended(&self) -> Option<Ended> {
        self.life.ended()
    }

    fn forwarded(&self, guest_port: u16) -> Option<u16> {
        let (host, guest) = self.spec.forwards.iter().find(|(_, guest)| *guest == guest_port)?;
        Some(if *host == 0 { 40_000 + guest % 10_000 } else { *host })
    }

    async fn stop(&self, grace: Duration) -> Result<(), Error> {
        self.fake.record(Call::Stop { graceful: !grace.is_zero() });
        self.apply_mishap(Point::Stop).await?;
        self.end(if grace.is_zero() { Ended::Stopped } else { Ended::GuestShutdown });
        Ok(())
    }

    fn leave_running(&self) {
        self.left_running.store(true, Ordering::Relaxed);
    }

    async fn plug_in(&self) -> Result<(), Error> {
        self.fake.record(Call::PlugIn);
        Ok(())
    }
}

impl Drop for FakeMachine {
    fn drop(&mut self) {
        if !self.left_running.load(Ordering::Relaxed) {
            self.end(Ended::Stopped);
        }
    }
}

struct FakeGuest {
    fake: Fake,
    life: Life,
}

#[async_trait]
impl Guest for FakeGuest {
    async fn run(
        &self,
        command: &str,
        stdin: Stdin<'_>,
        sink: &mut dyn Sink,
    ) -> Result<Exit, Error> {
        let lost = |what: &str| Error::Ssh { what: what.to_owned(), source: None };
        let deaf = self.fake.deaf(command);
        let stdin = match stdin {
            _ if deaf.is_some() => Vec::new(),
            Stdin::Empty => Vec::new(),
            Stdin::Bytes(bytes) => bytes.to_vec(),
            Stdin::Reader(reader) => {
                let mut bytes = Vec::new();
                reader.read_to_end(&mut bytes).await.map_err(Error::Input)?;
                bytes
            }
        };
        let reaction = deaf.unwrap_or_else(|| self.fake.answer(command, &stdin));
        self.fake.record(Call::Run { command: command.to_owned(), stdin });
        if self.life.gone.is_cancelled() {
            return Err(lost("the connection is closed"));
        }
        for (kind, text) in [(StreamKind::Out, &reaction.out), (StreamKind::Err, &reaction.err)] {
            if !text.is_empty() && sink.take(kind, text.as_bytes()).await.is_break() {
                return Err(Error::TooMuchOutput);
            }
        }
        match reaction.then {
            Then::Exit(code) => Ok(Exit { code: Some(code), signal: None }),
            Then::Sleep(time) => {
                let asleep = self.life.gone.run_until_cancelled(tokio::time::sleep(time));
                match asleep.await {
                    Some(()) => Ok(Exit { code: Some(0), signal: None }),
                    None => Err(lost("the connection broke during a command")),
                }
            }
            Then::Hang => {
                self.life.gone.cancelled().await;
                Err(lost("the connection broke during a command"))
            }
            Then::Flood(kind) => {
                let piece = format!("{}\n", "y".repeat(1023)).repeat(32);
                loop {
                    if self.life.gone.is_cancelled() {
                        return Err(lost("the connection broke during a command"));
                    }
                    if sink.take(kind, piece.as_bytes()).await.is_break() {
                        return Err(Error::TooMuchOutput);
                    }
                    self.fake.flooded.fetch_add(piece.len() as u64, Ordering::Relaxed);
                    tokio::task::yield_now().await;
                }
            }
            Then::Disconnect => Err(lost("the connection broke during a command")),
            Then::Reset => {
                self.life.resets.send_modify(|resets| *resets += 1);
                Err(lost("the connection broke during a command"))
            }
            Then::Gone(ended) => {
                self.life.end(ended);
                Err(lost("the connection broke during a command"))
            }
            #[allow(clippy::panic, reason = "a test requests it")]
            Then::Panic => panic!("the test requested a panic in a command"),
        }
    }
}

#[cfg(test)]
mod tests;
