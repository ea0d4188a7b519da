//! The instance metadata service inside a build machine: `http://169.254.169.254`, as in Azure.
//!
//! ```text
//! script in the guest → relay.py on the guest's loopback → the SSH connection → Metadata (the service)
//! ```
//!
//! It needs no network: the relay's standard streams carry one JSON line per request and one per
//! answer. So it works in any subnet and reaches only this process. It exists while customizers run
//! and leaves nothing in the image. A RAM that was saved with a relay contains one without a
//! listener; the next relay replaces it.

use std::{fmt, ops::ControlFlow, sync::Arc, time::Duration};

use api::ErrorCode;
use async_trait::async_trait;
use images::{
    error::{Error, Result},
    run_context::RunContext,
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
/// From the relay's start to its first line. Python starts slowly on an emulated processor.
const START: Duration = Duration::from_secs(60);
/// From the end of the relay's input to its exit.
const STOP: Duration = Duration::from_secs(20);
/// The relay writes no longer lines. Limits the memory that a guest can fill.
const LONGEST_LINE: usize = 64 * 1024;
/// Requests that may wait for their answer. relay.py accepts 64 and rejects more with 429, so a
/// guest that reaches this limit runs another program.
const WAITING: usize = 256;
/// The minimum time between two requests, which are answered one after the other.
const PACE: Duration = Duration::from_millis(5);
/// How long the guest may leave an answer unread.
const READ: Duration = Duration::from_secs(30);

/// The service behind the address.
#[async_trait]
pub trait Metadata: fmt::Debug + Send + Sync {
    /// Answers one request. The answer may be valid for `time_left` at most.
    async fn answer(&self, asked: &Asked, time_left: Duration) -> Answer;
}

/// A request from a script in the guest.
#[derive(Debug, Clone, Deserialize)]
pub struct Asked {
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Whether it has the header `Metadata: true`, which no redirect or proxy adds.
    pub metadata: bool,
    /// Whether it came through a proxy (`X-Forwarded-For`).
    pub forwarded: bool,
}

/// The answer to a request.
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

/// The service's address in the guest.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Endpoint {
    address: &'static str,
    port: u16,
    /// Whether the guest must first get the address.
    bring: bool,
}

/// The address that clients of Azure use.
pub(crate) const WELL_KNOWN: Endpoint =
    Endpoint { address: "169.254.169.254", port: 80, bring: true };

/// A running relay. Dropping it ends the connection, and with it the relay.
#[derive(Debug)]
pub(crate) struct Relay {
    stop: CancellationToken,
    task: JoinHandle<Result<()>>,
}

impl Relay {
    /// Starts it over a connection of its own and returns once it listens.
    pub(crate) async fn start(
        cx: &RunContext,
        guest: Box<dyn Guest>,
        metadata: Arc<dyn Metadata>,
        endpoint: Endpoint,
    ) -> Result<Self> {
        let stop = CancellationToken::new();
        let (ready, listens) = oneshot::channel();
        let task = tokio::spawn(serve(cx.clone(), guest, metadata, endpoint, stop.clone(), ready));
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

/// Not `GuestUnreachable`: the guest is reachable, only the relay is not.
fn failed(what: &str) -> Error {
    Error::new(ErrorCode::InternalError, format!("the metadata service in the guest: {what}"))
}

/// Runs the relay in the guest and answers its requests. Disconnects a guest that sends lines that
/// relay.py would not, or that does not read its answers.
async fn serve(
    cx: RunContext,
    guest: Box<dyn Guest>,
    metadata: Arc<dyn Metadata>,
    endpoint: Endpoint,
    stop: CancellationToken,
    ready: oneshot::Sender<()>,
) -> Result<()> {
    let (answers, mut input) = tokio::io::duplex(LONGEST_LINE);
    let (lines, asked) = mpsc::channel(WAITING);
    let mut requests = Requests { pending: Vec::new(), said: Bounded::new(2000), lines };
    let command = command(endpoint);
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

/// Splits the relay's requests into lines.
struct Requests {
    pending: Vec<u8>,
    said: Bounded,
    lines: mpsc::Sender<String>,
}

#[async_trait]
impl Sink for Requests {
    /// Never waits: meanwhile answers could not be sent over the same connection.
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
                // Closed: the relay is about to end, which is not the guest's fault.
                Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => {}
                Err(mpsc::error::TrySendError::Full(_)) => return ControlFlow::Break(()),
            }
        }
        ControlFlow::Continue(())
    }
}

/// Answers until the relay should end, then closes its input. An error is the reason to disconnect
/// the guest.
async fn answer_all(
    cx: &RunContext,
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
                return Err("it sent an invalid request");
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

/// Root's Python runs the relay from memory, and writes no bytecode, so that none of its files end
/// up in the image. Isolated mode ignores files that the build user may have planted, and starts
/// faster.
fn command(endpoint: Endpoint) -> String {
    let Endpoint { address, port, bring } = endpoint;
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
