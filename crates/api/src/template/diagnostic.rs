//! One thing that is wrong or doubtful about a template, and where it stands.

use std::ops::Range;

use serde::Serialize;

use crate::ErrorCode;

/// Whether the template can be used all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Severity {
    /// The template is refused.
    Error,
    /// The template is used, and the reader should know.
    Warning,
}

/// A mistake or a doubt about a template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Diagnostic {
    /// Whether the template can be used all the same.
    pub severity: Severity,
    /// What kind of mistake it is.
    pub code: ErrorCode,
    /// The field, such as `properties.customize[2].inline`; empty for the template as a whole.
    pub path: String,
    /// What is wrong, readable without the rest.
    pub message: String,
    /// The way out, where there is one.
    pub hint: Option<String>,
    /// The bytes it is about, in the text as it was given.
    pub span: Range<usize>,
    /// Line of the beginning, counted from 1.
    pub line: usize,
    /// Character in that line, counted from 1.
    pub column: usize,
}

/// Turns byte offsets into lines and columns.
pub(super) struct Lines<'t> {
    text: &'t str,
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        let newlines = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let starts = std::iter::once(0).chain(newlines.map(|(at, _)| at + 1)).collect();
        Self { text, starts }
    }

    /// Line and column, both from 1, of a byte that begins a character (or of the end).
    pub(super) fn position(&self, offset: usize) -> (usize, usize) {
        let line = self.starts.partition_point(|start| *start <= offset);
        let start = self.starts[line - 1];
        (line, self.text[start..offset].chars().count() + 1)
    }

    /// The byte offset of a line and a *byte* column, both from 1, moved back to the beginning of
    /// the character it is in.
    pub(super) fn offset(&self, line: usize, byte_column: usize) -> usize {
        let start = line.checked_sub(1).and_then(|i| self.starts.get(i)).copied().unwrap_or(0);
        let mut at = (start + byte_column.saturating_sub(1)).min(self.text.len());
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        at
    }
}
