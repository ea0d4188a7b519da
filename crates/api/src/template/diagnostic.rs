//! An error or a warning about a template, with its position.

use std::ops::Range;

use serde::Serialize;

use crate::ErrorCode;

/// The severity of a diagnostic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Severity {
    /// The template is rejected.
    Error,
    /// The template is accepted.
    Warning,
}

/// An error or a warning about a template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Diagnostic {
    /// Whether the template is rejected.
    pub severity: Severity,
    /// The error code.
    pub code: ErrorCode,
    /// The field, such as `properties.customize[2].inline`; empty for the whole template.
    pub path: String,
    /// The problem, understandable without the other fields.
    pub message: String,
    /// How to fix the problem, if there is advice.
    pub hint: Option<String>,
    /// The affected bytes of the input.
    pub span: Range<usize>,
    /// The line where `span` begins, from 1.
    pub line: usize,
    /// The column where `span` begins, in characters, from 1.
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

    /// Line and column, both from 1, of the first byte of a character, or of the end of the text.
    pub(super) fn position(&self, offset: usize) -> (usize, usize) {
        let line = self.starts.partition_point(|start| *start <= offset);
        let start = self.starts[line - 1];
        (line, self.text[start..offset].chars().count() + 1)
    }

    /// The byte offset of a line and a *byte* column, both from 1. An offset inside a character is
    /// moved to its first byte.
    pub(super) fn offset(&self, line: usize, byte_column: usize) -> usize {
        let start = line.checked_sub(1).and_then(|i| self.starts.get(i)).copied().unwrap_or(0);
        let mut at = (start + byte_column.saturating_sub(1)).min(self.text.len());
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        at
    }
}
