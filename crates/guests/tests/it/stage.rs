//! A scripted machine with a guest whose PowerShell is a function of the test.

use std::{path::Path, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use guests::{At, StepOutput, System, windows::Windows};
use images::{event::Events, layout::Layout, run_context::RunContext};
use serde_json::Value;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use vm::{
    Access, Backend, Firmware, Guest, Machine, MachineSpec, OsType,
    fake::{Fake, Reaction, Then},
};

/// One script of goldsmith's that reached the guest.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) name: String,
    pub(crate) arguments: Value,
    pub(crate) data: Vec<u8>,
}

impl Call {
    pub(crate) fn read(stdin: &[u8]) -> Self {
        let text = std::str::from_utf8(stdin).unwrap();
        let mut lines = text.strip_suffix(".\n").expect("the input is whole").lines();
        let mut next = || BASE64.decode(lines.next().unwrap()).unwrap();
        let arguments = serde_json::from_slice(&next()).unwrap();
        let script = String::from_utf8(next()).unwrap();
        let name = script.lines().next().unwrap().strip_prefix("# goldsmith: ").unwrap().to_owned();
        let data = lines.flat_map(|line| BASE64.decode(line).unwrap()).collect();
        Self { name, arguments, data }
    }

    /// Answers with these lines.
    pub(crate) fn say(&self, lines: &[&str]) -> Reaction {
        let mark = self.text("mark");
        Reaction::out(lines.iter().map(|line| format!("{mark} {line}\r\n")).collect::<String>())
    }

    pub(crate) fn text(&self, name: &str) -> String {
        self.arguments[name].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn number(&self, name: &str) -> u64 {
        self.arguments[name].as_u64().unwrap()
    }

    /// What a job's script was given.
    pub(crate) fn of_job(&self) -> Value {
        serde_json::from_str(&self.text("arguments")).unwrap()
    }
}

pub(crate) fn b64(text: &str) -> String {
    BASE64.encode(text)
}

/// A poll's answer with the rest of that output, and how the job ended, or that it runs.
pub(crate) fn poll(call: &Call, output: &[u8], end: &str) -> Reaction {
    let offset = call.number("offset");
    let rest = &output[usize::try_from(offset).unwrap()..];
    match rest {
        [] => call.say(&[end]),
        rest => call.say(&[&format!("output {offset} {}", BASE64.encode(rest)), "running"]),
    }
}

pub(crate) struct Stage {
    pub(crate) fake: Fake,
    machine: Box<dyn Machine>,
    guest: Box<dyn Guest>,
    pub(crate) access: Access,
    pub(crate) out: StepOutput,
    _folder: TempDir,
}

impl Stage {
    /// A machine whose scripts get these reactions.
    pub(crate) async fn with(react: impl Fn(&Call) -> Reaction + Send + Sync + 'static) -> Self {
        let fake = Fake::new();
        let react = Arc::new(react);
        fake.on_call("-EncodedCommand", move |command, stdin| {
            assert!(command.len() < 8191, "cmd.exe takes no longer line: {}", command.len());
            react(&Call::read(stdin))
        });
        Self::on(fake).await
    }

    pub(crate) async fn on(fake: Fake) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let cancel = CancellationToken::new();
        let machine = fake.start(&spec(folder.path()), &cancel).await.unwrap();
        let access = Windows.new_access().unwrap();
        let guest = machine.connect(&access, Duration::from_secs(1), &cancel).await.unwrap();
        let layout = Layout::new(folder.path().join("cache"), folder.path().join("data"));
        let cx = RunContext::new(layout, Events::none(), cancel);
        let out = StepOutput::open("customize[0]", &cx, folder.path()).unwrap();
        Self { fake, machine, guest, access, out, _folder: folder }
    }

    pub(crate) fn at(&self) -> At<'_> {
        At { machine: self.machine.as_ref(), guest: self.guest.as_ref(), access: &self.access }
    }

    /// The machine's parts and the output, for work that needs both.
    pub(crate) fn parts(&mut self) -> (At<'_>, &mut StepOutput) {
        let Self { machine, guest, access, out, .. } = self;
        (At { machine: &**machine, guest: &**guest, access }, out)
    }

    /// The names of goldsmith's scripts that reached the guest, and the other command lines.
    pub(crate) fn heard(&self) -> Vec<String> {
        let call = |call| match call {
            vm::fake::Call::Run { command, stdin } if command.contains("-EncodedCommand") => {
                Some(Call::read(&stdin).name)
            }
            vm::fake::Call::Run { command, .. } => Some(command),
            _ => None,
        };
        self.fake.calls().into_iter().filter_map(call).collect()
    }
}

pub(crate) fn lost() -> Reaction {
    Reaction::then(Then::Disconnect)
}

fn spec(folder: &Path) -> MachineSpec {
    let disk = folder.join("disk.qcow2");
    std::fs::write(&disk, "disk").unwrap();
    MachineSpec {
        name: "fake".into(),
        run_dir: folder.to_owned(),
        os: OsType::Windows,
        vcpus: 2,
        memory_mib: 4096,
        firmware: Firmware::Bios,
        disk,
        data: Vec::new(),
        access: None,
        seed: None,
        cds: Vec::new(),
        forwards: vec![(0, 5986)],
        bridge: None,
        resume_from: None,
        migratable: true,
        machine_type: None,
        tpm: None,
        cpu_model: None,
    }
}
