//! The end of a guest's serial console, cleaned for display.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::Path,
};

/// How many bytes of the log's end are read.
const WINDOW: u64 = 128 * 1024;
/// Longer lines are cut, in characters.
const LINE_LIMIT: usize = 400;
/// The part of a line that is searched, in bytes.
const LINE_BYTES: usize = 4 * LINE_LIMIT;
/// How much of the log is read at once, in bytes.
const PIECE: usize = 32 * 1024;

/// The last non-empty lines of a console log; empty if the log is missing.
pub(crate) fn tail(log: &Path, lines: usize) -> Vec<String> {
    let mut bytes = Vec::new();
    if let Ok(mut file) = File::open(log) {
        let length = file.metadata().map_or(0, |m| m.len());
        let _ = file.seek(SeekFrom::Start(length.saturating_sub(WINDOW)));
        let _ = file.take(WINDOW).read_to_end(&mut bytes);
    }
    last_lines(&String::from_utf8_lossy(&bytes), lines)
}

fn last_lines(text: &str, lines: usize) -> Vec<String> {
    let clean = without_controls(text);
    let mut last: Vec<String> = clean
        .lines()
        .rev()
        .map(str::trim_end)
        .filter(|line| !line.is_empty())
        .take(lines)
        .map(|line| line.chars().take(LINE_LIMIT).collect())
        .collect();
    last.reverse();
    last
}

/// Looks for the first complete line of a growing console log that begins with some text.
#[derive(Debug)]
pub(crate) struct Search {
    beginning: String,
    /// Where the machine's output begins in the log.
    start: u64,
    /// Where the search goes on.
    offset: u64,
    /// What the log had dropped by then.
    cut: u64,
    /// The beginning of the current line.
    line: Vec<u8>,
}

impl Search {
    /// A search from that offset of the log.
    pub(crate) fn new(beginning: &str, start: u64) -> Self {
        let beginning = beginning.to_owned();
        Self { beginning, start, offset: start, cut: 0, line: Vec::new() }
    }

    /// The rest of the line, once it is in the log. Reads only what is new; all of it after the log has
    /// dropped its middle. `cut` counts the dropped bytes.
    pub(crate) fn advance(&mut self, log: &Path, cut: u64) -> io::Result<Option<String>> {
        if cut != self.cut {
            (self.cut, self.offset) = (cut, self.start);
            self.line.clear();
        }
        let mut file = File::open(log)?;
        file.seek(SeekFrom::Start(self.offset))?;
        let mut piece = vec![0; PIECE];
        loop {
            let length = file.read(&mut piece)?;
            if length == 0 {
                return Ok(None);
            }
            for (at, byte) in piece[..length].iter().enumerate() {
                if !matches!(byte, b'\n' | b'\r') {
                    if self.line.len() < LINE_BYTES {
                        self.line.push(*byte);
                    }
                } else if let Some(rest) = self.end_line() {
                    self.offset += at as u64 + 1;
                    return Ok(Some(rest));
                }
            }
            self.offset += length as u64;
        }
    }

    fn end_line(&mut self) -> Option<String> {
        let line = without_controls(&String::from_utf8_lossy(&self.line));
        self.line.clear();
        let rest = line.trim().strip_prefix(&self.beginning)?;
        Some(rest.trim().chars().take(LINE_LIMIT).collect())
    }
}

/// Guest output as one line that is safe to display.
pub(crate) fn one_line(text: &str) -> String {
    last_lines(text, usize::MAX).join(" / ").chars().take(LINE_LIMIT).collect()
}

/// Drops escape sequences and control characters; every kind of line end becomes `\n`.
fn without_controls(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => skip_escape(&mut chars),
            '\n' | '\r' => clean.push('\n'),
            '\t' => clean.push(' '),
            c if c.is_control() => {}
            c => clean.push(c),
        }
    }
    clean
}

fn skip_escape(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    match chars.next() {
        Some('[') => {
            for c in chars.by_ref() {
                if ('@'..='~').contains(&c) {
                    break;
                }
            }
        }
        Some(']') => {
            while let Some(c) = chars.next() {
                if c == '\u{7}' || (c == '\u{1b}' && chars.next_if_eq(&'\\').is_some()) {
                    break;
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_lines_drop_escapes_and_normalize_line_ends() {
        let text = "\u{1b}[2J\u{1b}[01;01Hone\r\n\u{1b}[0;32m  OK  \u{1b}[0m two\r\r\n\n\u{1b}]0;title\u{7}three\u{8}";
        assert_eq!(last_lines(text, 2), ["  OK   two", "three"]);
        assert_eq!(last_lines(text, 9).first().map(String::as_str), Some("one"));
    }

    #[test]
    fn missing_log_has_no_lines() {
        assert!(tail(Path::new("/no/such/log"), 5).is_empty());
    }

    #[test]
    fn search_reads_each_byte_once_and_all_again_after_a_cut() {
        let log = tempfile::NamedTempFile::new().unwrap();
        let write = |text: &str| std::fs::write(log.path(), text).unwrap();
        let before = "goldsmith 7 ready old\n";
        let mut search = Search::new("goldsmith 7 ready", before.len() as u64);
        write(&format!("{before}\u{1b}[2Jgoldsmith 8 ready no\r\n  \u{1b}[1mgoldsmith 7 rea"));
        assert_eq!(search.advance(log.path(), 0).unwrap(), None);
        let offset = search.offset;
        write(&format!(
            "{before}\u{1b}[2Jgoldsmith 8 ready no\r\n  \u{1b}[1mgoldsmith 7 ready ab "
        ));
        assert_eq!(search.advance(log.path(), 0).unwrap(), None, "the line is not complete");
        assert!(search.offset > offset);
        write(&format!("{before}…\n{}\ngoldsmith 7 ready cd\r\n", "y".repeat(100_000)));
        assert_eq!(search.advance(log.path(), 9).unwrap(), Some("cd".to_owned()));
        assert!(search.line.len() <= LINE_BYTES);
    }
}
