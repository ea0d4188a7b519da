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

use std::{fmt, sync::Arc, time::Duration};

use api::ErrorCode;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncWriteExt, DuplexStream},
    sync::{mpsc, oneshot},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;
use vm::{Guest, Stdin, StreamKind};

use crate::{
    cx::Cx,
    error::{Error, Result},
};

const RELAY: &str = include_str!("relay.py");
/// From the relay's start to its first word. Python starts slowly on an emulated processor.
const START: Duration = Duration::from_secs(60);
/// From the end of its input to its own.
const STOP: Duration = Duration::from_secs(20);
/// The relay writes no longer lines: a guest must not fill our memory.
const LONGEST_LINE: usize = 64 * 1024;

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

/// Runs the relay in the guest and answers what it passes on.
async fn carry(
    cx: Cx,
    guest: Box<dyn Guest>,
    metadata: Arc<dyn Metadata>,
    place: Place,
    stop: CancellationToken,
    ready: oneshot::Sender<()>,
) -> Result<()> {
    let (answers, mut input) = tokio::io::duplex(LONGEST_LINE);
    let (lines, asked) = mpsc::unbounded_channel();
    let (mut pending, mut said) = (Vec::new(), String::new());
    let mut sink = |kind: StreamKind, bytes: &[u8]| match kind {
        StreamKind::Out => split(&mut pending, bytes, &lines),
        StreamKind::Err if said.len() < 2000 => said.push_str(&String::from_utf8_lossy(bytes)),
        StreamKind::Err => {}
    };
    let command = command(place);
    let exit = {
        let running = guest.run(&command, Stdin::Reader(&mut input), &mut sink);
        let answering = answer_all(&cx, metadata.as_ref(), asked, answers, stop, ready);
        tokio::pin!(running, answering);
        tokio::select! {
            exit = &mut running => exit,
            () = &mut answering => running.await,
        }
    };
    let exit = exit.map_err(crate::build::guest_error)?;
    if exit.success() {
        return Ok(());
    }
    let lines: Vec<_> = said.lines().map(str::to_owned).collect();
    Err(failed(&exit.to_string()).details(lines))
}

fn split(pending: &mut Vec<u8>, bytes: &[u8], lines: &mpsc::UnboundedSender<String>) {
    pending.extend_from_slice(bytes);
    while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
        let line: Vec<u8> = pending.drain(..=end).collect();
        let _ = lines.send(String::from_utf8_lossy(&line).trim().to_owned());
    }
    if pending.len() > LONGEST_LINE {
        pending.clear();
    }
}

/// Until the relay is to end; then its input does.
async fn answer_all(
    cx: &Cx,
    metadata: &dyn Metadata,
    mut asked: mpsc::UnboundedReceiver<String>,
    mut answers: DuplexStream,
    stop: CancellationToken,
    ready: oneshot::Sender<()>,
) {
    let mut ready = Some(ready);
    loop {
        let line = tokio::select! {
            () = stop.cancelled() => return,
            line = asked.recv() => line,
        };
        let Some(line) = line else { return };
        if line == "ready" {
            if let Some(ready) = ready.take() {
                let _ = ready.send(());
            }
            continue;
        }
        let Ok(Line { id, asked }) = serde_json::from_str::<Line>(&line) else {
            tracing::debug!("the guest's relay said something unexpected");
            continue;
        };
        let answer = metadata.answer(&asked, cx.time_left()).await;
        let mut text = serde_json::to_string(&Reply { id, answer }).unwrap_or_default();
        text.push('\n');
        if answers.write_all(text.as_bytes()).await.is_err() {
            return;
        }
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
