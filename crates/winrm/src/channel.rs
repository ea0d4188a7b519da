//! What carries envelopes: the seam between the conversation and its protection.

use async_trait::async_trait;
use bytes::Bytes;
use http::StatusCode;

use crate::Error;

/// The answer to an envelope.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The HTTP status: 200, or 500 with a fault in the body.
    pub(crate) status: StatusCode,
    /// The envelope of the answer, decrypted.
    pub(crate) body: Bytes,
}

/// One connection to a service, with a user who is authenticated at the latest with the first
/// envelope. The time limits are the caller's.
#[async_trait]
pub(crate) trait Channel: Send {
    /// Posts an envelope and receives its answer. An answer of 401 is [`Error::Unauthorized`]; a
    /// connection that ends before the whole answer was received is [`Error::Cut`]. The channel cannot
    /// be used any more after an error, or when the future is dropped.
    async fn post(&mut self, envelope: Bytes) -> Result<Answer, Error>;

    /// Waits until the connection takes another request; false when it has ended, and nothing that is
    /// posted would arrive.
    async fn is_open(&mut self) -> bool;
}

/// Makes channels.
#[async_trait]
pub(crate) trait Connect: Send + Sync {
    /// A new connection.
    async fn connect(&self) -> Result<Box<dyn Channel>, Error>;
}
