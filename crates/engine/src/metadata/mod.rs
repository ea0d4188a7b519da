//! The instance metadata service inside a build machine: `http://169.254.169.254`, as Azure has it.
//!
//! ```text
//! script in the guest → relay.py on the guest's loopback → the SSH connection → Metadata (the service)
//! ```
//!
//! It needs no network: the relay's standard streams carry one JSON line a request and one an answer,
//! so it works in any subnet and reaches nothing but what answers here. It is there while customizers
//! run and leaves nothing in the image. A RAM that was saved with a relay in it holds one that nobody
//! listens to; the next one takes its place.

use std::{fmt, ops::ControlFlow, sync::Arc, time::Duration};

use api::ErrorCode;
use async_trait::async_trait;
use images::{
    cx::Cx,
    error::{Error, Result},
};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncWriteExt, DuplexStream},
    sync::{mpsc, oneshot},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;
use vm::{Bounded, Guest, Sink, Stdin, StreamKind};

const RELAY: &str = include_str!("relay.py");
/// From the relay's start to its first word. Python starts slowly on an emulated processor.
const START: Duration = Duration::from_secs(60);
/// From the end of its input to its own.
const STOP: Duration = Duration::from_secs(20);
/// The relay writes no longer lines: a guest must not fill our memory.
const LONGEST_LINE: usize = 64 * 1024;
/// Requests that may wait for their answer. relay.py lets 64 in and refuses more with 429, so a guest
/// that gets here runs something else.
const WAITING: usize = 256;
/// One request after the other, and no more of them in a second than this allows.
const PACE: Duration = Duration::from_millis(5);
/// How long the guest may leave an answer unread.
const READ: Duration = Duration::from_secs(30);

/// What stands behind the address.
#[async_trait]
pub trait Metadata: fmt::Debug + Send + Sync {
    /// Answers one request; what it gives out may be good for `time_left` at the most.
    async fn answer(&self, asked: &Asked, time_left: Duration) -> Answer;
}

/// A request of a script in the guest.
#[derive(Debug, Clone, Deserialize)]
pub struct Asked {
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Whether it has the header `Metadata: true`, which no redirect or proxy adds by itself.
    pub metadata: bool,
    /// Whether it came through a proxy (`X-Forwarded-For`).
    pub forwarded: bool,
}

/// What it gets.
#[derive(Debug, Clone, Serialize)]
pub struct Answer {
    pub status: u16,
    #[serde(rename = "type")]
    pub content_type: &'static str,
    pub body: String,
}

#[derive(Deserialize)]
struct Line {
    id: u64,
    #[serde(flatten)]
    asked: Asked,
}

#[derive(Serialize)]
struct Reply {
    id: u64,
    #[serde(flatten)]
    answer: Answer,
}

/// Where the guest finds it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    address: &'static str,
    port: u16,
    /// Whether the address has to be given to the guest first.
    bring: bool,
}

/// The address that clients of Azure know.
pub(crate) const WELL_KNOWN: Place = Place { address: "169.254.169.254", port: 80, bring: true };

/// A relay that runs. Dropping it ends the connection, and with it the relay.
#[derive(Debug)]
pub(crate) struct Relay {
    stop: CancellationToken,
    task: JoinHandle<Result<()>>,
}

impl Relay {
    /// Starts it over a connection of its own and returns once it listens.
    pub(crate) async fn start(
        cx: &Cx,
        guest: Box<dyn Guest>,
        metadata: Arc<dyn Metadata>,
        place: Place,
    ) -> Result<Self> {
        let stop = CancellationToken::new();
        let (ready, listens) = oneshot::channel();
        let task = tokio::spawn(carry(cx.clone(), guest, metadata, place, stop.clone(), ready));
        let relay = Self { stop, task };
        match tokio::time::timeout(START, listens).await {
            Ok(Ok(())) => Ok(relay),
            Ok(Err(_)) => match relay.stop().await {
                Ok(()) => Err(failed("it ended at once")),
                Err(error) => Err(error),
            },
            Err(_) => Err(failed("it did not begin to listen in time")),
        }
    }

    /// Ends it and waits until its address is gone from the guest.
    pub(crate) async fn stop(mut self) -> Result<()> {
        self.stop.cancel();
        match tokio::time::timeout(STOP, &mut self.task).await {
            Ok(Ok(ended)) => ended,
            Ok(Err(_)) => Err(failed("its task died")),
            Err(_) => Err(failed("it did not end in time")),
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Not `GuestUnreachable`: the guest is there, only the relay is not.
fn failed(what: &str) -> Error {
    Error::new(ErrorCode::InternalError, format!("the metadata service in the guest: {what}"))
}

/// Runs the relay in the guest and answers what it passes on. A guest that sends what relay.py does not,
/// or does not read its answers, is cut off.
async fn carry(
    cx: Cx,
    guest: Box<dyn Guest>,
    metadata: Arc<dyn Metadata>,
    place: Place,
    stop: CancellationToken,
    ready: oneshot::Sender<()>,
) -> Result<()> {
    let (answers, mut input) = tokio::io::duplex(LONGEST_LINE);
    let (lines, asked) = mpsc::channel(WAITING);
    let mut requests = Requests { pending: Vec::new(), said: Bounded::new(2000), lines };
    let command = command(place);
    let ran = {
        let running = guest.run(&command, Stdin::Reader(&mut input), &mut requests);
        let answering = answer_all(&cx, metadata.as_ref(), asked, answers, stop, ready);
        tokio::pin!(running, answering);
        tokio::select! {
            ran = &mut running => Ok(ran),
            answered = &mut answering => match answered {
                Ok(()) => Ok(running.await),
                Err(why) => Err(why),
            },
        }
    };
    let why = match ran {
        Ok(Err(vm::Error::TooMuchOutput)) => "more requests at once than the relay lets in",
        Err(why) => why,
        Ok(ran) => {
            let exit = ran.map_err(images::error::guest_error)?;
            if exit.success() {
                return Ok(());
            }
            let lines: Vec<_> = requests.said.text().lines().map(str::to_owned).collect();
            return Err(failed(&exit.to_string()).details(lines));
        }
    };
    cx.events.warn(format!("the metadata service in the guest is cut off: {why}"));
    Ok(())
}

/// The relay's requests, a line each.
struct Requests {
    pending: Vec<u8>,
    said: Bounded,
    lines: mpsc::Sender<String>,
}

#[async_trait]
impl Sink for Requests {
    /// Never waits: while it did, answers could not go out over the same connection.
    async fn take(&mut self, stream: StreamKind, bytes: &[u8]) -> ControlFlow<()> {
        if stream == StreamKind::Err {
            let _ = self.said.add(bytes);
            return ControlFlow::Continue(());
        }
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.pending.len() + piece.len() > LONGEST_LINE {
                return ControlFlow::Break(());
            }
            self.pending.extend_from_slice(piece);
            if !piece.ends_with(b"\n") {
                break;
            }
            let line = String::from_utf8_lossy(&self.pending).trim().to_owned();
            self.pending.clear();
            match self.lines.try_send(line) {
                // Closed: the relay is about to end, which is no fault of the guest's.
                Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => {}
                Err(mpsc::error::TrySendError::Full(_)) => return ControlFlow::Break(()),
            }
        }
        ControlFlow::Continue(())
    }
}

/// Until the relay is to end; then its input does. An error says why the guest is to be cut off.
async fn answer_all(
    cx: &Cx,
    metadata: &dyn Metadata,
    mut asked: mpsc::Receiver<String>,
    mut answers: DuplexStream,
    stop: CancellationToken,
    ready: oneshot::Sender<()>,
) -> Result<(), &'static str> {
    let mut ready = Some(ready);
    let work = async {
        while let Some(line) = asked.recv().await {
            if line == "ready" {
                if let Some(ready) = ready.take() {
                    let _ = ready.send(());
                }
                continue;
            }
            let Ok(Line { id, asked }) = serde_json::from_str::<Line>(&line) else {
                return Err("it sent what is no request");
            };
            let answer = metadata.answer(&asked, cx.time_left()).await;
            let mut text = serde_json::to_string(&Reply { id, answer }).unwrap_or_default();
            text.push('\n');
            match tokio::time::timeout(READ, answers.write_all(text.as_bytes())).await {
                Ok(Ok(())) => tokio::time::sleep(PACE).await,
                Ok(Err(_)) => break,
                Err(_) => return Err("it does not read its answers"),
            }
        }
        Ok(())
    };
    tokio::select! {
        () = stop.cancelled() => Ok(()),
        done = work => done,
    }
}

/// Root's Python runs the relay out of memory, and writes no bytecode: no file of it may end in the
/// image. It minds nothing that the build user may have laid in its way, and starts sooner so.
fn command(place: Place) -> String {
    let Place { address, port, bring } = place;
    let quoted = RELAY.replace('\'', r"'\''");
    let sudo = if bring { "sudo " } else { "" };
    format!(
        "{sudo}sh -c 'for p in python3 /usr/libexec/platform-python; do \
         command -v $p > /dev/null && exec $p -IBS -c \"$0\" \"$@\"; done; \
         echo there is no Python >&2; exit 127' '{quoted}' {address} {port} {bring}"
    )
}

#[cfg(test)]
mod tests;
