//! Sends a command its standard input.

use std::{io, time::Duration};

use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::{
    Error, Input,
    link::Link,
    soap::{
        answer::Reply,
        request::{Letterhead, Shell},
    },
};

/// How long to wait for more bytes before an incomplete piece is sent. A longer wait would hold up a
/// writer that waits for an answer to each message.
const FILL: Duration = Duration::from_millis(5);
/// The pause before a piece is offered again.
const BUSY: Duration = Duration::from_secs(1);

/// How the sending ended.
pub(crate) enum Fed {
    /// The service has all of it.
    All,
    /// The service takes no more. When the command has ended, its exit code counts.
    Refused(Error),
}

/// Where a command reads from.
pub(crate) struct Pipe<'a> {
    pub(crate) letterhead: &'a Letterhead,
    pub(crate) shell: &'a Shell,
    pub(crate) command: &'a str,
}

impl Pipe<'_> {
    /// Sends the whole input and its end. The next piece is read while one is on its way.
    pub(crate) async fn feed(&self, link: &mut Link, input: Input<'_>) -> Result<Fed, Error> {
        match input {
            Input::Empty => self.send(link, &[], true).await,
            Input::Bytes(bytes) => self.feed_bytes(link, bytes).await,
            Input::Reader(reader) => self.feed_all(link, reader).await,
        }
    }

    async fn feed_bytes(&self, link: &mut Link, mut bytes: &[u8]) -> Result<Fed, Error> {
        let largest = self.letterhead.largest_piece(self.shell, self.command);
        loop {
            let (piece, rest) = bytes.split_at(bytes.len().min(largest));
            bytes = rest;
            match self.send(link, piece, rest.is_empty()).await? {
                Fed::All if !rest.is_empty() => {}
                end => return Ok(end),
            }
        }
    }

    async fn feed_all(
        &self,
        link: &mut Link,
        reader: &mut (dyn AsyncRead + Send + Unpin),
    ) -> Result<Fed, Error> {
        let largest = self.letterhead.largest_piece(self.shell, self.command);
        let (mut piece, mut next) = (Vec::with_capacity(largest), Vec::with_capacity(largest));
        fill(reader, &mut piece, largest).await.map_err(Error::Input)?;
        while !piece.is_empty() {
            next.clear();
            let (sent, read) =
                tokio::join!(self.send(link, &piece, false), fill(reader, &mut next, largest));
            if let refused @ Fed::Refused(_) = sent? {
                return Ok(refused);
            }
            read.map_err(Error::Input)?;
            std::mem::swap(&mut piece, &mut next);
        }
        self.send(link, &[], true).await
    }

    /// Sends one piece, for as long as the command does not read: the service has then either kept
    /// the piece although it answers that its time limit has passed, or is busy with the one before.
    async fn send(&self, link: &mut Link, piece: &[u8], last: bool) -> Result<Fed, Error> {
        loop {
            let envelope = self.letterhead.send(self.shell, self.command, piece, last);
            match link.ask(envelope, "while it took a command's input").await? {
                Reply::Fault(fault) if fault.is_busy() => tokio::time::sleep(BUSY).await,
                Reply::Fault(fault) if !fault.is_timeout() => {
                    return Ok(Fed::Refused(fault.into()));
                }
                Reply::Body(_) | Reply::Fault(_) => return Ok(Fed::All),
            }
        }
    }
}

/// Reads up to `largest` bytes: waits for the first, and takes what comes soon after. Nothing at the
/// end.
async fn fill(
    reader: &mut (dyn AsyncRead + Send + Unpin),
    piece: &mut Vec<u8>,
    largest: usize,
) -> io::Result<()> {
    let mut rest = reader.take(largest as u64);
    if rest.read_buf(piece).await? == 0 {
        return Ok(());
    }
    let more = async {
        while piece.len() < largest && rest.read_buf(piece).await? > 0 {}
        Ok(())
    };
    tokio::time::timeout(FILL, more).await.unwrap_or(Ok(()))
}
