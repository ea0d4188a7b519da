//! A record that is a text: a line of an error, a warning and the like.

use super::{At, Step, escapes::Escapes};

const END: &[u8] = b"</S>";

/// A text that is put out while it arrives.
#[derive(Debug)]
pub(super) struct Text {
    escapes: Escapes,
    /// Whether its line ends with it.
    is_line: bool,
}

impl Text {
    /// A text begins. Errors have their line ends in them. A line of another stream has none, and on a
    /// console it begins with the stream's name.
    pub(super) fn new(stream: &[u8], out: &mut Vec<u8>) -> Self {
        for name in ["WARNING", "VERBOSE", "DEBUG"] {
            if name.as_bytes().eq_ignore_ascii_case(stream) {
                out.extend_from_slice(name.as_bytes());
                out.extend_from_slice(b": ");
            }
        }
        let is_line = !stream.eq_ignore_ascii_case(b"Error");
        Self { escapes: Escapes::default(), is_line }
    }

    pub(super) fn step(mut self, held: &[u8], out: &mut Vec<u8>) -> Step {
        let text = held.iter().position(|byte| *byte == b'<').unwrap_or(held.len());
        if text > 0 {
            self.escapes.push(&held[..text], out);
            (At::Text(self), Some(text))
        } else if held.starts_with(END) {
            self.escapes.finish(out);
            if self.is_line && !self.escapes.line_ended() {
                out.extend_from_slice(b"\r\n");
            }
            (At::Document, Some(END.len()))
        } else if END.starts_with(held) {
            (At::Text(self), None)
        } else {
            self.escapes.push(b"<", out);
            (At::Text(self), Some(1))
        }
    }

    /// The stream ends within the text.
    pub(super) fn finish(mut self, held: &[u8], out: &mut Vec<u8>) {
        self.escapes.push(held, out);
        self.escapes.finish(out);
    }
}
