//! Watches one QEMU until it ends, and records the first reason.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{
    broadcast::{self, error::RecvError},
    watch,
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::last_words::last_words;
use crate::{
    Ended,
    console::Console,
    proc::Daemon,
    qmp::{Client, Event},
};

/// The recorded end of a machine.
#[derive(Debug)]
pub(super) struct Watch {
    gone: CancellationToken,
    ended: Mutex<Option<Ended>>,
    resets: watch::Sender<u64>,
    console: Console,
}

impl Watch {
    /// Starts watching; the task ends with the process.
    pub(super) fn over(daemon: &Daemon, qmp: &Client, console: Console, log: PathBuf) -> Arc<Self> {
        let watch = Arc::new(Self::new(console));
        let closed = qmp.closed();
        tokio::spawn(watch.clone().follow(daemon.ended(), qmp.events(), closed, log));
        watch
    }

    fn new(console: Console) -> Self {
        let (gone, ended) = (CancellationToken::new(), Mutex::default());
        Self { gone, ended, resets: watch::Sender::new(0), console }
    }

    /// The recorded serial console.
    pub(super) fn console(&self) -> &Console {
        &self.console
    }

    /// Counts the resets by the guest.
    pub(super) fn resets(&self) -> watch::Receiver<u64> {
        self.resets.subscribe()
    }

    pub(super) fn gone(&self) -> WaitForCancellationFutureOwned {
        self.gone.clone().cancelled_owned()
    }

    pub(super) fn ended(&self) -> Option<Ended> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn end(&self, how: Ended) {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        if ended.is_none() {
            tracing::debug!(%how, "the machine ended");
            *ended = Some(how);
        }
        drop(ended);
        self.gone.cancel();
    }

    async fn follow(
        self: Arc<Self>,
        exit: impl Future<Output = std::process::ExitStatus>,
        mut events: broadcast::Receiver<Event>,
        closed: WaitForCancellationFutureOwned,
        log: PathBuf,
    ) {
        let mut exit = std::pin::pin!(exit);
        let status = loop {
            tokio::select! {
                biased;
                event = events.recv() => match event {
                    Ok(event) => self.handle(&event).await,
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => break exit.await,
                },
                status = &mut exit => {
                    // QEMU's last events may still be in the socket.
                    closed.await;
                    while let Ok(event) = events.try_recv() {
                        self.handle(&event).await;
                    }
                    break status;
                }
            }
        };
        self.console.caught_up().await;
        self.end(Ended::Exited { code: status.code(), output: last_words(&log) });
    }

    async fn handle(&self, event: &Event) {
        if event.name == "RESET" && event.data["guest"].as_bool() == Some(true) {
            self.resets.send_modify(|resets| *resets += 1);
        }
        if let Some(ended) = classify(event) {
            // The error about the end quotes the console's last lines.
            self.console.caught_up().await;
            self.end(ended);
        }
    }
}

fn classify(event: &Event) -> Option<Ended> {
    let text = |key: &str| event.data[key].as_str().unwrap_or_default();
    match event.name.as_str() {
        "SHUTDOWN" => Some(match text("reason") {
            "guest-panic" => Ended::GuestPanic,
            reason if reason.starts_with("guest") => Ended::GuestShutdown,
            _ => Ended::Stopped,
        }),
        "GUEST_PANICKED" => Some(Ended::GuestPanic),
        "BLOCK_IO_ERROR" if text("action") == "stop" => {
            let full = event.data["nospace"].as_bool().unwrap_or(false);
            Some(if full { Ended::DiskFull } else { Ended::DiskError })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use serde_json::json;

    use super::*;

    fn event(name: &str, data: serde_json::Value) -> Event {
        Event { name: name.to_owned(), data }
    }

    #[test]
    fn classify_recognizes_events_that_end_a_machine() {
        let shutdown = |reason: &str| classify(&event("SHUTDOWN", json!({ "reason": reason })));
        assert_eq!(shutdown("guest-shutdown"), Some(Ended::GuestShutdown));
        assert_eq!(shutdown("guest-panic"), Some(Ended::GuestPanic));
        assert_eq!(shutdown("host-qmp-quit"), Some(Ended::Stopped));
        let block = |action: &str, nospace: bool| {
            classify(&event("BLOCK_IO_ERROR", json!({ "action": action, "nospace": nospace })))
        };
        assert_eq!(block("stop", true), Some(Ended::DiskFull));
        assert_eq!(block("stop", false), Some(Ended::DiskError));
        assert_eq!(block("report", false), None);
        assert_eq!(classify(&event("RESET", json!({ "guest": true }))), None);
    }

    #[tokio::test]
    async fn later_end_does_not_replace_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let watch = Watch::new(Console::open(dir.path(), 1).unwrap());
        watch.end(Ended::GuestShutdown);
        watch.end(Ended::Exited { code: Some(0), output: String::new() });
        assert_eq!(watch.ended(), Some(Ended::GuestShutdown));
        assert!(watch.gone.is_cancelled());
    }
}
