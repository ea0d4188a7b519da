//! The QMP client.

use std::{
    collections::HashMap,
    fs::File,
    io,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{broadcast, oneshot},
    task::JoinHandle,
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::descriptor;

/// The deadline for commands that QEMU answers immediately, with room for a busy host.
const DEADLINE: Duration = Duration::from_secs(60);
/// How many events a slow subscriber may lag behind.
const EVENTS: usize = 256;

/// A command failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// QEMU rejected the command.
    #[error("{desc}")]
    Refused {
        /// The command.
        command: String,
        /// `GenericError`, `DeviceNotFound` and so on.
        class: String,
        /// QEMU's explanation.
        desc: String,
    },
    /// QEMU did not answer before the deadline.
    #[error("no answer within {} s", after.as_secs())]
    Timeout {
        /// The command.
        command: String,
        /// The deadline.
        after: Duration,
    },
    /// The peer closed the connection.
    #[error("the connection was closed")]
    Closed {
        /// The command.
        command: String,
    },
    /// The socket failed.
    #[error("the socket failed")]
    Io(#[from] io::Error),
    /// The peer is not QEMU.
    #[error("not a QMP greeting: {0}")]
    Greeting(String),
}

/// An asynchronous event from QEMU.
#[derive(Debug, Clone, Deserialize)]
pub struct Event {
    /// `SHUTDOWN`, `RESUME` and so on.
    #[serde(rename = "event")]
    pub name: String,
    /// The event's data.
    #[serde(default)]
    pub data: Value,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Message {
    Event(Event),
    Return {
        #[serde(rename = "return")]
        value: Value,
        id: u64,
    },
    Error {
        error: Refusal,
        id: u64,
    },
    Other(Value),
}

#[derive(Deserialize)]
struct Refusal {
    class: String,
    desc: String,
}

/// Commands that wait for their answers; `None` once the connection is closed.
type Pending = Arc<Mutex<Option<HashMap<u64, oneshot::Sender<Result<Value, Refusal>>>>>>;

/// A connection in command mode.
#[derive(Debug)]
pub struct Client {
    writer: tokio::sync::Mutex<OwnedWriteHalf>,
    pending: PendingHandle,
    next_id: AtomicU64,
    events: broadcast::Sender<Event>,
    closed: CancellationToken,
    reader: JoinHandle<()>,
}

#[derive(Clone)]
struct PendingHandle(Pending);

impl std::fmt::Debug for PendingHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pending")
    }
}

impl Client {
    /// Connects, reads the greeting and enters command mode.
    pub async fn connect(socket: &Path) -> Result<Self, Error> {
        let work = async { Self::over(UnixStream::connect(socket).await?).await };
        match tokio::time::timeout(DEADLINE, work).await {
            Ok(done) => done,
            Err(_) => Err(Error::Timeout { command: "qmp_capabilities".into(), after: DEADLINE }),
        }
    }

    async fn over(stream: UnixStream) -> Result<Self, Error> {
        let (read, write) = stream.into_split();
        let mut lines = BufReader::new(read).lines();
        let greeting = lines.next_line().await?.unwrap_or_default();
        let is_qmp = serde_json::from_str::<Value>(&greeting).is_ok_and(|g| g.get("QMP").is_some());
        if !is_qmp {
            return Err(Error::Greeting(greeting.chars().take(80).collect()));
        }
        let pending = PendingHandle(Arc::new(Mutex::new(Some(HashMap::new()))));
        let (events, _) = broadcast::channel(EVENTS);
        let closed = CancellationToken::new();
        let work = read_all(lines, pending.clone(), events.clone());
        let reader = tokio::spawn(closed_after(work, closed.clone()));
        let writer = tokio::sync::Mutex::new(write);
        let client = Self { writer, pending, next_id: AtomicU64::new(1), events, closed, reader };
        client.execute("qmp_capabilities", json!({})).await?;
        Ok(client)
    }

    /// Runs a command and returns its result.
    pub async fn execute(&self, command: &str, arguments: Value) -> Result<Value, Error> {
        self.execute_within(command, arguments, DEADLINE).await
    }

    /// Like [`Client::execute`], with another deadline.
    pub async fn execute_within(
        &self,
        command: &str,
        arguments: Value,
        after: Duration,
    ) -> Result<Value, Error> {
        self.exchange(command, arguments, None, after).await
    }

    /// Passes an open file to QEMU, which later commands refer to by this name.
    pub async fn pass_file(&self, name: &str, file: &File) -> Result<(), Error> {
        let arguments = json!({ "fdname": name });
        self.exchange("getfd", arguments, Some(file), DEADLINE).await.map(drop)
    }

    async fn exchange(
        &self,
        command: &str,
        arguments: Value,
        file: Option<&File>,
        after: Duration,
    ) -> Result<Value, Error> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let line = json!({ "execute": command, "arguments": arguments, "id": id });
        let work = self.send_and_wait(id, command, format!("{line}\n"), file);
        match tokio::time::timeout(after, work).await {
            Ok(done) => done,
            Err(_) => {
                self.pending.with(|pending| pending.remove(&id));
                Err(Error::Timeout { command: command.to_owned(), after })
            }
        }
    }

    async fn send_and_wait(
        &self,
        id: u64,
        command: &str,
        line: String,
        file: Option<&File>,
    ) -> Result<Value, Error> {
        let closed = || Error::Closed { command: command.to_owned() };
        let (send, answer) = oneshot::channel();
        self.pending.with(|pending| pending.insert(id, send)).ok_or_else(closed)?;
        let mut writer = self.writer.lock().await;
        match file {
            Some(file) => descriptor::send(&mut writer, line.as_bytes(), file).await?,
            None => writer.write_all(line.as_bytes()).await?,
        }
        drop(writer);
        match answer.await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(Refusal { class, desc })) => {
                Err(Error::Refused { command: command.to_owned(), class, desc })
            }
            Err(_) => Err(closed()),
        }
    }

    /// Subscribes to QEMU's events from now on.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// Resolves when the connection is closed and all received messages have been delivered.
    pub fn closed(&self) -> WaitForCancellationFutureOwned {
        self.closed.clone().cancelled_owned()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl PendingHandle {
    /// Returns `None` if the connection is closed.
    fn with<T>(
        &self,
        work: impl FnOnce(&mut HashMap<u64, oneshot::Sender<Result<Value, Refusal>>>) -> T,
    ) -> Option<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).as_mut().map(work)
    }

    fn answer(&self, id: u64, result: Result<Value, Refusal>) {
        if let Some(Some(waiting)) = self.with(|pending| pending.remove(&id)) {
            let _ = waiting.send(result);
        }
    }

    fn close(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// Fires the token when the work ends, also when its task is aborted.
async fn closed_after(work: impl Future<Output = ()>, closed: CancellationToken) {
    let _closed = closed.drop_guard();
    work.await;
}

async fn read_all(
    mut lines: Lines<BufReader<OwnedReadHalf>>,
    pending: PendingHandle,
    events: broadcast::Sender<Event>,
) {
    while let Ok(Some(line)) = lines.next_line().await {
        match serde_json::from_str(&line) {
            Ok(Message::Event(event)) => {
                tracing::debug!(qmp.event = event.name, qmp.data = %event.data, "QEMU event");
                let _ = events.send(event);
            }
            Ok(Message::Return { value, id }) => pending.answer(id, Ok(value)),
            Ok(Message::Error { error, id }) => pending.answer(id, Err(error)),
            Ok(Message::Other(value)) => tracing::debug!(%value, "unknown QMP message"),
            Err(error) => tracing::warn!(%error, "QEMU sent invalid JSON"),
        }
    }
    pending.close();
}

#[cfg(test)]
mod tests;
