//! Displays events live: with bars and a spinner on a terminal, as plain lines elsewhere.

use std::{
    collections::HashMap,
    io::IsTerminal,
    time::{Duration, Instant},
};

use images::event::{Event, StepOutcome, Stream};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::duration::{bytes, human};

const TICK: Duration = Duration::from_millis(120);
/// Without a terminal, shorter activities print no progress.
const LONG: Duration = Duration::from_secs(3);

/// The display of a run.
pub(super) struct Screen {
    bars: MultiProgress,
    terminal: bool,
    /// The active steps by name.
    steps: HashMap<String, ProgressBar>,
    activities: HashMap<String, Activity>,
}

struct Activity {
    bar: ProgressBar,
    /// Whether it has reported bytes.
    has_progress: bool,
    since: Instant,
    /// The progress in tenths that plain output has printed.
    printed: u64,
}

impl Screen {
    pub(super) fn new() -> Self {
        let terminal = std::io::stderr().is_terminal();
        Self {
            bars: MultiProgress::new(),
            terminal,
            steps: HashMap::new(),
            activities: HashMap::new(),
        }
    }

    pub(super) fn show(&mut self, event: &Event) {
        match event {
            Event::RunStarted { run_id, template } => {
                self.line(&format!("run {run_id} of {template}"));
            }
            Event::StepStarted { title, step } => self.step_started(step, title),
            Event::StepOutput { text, stream, .. } => {
                let mark = if *stream == Stream::Stderr { "!" } else { "|" };
                self.line(&format!("    {mark} {text}"));
            }
            Event::StepFinished { step, title, seconds, outcome } => {
                self.clear_step(step);
                self.line(&finished(step, title, *seconds, outcome));
            }
            // The events of the steps and machines are displayed through their steps.
            Event::Sealed { .. }
            | Event::RamSaved { .. }
            | Event::Distributed { .. }
            | Event::Optimized { .. }
            | Event::SourceResolved { .. }
            | Event::MachineStarted { .. }
            | Event::MachineEnded { .. } => {}
            Event::StepFailed { step, title, seconds } => {
                self.clear_step(step);
                self.line(&format!("  ✗ {} ({})", label(step, title), human(*seconds)));
            }
            Event::ActivityStarted { activity, .. } => self.activity_started(activity),
            Event::Progress { activity, done, total } => self.progress(activity, *done, *total),
            Event::ActivityEnded { activity, .. } => {
                if let Some(activity) = self.activities.remove(activity) {
                    activity.bar.finish_and_clear();
                }
            }
            Event::Note { text } => self.line(&format!("    {text}")),
            Event::Warning { text } => self.line(&format!("warning: {text}")),
        }
    }

    pub(super) fn close(&mut self) {
        for bar in self.steps.values() {
            bar.finish_and_clear();
        }
        for activity in self.activities.values() {
            activity.bar.finish_and_clear();
        }
    }

    fn step_started(&mut self, step: &str, title: &str) {
        self.clear_step(step);
        let text = label(step, title);
        if !self.terminal {
            self.line(&format!("==> {text}"));
            return;
        }
        let bar = self.bars.add(ProgressBar::new_spinner());
        bar.set_style(style("{spinner} {msg} {elapsed}"));
        bar.set_message(text);
        bar.enable_steady_tick(TICK);
        self.steps.insert(step.to_owned(), bar);
    }

    fn clear_step(&mut self, step: &str) {
        if let Some(bar) = self.steps.remove(step) {
            bar.finish_and_clear();
        }
    }

    fn activity_started(&mut self, name: &str) {
        let bar = self.bars.add(ProgressBar::new_spinner());
        bar.set_style(style("  {msg} {elapsed}"));
        bar.set_message(name.to_owned());
        if self.terminal {
            bar.enable_steady_tick(TICK);
        }
        let activity = Activity { bar, has_progress: false, since: Instant::now(), printed: 0 };
        if let Some(same) = self.activities.insert(name.to_owned(), activity) {
            same.bar.finish_and_clear();
        }
    }

    fn progress(&mut self, name: &str, done: u64, total: Option<u64>) {
        let Some(activity) = self.activities.get_mut(name) else { return };
        if !std::mem::replace(&mut activity.has_progress, true) {
            activity.bar.set_style(style(match total {
                Some(_) => "  {msg} [{bar:30}] {bytes}/{total_bytes} {eta}",
                None => "  {msg} {bytes}",
            }));
        }
        if let Some(total) = total {
            activity.bar.set_length(total);
        }
        activity.bar.set_position(done);
        let tenth = total.filter(|total| *total > 0).map_or(0, |total| done * 10 / total);
        let long = activity.since.elapsed() > LONG;
        if !self.terminal && long && tenth > activity.printed {
            activity.printed = tenth;
            let text = format!("    {name}: {} % ({})", tenth * 10, bytes(done));
            self.line(&text);
        }
    }

    fn line(&self, text: &str) {
        if !self.terminal {
            super::remark(text);
        } else if let Err(e) = self.bars.println(text) {
            tracing::debug!(error = %e, "cannot write to the terminal");
        }
    }
}

fn label(step: &str, title: &str) -> String {
    if step == title { title.to_owned() } else { format!("{step} {title}") }
}

fn finished(step: &str, title: &str, seconds: f64, outcome: &StepOutcome) -> String {
    let text = label(step, title);
    match outcome {
        StepOutcome::Done => format!("  ✓ {text} ({})", human(seconds)),
        StepOutcome::Cached { age_seconds } => {
            #[expect(clippy::cast_precision_loss, reason = "an age for people")]
            let age = human(*age_seconds as f64);
            format!("  ✓ {text} (cached, {age} old)")
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}
