//! The client: what a caller sees.

use std::ops::ControlFlow;

use async_trait::async_trait;
use tokio::io::AsyncRead;

use crate::{Endpoint, Error, Login};

/// Runs commands in a guest. Cheap to clone; keeps no connection between commands, so that it
/// survives restarts of the guest.
#[derive(Debug, Clone)]
pub struct Client {
    endpoint: Endpoint,
    login: Login,
}

/// What the service says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Identity {
    /// For example `Microsoft Corporation`.
    pub vendor: String,
    /// For example `OS: 10.0.17763 SP: 0.0 Stack: 3.0`.
    pub version: String,
}

/// The standard input of a command.
pub enum Input<'a> {
    /// Nothing: the command finds its end at once.
    Empty,
    /// These bytes.
    Bytes(&'a [u8]),
    /// All bytes of this reader.
    Reader(&'a mut (dyn AsyncRead + Send + Unpin)),
}

/// An output stream of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// Receives a command's output in pieces. A piece may end within a character.
#[async_trait]
pub trait Output: Send {
    /// Receives a piece. Nothing more is asked of the guest until it returns. `Break` ends the
    /// command with [`Error::TooMuchOutput`].
    async fn take(&mut self, stream: Stream, bytes: &[u8]) -> ControlFlow<()>;
}

impl Client {
    /// A client for this service and user. Connects to nothing yet.
    pub fn new(endpoint: Endpoint, login: Login) -> Self {
        Self { endpoint, login }
    }

    /// Asks the service for its identity, with the user's password.
    #[allow(clippy::unused_async, reason = "the signature comes first")]
    pub async fn identify(&self) -> Result<Identity, Error> {
        let at = self.endpoint.address;
        Err(Error::Protocol(format!("{at} as {}: not yet written", self.login.user)))
    }

    /// Runs a command line of `cmd.exe`, at most 8,191 characters, and returns its exit code.
    ///
    /// Dropping the future ends the command and its shell, within seconds if the guest answers.
    #[allow(clippy::unused_async, reason = "the signature comes first")]
    pub async fn run(
        &self,
        _command: &str,
        _stdin: Input<'_>,
        _output: &mut dyn Output,
    ) -> Result<u32, Error> {
        let at = self.endpoint.address;
        Err(Error::Protocol(format!("{at} as {}: not yet written", self.login.user)))
    }
}
