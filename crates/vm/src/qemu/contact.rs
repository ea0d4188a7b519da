//! Connects to a guest for the first time.
//!
//! QEMU accepts a forwarded connection at once, whether or not the guest is there, and then repeats
//! the guest's SYN every six seconds or more, even when we have long given up. A guest that boots
//! would face dozens of dead connections. So the first attempt waits until the guest has set up its
//! network card. An attempt whose SYN the guest does not answer soon, as QEMU's table of connections
//! shows, is dropped and repeated.

use std::{io, time::Duration};

use serde_json::json;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::{QemuMachine, usernet};
use crate::{
    Access, Error, Guest, args,
    guest::ssh::{self, Failure},
};

const SSH_PORT: u16 = 22;
/// The pause after an attempt that the guest refused.
const RETRY: Duration = Duration::from_millis(50);
/// How long a SYN may stay unanswered; a guest that is up answers within milliseconds.
const UNANSWERED: Duration = Duration::from_millis(300);
/// How long to wait for a guest whose network driver does not report its state.
const UNSEEN: Duration = Duration::from_secs(10);
/// Polls in case an event was missed.
const POLL: Duration = Duration::from_secs(1);
/// From the accepted connection to the server's first bytes.
const GREETING: Duration = Duration::from_secs(60);
/// From the first bytes to an open session.
const HANDSHAKE: Duration = Duration::from_secs(90);

pub(super) async fn connect(
    machine: &QemuMachine,
    access: &Access,
    deadline: Duration,
    cancel: &CancellationToken,
) -> Result<Box<dyn Guest>, Error> {
    let port = super::Machine::forwarded(machine, SSH_PORT).ok_or_else(|| Error::Ssh {
        what: "no port is forwarded to the guest's SSH server".to_owned(),
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
        let _ = tokio::time::timeout(UNSEEN, card_is_up(machine)).await;
        match attempt(machine, access, port).await {
            Ok(guest) => return Ok(guest),
            Err(Failure::Final(error)) => return Err(error),
            Err(Failure::NotYet(why)) => tracing::trace!(why, "the guest does not answer yet"),
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// Resolves when the guest's driver has configured the receive filter of the network card.
async fn card_is_up(machine: &QemuMachine) {
    let mut events = machine.qmp.events();
    loop {
        // The query also arms the event that reports the next change.
        let card = args::contact_card(&machine.spec);
        let filters = machine.qmp.execute("query-rx-filter", json!({ "name": card })).await;
        let Ok(filters) = filters else { return };
        let reset = filters[0]["promiscuous"].as_bool().unwrap_or(false);
        let joined = filters[0]["multicast-table"].as_array().is_some_and(|t| !t.is_empty());
        if !reset || joined {
            return;
        }
        let change = async {
            while events.recv().await.is_ok_and(|event| event.name != "NIC_RX_FILTER_CHANGED") {}
        };
        let _ = tokio::time::timeout(POLL, change).await;
    }
}

async fn attempt(
    machine: &QemuMachine,
    access: &Access,
    port: u16,
) -> Result<Box<dyn Guest>, Failure> {
    let before = waiting(machine).await;
    let not_yet = |error: io::Error| Failure::NotYet(error.to_string());
    let stream = TcpStream::connect(("127.0.0.1", port)).await.map_err(not_yet)?;
    tokio::select! {
        spoken = speaks(&stream) => spoken.map_err(not_yet)?,
        () = unanswered(machine, &before) => {
            return Err(Failure::NotYet("the guest's network is not up".to_owned()));
        }
        () = tokio::time::sleep(GREETING) => {
            return Err(Failure::NotYet("the guest accepts but sends nothing".to_owned()));
        }
    }
    match tokio::time::timeout(HANDSHAKE, ssh::handshake(stream, access)).await {
        Ok(done) => done.map(|guest| Box::new(guest) as Box<dyn Guest>),
        Err(_) => Err(Failure::NotYet("the handshake takes too long".to_owned())),
    }
}

/// Resolves when the guest sends its first byte.
async fn speaks(stream: &TcpStream) -> io::Result<()> {
    match stream.peek(&mut [0]).await? {
        0 => Err(io::ErrorKind::ConnectionRefused.into()),
        _ => Ok(()),
    }
}

/// QEMU's descriptors of the connections that wait for an answer from the guest's SSH port.
async fn waiting(machine: &QemuMachine) -> Vec<i32> {
    let entries = usernet::query(&machine.qmp).await.unwrap_or_default();
    entries
        .iter()
        .filter(|entry| entry.dest_port == SSH_PORT && entry.state == "SYN_SENT")
        .map(|entry| entry.fd)
        .collect()
}

/// Resolves when a connection that is not in `before` has waited too long for the guest.
async fn unanswered(machine: &QemuMachine, before: &[i32]) {
    loop {
        tokio::time::sleep(UNANSWERED).await;
        if waiting(machine).await.iter().any(|fd| !before.contains(fd)) {
            return;
        }
    }
}
