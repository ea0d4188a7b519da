//! Mistakes of templates, printed with excerpts of their text.

use std::{ops::Range, path::Path};

use api::{
    ErrorCode,
    template::{Diagnostic, Severity},
};
use arm_template::{Error, Kind, Position};

use crate::{failure::Failure, output::Output};

/// Prints the mistakes of one text.
pub(super) struct Report<'a> {
    title: String,
    text: &'a str,
    hint: Option<String>,
    /// Whether the whole text is what an error marks.
    whole: bool,
}

impl<'a> Report<'a> {
    pub(super) fn of_file(path: &Path, text: &'a str) -> Self {
        Self { title: path.display().to_string(), text, hint: None, whole: false }
    }

    pub(super) fn of_expression(text: &'a str) -> Self {
        Self { title: "expression".to_owned(), text, hint: None, whole: true }
    }

    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// Prints the error. Returns the failure of the command.
    pub(super) fn print(&self, error: &Error, output: &Output) -> Failure {
        let position = error.position.unwrap_or(Position::new(1, 1));
        let span = if self.whole { 0..self.text.len() } else { span(self.text, position) };
        let code = code(error.kind);
        let diagnostic = Diagnostic {
            severity: Severity::Error,
            code,
            path: error.path.clone(),
            message: error.message.clone(),
            hint: self.hint.clone(),
            column: column(self.text, &span),
            line: usize::try_from(position.line).unwrap_or(usize::MAX),
            span,
        };
        output.diagnostics(&self.title, Some(self.text), &[diagnostic]);
        Failure::printed(code)
    }
}

/// The error code for a kind of mistake.
pub(super) fn code(kind: Kind) -> ErrorCode {
    match kind {
        Kind::Json => ErrorCode::InvalidRequestContent,
        Kind::Unsupported => ErrorCode::UnsupportedFeature,
        Kind::Syntax
        | Kind::Evaluation
        | Kind::Template
        | Kind::Parameter
        | Kind::Limit
        | Kind::Pending => ErrorCode::ValidationFailed,
    }
}

/// The bytes of the string or bracket at a place; empty if the text ends before.
fn span(text: &str, at: Position) -> Range<usize> {
    let line = usize::try_from(at.line.saturating_sub(1)).unwrap_or(usize::MAX);
    let Some(line) = text.split_inclusive('\n').nth(line) else { return text.len()..text.len() };
    let before = text.len().min(line.as_ptr().addr() - text.as_ptr().addr());
    let mut units = usize::try_from(at.column.saturating_sub(1)).unwrap_or(usize::MAX);
    let mut start = before;
    for character in line.chars().take_while(|character| *character != '\n') {
        if units == 0 {
            break;
        }
        units = units.saturating_sub(character.len_utf16());
        start += character.len_utf8();
    }
    start..start + length(&text[start..])
}

/// The length of the JSON string at the start of the text, or of its first character.
fn length(text: &str) -> usize {
    let mut characters = text.char_indices();
    let Some((_, first)) = characters.next() else { return 0 };
    if first != '"' {
        return if first.is_whitespace() { 0 } else { first.len_utf8() };
    }
    let mut escaped = false;
    for (at, character) in characters {
        match character {
            '\n' => return at,
            '"' if !escaped => return at + 1,
            _ => escaped = character == '\\' && !escaped,
        }
    }
    text.len()
}

/// The column in characters, from 1.
fn column(text: &str, span: &Range<usize>) -> usize {
    let line = text[..span.start].rfind('\n').map_or(0, |newline| newline + 1);
    text[line..span.start].chars().count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn span_is_the_string_at_the_place() {
        let text = "{\n  \"😀\": \"a\\\"b\", \"x\": [1]\n}";
        let at = |line, column| {
            let span = span(text, Position::new(line, column));
            (column_of(&span), text[span].to_owned())
        };
        fn column_of(span: &Range<usize>) -> usize {
            column("{\n  \"😀\": \"a\\\"b\", \"x\": [1]\n}", span)
        }
        // Columns of the language count UTF-16 units, those of reports count characters.
        assert_eq!(at(2, 9), (8, "\"a\\\"b\"".to_owned()));
        assert_eq!(at(2, 22), (21, "[".to_owned()));
        assert_eq!(at(9, 1).1, "");
        assert_eq!(at(1, 90).1, "");
    }
}
