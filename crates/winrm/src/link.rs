//! A connection that is made when it is needed, and made again when it has ended between two requests.

use std::{future::Future, sync::Arc, time::Duration};

use bytes::Bytes;

use crate::{
    Error,
    channel::{Channel, Connect},
    soap::answer::Reply,
};

/// The time in which the service answers at the latest, by our own request: if nothing has happened
/// until then, it says that.
pub(crate) const OPERATION: Duration = Duration::from_secs(20);
/// The end of waiting for an answer. Longer than [`OPERATION`], so that only a service that does not
/// work any more, or cannot be reached, comes so far.
const ANSWER: Duration = Duration::from_secs(30);

/// Asks one question after the other.
pub(crate) struct Link {
    connect: Arc<dyn Connect>,
    channel: Option<Box<dyn Channel>>,
}

impl Link {
    /// Connects to nothing yet.
    pub(crate) fn new(connect: Arc<dyn Connect>) -> Self {
        Self { connect, channel: None }
    }

    /// Sends a request and reads its answer. Never sends a request twice: after an error, or when the
    /// future is dropped, it is not known what the service did, and the connection is closed.
    pub(crate) async fn ask(&mut self, envelope: Bytes, during: &str) -> Result<Reply, Error> {
        let mut channel = match self.open().await {
            Some(channel) => channel,
            None => within(during, self.connect.connect()).await?,
        };
        let answer = within(during, channel.post(envelope)).await?;
        let reply = Reply::read(&answer)?;
        self.channel = Some(channel);
        Ok(reply)
    }

    /// The connection of the last request, if it can be used again.
    async fn open(&mut self) -> Option<Box<dyn Channel>> {
        let mut channel = self.channel.take()?;
        let is_open = tokio::time::timeout(ANSWER, channel.is_open()).await;
        (is_open == Ok(true)).then_some(channel)
    }
}

async fn within<T>(
    during: &str,
    future: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    match tokio::time::timeout(ANSWER, future).await {
        Ok(Err(Error::Cut { source, .. })) => Err(Error::Cut { during: during.to_owned(), source }),
        Ok(result) => result,
        Err(_) => Err(Error::Timeout { during: during.to_owned(), limit: ANSWER }),
    }
}
