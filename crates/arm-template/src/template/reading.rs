//! Reading the declarations of a template.

use std::sync::Arc;

use arm_expression::{Error, Kind, Members, Node, fold_name, same_name};

/// An error of the template's shape.
pub(super) fn wrong(node: &Node, message: impl Into<String>) -> Error {
    Error::new(Kind::Template, message, Some(node.position))
}

/// The member that must be there.
pub(super) fn required<'a>(node: &'a Node, key: &str) -> Result<&'a Node, Error> {
    present(node, key)
        .ok_or_else(|| wrong(node, format!("Required property '{key}' not found in JSON")))
}

/// The member, if it is there and not null.
pub(super) fn present<'a>(node: &'a Node, key: &str) -> Option<&'a Node> {
    node.get(key).filter(|node| !node.is_null())
}

/// A string that must not be an expression.
pub(super) fn literal_text(node: &Node, key: &str) -> Result<Arc<str>, Error> {
    node.as_literal()
        .ok_or_else(|| wrong(node, format!("The value of '{key}' must be a literal string")))
}

/// The members of the object below `key`; none if it is absent or null.
pub(super) fn members<'a>(node: &'a Node, key: &str) -> Result<Option<&'a Members>, Error> {
    let Some(node) = present(node, key) else { return Ok(None) };
    match node.as_object() {
        Some(members) => Ok(Some(members)),
        None => Err(wrong_type(node, key, "Object").within_key(key)),
    }
}

/// The elements of the array below `key`; none if it is absent or null.
pub(super) fn items<'a>(node: &'a Node, key: &str) -> Result<&'a [Node], Error> {
    let Some(node) = present(node, key) else { return Ok(&[]) };
    node.as_array().ok_or_else(|| wrong_type(node, key, "Array").within_key(key))
}

pub(super) fn wrong_type(node: &Node, key: &str, expected: &str) -> Error {
    let found = node.type_name();
    wrong(
        node,
        format!("The value of '{key}' must be of type '{expected}', it is of type '{found}'"),
    )
}

/// Checks that an object has known members only.
pub(super) fn check_members(node: &Node, known: &[&str], what: &str) -> Result<(), Error> {
    let Some(members) = node.as_object() else {
        let found = node.type_name();
        return Err(wrong(node, format!("The {what} must be an object, it is of type '{found}'")));
    };
    for member in members {
        let key = member.key.raw();
        if !known.iter().any(|name| same_name(name, key)) {
            let message = format!("Could not find member '{key}' on object of type 'Template'");
            return Err(wrong(&member.value, message).within_key(key));
        }
    }
    Ok(())
}

/// Checks the number of declarations, that their names are literals, and that no two differ in case only.
pub(super) fn check_names(members: &Members, most: usize, what: &str) -> Result<(), Error> {
    let mut seen = std::collections::HashSet::new();
    for (number, member) in members.iter().enumerate() {
        let name = member.key.raw();
        let error =
            |kind, message| Err(Error::new(kind, message, Some(member.position)).within_key(name));
        if number >= most {
            let message = format!(
                "The number of template {what}s limit exceeded. Limit: '{most}' and actual: '{}'",
                members.len()
            );
            return error(Kind::Limit, message);
        }
        if member.key.is_expression() {
            let message =
                format!("The name of a {what} must be a literal, '{name}' is an expression");
            return error(Kind::Template, message);
        }
        if !seen.insert(fold_name(name)) {
            let message =
                format!("The template has two {what}s whose names differ in case only: '{name}'");
            return error(Kind::Template, message);
        }
    }
    Ok(())
}
