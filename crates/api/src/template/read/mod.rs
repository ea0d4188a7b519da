//! Reads typed values out of JSON and collects everything that is wrong with them.
//!
//! Getters return `None` (or a default) for what is absent or wrong; what is wrong has been noted
//! by then. Whoever reads on may do so freely: a template with a noted error is never handed out.

pub(super) mod fields;
pub(super) mod json;
mod narrow;
pub(super) mod suggest;
mod values;

use std::ops::Range;

use jsonc_parser::ast::{Object, Value};
use jsonc_parser::common::Ranged;

use super::diagnostic::{Diagnostic, Lines, Severity};
use super::{ApiVersion, Face};
use crate::{ErrorCode, uri::concealed};

/// A JSON value and its place in the template.
#[derive(Clone)]
pub(super) struct Node<'v> {
    pub(super) value: &'v Value<'v>,
    /// Path of the object it is in.
    parent: String,
    /// Its name there, with indices: `inline[2]`.
    field: String,
}

impl<'v> Node<'v> {
    pub(super) fn root(value: &'v Value<'v>) -> Self {
        Self { value, parent: String::new(), field: String::new() }
    }

    /// A field's value, given its object.
    pub(super) fn child(object: &Self, value: &'v Value<'v>, name: &str) -> Self {
        Self { value, parent: object.path(), field: name.to_owned() }
    }

    /// Whether it is a list without elements, which in most places stands for absent.
    pub(super) fn is_empty_list(&self) -> bool {
        self.value.as_array().is_some_and(|list| list.elements.is_empty())
    }

    /// `properties.customize[2].inline`; empty for the template itself.
    pub(super) fn path(&self) -> String {
        if self.parent.is_empty() {
            self.field.clone()
        } else {
            format!("{}.{}", self.parent, self.field)
        }
    }

    /// Its name in the object it is in.
    pub(super) fn field(&self) -> &str {
        &self.field
    }

    pub(super) fn span(&self) -> Range<usize> {
        self.value.range().start..self.value.range().end
    }
}

/// What is known while one template is read.
pub(super) struct Reader<'t> {
    text: &'t str,
    pub(super) version: ApiVersion,
    pub(super) face: Face,
    notes: Vec<Diagnostic>,
}

/// A note to make; the rest of a [`Diagnostic`] follows from the span.
pub(super) struct Note {
    pub(super) severity: Severity,
    pub(super) code: ErrorCode,
    pub(super) path: String,
    pub(super) span: Range<usize>,
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

impl<'t> Reader<'t> {
    pub(super) fn new(text: &'t str, version: ApiVersion, face: Face) -> Self {
        Self { text, version, face, notes: Vec::new() }
    }

    pub(super) fn note(&mut self, note: Note) {
        self.notes.push(Diagnostic {
            severity: note.severity,
            code: note.code,
            path: note.path,
            message: note.message,
            hint: note.hint,
            span: note.span,
            line: 0,
            column: 0,
        });
    }

    /// The value of a field cannot be used, for `reason`.
    pub(super) fn bad_value(&mut self, node: &Node<'_>, reason: &str) {
        let hint = node.value.as_string_lit().and_then(|text| unresolved(&text.value));
        self.bad_value_hint(node, reason, hint);
    }

    /// The value of a field cannot be used, for `reason`; `hint` is the way out.
    pub(super) fn bad_value_hint(&mut self, node: &Node<'_>, reason: &str, hint: Option<String>) {
        let message = format!(
            "{}Field '{}' has a bad value: '{}'. {reason}",
            failed(&node.parent),
            node.field,
            self.shown(node.value),
        );
        self.note(Note {
            severity: Severity::Error,
            code: ErrorCode::ValidationFailed,
            path: node.path(),
            span: node.span(),
            message,
            hint,
        });
    }

    /// A doubt about a value that is used all the same.
    pub(super) fn warn(&mut self, node: &Node<'_>, message: String, hint: Option<String>) {
        self.note(Note {
            severity: Severity::Warning,
            code: ErrorCode::ValidationFailed,
            path: node.path(),
            span: node.span(),
            message,
            hint,
        });
    }

    /// All notes in the order of the text, with lines and columns.
    pub(super) fn finish(mut self, lines: &Lines<'_>) -> Vec<Diagnostic> {
        self.notes.sort_by(|a, b| {
            (a.span.start, a.severity, &a.path).cmp(&(b.span.start, b.severity, &b.path))
        });
        for note in &mut self.notes {
            (note.line, note.column) = lines.position(note.span.start);
        }
        self.notes
    }

    pub(super) fn has_errors(&self) -> bool {
        self.notes.iter().any(|note| note.severity == Severity::Error)
    }

    /// A value as the text has it, on one line and not too long; strings without their quotes, and URIs without
    /// what may be a secret.
    fn shown(&self, value: &Value<'_>) -> String {
        const LIMIT: usize = 80;
        let text = match value {
            Value::StringLit(text) => text.value.as_ref(),
            other => &self.text[other.range().start..other.range().end],
        };
        let line = concealed(text).split_whitespace().collect::<Vec<_>>().join(" ");
        if line.chars().count() <= LIMIT {
            return line;
        }
        line.chars().take(LIMIT).chain(['…']).collect()
    }
}

/// How a message about the object at `path` begins.
pub(super) fn failed(path: &str) -> String {
    let dot = if path.is_empty() { "" } else { "." };
    format!("Validation failed: 'ImageTemplate{dot}{path}': ")
}

/// The opening brace or bracket, to point at an object as a whole.
pub(super) fn opening(object: &Object<'_>) -> Range<usize> {
    object.range.start..object.range.start + 1
}

/// What to do about text that was meant to be filled in before.
pub(super) fn unresolved(text: &str) -> Option<String> {
    if text.starts_with('[') && text.ends_with(']') && text.contains('(') {
        let text = concealed(text);
        return Some(format!("`{text}` is an expression of a deployment; put its value here"));
    }
    let (_, rest) = text.split_once('<')?;
    let (name, _) = rest.split_once('>')?;
    let plausible = !name.is_empty()
        && name.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-' || c == ' ');
    plausible.then(|| format!("replace the placeholder `<{name}>` with a real name"))
}
