//! Types from their declarations.

use std::sync::Arc;

use super::{Base, Bounds, Discriminator, NamedTypes, Rest, Type};
use crate::template::given::literal;
use arm_expression::{Content, Fault, Kind, Node, Value};

impl Type {
    /// Reads a declaration. The depth of its types is limited by that of the text.
    pub(in crate::template) fn read(node: &Node) -> Result<Self, Fault> {
        if node.as_object().is_none() {
            return Err(fault(format!(
                "A type must be an object, it is of type '{}'",
                node.type_name()
            )));
        }
        Ok(Self {
            base: node.get("type").map(base).transpose()?,
            reference: node.get("$ref").map(|node| text(node, "$ref")).transpose()?,
            nullable: node.get("nullable").map(|node| bool(node, "nullable")).transpose()?,
            allowed: node.get("allowedValues").map(allowed).transpose()?,
            values: Bounds::read(node, "minValue", "maxValue")?,
            lengths: Bounds::read(node, "minLength", "maxLength")?,
            items: node.get("items").map(Rest::read).transpose()?,
            prefix_items: node.get("prefixItems").map(types).transpose()?.unwrap_or_default(),
            properties: node.get("properties").map(named_types).transpose()?.unwrap_or_default(),
            additional: node.get("additionalProperties").map(Rest::read).transpose()?,
            discriminator: node.get("discriminator").map(Discriminator::read).transpose()?,
        })
    }
}

impl Bounds {
    fn read(node: &Node, least: &str, most: &str) -> Result<Self, Fault> {
        let bound = |key: &str| match node.get(key).map(|node| &node.content) {
            None => Ok(None),
            Some(Content::Int(number)) => Ok(Some(*number)),
            Some(_) => Err(fault(format!("The value of '{key}' must be an integer"))),
        };
        Ok(Self { least: bound(least)?, most: bound(most)? })
    }
}

impl Rest {
    fn read(node: &Node) -> Result<Self, Fault> {
        match &node.content {
            Content::Bool(false) => Ok(Self::Nothing),
            Content::Bool(true) => Ok(Self::Of(Arc::default())),
            _ => Ok(Self::Of(Arc::new(Type::read(node)?))),
        }
    }
}

impl Discriminator {
    fn read(node: &Node) -> Result<Self, Fault> {
        let part = |key: &str| {
            node.get(key).ok_or_else(|| fault(format!("A discriminator has no '{key}'")))
        };
        let property = text(part("propertyName")?, "propertyName")?;
        Ok(Self { property, mapping: named_types(part("mapping")?)? })
    }
}

fn base(node: &Node) -> Result<Base, Fault> {
    let name = text(node, "type")?;
    Base::find(&name).ok_or_else(|| {
        fault(format!(
            "The type '{name}' is not valid; the types are 'string', 'securestring', 'int', 'bool', 'object', 'secureObject' and 'array'"
        ))
    })
}

fn allowed(node: &Node) -> Result<arm_expression::Array, Fault> {
    match literal(node) {
        Value::Array(values) => Ok(values),
        _ => Err(fault("The value of 'allowedValues' must be an array")),
    }
}

fn types(node: &Node) -> Result<Vec<Arc<Type>>, Fault> {
    let items =
        node.as_array().ok_or_else(|| fault("The value of 'prefixItems' must be an array"))?;
    items.iter().map(|item| Type::read(item).map(Arc::new)).collect()
}

fn named_types(node: &Node) -> Result<NamedTypes, Fault> {
    let members = node.as_object().ok_or_else(|| fault("Types by name must be an object"))?;
    let named = |member: &arm_expression::Member| {
        Ok((member.key.raw().clone(), Arc::new(Type::read(&member.value)?)))
    };
    members.iter().map(named).collect()
}

fn text(node: &Node, key: &str) -> Result<Arc<str>, Fault> {
    node.as_literal().ok_or_else(|| fault(format!("The value of '{key}' must be a literal string")))
}

fn bool(node: &Node, key: &str) -> Result<bool, Fault> {
    match node.content {
        Content::Bool(bool) => Ok(bool),
        _ => Err(fault(format!("The value of '{key}' must be true or false"))),
    }
}

fn fault(message: impl Into<String>) -> Fault {
    Fault::of(Kind::Template, message)
}
