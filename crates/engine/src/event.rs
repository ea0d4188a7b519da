//! What a run tells while it goes on. The engine prints nothing: it sends events, and whoever
//! started the run decides how to show them.

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::{distribute::RunOutput, optimize::Optimization};

/// One thing that happened. Serialised as one JSON object with a `kind` field.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Event {
    /// A run began.
    RunStarted { run_id: String, template: String },
    /// The source is here: what its `latest` stands for in this run, and the digest of its disk.
    SourceResolved { source: String, digest: String },
    /// A step began. `title` is for people, `step` is stable.
    StepStarted { step: String, title: String },
    /// A line (or part of one) that the running step wrote.
    StepOutput { step: String, stream: Stream, text: String },
    /// A step ended well.
    StepFinished { step: String, title: String, seconds: f64, outcome: Outcome },
    /// A machine was sealed into a node; it stood still for so long.
    Sealed { title: String, key: String, ram_bytes: Option<u64>, seconds: f64 },
    /// A machine of the run is there: what it really has. `disks` are sizes in bytes, the OS disk first;
    /// the number tells the machines of a run apart.
    MachineStarted { machine: u32, vcpus: u32, memory_mib: u64, generation: u8, disks: Vec<u64> },
    /// That machine is gone, with its disks and its network. One that is kept for its user is not.
    MachineEnded { machine: u32 },
    /// What the optimization of boot and disk brought, measured now or when its node was made.
    Optimized { optimization: Optimization },
    /// An image was delivered to a distributor; the run may still fail at another one.
    Distributed { output: RunOutput },
    /// Bytes moved by something long: a download, a bootstrap, a seal, an export.
    Progress { activity: String, done: u64, total: Option<u64> },
    /// The activity ended; its bar can go.
    ProgressEnded { activity: String },
    /// Something worth a line.
    Note { text: String },
    /// Something the user should look at, though the run goes on.
    Warning { text: String },
}

impl From<vm::Seen> for Event {
    fn from(seen: vm::Seen) -> Self {
        match seen {
            vm::Seen::Started { machine, vcpus, memory_mib, generation, disks } => {
                Self::MachineStarted { machine, vcpus, memory_mib, generation, disks }
            }
            vm::Seen::Ended { machine } => Self::MachineEnded { machine },
        }
    }
}

/// Which stream of the guest's command a piece of output came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Stream {
    Stdout,
    Stderr,
}

/// How a step came to its result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "how", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Outcome {
    /// It was carried out now.
    Done,
    /// Its node was there already.
    Cached { age_seconds: u64 },
}

/// A handle to send events through. Cheap to clone; sending never blocks and never fails the run.
#[derive(Debug, Clone)]
pub struct Events(Option<mpsc::UnboundedSender<Event>>);

impl Events {
    /// A sender and the receiver that renders.
    pub fn channel() -> (Self, mpsc::UnboundedReceiver<Event>) {
        let (tx, rx) = mpsc::unbounded_channel();
        (Self(Some(tx)), rx)
    }

    /// Events go nowhere.
    pub fn none() -> Self {
        Self(None)
    }

    /// Sends one event; a receiver that has gone away is nobody's error.
    pub fn send(&self, event: Event) {
        if let Some(tx) = &self.0 {
            let _ = tx.send(event);
        }
    }

    /// A line for the reader.
    pub fn note(&self, text: impl Into<String>) {
        self.send(Event::Note { text: text.into() });
    }

    /// A line the reader should not miss.
    pub fn warn(&self, text: impl Into<String>) {
        self.send(Event::Warning { text: text.into() });
    }

    /// Bytes moved so far by `activity`, of `total` if known.
    pub fn progress(&self, activity: &str, done: u64, total: Option<u64>) {
        self.send(Event::Progress { activity: activity.into(), done, total });
    }

    /// The activity is over.
    pub fn progress_ended(&self, activity: &str) {
        self.send(Event::ProgressEnded { activity: activity.into() });
    }
}
