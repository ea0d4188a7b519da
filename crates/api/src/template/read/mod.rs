//! Reads typed values from JSON and collects all mistakes.
//!
//! Getters return `None` (or a default) for an absent or invalid value, and report the latter.
//! Callers may continue with defaults: [`super::parse`] never returns a template that has an error.

pub(super) mod fields;
pub(super) mod json;
mod narrow;
pub(super) mod suggest;
mod values;

use std::ops::Range;

use jsonc_parser::ast::{Object, Value};
use jsonc_parser::common::Ranged;

use super::diagnostic::{Diagnostic, Lines, Severity};
use super::script::Owner;
use super::{ApiVersion, Face};
use crate::{ErrorCode, uri::concealed};

/// A JSON value and its path in the template.
#[derive(Debug, Clone)]
pub struct Node<'v> {
    pub(super) value: &'v Value<'v>,
    /// The path of the containing object.
    parent: String,
    /// The name in that object, with indices: `inline[2]`.
    field: String,
}

impl<'v> Node<'v> {
    pub(super) fn root(value: &'v Value<'v>) -> Self {
        Self { value, parent: String::new(), field: String::new() }
    }

    /// The value of an object's field.
    pub(super) fn child(object: &Self, value: &'v Value<'v>, name: &str) -> Self {
        Self { value, parent: object.path(), field: name.to_owned() }
    }

    /// Whether the value is an empty list, which usually counts as absent.
    pub fn is_empty_list(&self) -> bool {
        self.value.as_array().is_some_and(|list| list.elements.is_empty())
    }

    /// Such as `properties.customize[2].inline`; empty for the template itself.
    pub fn path(&self) -> String {
        if self.parent.is_empty() {
            self.field.clone()
        } else {
            format!("{}.{}", self.parent, self.field)
        }
    }

    /// The name in the containing object, with indices.
    pub(super) fn field(&self) -> &str {
        &self.field
    }

    /// The text of a string.
    pub fn as_text(&self) -> Option<&str> {
        self.value.as_string_lit().map(|text| text.value.as_ref())
    }

    /// Whether the value is true or false.
    pub fn is_switch(&self) -> bool {
        self.value.as_boolean_lit().is_some()
    }

    pub(super) fn at(&self) -> At {
        (self.path(), span(self.value))
    }
}

/// The state while one template is read.
#[derive(Debug)]
pub struct Reader<'t> {
    text: &'t str,
    pub(super) version: ApiVersion,
    pub(super) face: Face,
    /// The kind of steps that is being read.
    pub(super) owner: Owner,
    notes: Vec<Diagnostic>,
}

/// The path and the span of a diagnostic, from which its line and column follow.
pub(super) type At = (String, Range<usize>);

impl<'t> Reader<'t> {
    pub(super) fn new(text: &'t str, version: ApiVersion, face: Face) -> Self {
        Self { text, version, face, owner: Owner::Customizer, notes: Vec::new() }
    }

    pub(super) fn note(
        &mut self,
        severity: Severity,
        code: ErrorCode,
        (path, span): At,
        message: String,
        hint: Option<String>,
    ) {
        let (line, column) = (0, 0);
        self.notes.push(Diagnostic { severity, code, path, message, hint, span, line, column });
    }

    /// Reports an error with its code.
    pub(super) fn fail(&mut self, code: ErrorCode, at: At, message: String, hint: Option<String>) {
        self.note(Severity::Error, code, at, message, hint);
    }

    /// Reports an invalid value of a field.
    pub fn bad_value(&mut self, node: &Node<'_>, reason: &str) {
        let hint = node.value.as_string_lit().and_then(|text| unresolved(&text.value));
        self.bad_value_hint(node, reason, hint);
    }

    /// Reports an invalid value of a field, with advice.
    pub fn bad_value_hint(&mut self, node: &Node<'_>, reason: &str, hint: Option<String>) {
        let message = format!(
            "{}Field '{}' has a bad value: '{}'. {reason}",
            failed(&node.parent),
            node.field,
            self.shown(node.value),
        );
        self.error(node, message, hint);
    }

    /// The api-version that applies.
    pub const fn version(&self) -> ApiVersion {
        self.version
    }

    /// Reports an error about a field. The message must begin with [`Fields::failed`].
    pub fn error(&mut self, node: &Node<'_>, message: String, hint: Option<String>) {
        self.fail(ErrorCode::ValidationFailed, node.at(), message, hint);
    }

    /// Reports a warning about a value that is accepted. The message must begin with
    /// [`Fields::failed`].
    pub fn warn(&mut self, node: &Node<'_>, message: String, hint: Option<String>) {
        self.note(Severity::Warning, ErrorCode::ValidationFailed, node.at(), message, hint);
    }

    /// All diagnostics in the order of the text.
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

    /// A value for messages: on one line, shortened, strings without quotes, URIs without secrets.
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

/// The span of a value or a name.
pub(super) fn span(of: &impl Ranged) -> Range<usize> {
    of.range().start..of.range().end
}

/// The beginning of a message about the object at `path`.
pub(super) fn failed(path: &str) -> String {
    let dot = if path.is_empty() { "" } else { "." };
    format!("Validation failed: 'ImageTemplate{dot}{path}': ")
}

/// The span of the opening brace, which represents the whole object.
pub(super) fn opening(object: &Object<'_>) -> Range<usize> {
    object.range.start..object.range.start + 1
}

/// Advice for text that looks like a placeholder or an expression.
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
