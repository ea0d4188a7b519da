//! The client: what a caller sees.

use std::{fmt, ops::ControlFlow, sync::Arc};

use async_trait::async_trait;
use tokio::io::AsyncRead;

use crate::{
    Endpoint, Error, Login, Transport,
    channel::Connect,
    http,
    https::Https,
    link::{Link, OPERATION},
    ntlm::Ntlm,
    record::{Recorded, Recorder},
    run::run,
    soap::{
        answer,
        request::{self, Letterhead},
    },
};

/// Runs commands in a guest. Cheap to clone; keeps no connection between commands, so that it
/// survives restarts of the guest.
#[derive(Clone)]
pub struct Client {
    connect: Arc<dyn Connect>,
    url: String,
    user: String,
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
        let scheme = match endpoint.transport {
            Transport::Https { .. } => "https",
            Transport::Http => "http",
        };
        let url = format!("{scheme}://{}{}", endpoint.address, http::PATH);
        let user = login.user.clone();
        let connect: Arc<dyn Connect> = match endpoint.transport {
            Transport::Https { certificate } => Arc::new(Https::new(endpoint, login, certificate)),
            Transport::Http => Arc::new(Ntlm::new(endpoint, login)),
        };
        Self { connect, url, user }
    }

    /// This client, but each exchange with the service is shown to `recorder`.
    #[must_use]
    pub fn recorded(self, recorder: Arc<dyn Recorder>) -> Self {
        let connect: Arc<dyn Connect> = Arc::new(Recorded { connect: self.connect, recorder });
        Self { connect, ..self }
    }

    /// Asks the service for its identity, with the user's password.
    pub async fn identify(&self) -> Result<Identity, Error> {
        let mut link = Link::new(self.connect.clone());
        let reply = link.ask(request::identify(), "while it told its identity").await?;
        answer::identity(&reply.body()?)
    }

    /// Runs a command line of `cmd.exe`, at most 8,191 characters, and returns its exit code.
    ///
    /// Dropping the future ends the command and its shell, within seconds if the guest answers. An
    /// error does so too.
    pub async fn run(
        &self,
        command: &str,
        stdin: Input<'_>,
        output: &mut dyn Output,
    ) -> Result<u32, Error> {
        let letterhead = Letterhead::new(self.url.clone(), OPERATION);
        run(&self.connect, letterhead, command, stdin, output).await
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url, user, connect: _ } = self;
        f.debug_struct("Client").field("url", url).field("user", user).finish_non_exhaustive()
    }
}
