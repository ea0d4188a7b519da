//! The output of a step's command: to subscribers as it arrives, to `customization.log` (for
//! validators `validation.log`), and its last lines to the error if it fails.

use std::{collections::VecDeque, io, ops::ControlFlow, path::Path};

use async_trait::async_trait;
use images::{
    event::{Event, Events, Stream},
    log::Log,
    run_context::RunContext,
    step,
};
use vm::{Sink, StreamKind};

const TAIL_LINES: usize = 20;
/// More answers than any of goldsmith's scripts gives.
const ANSWERS: usize = 100;
/// A longer line is split, so that a guest cannot fill our memory.
const LINE_BYTES: usize = 16 * 1024;

/// The output of one step, cut into lines.
pub struct StepOutput {
    step: String,
    events: Events,
    log: Option<Log>,
    partial: [Vec<u8>; 2],
    tail: VecDeque<String>,
    /// The prefix of answer lines from goldsmith's own scripts. Nothing else in the guest knows it.
    mark: Option<String>,
    answers: Vec<String>,
}

impl StepOutput {
    /// Output of `step`, appended to its log in `log_dir` if a log is enabled.
    pub fn open(step: &str, cx: &RunContext, log_dir: &Path) -> io::Result<Self> {
        let log = match cx.log_bytes {
            None => None,
            Some(limit) => {
                std::fs::create_dir_all(log_dir)?;
                Some(Log::open(&log_dir.join(step::log_of(step)), limit)?)
            }
        };
        Ok(Self {
            step: step.to_owned(),
            events: cx.events.clone(),
            log,
            partial: [Vec::new(), Vec::new()],
            tail: VecDeque::new(),
            mark: None,
            answers: Vec::new(),
        })
    }

    /// Sends the text that has no line end yet.
    pub async fn flush(&mut self) {
        self.emit(StreamKind::Out).await;
        self.emit(StreamKind::Err).await;
    }

    /// From now on, lines with this prefix also count as answers.
    pub fn expect_answers(&mut self, mark: &str) {
        self.mark = Some(format!("{mark} "));
    }

    /// The answers so far, without the prefix.
    pub fn answers(&self) -> &[String] {
        &self.answers
    }

    /// The last lines of both streams.
    pub fn tail(&self) -> Vec<String> {
        self.tail.iter().cloned().collect()
    }

    async fn emit(&mut self, kind: StreamKind) {
        let index = usize::from(kind == StreamKind::Err);
        let line = std::mem::take(&mut self.partial[index]);
        let line = String::from_utf8_lossy(&line);
        let mut text = printable(line.trim_end_matches(['\n', '\r']));
        if text.is_empty() {
            return;
        }
        if let Some(answer) = self.mark.as_ref().and_then(|mark| text.strip_prefix(mark)) {
            text = answer.to_owned();
            if self.answers.len() < ANSWERS {
                self.answers.push(text.clone());
            }
        }
        let (stream, mark) = match kind {
            StreamKind::Out => (Stream::Stdout, "OUT"),
            StreamKind::Err => (Stream::Stderr, "ERR"),
        };
        if let Some(log) = &mut self.log
            && let Err(e) = log.write_guests(format!("[{}] {mark} {text}\n", self.step).as_bytes())
        {
            self.log = None;
            self.events.warn(format!("the log of {} cannot be written: {e}", self.step));
        }
        if self.tail.len() == TAIL_LINES {
            self.tail.pop_front();
        }
        self.tail.push_back(text.clone());
        self.events.pass(Event::StepOutput { step: self.step.clone(), stream, text }).await;
    }
}

#[async_trait]
impl Sink for StepOutput {
    /// Whole lines are sent immediately.
    async fn take(&mut self, stream: StreamKind, bytes: &[u8]) -> ControlFlow<()> {
        let index = usize::from(stream == StreamKind::Err);
        for piece in bytes.split_inclusive(|byte| *byte == b'\n' || *byte == b'\r') {
            self.partial[index].extend_from_slice(piece);
            let ended = piece.ends_with(b"\n") || piece.ends_with(b"\r");
            if ended || self.partial[index].len() > LINE_BYTES {
                self.emit(stream).await;
            }
        }
        ControlFlow::Continue(())
    }
}

impl Drop for StepOutput {
    fn drop(&mut self) {
        if let Some(log) = &mut self.log
            && let Some(cut) = log.take_cut()
        {
            let _ = log.write(format!("[{}] OUT {cut}\n", self.step).as_bytes());
        }
    }
}

/// A guest's line without characters that would move the reader's cursor, recolour the terminal, or
/// show text in another order than it is in.
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
            c if c.is_control() || reorders(c) => {}
            c => text.push(c),
        }
    }
    text
}

/// Unicode's controls of writing direction, and its line and paragraph separators.
fn reorders(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use tokio_util::sync::CancellationToken;

    use super::*;
    use images::{event::Receiver, layout::Layout};

    fn output(dir: &Path, step: &str) -> (StepOutput, Receiver) {
        let (events, receiver) = Events::channel();
        let layout = Layout::new(dir.to_owned(), dir.to_owned());
        let mut cx = RunContext::new(layout, events, CancellationToken::new());
        cx.log_bytes = Some(1000);
        (StepOutput::open(step, &cx, dir).unwrap(), receiver)
    }

    async fn write(out: &mut StepOutput, stream: StreamKind, bytes: &[u8]) {
        assert!(out.take(stream, bytes).await.is_continue());
    }

    #[tokio::test]
    async fn lines_are_joined_per_stream_and_logged() {
        let dir = tempfile::tempdir().unwrap();
        let (mut out, _events) = output(dir.path(), "customize[0]");
        write(&mut out, StreamKind::Out, b"one\ntw").await;
        write(&mut out, StreamKind::Err, b"bad\n").await;
        write(&mut out, StreamKind::Out, b"o\r\nthree").await;
        out.flush().await;
        assert_eq!(out.tail(), ["one", "bad", "two", "three"]);
        let log = std::fs::read_to_string(dir.path().join("customization.log")).unwrap();
        assert!(log.contains("[customize[0]] ERR bad\n"), "{log}");
    }

    #[tokio::test]
    async fn validator_output_has_its_own_log() {
        let dir = tempfile::tempdir().unwrap();
        let (mut out, _events) = output(dir.path(), "validate[0]");
        write(&mut out, StreamKind::Out, b"fine\n").await;
        let log = std::fs::read_to_string(dir.path().join("validation.log")).unwrap();
        assert_eq!(log, "[validate[0]] OUT fine\n");
        assert!(!dir.path().join("customization.log").exists());
    }

    #[tokio::test]
    async fn flooded_log_is_truncated_with_a_note() {
        let dir = tempfile::tempdir().unwrap();
        let (mut out, mut events) = output(dir.path(), "customize[0]");
        let reader = tokio::spawn(async move { while events.recv().await.is_some() {} });
        for _ in 0..100 {
            write(&mut out, StreamKind::Out, &b"y\n".repeat(1000)).await;
        }
        drop(out);
        reader.await.unwrap();
        let log = std::fs::read_to_string(dir.path().join("customization.log")).unwrap();
        assert!(log.len() < 1100, "{} bytes", log.len());
        assert!(log.ends_with(" bytes more\n") && log.contains("… cut, "), "{log}");
    }

    #[test]
    fn terminal_control_and_reordering_are_removed() {
        assert_eq!(printable("\u{1b}[31mred\u{1b}[0m\u{7}\tx"), "red\tx");
        assert_eq!(printable("a\u{202e}b\u{2066}c\u{2029}d"), "abcd");
    }

    #[tokio::test]
    async fn endless_line_is_split() {
        let dir = tempfile::tempdir().unwrap();
        let (mut out, mut events) = output(dir.path(), "customize[0]");
        write(&mut out, StreamKind::Out, &vec![b'x'; LINE_BYTES + 1]).await;
        assert!(events.try_recv().is_some());
    }
}
