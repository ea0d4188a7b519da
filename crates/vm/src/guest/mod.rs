//! Connections to the guest inside a machine.

use std::ops::ControlFlow;

use async_trait::async_trait;
use tokio::io::AsyncRead;

use crate::{Access, Door, Error, OsType};

pub(crate) mod cmd_ssh;
mod frame;
pub(crate) mod ssh;
pub(crate) mod winrm;

const SSH: u16 = 22;
const WINRM_HTTP: u16 = 5985;
const WINRM_HTTPS: u16 = 5986;

/// The ports of a guest that goldsmith may connect to, for [`crate::MachineSpec::forwards`]: each from
/// any free port of the host.
pub fn forwards(os: OsType) -> Vec<(u16, u16)> {
    let ports: &[u16] = match os {
        OsType::Linux => &[SSH],
        OsType::Windows => &[WINRM_HTTPS, WINRM_HTTP, SSH],
    };
    ports.iter().map(|port| (0, *port)).collect()
}

/// The guest's port that leads to the service that lets goldsmith in.
pub fn port(access: &Access) -> u16 {
    service(access).0
}

/// A guest with Windows whose WinRM service is at a port of this host. Connects to nothing yet.
///
/// # Errors
/// `access` is for another kind of guest, or the guest's certificate is unknown.
pub fn over_winrm(port: u16, access: &Access) -> Result<Box<dyn Guest>, Error> {
    let unknown = || Error::NoCertificate { known: String::new() };
    let windows = access.windows.as_ref().ok_or_else(unknown)?;
    let address = (std::net::Ipv4Addr::LOCALHOST, port).into();
    Ok(Box::new(winrm::WinrmGuest::new(address, access, windows)?))
}

/// The port of the service that lets goldsmith in, and the service's name.
pub(crate) fn service(access: &Access) -> (u16, &'static str) {
    match access.windows.as_ref().map(|windows| windows.door) {
        None | Some(Door::Ssh) => (SSH, "SSH"),
        Some(Door::WinrmHttps) => (WINRM_HTTPS, "WinRM"),
        Some(Door::WinrmHttp) => (WINRM_HTTP, "WinRM"),
    }
}

/// A connection attempt failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Another attempt would fail as well.
    Final(Error),
    /// The guest rejects the password. Windows locks a user out after some attempts.
    Refused(Error),
    /// Typical of a guest that is still booting.
    NotYet(String),
}

/// A connection to a guest.
#[async_trait]
pub trait Guest: Send + Sync {
    /// Runs a command as the connected user. On Linux it is for `/bin/sh`, whatever that user's login
    /// shell is, and text that the login shell prints is not part of the command's output. On Windows
    /// it is one command line for `cmd.exe`, of at most 8,191 characters.
    ///
    /// Standard input is streamed as the command reads it. Output goes to `sink` as it arrives, and
    /// the guest cannot write faster than the sink accepts it. A command that exits with a failure
    /// is not an error here. Dropping the future closes the command's streams; its processes may
    /// continue.
    async fn run(
        &self,
        command: &str,
        stdin: Stdin<'_>,
        sink: &mut dyn Sink,
    ) -> Result<Exit, Error>;
}

/// Receives a command's output in pieces. The guest is not trusted: a sink must store a bounded
/// amount.
#[async_trait]
pub trait Sink: Send {
    /// Receives a piece. Until it returns, the guest's command can write little more. `Break` ends
    /// the command with [`Error::TooMuchOutput`].
    async fn take(&mut self, stream: StreamKind, bytes: &[u8]) -> ControlFlow<()>;
}

/// The sink for commands whose output does not matter.
#[derive(Debug, Clone, Copy, Default)]
pub struct Discard;

#[async_trait]
impl Sink for Discard {
    async fn take(&mut self, _: StreamKind, _: &[u8]) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

/// The standard input of a guest's command.
pub enum Stdin<'a> {
    /// Nothing.
    Empty,
    /// These bytes.
    Bytes(&'a [u8]),
    /// All bytes of this reader.
    Reader(&'a mut (dyn AsyncRead + Send + Unpin)),
}

/// An output stream of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamKind {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// How a guest's command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// The exit code, unless a signal ended the command. All 32 bits count on Windows.
    pub code: Option<u32>,
    /// The name of the signal that ended the command, without `SIG`.
    pub signal: Option<String>,
}

/// Completes a sentence that begins with the command: "exited with status 3".
impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.code, &self.signal) {
            (Some(code), _) => write!(f, "exited with status {code}"),
            (None, Some(signal)) => write!(f, "was ended by signal {signal}"),
            (None, None) => f.write_str("ended without a status: the connection broke"),
        }
    }
}

impl Exit {
    /// True for exit code 0.
    pub fn success(&self) -> bool {
        self.code == Some(0)
    }
}
