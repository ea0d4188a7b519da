//! Declarations of parameters, outputs and resources.

use std::sync::Arc;

use super::{
    reading::{self, present, wrong},
    types::Type,
};
use arm_expression::{Content, Error, Kind, Member, Node, Position, same_name};

/// A parameter.
#[derive(Debug, Clone)]
pub(super) struct Parameter {
    pub(super) name: Arc<str>,
    pub(super) of: Type,
    pub(super) default: Option<Node>,
    pub(super) description: Option<Arc<str>>,
    /// Where the declaration begins.
    pub(super) position: Position,
}

impl Parameter {
    pub(super) fn read(member: &Member) -> Result<Self, Error> {
        let node = &member.value;
        Ok(Self {
            name: member.key.raw().clone(),
            of: Type::read(node).map_err(|fault| fault.at(Some(node.position)))?,
            default: node.get("defaultValue").cloned(),
            description: node.get("metadata").and_then(|m| m.get("description")?.as_literal()),
            position: node.position,
        })
    }
}

/// An output.
#[derive(Debug, Clone)]
pub(super) struct Output {
    pub(super) name: Arc<str>,
    pub(super) of: Type,
    pub(super) condition: Option<Node>,
    pub(super) value: OutputValue,
    pub(super) position: Position,
}

/// How an output gets its value.
#[derive(Debug, Clone)]
pub(super) enum OutputValue {
    One(Node),
    Loop { count: Node, input: Node },
}

impl Output {
    pub(super) fn read(member: &Member) -> Result<Self, Error> {
        let node = &member.value;
        let of = Type::read(node).map_err(|fault| fault.at(Some(node.position)))?;
        let value = match (node.get("value"), present(node, "copy")) {
            (_, Some(copy)) => OutputValue::Loop {
                count: reading::required(copy, "count")?.clone(),
                input: reading::required(copy, "input")?.clone(),
            },
            (Some(value), None) => OutputValue::One(value.clone()),
            (None, None) => {
                return Err(wrong(
                    node,
                    format!("The template output '{}' has no 'value'", member.key.raw()),
                ));
            }
        };
        Ok(Self {
            name: member.key.raw().clone(),
            of,
            condition: present(node, "condition").cloned(),
            value,
            position: node.position,
        })
    }
}

/// A resource as the template declares it, alone or as the body of a loop.
#[derive(Debug, Clone)]
pub(super) struct Declaration {
    pub(super) symbol: Option<Arc<str>>,
    pub(super) resource_type: Arc<str>,
    pub(super) api_version: Arc<str>,
    pub(super) existing: bool,
    pub(super) copy: Option<Loop>,
    pub(super) children: Vec<Declaration>,
    pub(super) node: Node,
    /// The path in the template.
    pub(super) path: Arc<str>,
}

/// A loop of resources.
#[derive(Debug, Clone)]
pub(super) struct Loop {
    pub(super) name: Arc<str>,
    pub(super) count: Node,
    pub(super) serial: bool,
    pub(super) batch_size: Option<Node>,
}

impl Declaration {
    /// Reads all of `resources`: an object by symbolic names, or an array.
    pub(super) fn read_all(node: &Node, symbolic: bool) -> Result<Vec<Self>, Error> {
        read_level(node, symbolic, None, "resources")
    }

    fn read(
        node: &Node,
        symbol: Option<Arc<str>>,
        parent: Option<&str>,
        path: &str,
    ) -> Result<Self, Error> {
        if node.as_object().is_none() {
            let found = node.type_name();
            return Err(wrong(
                node,
                format!("A resource must be an object, it is of type '{found}'"),
            ));
        }
        refuse_foreign(node)?;
        let own_type = part(node, "type")?;
        let resource_type = full_type(&own_type, parent);
        let copy = match present(node, "copy") {
            Some(copy) if parent.is_some() => {
                return Err(wrong(copy, "A resource inside another resource must not have 'copy'")
                    .within_key("copy"));
            }
            Some(copy) => {
                Some(Loop::read(copy, symbol.as_ref()).map_err(|e| e.within_key("copy"))?)
            }
            None => None,
        };
        let children = match present(node, "resources") {
            Some(children) => {
                let symbolic = symbol.is_some() && children.as_object().is_some();
                read_level(children, symbolic, Some(&resource_type), &format!("{path}.resources"))
                    .map_err(|error| error.within_key("resources"))?
            }
            None => Vec::new(),
        };
        Ok(Self {
            existing: is_existing(node, symbol.is_some())?,
            api_version: part(node, "apiVersion")?,
            symbol,
            resource_type,
            copy,
            children,
            node: node.clone(),
            path: path.into(),
        })
    }
}

impl Loop {
    fn read(node: &Node, symbol: Option<&Arc<str>>) -> Result<Self, Error> {
        let name = match present(node, "name") {
            Some(name) => reading::literal_text(name, "name")?,
            None => match symbol {
                Some(symbol) => symbol.clone(),
                None => return Err(wrong(node, "The copy loop has no 'name'")),
            },
        };
        let serial = match present(node, "mode") {
            None => false,
            Some(mode) => match &*reading::literal_text(mode, "mode")?.to_ascii_lowercase() {
                "serial" => true,
                "parallel" => false,
                _ => {
                    return Err(wrong(
                        mode,
                        "The mode of a copy loop must be 'serial' or 'parallel'",
                    ));
                }
            },
        };
        let count = reading::required(node, "count")?.clone();
        Ok(Self { name, count, serial, batch_size: present(node, "batchSize").cloned() })
    }
}

fn read_level(
    node: &Node,
    symbolic: bool,
    parent: Option<&str>,
    path: &str,
) -> Result<Vec<Declaration>, Error> {
    match (&node.content, symbolic) {
        (Content::Array(items), false) => {
            let read = |(index, item): (usize, &Node)| {
                Declaration::read(item, None, parent, &format!("{path}[{index}]"))
                    .map_err(|error| error.within_index(index))
            };
            items.iter().enumerate().map(read).collect()
        }
        (Content::Object(members), true) => {
            let read = |member: &Member| {
                let symbol = member.key.raw();
                Declaration::read(
                    &member.value,
                    Some(symbol.clone()),
                    parent,
                    &format!("{path}.{symbol}"),
                )
                .map_err(|error| error.within_key(symbol))
            };
            reading::check_names(members, usize::MAX, "resource")?;
            members.iter().map(read).collect()
        }
        (_, true) => Err(wrong(
            node,
            "The resources of a template with 'languageVersion' must be an object by symbolic names",
        )),
        (_, false) => Err(wrong(
            node,
            "The resources of a template without 'languageVersion' must be an array",
        )),
    }
}

/// A literal that a resource must have.
fn part(node: &Node, key: &str) -> Result<Arc<str>, Error> {
    let value = reading::required(node, key)?;
    value.as_literal().ok_or_else(|| {
        let message = format!("The value of '{key}' of a resource must be a literal string");
        wrong(value, message).within_key(key)
    })
}

/// The type of a resource inside another one is relative to that one's.
fn full_type(own: &Arc<str>, parent: Option<&str>) -> Arc<str> {
    match parent {
        Some(parent)
            if !own
                .to_ascii_lowercase()
                .starts_with(&format!("{}/", parent.to_ascii_lowercase())) =>
        {
            format!("{parent}/{own}").into()
        }
        _ => own.clone(),
    }
}

fn is_existing(node: &Node, symbolic: bool) -> Result<bool, Error> {
    match node.get("existing").map(|existing| (&existing.content, existing)) {
        None | Some((Content::Null | Content::Bool(false), _)) => Ok(false),
        Some((Content::Bool(true), _)) if symbolic => Ok(true),
        Some((Content::Bool(true), existing)) => {
            let message = "Existing resources need a template with 'languageVersion' 2.0";
            Err(wrong(existing, message).within_key("existing"))
        }
        Some((_, existing)) => {
            Err(wrong(existing, "The value of 'existing' must be true or false")
                .within_key("existing"))
        }
    }
}

fn refuse_foreign(node: &Node) -> Result<(), Error> {
    let refuse = |key: &str, message: String| {
        let position = node.get(key).map(|node| node.position);
        Err(Error::new(Kind::Unsupported, message, position).within_key(key))
    };
    for key in ["import", "extension"] {
        let name = present(node, key).and_then(Node::as_literal);
        if let Some(name) = name.filter(|name| !name.eq_ignore_ascii_case("az")) {
            return refuse(key, format!("The extension '{name}' is not supported"));
        }
    }
    let method = present(node, "method").and_then(Node::as_literal);
    match method {
        Some(method) if !method.eq_ignore_ascii_case("PUT") => {
            refuse("method", format!("The method '{method}' of a resource is not supported"))
        }
        _ => Ok(()),
    }
}

/// Whether the expressions of a nested template see the names around it. Mistakes in it are reported when the
/// deployment's turn comes.
pub(super) fn has_outer_scope(properties: &Node, symbolic: bool) -> bool {
    let options = reading::present(properties, "expressionEvaluationOptions");
    let scope = options.and_then(|options| options.get("scope")?.as_literal());
    let inline = reading::present(properties, "template").is_some();
    match scope {
        Some(scope) if same_name(&scope, "inner") => false,
        Some(scope) if same_name(&scope, "outer") => inline,
        _ => inline && !symbolic,
    }
}
