//! Connects to a guest for the first time.
//!
//! QEMU accepts a forwarded connection at once, whether or not the guest is there, and then repeats
//! the guest's SYN every six seconds or more, even when we have long given up. A guest that boots
//! would face dozens of dead connections. So the first attempt waits until the guest has set up its
//! network card. An attempt whose SYN the guest does not answer soon, as QEMU's table of connections
//! shows, is dropped and repeated.

use std::{
    io,
    net::SocketAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use serde_json::json;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::{QemuMachine, usernet};
use crate::{
    Access, Door, Error, Guest, WindowsAccess, args,
    guest::{self, Failure, cmd_ssh::CmdGuest, ssh, winrm::WinrmGuest},
    serial,
};

/// The pause after an attempt that the guest refused.
const RETRY: Duration = Duration::from_millis(50);
/// The pause where the card does not report whether the guest has set it up.
const BLIND_RETRY: Duration = Duration::from_secs(1);
/// How often a password is tried, and the pause between. Windows locks users out after ten attempts.
const REFUSALS: u32 = 5;
const REFUSED_RETRY: Duration = Duration::from_secs(5);
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
    let (guest_port, name) = guest::service(access);
    let port = super::Machine::forwarded(machine, guest_port)
        .ok_or(Error::NotForwarded { service: name })?;
    let entry = Entry { machine, access, address: ([127, 0, 0, 1], port).into(), guest_port };
    let last = Mutex::new(String::new());
    tokio::select! {
        biased;
        () = cancel.cancelled() => Err(Error::Canceled),
        () = machine.watch.gone() => Err(machine.gone_error()),
        guest = entry.keep_trying(&last) => guest,
        () = tokio::time::sleep(deadline) => {
            let last = last.into_inner().unwrap_or_else(PoisonError::into_inner);
            Err(machine.timeout(&missed(name, &last), deadline))
        }
    }
}

/// The missed event. Over SSH, the console says more than the last attempt.
fn missed(name: &str, last: &str) -> String {
    match last {
        why if name == "WinRM" && !why.is_empty() => {
            format!("the guest's first answer over {name} (last: {})", serial::one_line(why))
        }
        _ => format!("the guest's first answer over {name}"),
    }
}

/// A way into the guest of a machine.
struct Entry<'a> {
    machine: &'a QemuMachine,
    access: &'a Access,
    /// The forwarded port of this host.
    address: SocketAddr,
    guest_port: u16,
}

impl Entry<'_> {
    async fn keep_trying(&self, last: &Mutex<String>) -> Result<Box<dyn Guest>, Error> {
        let mut refusals = 0;
        loop {
            let up = tokio::time::timeout(UNSEEN, card_is_up(self.machine)).await;
            let pause = match self.attempt().await {
                Ok(guest) => return Ok(guest),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Refused(error)) => {
                    refusals += 1;
                    if refusals == REFUSALS {
                        return Err(error);
                    }
                    REFUSED_RETRY
                }
                Err(Failure::NotYet(why)) => {
                    tracing::trace!(why, "the guest does not answer yet");
                    *last.lock().unwrap_or_else(PoisonError::into_inner) = why;
                    if up == Ok(Card::Unknown) { BLIND_RETRY } else { RETRY }
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    async fn attempt(&self) -> Result<Box<dyn Guest>, Failure> {
        match &self.access.windows {
            None => Ok(Box::new(self.ssh().await?)),
            Some(windows) if windows.door == Door::Ssh => {
                let first = self.ssh().await?;
                Ok(Box::new(CmdGuest::new(self.address, self.access, first)))
            }
            Some(windows) => Ok(Box::new(self.winrm(windows).await?)),
        }
    }

    async fn ssh(&self) -> Result<ssh::SshGuest, Failure> {
        let before = self.waiting().await;
        let stream = TcpStream::connect(self.address).await.map_err(not_yet)?;
        tokio::select! {
            spoken = speaks(&stream) => spoken.map_err(not_yet)?,
            failure = self.unanswered(&before) => return Err(failure),
            () = tokio::time::sleep(GREETING) => {
                return Err(Failure::NotYet("the guest accepts but sends nothing".to_owned()));
            }
        }
        match tokio::time::timeout(HANDSHAKE, ssh::handshake(stream, self.access)).await {
            Ok(done) => done,
            Err(_) => Err(Failure::NotYet("the handshake takes too long".to_owned())),
        }
    }

    /// The client speaks first, so that the whole exchange is watched.
    async fn winrm(&self, windows: &WindowsAccess) -> Result<WinrmGuest, Failure> {
        let guest = WinrmGuest::new(self.address, self.access, windows).map_err(Failure::Final)?;
        let guest = match &self.machine.recorder {
            Some(recorder) => guest.recorded(recorder.clone()),
            None => guest,
        };
        let before = self.waiting().await;
        tokio::select! {
            greeted = guest.greet() => greeted?,
            failure = self.unanswered(&before) => return Err(failure),
            () = tokio::time::sleep(HANDSHAKE) => {
                return Err(Failure::NotYet("the guest accepts but does not answer".to_owned()));
            }
        }
        Ok(guest)
    }

    /// QEMU's descriptors of the connections that wait for an answer from the guest's port.
    async fn waiting(&self) -> Vec<i32> {
        let entries = usernet::query(&self.machine.qmp).await.unwrap_or_default();
        entries
            .iter()
            .filter(|entry| entry.dest_port == self.guest_port && entry.state == "SYN_SENT")
            .map(|entry| entry.fd)
            .collect()
    }

    /// Resolves when a connection that is not in `before` has waited too long for the guest.
    async fn unanswered(&self, before: &[i32]) -> Failure {
        loop {
            tokio::time::sleep(UNANSWERED).await;
            if self.waiting().await.iter().any(|fd| !before.contains(fd)) {
                return Failure::NotYet("the guest's network is not up".to_owned());
            }
        }
    }
}

fn not_yet(error: io::Error) -> Failure {
    Failure::NotYet(error.to_string())
}

/// What a network card tells about its guest.
#[derive(Debug, PartialEq, Eq)]
enum Card {
    Up,
    /// The card does not report it.
    Unknown,
}

/// Resolves when the guest's driver has configured the receive filter of the network card.
async fn card_is_up(machine: &QemuMachine) -> Card {
    let mut events = machine.qmp.events();
    loop {
        // The query also arms the event that reports the next change.
        let card = args::contact_card(&machine.spec);
        let filters = machine.qmp.execute("query-rx-filter", json!({ "name": card })).await;
        let Ok(filters) = filters else { return Card::Unknown };
        let reset = filters[0]["promiscuous"].as_bool().unwrap_or(false);
        let joined = filters[0]["multicast-table"].as_array().is_some_and(|t| !t.is_empty());
        if !reset || joined {
            return Card::Up;
        }
        let change = async {
            while events.recv().await.is_ok_and(|event| event.name != "NIC_RX_FILTER_CHANGED") {}
        };
        let _ = tokio::time::timeout(POLL, change).await;
    }
}

/// Resolves when the guest sends its first byte.
async fn speaks(stream: &TcpStream) -> io::Result<()> {
    match stream.peek(&mut [0]).await? {
        0 => Err(io::ErrorKind::ConnectionRefused.into()),
        _ => Ok(()),
    }
}
