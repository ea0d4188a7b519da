//! The outermost object: the envelope, the api-version, and objects that are not image templates.

use std::collections::HashSet;

use jsonc_parser::ast::{Object, Value};

use super::diagnostic::{Lines, Severity};
use super::identity;
use super::properties::{self, Beside};
use super::read::fields::{Field, Fields};
use super::read::{At, Node, Reader, failed, json, opening, span, unresolved};
use super::{ApiVersion, Delivery, Face, Kinds, ParseOptions, Parsed, Template};
use crate::{ErrorCode, tags};

const BYTE_ORDER_MARK: char = '\u{feff}';

/// Fields beside `properties` that az reads from a file, and the service does not.
const FIELDS_OF_AZ: usize = 2;

/// The envelope. `type`, `apiVersion` and `dependsOn` are fields of a resource in a deployment.
const FIELDS: &[Field] = &[
    Field::new("validate").narrowing(),
    Field::new("staging_resource_group").narrowing(),
    Field::new("location"),
    Field::new("tags"),
    Field::new("identity"),
    Field::new("properties"),
    Field::ignored("type"),
    Field::ignored("apiVersion"),
    Field::ignored("dependsOn"),
    Field::ignored("name"),
    Field::ignored("comments"),
    Field::ignored("id"),
    Field::ignored("etag"),
    Field::ignored("systemData"),
];

/// Parses an image template with these kinds and reports all its mistakes.
pub fn parse<S, D: Delivery>(
    text: &str,
    options: &ParseOptions,
    kinds: &Kinds<S, D>,
) -> Parsed<S, D> {
    let body = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    let lines = Lines::new(body);
    let mut parsed = match json::parse(body) {
        Ok(value) => read_document(body, &value, &lines, options, kinds),
        Err(malformed) => {
            let mut reader = Reader::new(body, ApiVersion::LATEST, options.face);
            let at = (String::new(), malformed.span);
            let message = format!("The template is not well-formed JSON: {}", malformed.reason);
            let hint = malformed.hint.map(str::to_owned);
            reader.fail(ErrorCode::InvalidRequestContent, at, message, hint);
            Parsed {
                template: None,
                api_version: options.api_version.unwrap_or(ApiVersion::LATEST),
                diagnostics: reader.finish(&lines),
            }
        }
    };
    let skipped = text.len() - body.len();
    for diagnostic in &mut parsed.diagnostics {
        diagnostic.span.start += skipped;
        diagnostic.span.end += skipped;
    }
    parsed
}

fn read_document<S, D: Delivery>(
    text: &str,
    value: &Value<'_>,
    lines: &Lines<'_>,
    options: &ParseOptions,
    kinds: &Kinds<S, D>,
) -> Parsed<S, D> {
    let (version, fault) = api_version(value, options);
    let mut reader = Reader::new(text, version, options.face);
    if let Some((at, message, hint)) = fault {
        reader.fail(ErrorCode::ValidationFailed, at, message, Some(hint));
    }
    let template = match value {
        Value::Object(object) if is_deployment(object) => {
            refuse_deployment(&mut reader, object);
            None
        }
        Value::Object(_) => {
            duplicates(&mut reader, value, "");
            read_template(&mut reader, &Node::root(value), kinds)
        }
        _ => {
            let message = "A template is a JSON object".to_owned();
            let at = (String::new(), span(value));
            reader.fail(ErrorCode::InvalidRequestContent, at, message, None);
            None
        }
    };
    let template = template.filter(|_| !reader.has_errors());
    Parsed { template, api_version: version, diagnostics: reader.finish(lines) }
}

fn read_template<S, D: Delivery>(
    reader: &mut Reader<'_>,
    root: &Node<'_>,
    kinds: &Kinds<S, D>,
) -> Option<Template<S, D>> {
    let table = match reader.face {
        Face::File => FIELDS,
        Face::Service => &FIELDS[FIELDS_OF_AZ..],
    };
    let fields = reader.fields(root, table)?;
    resource_type(reader, &fields);
    let location = location(reader, &fields);
    let tags = reader.tags(&fields, "tags", tags::MOST);
    let identity = identity::read(reader, &fields);
    let beside = match reader.face {
        Face::File => Beside {
            validate: fields.get("validate"),
            staging_resource_group: fields.get("staging_resource_group"),
        },
        Face::Service => Beside::default(),
    };
    let properties = reader
        .required(&fields, "properties")
        .and_then(|node| properties::read(reader, &node, beside, kinds));
    Some(Template { location, tags, identity, properties: properties? })
}

/// The version that applies, and place, message and hint if the version in the text is wrong.
fn api_version(
    value: &Value<'_>,
    options: &ParseOptions,
) -> (ApiVersion, Option<(At, String, String)>) {
    if let Some(version) = options.api_version {
        return (version, None);
    }
    let Value::Object(object) = value else {
        return (ApiVersion::LATEST, None);
    };
    let written = object.properties.iter().find(|prop| prop.name.as_str() == "apiVersion");
    let Some(prop) = written else {
        return (ApiVersion::LATEST, None);
    };
    let (version, message) = match &prop.value {
        Value::NullKeyword(_) => return (ApiVersion::LATEST, None),
        Value::StringLit(text) => match text.value.parse::<ApiVersion>() {
            Ok(version) => return (version, None),
            Err(error) => (ApiVersion::nearest(&text.value), error.to_string()),
        },
        _ => (ApiVersion::LATEST, "Field 'apiVersion' must be a string".to_owned()),
    };
    let hint = match &prop.value {
        Value::StringLit(text) if text.value.as_ref() < ApiVersion::ALL[0].name() => format!(
            "previews before {} are no longer supported; use {} and write `scriptUri` for `script`",
            ApiVersion::ALL[0],
            ApiVersion::LATEST,
        ),
        _ => format!("use {}, or omit the field", ApiVersion::LATEST),
    };
    let at = ("apiVersion".to_owned(), span(&prop.value));
    let message = format!("{}{message}. Known: {}", failed(""), ApiVersion::list());
    (version, Some((at, message, hint)))
}

fn is_deployment(object: &Object<'_>) -> bool {
    object.properties.iter().any(|prop| matches!(prop.name.as_str(), "$schema" | "resources"))
}

/// A deployment is a list of resources, one of which may be an image template.
fn refuse_deployment(reader: &mut Reader<'_>, object: &Object<'_>) {
    let resources = object.get_array("resources").map_or(&[][..], |list| &list.elements);
    let template = resources.iter().position(|resource| {
        let kind = resource.as_object().and_then(|object| object.get_string("type"));
        kind.is_some_and(|kind| is_template_type(&kind.value))
    });
    let hint = match template {
        Some(index) => format!("move the object at `resources[{index}]` into a file of its own"),
        None => "use the body of a Microsoft.VirtualMachineImages/imageTemplates resource".into(),
    };
    let at = (String::new(), opening(object));
    let message = "This is a deployment template, not an image template: expected the resource \
                   itself, with `location`, `identity` and `properties`";
    reader.fail(ErrorCode::ValidationFailed, at, message.to_owned(), Some(hint));
}

fn is_template_type(text: &str) -> bool {
    text.eq_ignore_ascii_case("Microsoft.VirtualMachineImages/imageTemplates")
        || text.eq_ignore_ascii_case("Microsoft.VirtualMachineImages")
}

fn resource_type(reader: &mut Reader<'_>, fields: &Fields<'_>) {
    let Some(node) = fields.get("type") else {
        return;
    };
    let Value::StringLit(text) = node.value else {
        return;
    };
    if !is_template_type(&text.value) {
        let message =
            format!("{}Field 'type' names another resource: '{}'", failed(""), text.value);
        let hint = Some("it is read as an image template anyway".to_owned());
        reader.warn(&node, message, hint);
    }
}

fn location(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Option<String> {
    if let Some(node) = fields.get("location") {
        let location = reader.text(&node)?;
        if let Some(hint) = unresolved(&location) {
            let message = format!("{}Field 'location' is empty", failed(""));
            reader.warn(&node, message, Some(hint));
        }
        return Some(location);
    }
    let (severity, hint) = match reader.face {
        Face::File => {
            (Severity::Warning, "a local build does not need it; Azure and the service do")
        }
        Face::Service => (Severity::Error, "add the region, such as `\"location\": \"westus2\"`"),
    };
    let (code, at) = (ErrorCode::ValidationFailed, fields.at_field("location"));
    let message = format!("{}Missing field 'location'", failed(""));
    reader.note(severity, code, at, message, Some(hint.to_owned()));
    None
}

/// Reports every name that occurs twice in an object, at any depth.
fn duplicates(reader: &mut Reader<'_>, value: &Value<'_>, path: &str) {
    match value {
        Value::Object(object) => {
            let mut names = HashSet::new();
            for prop in &object.properties {
                let name = prop.name.as_str();
                let dot = if path.is_empty() { "" } else { "." };
                let inner = format!("{path}{dot}{name}");
                if !names.insert(name) {
                    let at = (inner.clone(), span(&prop.name));
                    let message = format!("The name \"{name}\" is in this object twice");
                    let hint = "keep one of the two".to_owned();
                    reader.fail(ErrorCode::InvalidRequestContent, at, message, Some(hint));
                }
                duplicates(reader, &prop.value, &inner);
            }
        }
        Value::Array(array) => {
            for (index, element) in array.elements.iter().enumerate() {
                duplicates(reader, element, &format!("{path}[{index}]"));
            }
        }
        _ => {}
    }
}
