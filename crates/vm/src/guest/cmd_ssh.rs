//! A guest with Windows behind OpenSSH, whose shell is `cmd.exe`. A connection that is gone, as after
//! a restart of the guest, is replaced at the next command.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use russh::{Channel, client::Msg};
use tokio::{net::TcpStream, sync::Mutex};

use super::{
    Exit, Failure, Guest, Sink, Stdin,
    frame::Frame,
    ssh::{self, SshGuest},
};
use crate::{Access, Error};

/// A guest that is there opens a channel at once, also on an emulated processor.
const CHANNEL: Duration = Duration::from_secs(20);
/// From the connection to an open session.
const HANDSHAKE: Duration = Duration::from_secs(90);

pub(crate) struct CmdGuest {
    address: SocketAddr,
    access: Access,
    session: Mutex<Option<Arc<SshGuest>>>,
}

impl CmdGuest {
    /// Takes over the first connection to that address.
    pub(crate) fn new(address: SocketAddr, access: &Access, first: SshGuest) -> Self {
        let session = Mutex::new(Some(Arc::new(first)));
        Self { address, access: access.clone(), session }
    }

    /// The current connection or a new one, with a channel for a command. The caller keeps the
    /// connection while the command runs.
    async fn channel(&self) -> Result<(Arc<SshGuest>, Channel<Msg>), Error> {
        let mut session = self.session.lock().await;
        if let Some(current) = session.take()
            && let Ok(Ok(channel)) = tokio::time::timeout(CHANNEL, current.channel()).await
        {
            *session = Some(current.clone());
            return Ok((current, channel));
        }
        let open = async {
            let fresh = Arc::new(self.connect().await?);
            let channel = fresh.channel().await?;
            Ok::<_, Error>((fresh, channel))
        };
        let (fresh, channel) = match tokio::time::timeout(HANDSHAKE, open).await {
            Ok(opened) => opened?,
            Err(_) => return Err(ssh::lost("the guest does not answer")),
        };
        *session = Some(fresh.clone());
        Ok((fresh, channel))
    }

    async fn connect(&self) -> Result<SshGuest, Error> {
        let stream = TcpStream::connect(self.address).await;
        let stream = stream.map_err(|e| Error::ssh("cannot connect to the guest", e))?;
        ssh::handshake(stream, &self.access).await.map_err(|failure| match failure {
            Failure::Final(error) | Failure::Refused(error) => error,
            Failure::NotYet(why) => ssh::lost(&why),
        })
    }
}

#[async_trait]
impl Guest for CmdGuest {
    async fn run(
        &self,
        command: &str,
        stdin: Stdin<'_>,
        sink: &mut dyn Sink,
    ) -> Result<Exit, Error> {
        let (_connection, channel) = self.channel().await?;
        ssh::run(channel, command, Frame::none(), stdin, sink).await
    }
}

#[cfg(test)]
mod tests;
