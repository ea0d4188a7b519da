//! Reaching what runs inside a machine.

use std::ops::ControlFlow;

use async_trait::async_trait;
use tokio::io::AsyncRead;

use crate::Error;

mod frame;
pub(crate) mod ssh;

/// A connection to a guest.
#[async_trait]
pub trait Guest: Send + Sync {
    /// Runs a command of `/bin/sh` as the connected user, whatever that user's login shell is. What a
    /// login shell prints of its own accord is not part of the command's output.
    ///
    /// Standard input is streamed as the command reads it; output is handed to `sink` as it comes, and
    /// the guest writes no faster than the sink takes it. A command that ends with a failure is not an
    /// error here. Dropping the future closes the command's streams; what it started may live on.
    async fn run(
        &self,
        command: &str,
        stdin: Stdin<'_>,
        sink: &mut dyn Sink,
    ) -> Result<Exit, Error>;
}

/// Takes a command's output, piece by piece. The guest is not trusted: a sink keeps a bounded amount.
#[async_trait]
pub trait Sink: Send {
    /// Takes a piece; until this returns, the guest's command can write little more. `Break` ends the
    /// command with [`Error::TooMuchOutput`].
    async fn take(&mut self, stream: StreamKind, bytes: &[u8]) -> ControlFlow<()>;
}

/// The sink for commands of which only the exit matters.
#[derive(Debug, Clone, Copy, Default)]
pub struct Discard;

#[async_trait]
impl Sink for Discard {
    async fn take(&mut self, _: StreamKind, _: &[u8]) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

/// What a guest's command reads.
pub enum Stdin<'a> {
    /// Nothing.
    Empty,
    /// These bytes.
    Bytes(&'a [u8]),
    /// Everything this reader gives.
    Reader(&'a mut (dyn AsyncRead + Send + Unpin)),
}

/// Which of its two streams a command wrote to.
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
    /// The exit code, unless a signal ended it.
    pub code: Option<i32>,
    /// The signal's name without `SIG`, if one ended it.
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
