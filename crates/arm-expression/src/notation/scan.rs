//! Characters of a JSON text, with line and column.

use crate::{
    error::{Error, Kind},
    position::Position,
};

/// A place in a text that moves forward.
pub(super) struct Scanner<'a> {
    text: &'a str,
    /// The byte that comes next.
    at: usize,
    line: u32,
    /// The byte at which the line begins.
    line_start: usize,
    /// How many more bytes than UTF-16 units the line has so far.
    surplus: usize,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0, line: 1, line_start: 0, surplus: 0 }
    }

    /// Where the next character stands.
    pub(super) fn position(&self) -> Position {
        let column = self.at - self.line_start - self.surplus + 1;
        Position::new(self.line, u32::try_from(column).unwrap_or(u32::MAX))
    }

    /// The next byte.
    pub(super) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// What comes next.
    pub(super) fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// The place as a byte, for [`since`](Self::since).
    pub(super) fn offset(&self) -> usize {
        self.at
    }

    /// The text from `start` to the next character.
    pub(super) fn since(&self, start: usize) -> &'a str {
        &self.text[start..self.at]
    }

    /// Moves behind ASCII characters that do not end a line.
    pub(super) fn skip(&mut self, bytes: usize) {
        self.at += bytes;
    }

    /// Moves behind the next character.
    pub(super) fn advance(&mut self) -> Option<char> {
        let next = self.rest().chars().next()?;
        self.at += next.len_utf8();
        match next {
            // `\r\n` ends one line, at its `\n`.
            '\r' if self.peek() != Some(b'\n') => self.next_line(),
            '\n' => self.next_line(),
            _ => self.surplus += next.len_utf8() - next.len_utf16(),
        }
        Some(next)
    }

    fn next_line(&mut self) {
        self.line += 1;
        self.line_start = self.at;
        self.surplus = 0;
    }

    /// Moves behind characters as long as they fit.
    pub(super) fn skip_while(&mut self, fits: impl Fn(u8) -> bool) {
        while self.peek().is_some_and(&fits) {
            self.advance();
        }
    }

    /// Moves to the next `quote` or backslash of a string.
    pub(super) fn skip_plain(&mut self, quote: u8) {
        while let Some(byte) = self.peek() {
            match byte {
                b'\\' => return,
                _ if byte == quote => return,
                b' '..=b'~' => self.skip(1),
                _ => {
                    self.advance();
                }
            }
        }
    }

    /// Moves behind white space and comments.
    pub(super) fn skip_blank(&mut self) -> Result<(), Error> {
        loop {
            match self.peek() {
                Some(b' ' | b'\t') => self.skip(1),
                Some(b'\n' | b'\r') => {
                    self.advance();
                }
                Some(b'/') => self.skip_comment()?,
                // Rare, and never inside a file that a tool wrote: other white space of Unicode.
                Some(byte) if !byte.is_ascii() || byte.is_ascii_whitespace() => {
                    if !self.rest().starts_with(|c: char| c.is_whitespace() || c == '\u{feff}') {
                        return Ok(());
                    }
                    self.advance();
                }
                _ => return Ok(()),
            }
        }
    }

    fn skip_comment(&mut self) -> Result<(), Error> {
        let start = self.position();
        if self.rest().starts_with("//") {
            self.skip_while(|byte| byte != b'\n' && byte != b'\r');
            return Ok(());
        }
        if !self.rest().starts_with("/*") {
            return Err(self.unexpected("a value or a comment"));
        }
        self.skip(2);
        while !self.rest().starts_with("*/") {
            if self.advance().is_none() {
                return Err(error("The comment has no end", start));
            }
        }
        self.skip(2);
        Ok(())
    }

    /// The error that the next character is not what must stand here.
    pub(super) fn unexpected(&self, expected: &str) -> Error {
        let found = match self.rest().chars().next() {
            Some(c) => format!("Unexpected character '{}'", c.escape_debug()),
            None => "Unexpected end of the text".to_owned(),
        };
        error(format!("{found}, expected {expected}"), self.position())
    }
}

pub(super) fn error(message: impl Into<String>, position: Position) -> Error {
    Error::new(Kind::Json, message, Some(position))
}
