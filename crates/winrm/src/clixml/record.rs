//! A record that is an object.

use super::{
    At, Step,
    escapes::Escapes,
    tag::{Found, Tag},
};

/// The largest record that is understood, in bytes.
const LARGEST: usize = 64 * 1024;

/// An object, from its beginning.
#[derive(Debug)]
pub(super) struct Record {
    raw: Vec<u8>,
    /// How many of its elements are open.
    depth: usize,
    is_progress: bool,
}

impl Record {
    /// The object begins with this tag.
    pub(super) fn new(tag: &[u8], is_progress: bool) -> Self {
        Self { raw: tag.to_vec(), depth: 1, is_progress }
    }

    /// What there is of it.
    pub(super) fn raw(&self) -> &[u8] {
        &self.raw
    }

    pub(super) fn step(mut self, held: &[u8], out: &mut Vec<u8>) -> Step {
        let room = LARGEST - self.raw.len();
        let taken = match Tag::read(held) {
            Found::Part => return (At::Record(self), None),
            Found::Nothing => {
                let next = held.iter().skip(1).position(|byte| *byte == b'<');
                next.map_or(held.len(), |at| at + 1).min(room)
            }
            Found::Tag(tag) if tag.length > room => 0,
            Found::Tag(tag) => {
                if tag.is_end {
                    self.depth -= 1;
                } else if !tag.is_empty {
                    self.depth += 1;
                }
                tag.length
            }
        };
        self.raw.extend_from_slice(&held[..taken]);
        if self.depth == 0 {
            self.put_out(out);
            return (At::Document, Some(taken));
        }
        // The same end for any pieces that it may come in.
        if taken == room || taken == 0 {
            out.append(&mut self.raw);
            return (At::Document, Some(taken));
        }
        (At::Record(self), Some(taken))
    }

    /// The whole record has arrived: the text that it has of itself, or all of it.
    fn put_out(&self, out: &mut Vec<u8>) {
        if self.is_progress {
            return;
        }
        let Some(text) = own_text(&self.raw) else {
            out.extend_from_slice(&self.raw);
            return;
        };
        let mut escapes = Escapes::default();
        escapes.push(text, out);
        escapes.finish(out);
        if !escapes.line_ended() {
            out.extend_from_slice(b"\r\n");
        }
    }
}

/// What is in the first element `ToString`.
fn own_text(raw: &[u8]) -> Option<&[u8]> {
    let begin = find(raw, b"<ToString>")? + b"<ToString>".len();
    let length = find(&raw[begin..], b"</ToString>")?;
    Some(&raw[begin..begin + length])
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}
