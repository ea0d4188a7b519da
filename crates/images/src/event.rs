//! The events of a run. The engine prints nothing: it sends events, and the program that started
//! the run decides how to show them.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::digest::Digest;

/// One event. Serialised as one JSON object with a `kind` field.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Event {
    /// A run began.
    RunStarted { run_id: String, template: String },
    /// The source is available: the version that `latest` stands for in this run, and its disk's
    /// digest.
    SourceResolved { source: String, digest: String },
    /// A step began. `title` is for people, `step` is stable.
    StepStarted { step: String, title: String },
    /// A line (or part of one) that the running step wrote.
    StepOutput { step: String, stream: Stream, text: String },
    /// A step succeeded.
    StepFinished { step: String, title: String, seconds: f64, outcome: StepOutcome },
    /// A step failed, or ended early because another one failed or the run was canceled.
    StepFailed { step: String, title: String, seconds: f64 },
    /// A machine was sealed into a node; `seconds` is how long it was paused. `ram`: its RAM is
    /// saved too, perhaps while the next step runs.
    Sealed {
        title: String,
        key: String,
        #[serde(default)]
        ram: bool,
        seconds: f64,
    },
    /// The RAM of a node is saved; `seconds` is the time from the pause to the complete file.
    RamSaved { title: String, key: String, ram_bytes: u64, seconds: f64 },
    /// A machine of the run started, with these actual properties. `disks` are sizes in bytes, the
    /// OS disk first; `machine` tells the machines of a run apart.
    MachineStarted {
        machine: u32,
        #[serde(default)]
        os_type: vm::OsType,
        vcpus: u32,
        memory_mib: u64,
        generation: u8,
        disks: Vec<u64>,
    },
    /// The machine is gone, with its disks and its network. Not sent for a machine that is retained
    /// for its user.
    MachineEnded { machine: u32 },
    /// The effect of the optimization of boot and disk, measured now or when its node was created.
    Optimized { optimization: Optimization },
    /// An image was delivered to a distributor. The run may still fail at another one.
    Distributed { output: RunOutput },
    /// A part of a step, or work beside the steps, began. Activities may overlap. `activity` is its
    /// name.
    ActivityStarted { activity: String, does: ActivityKind },
    /// Progress of a transfer, in bytes.
    Progress { activity: String, done: u64, total: Option<u64> },
    /// The activity ended, whatever its result. `bytes`: its last progress, whose event was perhaps
    /// dropped.
    ActivityEnded { activity: String, bytes: Option<u64> },
    /// Information for the user.
    Note { text: String },
    /// A problem that the user should check, although the run continues.
    Warning { text: String },
}

impl From<vm::MachineChange> for Event {
    fn from(change: vm::MachineChange) -> Self {
        match change {
            vm::MachineChange::Started { machine, os, vcpus, memory_mib, generation, disks } => {
                let os_type = os;
                Self::MachineStarted { machine, os_type, vcpus, memory_mib, generation, disks }
            }
            vm::MachineChange::Ended { machine } => Self::MachineEnded { machine },
        }
    }
}

/// The result of a run at one distributor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunOutput {
    pub run_output_name: String,
    /// `ManagedImage`, `SharedImage`, `VHD`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Resource id of the image or version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact_id: Option<String>,
    /// `file://` address of the VHD.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact_uri: Option<String>,
    /// The file on this host.
    pub path: PathBuf,
    /// Length of the file.
    pub bytes: u64,
    /// Bytes on the host: fewer than the length if the file has holes.
    pub allocated_bytes: u64,
    /// Digest of the file's content.
    #[serde(flatten)]
    pub digest: Digest,
    /// Size of the disk that the guest sees, in bytes.
    pub virtual_size: u64,
    /// The image's data disks, by their LUNs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub data_disks: Vec<DataOutput>,
}

/// A delivered data disk, as a file of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DataOutput {
    pub lun: usize,
    /// The file on this host.
    pub path: PathBuf,
    /// Digest of the file's content.
    #[serde(flatten)]
    pub digest: Digest,
    /// Size of the disk that the guest sees, in bytes.
    pub virtual_size: u64,
}

/// The effect of the optimization of boot and disk. Each time is of one boot, one after the other
/// on the build's host. It is missing if goldsmith could not connect to the machine after the boot.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Optimization {
    /// From power-on to the end of the start-up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boot_seconds_before: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boot_seconds_after: Option<f64>,
    /// From power-on until the guest answered over SSH.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer_seconds_before: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer_seconds_after: Option<f64>,
    /// A standalone uncompressed qcow2 of the disk.
    pub bytes_before: u64,
    pub bytes_after: u64,
}

impl Optimization {
    /// Stores the times before the optimization.
    pub fn before(&mut self, (answered, booted): (Duration, Duration)) {
        self.answer_seconds_before = Some(seconds(answered));
        self.boot_seconds_before = Some(seconds(booted));
    }

    /// Stores the times after the optimization.
    pub fn after(&mut self, (answered, booted): (Duration, Duration)) {
        self.answer_seconds_after = Some(seconds(answered));
        self.boot_seconds_after = Some(seconds(booted));
    }
}

/// Rounds to microseconds, so that the number is the same after it was written and read.
fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e6
}

/// The stream of the guest's command that a piece of output came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Stream {
    Stdout,
    Stderr,
}

/// What an activity spends its time on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ActivityKind {
    /// Waits for others: the guest, another build, a lock.
    Wait,
    /// Moves or reads bytes: a download, a conversion, a hash.
    Transfer,
    /// Any other work.
    Work,
}

/// How a step got its result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "how", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum StepOutcome {
    /// The step was executed in this run.
    Done,
    /// Its node was in the cache.
    Cached { age_seconds: u64 },
}

/// How many bytes of guest output may wait for the reader of events. A guest that writes faster has
/// to wait.
const OUTPUT_ROOM: u32 = 1024 * 1024;
/// The size of an event without its text.
const OVERHEAD: u32 = 256;
/// How many progress events may wait. Further ones are dropped, since the next one supersedes them.
const PROGRESS_ROOM: usize = 64;

/// A handle for sending events. Cheap to clone. Sending after the receiver was dropped is not an
/// error.
///
/// The queue for a slow reader is bounded: guest output waits for room, progress events are
/// dropped, and the number of all other events is limited by the steps and their activities.
#[derive(Debug, Clone)]
pub struct Events(Option<Queue>);

#[derive(Debug, Clone)]
struct Queue {
    send: mpsc::UnboundedSender<Queued>,
    output: Arc<Semaphore>,
    progress: Arc<Semaphore>,
}

impl Queue {
    fn push(&self, event: Event, room: Option<OwnedSemaphorePermit>) {
        let _ = self.send.send(Queued { event, sent: Instant::now(), _room: room });
    }
}

#[derive(Debug)]
struct Queued {
    event: Event,
    sent: Instant,
    /// Released once the event has been received.
    _room: Option<OwnedSemaphorePermit>,
}

/// The other end of [`Events`].
#[derive(Debug)]
pub struct Receiver(mpsc::UnboundedReceiver<Queued>);

impl Receiver {
    /// The next event; `None` once no sender is left.
    pub async fn recv(&mut self) -> Option<Event> {
        self.0.recv().await.map(|queued| queued.event)
    }

    /// The same, on a thread that may block.
    pub fn blocking_recv(&mut self) -> Option<Event> {
        self.0.blocking_recv().map(|queued| queued.event)
    }

    /// The next event with the time at which it was sent, which a slow reader does not move.
    pub async fn recv_timed(&mut self) -> Option<(Instant, Event)> {
        self.0.recv().await.map(|queued| (queued.sent, queued.event))
    }

    /// The next event, if one is waiting.
    pub fn try_recv(&mut self) -> Option<Event> {
        self.0.try_recv().ok().map(|queued| queued.event)
    }
}

impl Events {
    /// A sender and the receiver that renders its events.
    #[allow(
        clippy::disallowed_methods,
        reason = "guests' output and progress enter by permits; the rest is bounded by the template"
    )]
    pub fn channel() -> (Self, Receiver) {
        let (send, receiver) = mpsc::unbounded_channel();
        let output = Arc::new(Semaphore::new(OUTPUT_ROOM as usize));
        let progress = Arc::new(Semaphore::new(PROGRESS_ROOM));
        (Self(Some(Queue { send, output, progress })), Receiver(receiver))
    }

    /// Discards all events.
    pub fn none() -> Self {
        Self(None)
    }

    /// Sends an event of goldsmith's own. Guest output goes through [`pass`](Self::pass).
    pub fn send(&self, event: Event) {
        let Some(queue) = &self.0 else { return };
        let room = if matches!(event, Event::Progress { .. }) {
            let Ok(room) = queue.progress.clone().try_acquire_owned() else { return };
            Some(room)
        } else {
            None
        };
        queue.push(event, room);
    }

    /// Sends any event. Guest output waits until there is room for it.
    pub async fn pass(&self, event: Event) {
        let Some(queue) = &self.0 else { return };
        let Event::StepOutput { text, .. } = &event else { return self.send(event) };
        let bytes = u32::try_from(text.len()).unwrap_or(OUTPUT_ROOM).saturating_add(OVERHEAD);
        let room = queue.output.clone().acquire_many_owned(bytes.min(OUTPUT_ROOM)).await.ok();
        queue.push(event, room);
    }

    /// Sends information for the user.
    pub fn note(&self, text: impl Into<String>) {
        self.send(Event::Note { text: text.into() });
    }

    /// Sends a warning for the user.
    pub fn warn(&self, text: impl Into<String>) {
        self.send(Event::Warning { text: text.into() });
    }

    /// Reports a wait for others, until the result is dropped.
    pub fn wait(&self, name: impl Into<String>) -> Activity {
        self.activity(name.into(), ActivityKind::Wait)
    }

    /// Reports a transfer, until the result is dropped.
    pub fn transfer(&self, name: impl Into<String>) -> Activity {
        self.activity(name.into(), ActivityKind::Transfer)
    }

    /// Reports other work, until the result is dropped.
    pub fn work(&self, name: impl Into<String>) -> Activity {
        self.activity(name.into(), ActivityKind::Work)
    }

    fn activity(&self, name: String, does: ActivityKind) -> Activity {
        self.send(Event::ActivityStarted { activity: name.clone(), does });
        Activity { events: self.clone(), name, bytes: AtomicU64::new(NONE) }
    }
}

/// An activity, which ends when this value is dropped: also by an error or a cancel.
#[derive(Debug)]
#[must_use = "the activity ends when this value is dropped"]
pub struct Activity {
    events: Events,
    name: String,
    /// The last progress, or [`NONE`].
    bytes: AtomicU64,
}

const NONE: u64 = u64::MAX;

impl Activity {
    /// Reports that `done` bytes were moved, of `total` if known.
    pub fn progress(&self, done: u64, total: Option<u64>) {
        self.bytes.store(done, Ordering::Relaxed);
        self.events.send(Event::Progress { activity: self.name.clone(), done, total });
    }
}

impl Drop for Activity {
    fn drop(&mut self) {
        let activity = std::mem::take(&mut self.name);
        let bytes = Some(*self.bytes.get_mut()).filter(|bytes| *bytes != NONE);
        self.events.send(Event::ActivityEnded { activity, bytes });
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn output(bytes: usize) -> Event {
        let (step, text) = ("customize[0]".to_owned(), "x".repeat(bytes));
        Event::StepOutput { step, stream: Stream::Stdout, text }
    }

    #[tokio::test]
    async fn guest_output_waits_for_the_reader() {
        let (events, mut receiver) = Events::channel();
        let mut sent = 0;
        while events.pass(output(10_000)).now_or_never().is_some() {
            sent += 1;
        }
        assert!(sent * 10_000 <= OUTPUT_ROOM as usize, "{sent} pieces wait");
        assert!(receiver.recv().await.is_some());
        assert!(events.pass(output(10_000)).now_or_never().is_some(), "one was received");
        drop(receiver);
        assert!(events.pass(output(10_000)).now_or_never().is_some(), "nobody reads any more");
    }

    #[tokio::test]
    async fn unread_progress_is_dropped() {
        let (events, mut receiver) = Events::channel();
        let download = events.transfer("download");
        for done in 0..10_000 {
            download.progress(done, None);
        }
        drop((download, events));
        let (mut received, mut last) = (0, None);
        while let Some(event) = receiver.recv().await {
            received += 1;
            last = Some(event);
        }
        assert_eq!(received, PROGRESS_ROOM + 2, "its start and its end are not dropped");
        let is_all = |bytes: &Option<u64>| *bytes == Some(9_999);
        assert!(
            matches!(&last, Some(Event::ActivityEnded { bytes, .. }) if is_all(bytes)),
            "{last:?}"
        );
    }
}
