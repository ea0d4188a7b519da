//! The end of a guest's serial console, cleaned for display.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::Path,
};

/// How many bytes of the log's end are read.
const WINDOW: u64 = 128 * 1024;
/// Longer lines are cut, in characters.
const LINE_LIMIT: usize = 400;

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

/// The rest of the first complete line of a console log that begins with `beginning`.
pub(crate) fn find(log: &Path, beginning: &str) -> Option<String> {
    let text = without_controls(&String::from_utf8_lossy(&std::fs::read(log).ok()?));
    let (complete, _) = text.rsplit_once('\n')?;
    let rest = complete.lines().find_map(|line| line.trim().strip_prefix(beginning))?;
    Some(rest.trim().chars().take(LINE_LIMIT).collect())
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
}
