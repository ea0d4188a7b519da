//! What a step's command writes: to subscribers as it comes, to `customization.log` (validators: to
//! `validation.log`), and its last lines into the error if it fails.

use std::{
    collections::VecDeque,
    fs::{File, OpenOptions},
    io::{self, Write},
    path::Path,
};

use vm::StreamKind;

use crate::{
    event::{Event, Events, Stream},
    step,
};

const TAIL_LINES: usize = 20;
/// A longer line is cut into pieces, so that a guest cannot make us hold all it writes.
const LINE_BYTES: usize = 16 * 1024;

/// The output of one step, cut into lines.
pub struct StepOutput {
    step: String,
    events: Events,
    log: File,
    partial: [Vec<u8>; 2],
    tail: VecDeque<String>,
}

impl StepOutput {
    /// Output of `step`, appended to the log in `log_dir` that it belongs to.
    pub fn open(step: &str, events: &Events, log_dir: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(log_dir)?;
        let path = log_dir.join(step::log_of(step));
        Ok(Self {
            step: step.to_owned(),
            events: events.clone(),
            log: OpenOptions::new().create(true).append(true).open(path)?,
            partial: [Vec::new(), Vec::new()],
            tail: VecDeque::new(),
        })
    }

    /// Takes bytes as they come; whole lines go out at once.
    pub fn write(&mut self, stream: StreamKind, bytes: &[u8]) {
        let index = usize::from(stream == StreamKind::Err);
        for piece in bytes.split_inclusive(|byte| *byte == b'\n' || *byte == b'\r') {
            self.partial[index].extend_from_slice(piece);
            let ended = piece.ends_with(b"\n") || piece.ends_with(b"\r");
            if ended || self.partial[index].len() > LINE_BYTES {
                self.emit(stream);
            }
        }
    }

    /// Sends what has no line end yet.
    pub fn flush(&mut self) {
        self.emit(StreamKind::Out);
        self.emit(StreamKind::Err);
    }

    /// The last lines of both streams.
    pub fn tail(&self) -> Vec<String> {
        self.tail.iter().cloned().collect()
    }

    fn emit(&mut self, kind: StreamKind) {
        let index = usize::from(kind == StreamKind::Err);
        let line = std::mem::take(&mut self.partial[index]);
        let line = String::from_utf8_lossy(&line);
        let text = printable(line.trim_end_matches(['\n', '\r']));
        if text.is_empty() {
            return;
        }
        let (stream, mark) = match kind {
            StreamKind::Out => (Stream::Stdout, "OUT"),
            StreamKind::Err => (Stream::Stderr, "ERR"),
        };
        if let Err(e) = writeln!(self.log, "[{}] {mark} {text}", self.step) {
            tracing::warn!(error = %e, "cannot write the step's log");
        }
        if self.tail.len() == TAIL_LINES {
            self.tail.pop_front();
        }
        self.tail.push_back(text.clone());
        self.events.send(Event::StepOutput { step: self.step.clone(), stream, text });
    }
}

/// A guest's line without what would move the reader's cursor or recolour the terminal.
fn printable(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' if chars.peek() == Some(&'[') => {
                chars.next();
                while chars.next().is_some_and(|c| !('@'..='~').contains(&c)) {}
            }
            '\t' => text.push('\t'),
            c if c.is_control() => {}
            c => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn output(dir: &Path) -> (StepOutput, tokio::sync::mpsc::UnboundedReceiver<Event>) {
        let (events, receiver) = Events::channel();
        (StepOutput::open("customize[0]", &events, dir).unwrap(), receiver)
    }

    #[test]
    fn lines_are_cut_per_stream_and_logged() {
        let dir = tempfile::tempdir().unwrap();
        let (mut out, _events) = output(dir.path());
        out.write(StreamKind::Out, b"one\ntw");
        out.write(StreamKind::Err, b"bad\n");
        out.write(StreamKind::Out, b"o\r\nthree");
        out.flush();
        assert_eq!(out.tail(), ["one", "bad", "two", "three"]);
        let log = std::fs::read_to_string(dir.path().join("customization.log")).unwrap();
        assert!(log.contains("[customize[0]] ERR bad\n"), "{log}");
    }

    #[test]
    fn validators_have_a_log_of_their_own() {
        let dir = tempfile::tempdir().unwrap();
        let mut out = StepOutput::open("validate[0]", &Events::none(), dir.path()).unwrap();
        out.write(StreamKind::Out, b"fine\n");
        let log = std::fs::read_to_string(dir.path().join("validation.log")).unwrap();
        assert_eq!(log, "[validate[0]] OUT fine\n");
        assert!(!dir.path().join("customization.log").exists());
    }

    #[test]
    fn terminal_control_does_not_pass() {
        assert_eq!(printable("\u{1b}[31mred\u{1b}[0m\u{7}\tx"), "red\tx");
    }

    #[test]
    fn a_line_without_end_is_cut() {
        let dir = tempfile::tempdir().unwrap();
        let (mut out, mut events) = output(dir.path());
        out.write(StreamKind::Out, &vec![b'x'; LINE_BYTES + 1]);
        assert!(events.try_recv().is_ok());
    }
}
