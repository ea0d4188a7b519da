//! Getters for the values of fields.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use jsonc_parser::ast::Value;

use super::fields::Fields;
use super::suggest::{list, nearest};
use super::{Node, Reader, unresolved};
use crate::{ErrorCode, ResourceId, ResourceKind, tags};

/// Advice for a number or a boolean in place of a string.
fn in_quotes(value: &Value<'_>) -> Option<String> {
    match value {
        Value::NumberLit(number) => Some(format!("write \"{}\"", number.value)),
        Value::BooleanLit(switch) => Some(format!("write \"{}\"", switch.value)),
        Value::StringLit(_) | Value::Object(_) | Value::Array(_) | Value::NullKeyword(_) => None,
    }
}

impl Reader<'_> {
    /// Reports a value of the wrong JSON type.
    pub fn wrong_type(&mut self, node: &Node<'_>, expected: &str) {
        let found = match node.value {
            Value::StringLit(_) => "a string",
            Value::NumberLit(_) => "a number",
            Value::BooleanLit(_) => "true or false",
            Value::Object(_) => "an object",
            Value::Array(_) => "a list",
            Value::NullKeyword(_) => "null",
        };
        let reason = format!("Expected {expected}, found {found}.");
        let quoted = node.value.as_string_lit().map(|text| text.value.trim().to_lowercase());
        let hint = match quoted {
            Some(text) if text.parse::<i64>().is_ok() || text == "true" || text == "false" => {
                Some(format!("write {text} without quotes"))
            }
            Some(_) => None,
            None if expected == "a string" => in_quotes(node.value),
            None => None,
        };
        self.bad_value_hint(node, &reason, hint);
    }

    /// A required field.
    pub fn required<'v>(&mut self, fields: &Fields<'v>, name: &'static str) -> Option<Node<'v>> {
        let node = fields.get(name);
        if node.is_none() {
            self.missing(fields, name, ErrorCode::ValidationFailed, None);
        }
        node
    }

    /// Reports a missing field with an error code.
    pub fn missing(
        &mut self,
        fields: &Fields<'_>,
        name: &str,
        code: ErrorCode,
        hint: Option<String>,
    ) {
        let message = format!("{}Missing field '{name}'", fields.failed());
        self.fail(code, fields.at_field(name), message, hint);
    }

    /// Any string.
    pub fn string(&mut self, node: &Node<'_>) -> Option<String> {
        match node.value {
            Value::StringLit(text) => Some(text.value.to_string()),
            _ => {
                self.wrong_type(node, "a string");
                None
            }
        }
    }

    /// A non-empty string.
    pub fn text(&mut self, node: &Node<'_>) -> Option<String> {
        let text = self.string(node)?;
        if text.trim().is_empty() {
            self.bad_value(node, "It must not be empty.");
            return None;
        }
        Some(text)
    }

    /// A required field with a non-empty string.
    pub fn required_text(&mut self, fields: &Fields<'_>, name: &'static str) -> Option<String> {
        let node = self.required(fields, name)?;
        self.text(&node)
    }

    /// An optional string field and its node. An empty string counts as absent.
    pub fn present<'v>(
        &mut self,
        fields: &Fields<'v>,
        name: &'static str,
    ) -> Option<(Node<'v>, String)> {
        let node = fields.get(name)?;
        let text = self.string(&node)?;
        (!text.is_empty()).then_some((node, text))
    }

    /// An optional string field. An empty string counts as absent.
    pub fn optional(&mut self, fields: &Fields<'_>, name: &'static str) -> Option<String> {
        self.present(fields, name).map(|(_, text)| text)
    }

    /// A boolean field, false if absent.
    pub fn switch(&mut self, fields: &Fields<'_>, name: &'static str) -> bool {
        let Some(node) = fields.get(name) else {
            return false;
        };
        let Value::BooleanLit(value) = node.value else {
            self.wrong_type(&node, "true or false");
            return false;
        };
        value.value
    }

    /// A whole number within limits.
    pub fn integer<T: TryFrom<i64>>(
        &mut self,
        node: &Node<'_>,
        limits: RangeInclusive<i64>,
    ) -> Option<T> {
        let Value::NumberLit(number) = node.value else {
            self.wrong_type(node, "a whole number");
            return None;
        };
        let (least, most) = (limits.start(), limits.end());
        let reason = if number.value.contains(['.', 'e', 'E']) {
            "Expected a whole number.".to_owned()
        } else {
            let value = number.value.parse::<i64>();
            let is_below = match &value {
                Ok(value) if limits.contains(value) => return T::try_from(*value).ok(),
                Ok(value) => value < least,
                // The number does not fit into 64 bits.
                Err(_) => number.value.starts_with('-'),
            };
            // An upper bound that is never reached does not help.
            match is_below && *most >= i64::from(i32::MAX) {
                true => format!("It must be at least {least}."),
                false => format!("It must be between {least} and {most}."),
            }
        };
        self.bad_value(node, &reason);
        None
    }

    /// An optional field with a whole number within limits.
    pub fn optional_integer<T: TryFrom<i64>>(
        &mut self,
        fields: &Fields<'_>,
        name: &'static str,
        limits: RangeInclusive<i64>,
    ) -> Option<T> {
        let node = fields.get(name)?;
        self.integer(&node, limits)
    }

    /// A string that must be one of the listed values.
    pub fn choice<T: Copy>(&mut self, node: &Node<'_>, choices: &[(&'static str, T)]) -> Option<T> {
        let text = self.string(node)?;
        if let Some((_, value)) = choices.iter().find(|(name, _)| *name == text) {
            return Some(*value);
        }
        let names = || choices.iter().map(|(name, _)| *name);
        let reason = format!("Allowed: {}.", list(names()));
        let hint = unresolved(&text)
            .or_else(|| nearest(&text, names()).map(|meant| format!("did you mean `{meant}`?")));
        self.bad_value_hint(node, &reason, hint);
        None
    }

    /// An optional field with one of the listed values. An empty string counts as absent, because
    /// clients send it for a value that the user did not choose.
    pub fn optional_choice<T: Copy>(
        &mut self,
        fields: &Fields<'_>,
        name: &'static str,
        choices: &[(&'static str, T)],
    ) -> Option<T> {
        let node = fields.get(name)?;
        if node.value.as_string_lit().is_some_and(|text| text.value.is_empty()) {
            return None;
        }
        self.choice(&node, choices)
    }

    /// The elements of a list; empty for a value that is not a list.
    pub fn elements<'v>(&mut self, node: &Node<'v>) -> Vec<Node<'v>> {
        let Value::Array(array) = node.value else {
            self.wrong_type(node, "a list");
            return Vec::new();
        };
        let elements = array.elements.iter().enumerate();
        elements
            .map(|(index, value)| Node {
                value,
                parent: node.parent.clone(),
                field: format!("{}[{index}]", node.field),
            })
            .collect()
    }

    /// The elements of a list field; empty if it is absent.
    pub fn list<'v>(&mut self, fields: &Fields<'v>, name: &'static str) -> Vec<Node<'v>> {
        fields.get(name).map(|node| self.elements(&node)).unwrap_or_default()
    }

    /// The strings of a list field; empty if it is absent.
    pub fn strings(&mut self, fields: &Fields<'_>, name: &'static str) -> Vec<String> {
        let nodes = self.list(fields, name);
        nodes.iter().filter_map(|node| self.string(node)).collect()
    }

    /// A field with at most `most` tags. A tag with the value null is absent.
    pub fn tags(
        &mut self,
        fields: &Fields<'_>,
        name: &'static str,
        most: usize,
    ) -> BTreeMap<String, String> {
        let Some(node) = fields.get(name) else {
            return BTreeMap::new();
        };
        let Value::Object(object) = node.value else {
            self.wrong_type(&node, "an object with strings");
            return BTreeMap::new();
        };
        let mut tags = BTreeMap::new();
        for prop in &object.properties {
            if matches!(prop.value, Value::NullKeyword(_)) {
                continue;
            }
            let tag = prop.name.as_str();
            let entry = Node { value: &prop.value, parent: node.path(), field: tag.to_owned() };
            let Some(value) = self.string(&entry) else { continue };
            let checked = tags::check_name(tag).and_then(|()| tags::check_value(&value));
            if let Err(rule) = checked {
                self.bad_value(&entry, &format!("Invalid tag: {rule}."));
            }
            tags.insert(tag.to_owned(), value);
        }
        if tags.len() > most {
            let reason = format!("At most {most} tags are allowed, found {}.", tags.len());
            self.bad_value(&node, &reason);
        }
        tags
    }

    /// A resource id of one of the kinds.
    pub fn resource_id(&mut self, node: &Node<'_>, kinds: &[ResourceKind]) -> Option<ResourceId> {
        let text = self.text(node)?;
        match self.parse_id(&text, kinds) {
            Ok(id) => Some(id),
            Err((reason, hint)) => {
                self.bad_value_hint(node, &reason, Some(hint));
                None
            }
        }
    }

    /// Parses a resource id.
    ///
    /// # Errors
    /// The reason, and advice such as the pattern of an id.
    pub fn parse_id(
        &self,
        text: &str,
        kinds: &[ResourceKind],
    ) -> Result<ResourceId, (String, String)> {
        let described: Vec<_> = kinds.iter().map(|kind| kind.description()).collect();
        let described = described.join(" or ");
        let reason = match text.parse::<ResourceId>() {
            Ok(id) if kinds.iter().any(|kind| id.is(*kind)) => return Ok(id),
            Ok(id) => {
                let other = id.kind().map_or("another resource", ResourceKind::description);
                format!("Expected the id of {described}, found that of {other}.")
            }
            Err(error) => format!("Expected the id of {described}: {error}."),
        };
        let pattern = kinds.first().map(|kind| kind.pattern()).unwrap_or_default();
        Err((reason, unresolved(text).unwrap_or_else(|| format!("it looks like {pattern}"))))
    }

    /// A resource id. An empty string counts as absent.
    pub fn id_or_empty(&mut self, node: &Node<'_>, kind: ResourceKind) -> Option<ResourceId> {
        let text = self.string(node)?;
        if text.is_empty() { None } else { self.resource_id(node, &[kind]) }
    }
}
