//! How a guest reacts to a command.

use std::time::Duration;

use crate::{Ended, StreamKind};

/// How the guest reacts to a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reaction {
    /// The text on standard output.
    pub out: String,
    /// The text on standard error.
    pub err: String,
    /// What happens after the output.
    pub then: Then,
}

/// What a command does after its output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Then {
    /// Exits with this code.
    Exit(u32),
    /// Succeeds after this time, unless the machine ends before.
    Sleep(Duration),
    /// Hangs until the machine ends.
    Hang,
    /// Writes to that stream as fast as it is read, until the reader stops or the machine ends.
    Flood(StreamKind),
    /// The connection breaks.
    Disconnect,
    /// The guest resets its machine, and the connection breaks.
    Reset,
    /// The machine ends during the command.
    Gone(Ended),
    /// The SSH library panics.
    Panic,
}

impl Reaction {
    /// Exits with a code, without output.
    pub fn exit(code: u32) -> Self {
        Self::then(Then::Exit(code))
    }

    /// Succeeds with text on standard output.
    pub fn out(text: impl Into<String>) -> Self {
        Self { out: text.into(), ..Self::exit(0) }
    }

    /// Writes nothing, then does `then`.
    pub fn then(then: Then) -> Self {
        Self { out: String::new(), err: String::new(), then }
    }

    /// Adds text on standard error.
    #[must_use]
    pub fn err(mut self, text: impl Into<String>) -> Self {
        self.err = text.into();
        self
    }
}
