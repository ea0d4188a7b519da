//! The way to a guest's first answer.
//!
//! QEMU accepts a forwarded connection at once, whether or not the guest is there, and then repeats
//! the guest's SYN only every six seconds. So its table of connections is watched: while ours waits
//! for the guest, it is given up and tried anew.

use std::{io, time::Duration};

use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::{QemuMachine, usernet};
use crate::{
    Access, Error, Guest,
    guest::ssh::{self, Failure},
};

const SSH_PORT: u16 = 22;
/// Between two attempts that the guest answered with a refusal.
const RETRY: Duration = Duration::from_millis(200);
/// How long a SYN may go unanswered; a guest that is up answers within milliseconds.
const UNANSWERED: Duration = Duration::from_millis(300);
/// From the accepted connection to the server's first words.
const GREETING: Duration = Duration::from_secs(60);
/// From there to an open session.
const HANDSHAKE: Duration = Duration::from_secs(90);

pub(super) async fn connect(
    machine: &QemuMachine,
    access: &Access,
    deadline: Duration,
    cancel: &CancellationToken,
) -> Result<Box<dyn Guest>, Error> {
    let port = super::Machine::forwarded(machine, SSH_PORT).ok_or_else(|| Error::Ssh {
        what: "no port leads to the guest's SSH".to_owned(),
        source: None,
    })?;
    tokio::select! {
        biased;
        () = cancel.cancelled() => Err(Error::Canceled),
        () = machine.watch.gone() => Err(machine.gone_error()),
        guest = keep_trying(machine, access, port) => guest,
        () = tokio::time::sleep(deadline) => {
            Err(machine.timeout("the guest's first answer over SSH", deadline))
        }
    }
}

async fn keep_trying(
    machine: &QemuMachine,
    access: &Access,
    port: u16,
) -> Result<Box<dyn Guest>, Error> {
    loop {
        match attempt(machine, access, port).await {
            Ok(guest) => return Ok(guest),
            Err(Failure::Final(error)) => return Err(error),
            Err(Failure::NotYet(why)) => tracing::trace!(why, "the guest does not answer yet"),
        }
        tokio::time::sleep(RETRY).await;
    }
}

async fn attempt(
    machine: &QemuMachine,
    access: &Access,
    port: u16,
) -> Result<Box<dyn Guest>, Failure> {
    let before = waiting(machine).await;
    let not_yet = |error: io::Error| Failure::NotYet(error.to_string());
    let stream = TcpStream::connect(("127.0.0.1", port))
        .await
        .map_err(not_yet)?;
    tokio::select! {
        spoken = speaks(&stream) => spoken.map_err(not_yet)?,
        () = unanswered(machine, &before) => {
            return Err(Failure::NotYet("the guest's network is not up".to_owned()));
        }
        () = tokio::time::sleep(GREETING) => {
            return Err(Failure::NotYet("the guest accepts but says nothing".to_owned()));
        }
    }
    match tokio::time::timeout(HANDSHAKE, ssh::handshake(stream, access)).await {
        Ok(done) => done.map(|guest| Box::new(guest) as Box<dyn Guest>),
        Err(_) => Err(Failure::NotYet("the handshake takes too long".to_owned())),
    }
}

/// Resolves with the first byte from the guest.
async fn speaks(stream: &TcpStream) -> io::Result<()> {
    match stream.peek(&mut [0]).await? {
        0 => Err(io::ErrorKind::ConnectionRefused.into()),
        _ => Ok(()),
    }
}

/// QEMU's descriptors of connections to the guest's SSH port that wait for its answer.
async fn waiting(machine: &QemuMachine) -> Vec<i32> {
    let entries = usernet::query(&machine.qmp).await.unwrap_or_default();
    entries
        .iter()
        .filter(|entry| entry.dest_port == SSH_PORT && entry.state == "SYN_SENT")
        .map(|entry| entry.fd)
        .collect()
}

/// Resolves when a connection that was not there before has waited too long for the guest.
async fn unanswered(machine: &QemuMachine, before: &[i32]) {
    loop {
        tokio::time::sleep(UNANSWERED).await;
        if waiting(machine).await.iter().any(|fd| !before.contains(fd)) {
            return;
        }
    }
}
