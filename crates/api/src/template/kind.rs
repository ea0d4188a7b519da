//! Unions tagged by `type`: sources, customizers, validators and distributors. Each kind brings its
//! own fields and reader, so that other crates can add kinds.

use std::sync::Arc;

use jsonc_parser::ast::Value;
use serde::{Serialize, Serializer};

use super::ApiVersion;
use super::read::fields::{Field, Fields};
use super::read::suggest::{list, nearest};
use super::read::{Node, Reader, failed, opening, unresolved};
use crate::ErrorCode;

/// A value of `type` with its fields and its reader.
#[derive(Debug)]
pub struct Kind<T> {
    pub(super) name: &'static str,
    since: ApiVersion,
    fields: &'static [Field],
    read: Read<T>,
}

/// Reads the settings of a kind. `None` after an error that it has reported.
type Read<T> = fn(&mut Reader<'_>, &Fields<'_>) -> Option<T>;

impl<T> Kind<T> {
    /// A kind that exists in every api-version. `fields` does not contain the fields that all kinds
    /// of the union share, such as `type`.
    pub const fn new(name: &'static str, fields: &'static [Field], read: Read<T>) -> Self {
        Self { name, since: ApiVersion::V2019_05_01Preview, fields, read }
    }

    /// The kind, added by a later api-version.
    #[must_use]
    pub const fn since(self, since: ApiVersion) -> Self {
        Self { since, ..self }
    }
}

/// The settings of a kind, with its name.
pub trait Tagged {
    /// The value of `type`.
    fn kind(&self) -> &'static str;

    /// Its fields in a resource body that includes the defaults, without those that all kinds of
    /// its union share.
    fn settings(&self) -> serde_json::Value;
}

/// The name of a kind that serializes to its settings.
pub trait Named {
    /// The value of `type`.
    const NAME: &'static str;
}

impl<T: Named + Serialize> Tagged for T {
    fn kind(&self) -> &'static str {
        T::NAME
    }

    fn settings(&self) -> serde_json::Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}

impl<T: Tagged + ?Sized> Tagged for Arc<T> {
    fn kind(&self) -> &'static str {
        (**self).kind()
    }

    fn settings(&self) -> serde_json::Value {
        (**self).settings()
    }
}

/// Serializes the settings together with `type`.
pub(super) fn tagged<T: Tagged, S: Serializer>(kind: &T, serializer: S) -> Result<S::Ok, S::Error> {
    let mut fields = kind.settings();
    if let Some(fields) = fields.as_object_mut() {
        fields.insert("type".to_owned(), kind.kind().into());
    }
    fields.serialize(serializer)
}

/// The name of a union for messages, and the error code for unknown types.
#[derive(Clone, Copy)]
pub(super) struct Union {
    pub(super) what: &'static str,
    pub(super) code: ErrorCode,
    /// The fields that all kinds share.
    pub(super) fields: &'static [Field],
}

/// Reads an object by its `type`. A misspelt type is an error; the rest of the object is then checked
/// against the most similar kind. The settings are `None` if they have an error.
pub(super) fn read_kind<'v, T>(
    reader: &mut Reader<'_>,
    node: &Node<'v>,
    kinds: &'static [Kind<T>],
    union: Union,
) -> Option<(Option<T>, Fields<'v>)> {
    let kind = find_kind(reader, node, kinds, union)?;
    let fields = reader.fields_of(node, [union.fields, kind.fields])?;
    Some(((kind.read)(reader, &fields), fields))
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
    reader.fail(union.code, tag.at(), message, hint);
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
            let at = (format!("{}.type", node.path()), opening(object));
            let message = format!("{}Missing field 'type'", failed(&node.path()));
            let hint = format!("one of {}", list(kinds.iter().map(|kind| kind.name)));
            reader.fail(ErrorCode::ValidationFailed, at, message, Some(hint));
            None
        }
    }
}
