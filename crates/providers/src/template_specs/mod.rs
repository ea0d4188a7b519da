//! Microsoft.Resources/templateSpecs: templates that are kept under a name, and their versions.

pub(crate) mod spec;
pub mod version;

use arm::{
    ApiError,
    fields::{invalid, missing},
};
use db::Resource;
use serde_json::{Map, Value, json};

/// Versions of the api, newest first.
const VERSIONS: &[&str] = &["2022-02-01", "2021-05-01", "2021-03-01-preview", "2019-06-01-preview"];

/// The longest description and display name.
const DESCRIPTION: usize = 4096;
const DISPLAY_NAME: usize = 64;
/// The longest name of a spec or a version.
const NAME: usize = 90;

/// Checks the name of a spec or of a version.
fn check_name(name: &str) -> Result<(), ApiError> {
    let good = |c: char| c.is_alphanumeric() || "-_.()".contains(c);
    let length = name.chars().count();
    if (1..=NAME).contains(&length) && name.chars().all(good) && !name.ends_with('.') {
        return Ok(());
    }
    Err(ApiError::bad_request(
        "InvalidResourceName",
        format!(
            "The resource name '{name}' is not valid. It must have 1 to {NAME} characters, each a letter, digit, '-', '_', '.', '(' or ')', and not end in a period."
        ),
    )
    .target("name"))
}

/// A text of the properties, of limited length; `None` if missing.
fn text(new: &Map<String, Value>, field: &str, longest: usize) -> Result<Option<Value>, ApiError> {
    let path = format!("properties.{field}");
    match new.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.chars().count() <= longest => Ok(Some(json!(text))),
        Some(other) => Err(invalid(
            &path,
            other,
            &format!("it must be a text of at most {longest} characters"),
        )),
    }
}

/// An object of the properties; `None` if missing.
fn object(new: &Map<String, Value>, field: &str) -> Result<Option<Value>, ApiError> {
    match new.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(object @ Value::Object(_)) => Ok(Some(object.clone())),
        Some(other) => Err(invalid(&format!("properties.{field}"), other, "it must be an object")),
    }
}

/// The fields that were given.
fn given<const N: usize>(fields: [(&str, Option<Value>); N]) -> Map<String, Value> {
    let given = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    given.collect()
}

/// The view of a row, with the times that clients show.
fn view(kind: &str, row: &Resource) -> Value {
    let mut body = arm::rows::view(kind, row);
    body["systemData"] = json!({
        "createdAt": row.created.to_string(), "lastModifiedAt": row.changed.to_string(),
    });
    body
}
