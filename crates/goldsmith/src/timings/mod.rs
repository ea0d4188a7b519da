//! The times of a run: what happened when, as far as its events tell.
//!
//! [`Recorder`] turns events into spans, without I/O and without a clock of its own. [`text`] and
//! [`trace`] write them.

mod text;
mod trace;

use std::{collections::HashMap, time::Duration};

use images::event::{ActivityKind, Event, StepOutcome};

/// What a span is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Step,
    Activity(ActivityKind),
    /// The guest stood still while it was sealed.
    Pause,
    /// A machine existed.
    Machine,
}

impl What {
    fn name(self) -> &'static str {
        match self {
            Self::Step => "step",
            Self::Activity(ActivityKind::Wait) => "wait",
            Self::Activity(ActivityKind::Transfer) => "transfer",
            Self::Activity(ActivityKind::Work) => "work",
            Self::Pause => "pause",
            Self::Machine => "machine",
        }
    }
}

/// How a span ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Done,
    /// A step that was not executed, because its result was in the cache.
    Cached,
    Failed,
    /// The events do not tell: the run ended first.
    Unknown,
}

/// A stretch of time, counted from the start of the recording.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Span {
    what: What,
    name: String,
    start: Duration,
    end: Duration,
    how: End,
    /// Bytes that it moved, or that were saved.
    bytes: Option<u64>,
}

impl Span {
    fn took(&self) -> Duration {
        self.end.saturating_sub(self.start)
    }
}

/// The spans of a run, by their starts.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Timings {
    spans: Vec<Span>,
    total: Duration,
}

impl Timings {
    /// A waterfall for people; empty without spans.
    pub(crate) fn text(&self) -> String {
        text::render(self)
    }

    /// The run in the format of Chrome's trace viewer, which Perfetto reads too.
    pub(crate) fn trace(&self) -> serde_json::Value {
        trace::document(self)
    }
}

/// An open span: its index, and the name by which its end refers to it.
type Open = (usize, String);

/// Collects the spans of a run.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    spans: Vec<Span>,
    steps: Vec<Open>,
    activities: Vec<Open>,
    machines: Vec<Open>,
    /// When the guest was paused for each node, by its key.
    seals: HashMap<String, Duration>,
}

impl Recorder {
    /// Takes the next event, which was sent `at` this time.
    pub(crate) fn add(&mut self, at: Duration, event: &Event) {
        match event {
            Event::StepStarted { step, title } => {
                let index = self.begin(What::Step, label(step, title), at);
                self.steps.push((index, step.clone()));
            }
            Event::StepFinished { step, outcome: StepOutcome::Done, .. } => {
                self.end(at, End::Done, |recorder| &mut recorder.steps, step);
            }
            Event::StepFinished { step, title, outcome: StepOutcome::Cached { .. }, .. } => {
                let index = self.begin(What::Step, label(step, title), at);
                self.spans[index].how = End::Cached;
            }
            Event::StepFailed { step, .. } => {
                self.end(at, End::Failed, |recorder| &mut recorder.steps, step);
            }
            Event::ActivityStarted { activity, does } => {
                let index = self.begin(What::Activity(*does), activity.clone(), at);
                self.activities.push((index, activity.clone()));
            }
            Event::ActivityEnded { activity, bytes } => {
                if let Some(span) = self.end(at, End::Done, |all| &mut all.activities, activity) {
                    span.bytes = *bytes;
                }
            }
            Event::Sealed { title, key, seconds, .. } => {
                let start = at.saturating_sub(duration(*seconds));
                self.past(What::Pause, format!("seal {title}"), start, at);
                self.seals.insert(key.clone(), start);
            }
            Event::RamSaved { title, key, ram_bytes, seconds } => {
                // It is sent when the node is published, which may be later than the end of the save.
                let took = duration(*seconds);
                let start = self.seals.get(key).copied();
                let start = start.unwrap_or_else(|| at.saturating_sub(took));
                let (what, name) = (ActivityKind::Transfer, format!("save RAM of {title}"));
                let span = self.past(What::Activity(what), name, start, start + took);
                span.bytes = Some(*ram_bytes);
            }
            Event::MachineStarted { machine, .. } => {
                let index = self.begin(What::Machine, format!("machine {machine}"), at);
                self.machines.push((index, machine.to_string()));
            }
            Event::MachineEnded { machine } => {
                let name = machine.to_string();
                self.end(at, End::Done, |recorder| &mut recorder.machines, &name);
            }
            Event::RunStarted { .. }
            | Event::SourceResolved { .. }
            | Event::StepOutput { .. }
            | Event::Progress { .. }
            | Event::Optimized { .. }
            | Event::Distributed { .. }
            | Event::Note { .. }
            | Event::Warning { .. } => {}
        }
    }

    /// Ends the recording `at` this time, and every span that is still open.
    pub(crate) fn finish(mut self, at: Duration) -> Timings {
        let open = [&self.steps, &self.activities, &self.machines];
        for (index, _) in open.into_iter().flatten() {
            self.spans[*index].end = at;
        }
        self.spans.sort_by_key(|span| span.start);
        Timings { spans: self.spans, total: at }
    }

    fn begin(&mut self, what: What, name: String, at: Duration) -> usize {
        let (start, end, how, bytes) = (at, at, End::Unknown, None);
        self.spans.push(Span { what, name, start, end, how, bytes });
        self.spans.len() - 1
    }

    /// Adds a span that has ended.
    fn past(&mut self, what: What, name: String, start: Duration, end: Duration) -> &mut Span {
        let index = self.begin(what, name, start);
        let span = &mut self.spans[index];
        (span.end, span.how) = (end, End::Done);
        span
    }

    /// Ends the first open span with that name: of two equal ones it is not known which one ended.
    fn end(
        &mut self,
        at: Duration,
        how: End,
        of: fn(&mut Self) -> &mut Vec<Open>,
        name: &str,
    ) -> Option<&mut Span> {
        let open = of(self);
        let position = open.iter().position(|(_, open)| open == name)?;
        let (index, _) = open.remove(position);
        let span = &mut self.spans[index];
        (span.end, span.how) = (at, how);
        Some(span)
    }
}

fn duration(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

fn label(step: &str, title: &str) -> String {
    if step == title { title.to_owned() } else { format!("{step} {title}") }
}

#[cfg(test)]
mod tests;
