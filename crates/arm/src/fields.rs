//! The fields of a request body that all types have, and the errors of invalid ones.

use api::tags::MOST;
use db::Resource;
use serde_json::{Map, Value, json};

use crate::{ApiError, Context, region};

/// The normalised `location` of a request, which must be a region of this service. An existing resource keeps its own,
/// because ARM's PUT moves no resources.
///
/// # Errors
/// `LocationRequired`, `LocationNotAvailableForResourceType`, `InvalidResourceLocation`, `InvalidParameter`.
pub fn location(
    name: &str,
    context: &Context,
    object: &Map<String, Value>,
    existing: Option<&Resource>,
) -> Result<String, ApiError> {
    let current = existing.and_then(|resource| resource.body["location"].as_str());
    let requested = match object.get("location") {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) if text.trim().is_empty() => None,
        Some(Value::String(text)) => Some(text),
        Some(other) => return Err(invalid("location", other, "it must be a string")),
    };
    match (requested, current) {
        (Some(requested), Some(current))
            if region::normalise(requested) != region::normalise(current) =>
        {
            Err(ApiError::conflict(
                "InvalidResourceLocation",
                format!(
                    "The resource already exists in location '{current}'. A resource with the same name cannot be created in location '{requested}'. Please select a new resource name."
                ),
            )
            .target("location"))
        }
        (_, Some(current)) => Ok(current.to_owned()),
        (Some(requested), None) => region::check(context, name, requested),
        (None, None) => Err(ApiError::bad_request(
            "LocationRequired",
            format!("The location property is required for this definition of {name}."),
        )
        .target("location")),
    }
}

/// The `tags` of a request; `None` if missing or null. ARM limits their number and the lengths of names and values.
///
/// # Errors
/// `TooManyTags`, `InvalidParameter`.
pub fn tags(object: &Map<String, Value>) -> Result<Option<Value>, ApiError> {
    let given = match object.get("tags") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Object(tags)) => tags,
        Some(other) => return Err(invalid("tags", other, "it must be an object of texts")),
    };
    if given.len() > MOST {
        return Err(ApiError::bad_request(
            "TooManyTags",
            format!("A resource may have {MOST} tags; 'tags' has {}.", given.len()),
        )
        .target("tags"));
    }
    let mut tags = Map::new();
    for (name, value) in given {
        let path = format!("tags.{name}");
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            Value::Bool(_) | Value::Number(_) => value.to_string(),
            Value::Array(_) | Value::Object(_) => {
                return Err(invalid(&path, value, "the value of a tag must be a string"));
            }
        };
        api::tags::check_name(name).map_err(|why| invalid(&path, &json!(name), why))?;
        api::tags::check_value(&text).map_err(|why| invalid(&path, value, why))?;
        tags.insert(name.clone(), json!(text));
    }
    Ok(Some(Value::Object(tags)))
}

/// The `properties` of a request, or an empty object.
///
/// # Errors
/// `InvalidParameter`
pub fn properties(object: &Map<String, Value>) -> Result<Map<String, Value>, ApiError> {
    match object.get("properties") {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Object(properties)) => Ok(properties.clone()),
        Some(other) => Err(invalid("properties", other, "it must be an object")),
    }
}

/// One of a list of words, in the list's spelling; `None` if missing.
///
/// # Errors
/// `InvalidParameter`
pub fn choice(
    object: &Map<String, Value>,
    field: &str,
    path: &str,
    words: &[&str],
) -> Result<Option<String>, ApiError> {
    match object.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if words.iter().any(|word| word.eq_ignore_ascii_case(text)) => {
            let word = words.iter().find(|word| word.eq_ignore_ascii_case(text));
            Ok(word.map(|word| (*word).to_owned()))
        }
        Some(other) => {
            Err(invalid(path, other, &format!("it must be one of {}", words.join(", "))))
        }
    }
}

/// 400 `InvalidParameter` with the field, the value and the reason.
pub fn invalid(path: &str, value: &Value, why: &str) -> ApiError {
    ApiError::bad_request(
        "InvalidParameter",
        format!("The value {value} of parameter '{path}' is invalid: {why}."),
    )
    .target(path)
}

/// 400 `InvalidParameter` for a missing field.
pub fn missing(path: &str) -> ApiError {
    ApiError::bad_request(
        "InvalidParameter",
        format!("Required parameter '{path}' is missing (null)."),
    )
    .target(path)
}

/// Checks the length of a name and its characters: ASCII letters, digits and `others`.
///
/// # Errors
/// `InvalidResourceName`
pub fn check_name(
    what: &str,
    name: &str,
    length: std::ops::RangeInclusive<usize>,
    others: &str,
) -> Result<(), ApiError> {
    let good = |c: char| c.is_ascii_alphanumeric() || others.contains(c);
    if length.contains(&name.len()) && name.chars().all(good) && !name.ends_with('.') {
        return Ok(());
    }
    Err(ApiError::bad_request(
        "InvalidResourceName",
        format!(
            "The name '{name}' of the {what} is invalid. It must have {} to {} characters: letters, digits and any of '{others}', and may not end in a period.",
            length.start(),
            length.end()
        ),
    )
    .target("name"))
}

/// Random bytes for keys and for ids that must not be guessable.
///
/// # Errors
/// The system's random number generator failed.
pub fn random<const N: usize>() -> Result<[u8; N], ApiError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(ApiError::internal)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn tag_values_become_strings() {
        assert_eq!(tags(&object(json!({}))).unwrap(), None);
        assert_eq!(tags(&object(json!({ "tags": null }))).unwrap(), None);
        let given = object(json!({ "tags": { "a": "b", "n": 1, "e": null } }));
        assert_eq!(tags(&given).unwrap(), Some(json!({ "a": "b", "n": "1", "e": "" })));
        for bad in [json!([]), json!({ "a": {} }), json!({ "a/b": "c" }), json!({ "": "c" })] {
            assert_eq!(tags(&object(json!({ "tags": bad }))).unwrap_err().code, "InvalidParameter");
        }
        let many: Map<_, _> = (0..51).map(|i| (i.to_string(), json!(""))).collect();
        assert_eq!(tags(&object(json!({ "tags": many }))).unwrap_err().code, "TooManyTags");
    }

    #[test]
    fn invalid_name_is_rejected() {
        assert!(check_name("gallery", "a_b.c", 1..=80, "_.").is_ok());
        for bad in ["", "a b", "a.", "ä", &"x".repeat(81)] {
            let error = check_name("gallery", bad, 1..=80, "_.").unwrap_err();
            assert_eq!(error.code, "InvalidResourceName");
        }
    }
}
