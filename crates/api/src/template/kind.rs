//! Unions tagged by `type`: sources, customizers, validators and distributors.

use jsonc_parser::ast::Value;

use super::ApiVersion;
use super::diagnostic::Severity;
use super::read::fields::{Field, Fields};
use super::read::suggest::{list, nearest};
use super::read::{Node, Note, Reader, failed, opening, unresolved};
use crate::ErrorCode;

/// A value of `type` with its fields and its reader.
pub(super) struct Kind<T> {
    pub(super) name: &'static str,
    pub(super) since: ApiVersion,
    pub(super) fields: &'static [Field],
    pub(super) read: fn(&mut Reader<'_>, &Fields<'_>) -> Option<T>,
}

impl<T> Kind<T> {
    /// A kind that exists in every api-version.
    pub(super) const fn new(
        name: &'static str,
        fields: &'static [Field],
        read: fn(&mut Reader<'_>, &Fields<'_>) -> Option<T>,
    ) -> Self {
        Self { name, since: ApiVersion::V2019_05_01Preview, fields, read }
    }
}

/// The name of a union for messages, and the error code for unknown types.
#[derive(Clone, Copy)]
pub(super) struct Union {
    pub(super) what: &'static str,
    pub(super) code: ErrorCode,
}

/// Reads an object by its `type`. A misspelt type is an error; the rest of the object is then checked
/// against the most similar kind.
pub(super) fn read_kind<'v, T>(
    reader: &mut Reader<'_>,
    node: &Node<'v>,
    kinds: &'static [Kind<T>],
    union: Union,
) -> Option<(T, Fields<'v>)> {
    let kind = find_kind(reader, node, kinds, union)?;
    let fields = reader.fields(node, kind.fields)?;
    let value = (kind.read)(reader, &fields);
    Some((value?, fields))
}

fn find_kind<T>(
    reader: &mut Reader<'_>,
    node: &Node<'_>,
    kinds: &'static [Kind<T>],
    union: Union,
) -> Option<&'static Kind<T>> {
    let tag = type_of(reader, node, kinds)?;
    let text = reader.string(&tag)?;
    let exact = kinds.iter().find(|kind| kind.name == text);
    if exact.is_some_and(|kind| kind.since <= reader.version) {
        return exact;
    }
    let names = || kinds.iter().filter(|kind| kind.since <= reader.version).map(|kind| kind.name);
    let meant = nearest(&text, names());
    let hint = match exact {
        Some(kind) => Some(format!("it exists from api-version {}", kind.since)),
        None => unresolved(&text)
            .or_else(|| meant.map(|name| format!("did you mean `{name}`?")))
            .or_else(|| withdrawn(&text)),
    };
    let message = format!(
        "{}unknown {} type '{text}'. Known: {}",
        failed(&node.path()),
        union.what,
        list(names())
    );
    reader.note(Note {
        severity: Severity::Error,
        code: union.code,
        path: tag.path(),
        span: tag.span(),
        message,
        hint,
    });
    exact.or_else(|| kinds.iter().find(|kind| Some(kind.name) == meant))
}

fn withdrawn(text: &str) -> Option<String> {
    let iso = text.eq_ignore_ascii_case("ISO");
    iso.then(|| "ISO sources were withdrawn; import a disk image instead".to_owned())
}

/// The field `type`, which decides how the other fields are read.
fn type_of<'v, T>(
    reader: &mut Reader<'_>,
    node: &Node<'v>,
    kinds: &'static [Kind<T>],
) -> Option<Node<'v>> {
    let Value::Object(object) = node.value else {
        reader.wrong_type(node, "an object");
        return None;
    };
    let strict = reader.version.is_strict();
    let tag = object.properties.iter().find(|prop| {
        let name = prop.name.as_str();
        name == "type" || !strict && name.eq_ignore_ascii_case("type")
    });
    match tag {
        Some(prop) if !matches!(prop.value, Value::NullKeyword(_)) => {
            Some(Node::child(node, &prop.value, "type"))
        }
        _ => {
            reader.note(Note {
                severity: Severity::Error,
                code: ErrorCode::ValidationFailed,
                path: format!("{}.type", node.path()),
                span: opening(object),
                message: format!("{}Missing field 'type'", failed(&node.path())),
                hint: Some(format!("one of {}", list(kinds.iter().map(|kind| kind.name)))),
            });
            None
        }
    }
}
