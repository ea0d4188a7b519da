//! A process of the stand-in, and what tests ask of it.

use std::{net::SocketAddr, ops::ControlFlow, path::Path, process::Stdio};

use async_trait::async_trait;
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStderr, Command},
};
use winrm::{Client, Endpoint, Error, Fingerprint, Input, Login, Output, Stream, Transport};

pub(crate) const USER: &str = "builder";
pub(crate) const PASSWORD: &str = "Passw0rd!";

/// A stand-in at work. It ends with this value.
pub(crate) struct Fake {
    _child: Child,
    notes: Lines<BufReader<ChildStderr>>,
    ports: Value,
    /// Its certificate.
    _files: tempfile::TempDir,
}

impl Fake {
    /// Over HTTPS, with these faults.
    pub(crate) async fn https(faults: Value) -> Self {
        Self::start("python3", faults, &["--https", "127.0.0.1:0"]).await
    }

    /// Over HTTP with NTLM, with these faults.
    pub(crate) async fn ntlm(faults: Value) -> Self {
        Self::start(&python(), faults, &["--http", "127.0.0.1:0", "--ntlm"]).await
    }

    pub(crate) async fn start(python: &str, faults: Value, arguments: &[&str]) -> Self {
        let files = tempfile::tempdir().unwrap();
        let certified = rcgen::generate_simple_self_signed(["fake-windows".to_owned()]).unwrap();
        let [certificate, key] = ["certificate.pem", "key.pem"].map(|name| files.path().join(name));
        std::fs::write(&certificate, certified.cert.pem()).unwrap();
        std::fs::write(&key, certified.signing_key.serialize_pem()).unwrap();
        let mut command = Command::new(python);
        command.args(["-B", "-m", "fake", "--until-eof", "--faults", &faults.to_string()]);
        command.args(arguments).arg("--certificate").arg(&certificate).arg("--key").arg(&key);
        Self::spawn(command, files).await
    }

    /// Over HTTPS, with a certificate that it makes itself, as Windows does.
    pub(crate) async fn with_its_own_certificate() -> Self {
        let mut command = Command::new("python3");
        command.args(["-B", "-m", "fake", "--until-eof", "--https", "127.0.0.1:0"]);
        Self::spawn(command, tempfile::tempdir().unwrap()).await
    }

    async fn spawn(mut command: Command, files: tempfile::TempDir) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
        let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // What it leaves when it is killed goes with the folder.
        let pipes = pipes.env("TMPDIR", files.path());
        let mut child = pipes.current_dir(folder).kill_on_drop(true).spawn().unwrap();
        let mut report = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut notes = BufReader::new(child.stderr.take().unwrap()).lines();
        let Some(report) = report.next_line().await.unwrap() else {
            let mut all = String::new();
            while let Some(line) = notes.next_line().await.unwrap() {
                all += &format!("{line}\n");
            }
            panic!("the stand-in does not start: {all}");
        };
        let ports = serde_json::from_str(&report).unwrap();
        Self { _child: child, notes, ports, _files: files }
    }

    pub(crate) fn fingerprint(&self) -> Fingerprint {
        self.ports["certificate"].as_str().unwrap().parse().unwrap()
    }

    fn address(&self, scheme: &str) -> SocketAddr {
        let port = u16::try_from(self.ports[scheme].as_u64().unwrap()).unwrap();
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    /// Where it is: over HTTPS if it listens there.
    pub(crate) fn endpoint(&self) -> Endpoint {
        if self.ports["https"].is_null() {
            return Endpoint { address: self.address("http"), transport: Transport::Http };
        }
        let transport = Transport::Https { certificate: self.fingerprint() };
        Endpoint { address: self.address("https"), transport }
    }

    /// A client with the right password.
    pub(crate) fn client(&self) -> Client {
        self.client_of(USER, PASSWORD)
    }

    pub(crate) fn client_of(&self, user: &str, password: &str) -> Client {
        let login = Login { user: user.to_owned(), password: password.to_owned() };
        Client::new(self.endpoint(), login)
    }

    /// Waits until it writes a line that ends so to its standard error.
    pub(crate) async fn says(&mut self, end: &str) {
        while let Some(line) = self.notes.next_line().await.unwrap() {
            if line.ends_with(end) {
                return;
            }
        }
        panic!("the stand-in has ended");
    }

    /// How many shells and running commands there are, without the ones that ask.
    pub(crate) async fn left(&self) -> (u64, u64) {
        let status: Value =
            serde_json::from_str(&run(&self.client(), "fake status").await.out()).unwrap();
        (status["shells"].as_u64().unwrap() - 1, status["running"].as_u64().unwrap() - 1)
    }

    /// Waits until no shell is left: they are ended in the background.
    pub(crate) async fn is_tidy(&self) -> bool {
        for _ in 0..2000 {
            if self.left().await == (0, 0) {
                return true;
            }
        }
        false
    }
}

/// The Python that has pyspnego. It is installed at the first use.
pub(crate) fn python() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let made = std::process::Command::new("scripts/environment.sh")
        .args(["winrm", "tests/winrm/requirements.txt"])
        .current_dir(root)
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(made.status.success(), "scripts/environment.sh fails");
    format!("{}/bin/python", String::from_utf8(made.stdout).unwrap().trim())
}

/// What a command did.
pub(crate) struct Ran {
    pub(crate) result: Result<u32, Error>,
    out: Vec<u8>,
    err: Vec<u8>,
}

impl Ran {
    pub(crate) fn code(&self) -> u32 {
        match &self.result {
            Ok(code) => *code,
            Err(error) => panic!("{error:?}"),
        }
    }

    /// The error, which there must be.
    pub(crate) fn error(self) -> Error {
        match self.result {
            Ok(code) => panic!("it ended with {code}"),
            Err(error) => error,
        }
    }

    pub(crate) fn out(&self) -> String {
        self.code();
        String::from_utf8(self.out.clone()).unwrap()
    }

    pub(crate) fn bytes(&self) -> (&[u8], &[u8]) {
        (&self.out, &self.err)
    }

    /// Code, standard output and standard error.
    pub(crate) fn all(&self) -> (u32, &str, &str) {
        let text = |bytes| str::from_utf8(bytes).unwrap();
        (self.code(), text(&self.out), text(&self.err))
    }
}

/// Keeps output up to a limit.
pub(crate) struct Keeper {
    pub(crate) out: Vec<u8>,
    pub(crate) err: Vec<u8>,
    pub(crate) limit: usize,
}

#[async_trait]
impl Output for Keeper {
    async fn take(&mut self, stream: Stream, bytes: &[u8]) -> ControlFlow<()> {
        let kept = match stream {
            Stream::Out => &mut self.out,
            Stream::Err => &mut self.err,
        };
        kept.extend_from_slice(bytes);
        if kept.len() > self.limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

pub(crate) async fn run(client: &Client, command: &str) -> Ran {
    run_with(client, command, Input::Empty).await
}

pub(crate) async fn run_with(client: &Client, command: &str, stdin: Input<'_>) -> Ran {
    let mut keeper = Keeper { out: Vec::new(), err: Vec::new(), limit: 64 << 20 };
    let result = client.run(command, stdin, &mut keeper).await;
    Ran { result, out: keeper.out, err: keeper.err }
}
