//! What a run tells, kept on disk: every event in `events.jsonl`, and the guest's output in
//! `customization.log`, that of validators in `validation.log`, in the form that the image builder's users
//! know.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use engine::{
    event::{Event, Stream},
    step::{CUSTOMIZATION_LOG, VALIDATION_LOG, log_of},
};
use jiff::Timestamp;
use serde_json::json;

pub(crate) const EVENTS: &str = "events.jsonl";

/// Progress is told many times a second; so often is enough for a reader who comes later.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);

/// The files of a run, open for appending.
pub(crate) struct Journal {
    run_id: String,
    dir: PathBuf,
    events: File,
    log: File,
    /// There is none before the first validation.
    validation: Option<File>,
    progress: HashMap<String, Instant>,
    is_broken: bool,
}

impl Journal {
    /// Opens or makes them; a run that goes on after a restart goes on in the same files.
    pub(crate) fn open(dir: &Path, run_id: &str) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let mut journal = Self {
            run_id: run_id.to_owned(),
            dir: dir.to_owned(),
            events: open(dir, EVENTS)?,
            log: open(dir, CUSTOMIZATION_LOG)?,
            validation: None,
            progress: HashMap::new(),
            is_broken: false,
        };
        journal.end_torn_line(dir)?;
        Ok(journal)
    }

    /// A process that was killed in the middle of a line must not spoil the next one.
    fn end_torn_line(&mut self, dir: &Path) -> io::Result<()> {
        use std::os::unix::fs::FileExt;
        let length = self.events.metadata()?.len();
        let mut last = [b'\n'];
        if length > 0 {
            File::open(dir.join(EVENTS))?.read_exact_at(&mut last, length - 1)?;
        }
        if last == [b'\n'] { Ok(()) } else { self.events.write_all(b"\n") }
    }

    /// Adds an event. Returns whether there is something new to read.
    pub(crate) fn add(&mut self, event: &Event) -> bool {
        if self.is_too_soon(event) {
            return false;
        }
        let mut value = match serde_json::to_value(event) {
            Ok(value) => value,
            Err(e) => {
                tracing::error!(error = %e, "an event cannot be written as JSON");
                return false;
            }
        };
        value["time"] = json!(Timestamp::now().to_string());
        let written = writeln!(self.events, "{value}").and_then(|()| self.log(event));
        self.tell(written);
        true
    }

    /// The end of one attempt: an event of our own, and the log's last line.
    pub(crate) fn end(&mut self, error: Option<&engine::error::Error>) {
        let value = json!({
            "kind": "runEnded",
            "time": Timestamp::now().to_string(),
            "error": error.map(|e| json!({ "code": e.code.name(), "message": e.message,
                "step": e.step, "target": e.target, "hint": e.hint, "details": e.details })),
        });
        let mut written = writeln!(self.events, "{value}");
        if let Some(error) = error {
            let step = error.step.as_deref().unwrap_or("resolve");
            let lines =
                std::iter::once(format!("{step}: {} ({})", error.message, error.code.name()))
                    .chain(error.hint.iter().map(|hint| format!("hint: {hint}")));
            // The log that the run's message names has how it ended, whichever step it was.
            let mut logs = vec![CUSTOMIZATION_LOG];
            logs.extend(Some(log_of(step)).filter(|log| *log != CUSTOMIZATION_LOG));
            for line in lines {
                for log in &logs {
                    written = written.and_then(|()| self.line(log, "ERR", &line));
                }
            }
        }
        let logs = [(CUSTOMIZATION_LOG, true), (VALIDATION_LOG, self.validation.is_some())];
        for (log, _) in logs.iter().filter(|(_, is_there)| *is_there) {
            written = written.and_then(|()| self.line(log, "OUT", "(telemetry) Finalizing."));
        }
        self.tell(written);
    }

    fn is_too_soon(&mut self, event: &Event) -> bool {
        let Event::Progress { activity, done, total } = event else { return false };
        let now = Instant::now();
        let last = self.progress.insert(activity.clone(), now);
        let is_last = *total == Some(*done);
        let Some(last) = last.filter(|last| !is_last && now - *last < PROGRESS_EVERY) else {
            return false;
        };
        self.progress.insert(activity.clone(), last);
        true
    }

    fn log(&mut self, event: &Event) -> io::Result<()> {
        match event {
            Event::StepOutput { step, stream: Stream::Stdout, text } => {
                self.line(log_of(step), "OUT", text)
            }
            Event::StepOutput { step, stream: Stream::Stderr, text } => {
                self.line(log_of(step), "ERR", text)
            }
            Event::StepStarted { step, title } if is_provisioner(step) => {
                self.line(log_of(step), "OUT", &format!("(telemetry) Starting provisioner {title}"))
            }
            Event::StepStarted { step, title } => {
                self.line(log_of(step), "OUT", &format!("==> {title}"))
            }
            Event::StepFinished { step, title, .. } if is_provisioner(step) => {
                self.line(log_of(step), "OUT", &format!("(telemetry) ending {title}"))
            }
            Event::Note { text } => self.line(CUSTOMIZATION_LOG, "OUT", text),
            Event::Warning { text } => {
                self.line(CUSTOMIZATION_LOG, "ERR", &format!("warning: {text}"))
            }
            _ => Ok(()),
        }
    }

    fn line(&mut self, log: &str, stream: &str, text: &str) -> io::Result<()> {
        let line = format!("[{}] PACKER {stream} {text}\n", self.run_id);
        let file = if log == VALIDATION_LOG {
            match &mut self.validation {
                Some(file) => file,
                none => none.insert(open(&self.dir, VALIDATION_LOG)?),
            }
        } else {
            &mut self.log
        };
        // In one write, so that a reader never sees half a line's head.
        file.write_all(line.as_bytes())
    }

    /// A journal that cannot be written is no reason to end a build.
    fn tell(&mut self, written: io::Result<()>) {
        if let Err(e) = written
            && !std::mem::replace(&mut self.is_broken, true)
        {
            tracing::warn!(run = %self.run_id, error = %e, "the run's journal cannot be written");
        }
    }
}

fn open(dir: &Path, name: &str) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(dir.join(name))
}

/// What the image builder's own log calls a provisioner.
fn is_provisioner(step: &str) -> bool {
    step.starts_with("customize[") || step.starts_with("validate[")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn progress(done: u64) -> Event {
        Event::Progress { activity: "download".into(), done, total: Some(10) }
    }

    #[test]
    fn the_log_has_the_lines_that_its_readers_know() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(dir.path(), "id").unwrap();
        let step = "customize[0]".to_owned();
        journal.add(&Event::StepStarted { step: step.clone(), title: "one".into() });
        journal.add(&Event::StepOutput { step, stream: Stream::Stderr, text: "oh".into() });
        journal.end(None);
        let log = fs::read_to_string(dir.path().join(CUSTOMIZATION_LOG)).unwrap();
        assert_eq!(
            log,
            "[id] PACKER OUT (telemetry) Starting provisioner one\n\
             [id] PACKER ERR oh\n[id] PACKER OUT (telemetry) Finalizing.\n"
        );
    }

    // conformance: 102
    #[test]
    fn validators_are_told_of_in_their_own_log_and_a_failure_in_both() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(dir.path(), "id").unwrap();
        let step = "validate[0]".to_owned();
        journal.add(&Event::StepStarted { step: step.clone(), title: "check".into() });
        journal.add(&Event::StepOutput {
            step: step.clone(),
            stream: Stream::Stdout,
            text: "no".into(),
        });
        let mut error = engine::error::Error::new(api::ErrorCode::ValidatorFailed, "it failed");
        error.step = Some(step);
        journal.end(Some(&error));
        let read = |name| fs::read_to_string(dir.path().join(name)).unwrap();
        let end = "[id] PACKER ERR validate[0]: it failed (ValidatorFailed)\n\
                   [id] PACKER OUT (telemetry) Finalizing.\n";
        assert_eq!(read(CUSTOMIZATION_LOG), end);
        let head = "[id] PACKER OUT (telemetry) Starting provisioner check\n[id] PACKER OUT no\n";
        assert_eq!(read(VALIDATION_LOG), format!("{head}{end}"));
    }

    #[test]
    fn progress_is_thinned_out_but_for_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(dir.path(), "id").unwrap();
        let told = [1, 2, 3, 10].map(|done| journal.add(&progress(done)));
        assert_eq!(told, [true, false, false, true]);
    }

    #[test]
    fn a_torn_line_does_not_spoil_the_next() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(EVENTS), "{\"kind\":").unwrap();
        Journal::open(dir.path(), "id").unwrap().add(&Event::Note { text: "on".into() });
        let text = fs::read_to_string(dir.path().join(EVENTS)).unwrap();
        assert!(text.lines().nth(1).unwrap().contains("\"on\""), "{text}");
    }
}
