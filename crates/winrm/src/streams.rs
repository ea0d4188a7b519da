//! What goes into a command and what comes out.

use std::ops::ControlFlow;

use async_trait::async_trait;
use tokio::io::AsyncRead;

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
    /// command with [`crate::Error::TooMuchOutput`].
    async fn take(&mut self, stream: Stream, bytes: &[u8]) -> ControlFlow<()>;
}
