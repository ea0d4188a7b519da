//! The files of a run: every event in `events.jsonl`, the guest's output in `customization.log`, that of
//! validators in `validation.log`, in the form that the image builder's users know.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, btree_map::Entry},
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use images::{
    event::{Event, Stream},
    log::Log,
    step::{CUSTOMIZATION_LOG, log_of},
};
use jiff::Timestamp;
use serde_json::json;
use service::{conceal::Conceal, run_folder::EVENTS};

/// The engine reports progress many times a second; fewer reports are enough for later readers.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);

/// The files of a run, open for appending.
pub(crate) struct Journal {
    run_id: String,
    dir: PathBuf,
    /// How much of a guest's output each of the files can have.
    limit: u64,
    events: Log,
    /// By name; that of the validation is opened for its first line.
    logs: BTreeMap<&'static str, Log>,
    progress: HashMap<String, Instant>,
    conceal: Conceal,
}

impl Journal {
    /// Opens or creates them; a run that continues after a restart appends to the same files.
    pub(crate) fn open(dir: &Path, run_id: &str, limit: u64) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let mut journal = Self {
            run_id: run_id.to_owned(),
            dir: dir.to_owned(),
            limit,
            events: Log::open(&dir.join(EVENTS), limit)?,
            logs: BTreeMap::new(),
            progress: HashMap::new(),
            conceal: Conceal::default(),
        };
        journal.file(CUSTOMIZATION_LOG)?;
        journal.end_torn_line(dir)?;
        Ok(journal)
    }

    /// Conceals the names of the service's folders in all further events.
    pub(crate) fn concealing(self, conceal: Conceal) -> Self {
        Self { conceal, ..self }
    }

    /// A process that was killed in the middle of a line must not spoil the next one.
    fn end_torn_line(&mut self, dir: &Path) -> io::Result<()> {
        use std::os::unix::fs::FileExt;
        let written = File::open(dir.join(EVENTS))?;
        let length = written.metadata()?.len();
        let mut last = [b'\n'];
        if length > 0 {
            written.read_exact_at(&mut last, length - 1)?;
        }
        if last == [b'\n'] { Ok(()) } else { self.events.write(b"\n") }
    }

    /// Adds an event. Returns whether there is something new to read.
    pub(crate) fn add(&mut self, event: &Event) -> io::Result<bool> {
        if self.is_too_soon(event) {
            return Ok(false);
        }
        if let Event::StepOutput { step, stream, text } = event {
            return self.add_output(event, step, *stream, text);
        }
        let event = &*self.conceal.event(event);
        self.note_cut()?;
        self.events.write(&line_of(serde_json::to_value(event)?))?;
        self.log(event)?;
        Ok(true)
    }

    /// A guest's line, as far as there is room for it.
    fn add_output(
        &mut self,
        event: &Event,
        step: &str,
        stream: Stream,
        text: &str,
    ) -> io::Result<bool> {
        let fitted = self.events.write_guests(&line_of(serde_json::to_value(event)?))?;
        let mark = match stream {
            Stream::Stdout => "OUT",
            Stream::Stderr => "ERR",
        };
        // A guest's line must not read like one of ours.
        let forged = text.trim_start().starts_with("(telemetry)") || text.starts_with("==> ");
        let text = if forged { format!("guest: {text}") } else { text.to_owned() };
        let line = self.line_of(mark, &text);
        self.file(log_of(step))?.write_guests(&line)?;
        Ok(fitted)
    }

    /// Notes in each file how much of the guest's output was left out.
    fn note_cut(&mut self) -> io::Result<()> {
        if let Some(text) = self.events.take_cut() {
            self.events.write(&line_of(serde_json::to_value(Event::Note { text })?))?;
        }
        let cut = self.logs.iter_mut().filter_map(|(log, file)| Some((*log, file.take_cut()?)));
        let cut: Vec<_> = cut.collect();
        cut.into_iter().try_for_each(|(log, text)| self.line(log, "OUT", &text))
    }

    /// The end of one attempt: an event of our own, and the log's last line.
    pub(crate) fn end(&mut self, error: Option<&images::error::Error>) -> io::Result<()> {
        self.note_cut()?;
        let error = error.map(|error| self.conceal.error(error));
        let error = error.as_ref();
        let value = json!({
            "kind": "runEnded",
            "error": error.map(|e| json!({ "code": e.code.name(), "message": e.message,
                "step": e.step, "target": e.target, "hint": e.hint, "details": e.details })),
        });
        self.events.write(&line_of(value))?;
        if let Some(error) = error {
            let step = error.step.as_deref().unwrap_or("resolve");
            let lines =
                std::iter::once(format!("{step}: {} ({})", error.message, error.code.name()))
                    .chain(error.hint.iter().map(|hint| format!("hint: {hint}")));
            // The log that the run's message names says how it ended, whichever step failed.
            let logs = BTreeSet::from([CUSTOMIZATION_LOG, log_of(step)]);
            for line in lines {
                logs.iter().try_for_each(|log| self.line(log, "ERR", &line))?;
            }
        }
        let logs: Vec<_> = self.logs.keys().copied().collect();
        logs.into_iter().try_for_each(|log| self.line(log, "OUT", "(telemetry) Finalizing."))
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
            Event::StepStarted { step, title } => {
                let begins =
                    if is_provisioner(step) { "(telemetry) Starting provisioner" } else { "==>" };
                self.line(log_of(step), "OUT", &format!("{begins} {title}"))
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

    fn line(&mut self, log: &'static str, stream: &str, text: &str) -> io::Result<()> {
        let line = self.line_of(stream, text);
        self.file(log)?.write(&line)
    }

    fn line_of(&self, stream: &str, text: &str) -> Vec<u8> {
        format!("[{}] PACKER {stream} {text}\n", self.run_id).into_bytes()
    }

    fn file(&mut self, log: &'static str) -> io::Result<&mut Log> {
        Ok(match self.logs.entry(log) {
            Entry::Occupied(open) => open.into_mut(),
            Entry::Vacant(new) => new.insert(Log::open(&self.dir.join(log), self.limit)?),
        })
    }
}

/// An event as it is written down, with its time.
fn line_of(mut value: serde_json::Value) -> Vec<u8> {
    value["time"] = json!(Timestamp::now().to_string());
    let mut line = value.to_string().into_bytes();
    line.push(b'\n');
    line
}

/// What the image builder's own log calls a provisioner.
fn is_provisioner(step: &str) -> bool {
    step.starts_with("customize[") || step.starts_with("validate[")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use images::step::VALIDATION_LOG;

    use super::*;

    fn progress(done: u64) -> Event {
        Event::Progress { activity: "download".into(), done, total: Some(10) }
    }

    #[test]
    fn the_log_has_the_lines_that_its_readers_know() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(dir.path(), "id", 1000).unwrap();
        let step = "customize[0]".to_owned();
        journal.add(&Event::StepStarted { step: step.clone(), title: "one".into() }).unwrap();
        let output = |text: &str| Event::StepOutput {
            step: step.clone(),
            stream: Stream::Stderr,
            text: text.into(),
        };
        journal.add(&output("oh")).unwrap();
        journal.add(&output("(telemetry) Finalizing.")).unwrap();
        journal.end(None).unwrap();
        let log = fs::read_to_string(dir.path().join(CUSTOMIZATION_LOG)).unwrap();
        assert_eq!(
            log,
            "[id] PACKER OUT (telemetry) Starting provisioner one\n\
             [id] PACKER ERR oh\n[id] PACKER ERR guest: (telemetry) Finalizing.\n\
             [id] PACKER OUT (telemetry) Finalizing.\n"
        );
    }

    // conformance: 102
    #[test]
    fn validators_are_in_their_own_log_and_a_failure_in_both() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(dir.path(), "id", 1000).unwrap();
        let step = "validate[0]".to_owned();
        journal.add(&Event::StepStarted { step: step.clone(), title: "check".into() }).unwrap();
        let (stream, text) = (Stream::Stdout, "no".into());
        journal.add(&Event::StepOutput { step: step.clone(), stream, text }).unwrap();
        let mut error = images::error::Error::new(api::ErrorCode::ValidatorFailed, "it failed");
        error.step = Some(step);
        journal.end(Some(&error)).unwrap();
        let read = |name| fs::read_to_string(dir.path().join(name)).unwrap();
        let end = "[id] PACKER ERR validate[0]: it failed (ValidatorFailed)\n\
                   [id] PACKER OUT (telemetry) Finalizing.\n";
        assert_eq!(read(CUSTOMIZATION_LOG), end);
        let head = "[id] PACKER OUT (telemetry) Starting provisioner check\n[id] PACKER OUT no\n";
        assert_eq!(read(VALIDATION_LOG), format!("{head}{end}"));
    }

    #[test]
    fn progress_is_thinned_except_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(dir.path(), "id", 1000).unwrap();
        let written = [1, 2, 3, 10].map(|done| journal.add(&progress(done)).unwrap());
        assert_eq!(written, [true, false, false, true]);
    }

    #[test]
    fn logs_of_a_flood_keep_their_limit_and_say_what_is_missing() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(dir.path(), "id", 1000).unwrap();
        for _ in 0..1000 {
            let (step, stream) = ("customize[0]".to_owned(), Stream::Stdout);
            journal.add(&Event::StepOutput { step, stream, text: "y".repeat(100) }).unwrap();
        }
        journal.end(None).unwrap();
        for name in [CUSTOMIZATION_LOG, EVENTS] {
            let text = fs::read_to_string(dir.path().join(name)).unwrap();
            assert!(text.len() < 1300, "{name}: {} bytes", text.len());
            assert!(text.contains("… cut, ") && text.contains(" bytes more"), "{name}: {text}");
        }
    }

    #[test]
    fn torn_line_does_not_spoil_the_next() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(EVENTS), "{\"kind\":").unwrap();
        Journal::open(dir.path(), "id", 1000)
            .unwrap()
            .add(&Event::Note { text: "on".into() })
            .unwrap();
        let text = fs::read_to_string(dir.path().join(EVENTS)).unwrap();
        assert!(text.lines().nth(1).unwrap().contains("\"on\""), "{text}");
    }
}
