//! Decodes what PowerShell writes to a redirected standard error: a line `#< CLIXML`, then XML.
//!
//! Errors come out as they are, with their own line ends; warnings and the like as the lines that
//! PowerShell shows on a console; other records by the text they have of themselves. Records of
//! progress are dropped. Programs that PowerShell starts write to the same stream, so plain text may
//! stand before a header, between two records, and after a document. It passes unchanged, and so does
//! whatever else is not understood. Tags and records have a largest size, beyond which they pass as
//! text too.

mod escapes;
mod record;
mod tag;
mod text;

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;

use record::Record;
use tag::Tag;
use text::Text;

/// The line before a document.
const HEADERS: [&[u8]; 2] = [b"#< CLIXML\n", b"#< CLIXML\r\n"];
/// How much white space may stand before a document.
const MOST_BLANKS: usize = 64;

/// Turns a stream of CLIXML into text, in pieces of any size.
#[derive(Debug, Default)]
pub struct Decoder {
    at: At,
    /// What has arrived and is not decided yet: less than a tag.
    held: Vec<u8>,
    out: Vec<u8>,
}

/// Where the stream is.
#[derive(Debug)]
enum At {
    /// In plain text.
    Plain { line_begins: bool },
    /// After a header or a document. `seen` is what gets lost when a document begins.
    Between { seen: Vec<u8> },
    /// In a document, between its records.
    Document,
    /// In a text.
    Text(Text),
    /// In another record.
    Record(Record),
}

impl Default for At {
    fn default() -> Self {
        Self::Plain { line_begins: true }
    }
}

impl Decoder {
    /// A decoder at the beginning of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next piece; returns the text that is known by now, which may end within a character.
    #[must_use]
    pub fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.held.extend_from_slice(bytes);
        let held = std::mem::take(&mut self.held);
        let mut rest = held.as_slice();
        while !rest.is_empty() {
            let Some(taken) = self.step(rest) else { break };
            rest = &rest[taken..];
        }
        self.held.extend_from_slice(rest);
        std::mem::take(&mut self.out)
    }

    /// The end of the stream; returns what was held back. The decoder is then at a beginning again.
    #[must_use]
    pub fn finish(&mut self) -> Vec<u8> {
        let Self { at, held, mut out } = std::mem::take(self);
        match at {
            At::Text(text) => {
                text.finish(&held, &mut out);
                return out;
            }
            At::Record(record) => out.extend_from_slice(record.raw()),
            At::Between { seen } => out.extend_from_slice(&seen),
            At::Plain { .. } | At::Document => {}
        }
        out.extend_from_slice(&held);
        out
    }

    /// Deals with the beginning of `held`, which is not empty; returns how much of it is done, or nothing when more must
    /// arrive first.
    fn step(&mut self, held: &[u8]) -> Option<usize> {
        let out = &mut self.out;
        let (at, taken) = match std::mem::take(&mut self.at) {
            At::Plain { line_begins } => plain(line_begins, held, out),
            At::Between { seen } => between(seen, held, out),
            At::Document => document(held, out),
            At::Text(text) => text.step(held, out),
            At::Record(record) => record.step(held, out),
        };
        self.at = at;
        taken
    }
}

/// Where the stream is next, and how much is done.
type Step = (At, Option<usize>);

fn plain(line_begins: bool, held: &[u8], out: &mut Vec<u8>) -> Step {
    if !line_begins {
        let line = held.iter().position(|byte| *byte == b'\n').map(|at| at + 1);
        let taken = line.unwrap_or(held.len());
        out.extend_from_slice(&held[..taken]);
        return (At::Plain { line_begins: line.is_some() }, Some(taken));
    }
    match header(held) {
        None => (At::Plain { line_begins }, None),
        Some(0) => (At::Plain { line_begins: false }, Some(0)),
        Some(length) => (At::Between { seen: held[..length].to_vec() }, Some(length)),
    }
}

/// The length of the header line that `held` begins with, 0 if it does not, nothing if it may.
fn header(held: &[u8]) -> Option<usize> {
    if let Some(line) = HEADERS.iter().find(|line| held.starts_with(line)) {
        return Some(line.len());
    }
    HEADERS.iter().all(|line| !line.starts_with(held)).then_some(0)
}

fn between(mut seen: Vec<u8>, held: &[u8], out: &mut Vec<u8>) -> Step {
    let room = MOST_BLANKS.saturating_sub(seen.len());
    let blanks = held.iter().take(room).take_while(|byte| byte.is_ascii_whitespace()).count();
    if blanks > 0 {
        seen.extend_from_slice(&held[..blanks]);
        return (At::Between { seen }, Some(blanks));
    }
    match Tag::read(held) {
        tag::Found::Part => (At::Between { seen }, None),
        tag::Found::Tag(tag) if tag.name == b"Objs" && !tag.is_end => {
            let at = if tag.is_empty { At::Between { seen: Vec::new() } } else { At::Document };
            (at, Some(tag.length))
        }
        tag::Found::Tag(_) | tag::Found::Nothing => {
            let line_begins = seen.last().is_none_or(|byte| *byte == b'\n');
            out.append(&mut seen);
            (At::Plain { line_begins }, Some(0))
        }
    }
}

fn document(held: &[u8], out: &mut Vec<u8>) -> Step {
    // Another PowerShell may have begun after this one was ended.
    match header(held) {
        None => return (At::Document, None),
        Some(0) => {}
        Some(length) => return (At::Between { seen: held[..length].to_vec() }, Some(length)),
    }
    let tag = match Tag::read(held) {
        tag::Found::Part => return (At::Document, None),
        tag::Found::Nothing => {
            let special = |byte: &u8| matches!(byte, b'<' | b'#');
            let taken = held.iter().skip(1).position(special).map_or(held.len(), |at| at + 1);
            out.extend_from_slice(&held[..taken]);
            return (At::Document, Some(taken));
        }
        tag::Found::Tag(tag) => tag,
    };
    let whole = &held[..tag.length];
    let at = match (tag.name, tag.is_end, tag.is_empty) {
        (b"Objs", true, _) => At::Between { seen: Vec::new() },
        (b"S", false, true) => At::Document,
        (b"S", false, false) => At::Text(Text::new(tag.stream, out)),
        (_, false, false) => At::Record(Record::new(whole, tag.is_progress())),
        (_, false, true) if tag.is_progress() => At::Document,
        _ => {
            out.extend_from_slice(whole);
            At::Document
        }
    };
    (at, Some(tag.length))
}
