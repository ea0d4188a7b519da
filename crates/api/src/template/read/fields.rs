//! The fields of an object: which ones are allowed, since which api-version, and which are present.

use std::ops::Range;

use jsonc_parser::ast::{ObjectProp, Value};

use super::narrow;
use super::suggest::{list, nearest};
use super::{At, Node, Reader, failed, opening, span};
use crate::ErrorCode;
use crate::template::ApiVersion;
use crate::template::diagnostic::Severity;

/// An allowed field of an object.
#[derive(Debug)]
pub struct Field {
    pub(in crate::template) name: &'static str,
    since: ApiVersion,
    read_only: bool,
    pub(super) narrowing: bool,
}

impl Field {
    /// A field that exists in every api-version.
    pub const fn new(name: &'static str) -> Self {
        Self::since(name, ApiVersion::V2019_05_01Preview)
    }

    /// A field that a later api-version added.
    pub const fn since(name: &'static str, since: ApiVersion) -> Self {
        Self { name, since, read_only: false, narrowing: false }
    }

    /// A field that the service sets. Values from clients are ignored.
    pub const fn ignored(name: &'static str) -> Self {
        Self { read_only: true, ..Self::new(name) }
    }

    /// Marks a field that restricts where or under which identity a build runs, or which checks an
    /// image must pass. No api-version ignores it.
    pub const fn narrowing(self) -> Self {
        Self { narrowing: true, ..self }
    }
}

/// The allowed fields of an object, in two parts.
type Table = [&'static [Field]; 2];

/// The fields that an object of the template contains.
pub struct Fields<'v> {
    path: String,
    open: Range<usize>,
    table: Table,
    present: Vec<(&'static str, &'v ObjectProp<'v>)>,
    /// Rejected names with the most similar field, whose rules are applied to their values.
    guessed: Vec<(&'static str, &'v ObjectProp<'v>)>,
}

impl<'v> Fields<'v> {
    /// The value of a field. Null counts as absent.
    pub fn get(&self, name: &'static str) -> Option<Node<'v>> {
        debug_assert!(self.allowed().any(|f| f.name == name), "{name} is not in the table");
        let (name, prop) = self.present.iter().find(|(present, _)| *present == name)?;
        if matches!(prop.value, Value::NullKeyword(_)) {
            return None;
        }
        Some(Node { value: &prop.value, parent: self.path.clone(), field: (*name).to_owned() })
    }

    fn allowed(&self) -> impl Iterator<Item = &'static Field> + use<> {
        self.table.into_iter().flatten()
    }

    /// The path of the object.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The beginning of a message about the object.
    pub fn failed(&self) -> String {
        failed(&self.path)
    }

    fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// The object's opening brace.
    pub(in crate::template) fn at(&self) -> At {
        (self.path.clone(), self.open.clone())
    }

    /// The field of that name, at the object's opening brace.
    pub(in crate::template) fn at_field(&self, name: &str) -> At {
        (self.path_of(name), self.open.clone())
    }
}

impl Reader<'_> {
    /// Checks an object against its table. Reports a value that is not an object, and unknown fields.
    pub fn fields<'v>(&mut self, node: &Node<'v>, table: &'static [Field]) -> Option<Fields<'v>> {
        self.fields_of(node, [table, &[]])
    }

    /// The same for an object of a union, whose table has two parts.
    pub(in crate::template) fn fields_of<'v>(
        &mut self,
        node: &Node<'v>,
        table: Table,
    ) -> Option<Fields<'v>> {
        let Value::Object(object) = node.value else {
            self.wrong_type(node, "an object");
            return None;
        };
        let mut fields = Fields {
            path: node.path(),
            open: opening(object),
            table,
            present: Vec::new(),
            guessed: Vec::new(),
        };
        for prop in &object.properties {
            self.field(&mut fields, prop);
        }
        for (name, prop) in std::mem::take(&mut fields.guessed) {
            if !fields.present.iter().any(|(present, _)| *present == name) {
                fields.present.push((name, prop));
            }
        }
        Some(fields)
    }

    fn field<'v>(&mut self, fields: &mut Fields<'v>, prop: &'v ObjectProp<'v>) {
        let name = prop.name.as_str();
        let exact = fields.allowed().find(|field| field.name == name);
        let field =
            exact.or_else(|| fields.allowed().find(|field| field.name.eq_ignore_ascii_case(name)));
        match field {
            None => self.unknown(fields, prop),
            Some(field) if field.since > self.version => self.too_new(fields, prop, field),
            Some(field) if exact.is_none() && self.version.is_strict() => {
                let hint = format!("names are case-sensitive; did you mean `{}`?", field.name);
                self.refuse(fields, prop, "", Some(hint));
                fields.guessed.push((field.name, prop));
            }
            Some(field) if fields.present.iter().any(|(present, _)| *present == field.name) => {
                // Identical names were reported by the check for duplicates.
                if !fields.present.iter().any(|(_, other)| other.name.as_str() == name) {
                    let what = format!("'{name}' and '{}' are the same field", field.name);
                    self.refuse_as(fields, prop, what);
                }
            }
            Some(field) => {
                if exact.is_none() {
                    let message = format!(
                        "{}field \"{name}\" is taken as '{}'; api-versions from {} refuse it",
                        failed(&fields.path),
                        field.name,
                        ApiVersion::V2024_02_01,
                    );
                    let hint = Some(format!("write `{}`", field.name));
                    self.field_note(fields, prop, Severity::Warning, message, hint);
                }
                fields.present.push((field.name, prop));
            }
        }
    }

    fn unknown<'v>(&mut self, fields: &mut Fields<'v>, prop: &'v ObjectProp<'v>) {
        let name = prop.name.as_str();
        let version = self.version;
        let allowed = fields.table;
        let names = || {
            allowed
                .into_iter()
                .flatten()
                .filter(|field| !field.read_only && field.since <= version)
                .map(|field| field.name)
        };
        let meant = nearest(name, names());
        let hint = match meant {
            Some(meant) => format!("did you mean `{meant}`?"),
            None if fields.path.is_empty() && belongs_inside(name) => {
                format!("`{name}` belongs inside `properties`")
            }
            None => format!("known here: {}", list(names())),
        };
        if version.is_strict() {
            self.refuse(fields, prop, "", Some(hint));
            fields.guessed.extend(meant.map(|meant| (meant, prop)));
        } else if !narrow::is_void(&prop.value)
            && let Some(hint) = narrow::hint(fields.path(), fields.allowed(), name, meant)
        {
            self.refuse(fields, prop, narrow::WHY, Some(hint));
        } else if !matches!(prop.value, Value::NullKeyword(_)) {
            self.ignore(fields, prop, "", Some(hint));
        }
    }

    fn too_new(&mut self, fields: &Fields<'_>, prop: &ObjectProp<'_>, field: &Field) {
        let when = format!(": it exists from api-version {}", field.since);
        let hint = Some(format!("use api-version {} or newer", field.since));
        if self.version.is_strict() || field.narrowing && !narrow::is_void(&prop.value) {
            self.refuse(fields, prop, &when, hint);
        } else if !matches!(prop.value, Value::NullKeyword(_)) {
            self.ignore(fields, prop, &when, hint);
        }
    }

    fn refuse(
        &mut self,
        fields: &Fields<'_>,
        prop: &ObjectProp<'_>,
        why: &str,
        hint: Option<String>,
    ) {
        let message =
            format!("{}unknown field \"{}\"{why}", failed(&fields.path), prop.name.as_str());
        self.field_note(fields, prop, Severity::Error, message, hint);
    }

    fn refuse_as(&mut self, fields: &Fields<'_>, prop: &ObjectProp<'_>, what: String) {
        let message = format!("{}{what}", failed(&fields.path));
        self.field_note(fields, prop, Severity::Error, message, None);
    }

    fn ignore(
        &mut self,
        fields: &Fields<'_>,
        prop: &ObjectProp<'_>,
        why: &str,
        hint: Option<String>,
    ) {
        let message = format!(
            "{}unknown field \"{}\" is ignored by api-version {}{why}",
            failed(&fields.path),
            prop.name.as_str(),
            self.version,
        );
        self.field_note(fields, prop, Severity::Warning, message, hint);
    }

    fn field_note(
        &mut self,
        fields: &Fields<'_>,
        prop: &ObjectProp<'_>,
        severity: Severity,
        message: String,
        hint: Option<String>,
    ) {
        let at = (fields.path_of(prop.name.as_str()), span(&prop.name));
        self.note(severity, ErrorCode::ValidationFailed, at, message, hint);
    }
}

fn belongs_inside(name: &str) -> bool {
    crate::template::properties::FIELDS.iter().any(|field| field.name == name)
}
