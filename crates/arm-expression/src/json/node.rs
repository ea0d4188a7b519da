//! A tree of JSON in which every value and key has its place.

use std::sync::Arc;

use super::Text;
use crate::{
    error::Error,
    limits::Limits,
    notation::{Build, Field, Scalar, read},
    position::Position,
    value::{Object, Value, same_name},
};

/// A value of a JSON text. A clone shares the contents.
#[derive(Debug, Clone)]
pub struct Node {
    /// Where the value begins.
    pub position: Position,
    /// The value.
    pub content: Content,
}

/// The value of a [`Node`]. Strings are not evaluated yet.
#[derive(Debug, Clone)]
pub enum Content {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// A string, which may be an expression.
    Text(Text),
    /// An array.
    Array(Arc<[Node]>),
    /// An object.
    Object(Members),
}

/// The members of an object, in the order of the text.
#[derive(Debug, Clone)]
pub struct Members(Arc<[Member]>);

/// A key and its value.
#[derive(Debug, Clone)]
pub struct Member {
    /// The key, which may be an expression.
    pub key: Text,
    /// Where the key begins.
    pub position: Position,
    /// The value.
    pub value: Node,
}

impl Node {
    /// Reads a JSON text.
    ///
    /// Beyond the JSON standard, the text may have what Azure's reader accepts: comments (`//` and `/* */`), line
    /// breaks and other control characters in strings, strings in single quotes, keys without quotes, a comma before
    /// a closing bracket, and a byte order mark. If a key occurs twice, the last value counts. A whole number beyond
    /// 64 bits becomes [`Content::Float`].
    ///
    /// # Errors
    ///
    /// [`Kind::Json`](crate::Kind::Json) with the place of the first character that does not fit;
    /// [`Kind::Limit`](crate::Kind::Limit) if the text is too large or too deep.
    ///
    /// # Examples
    ///
    /// ```
    /// use arm_template::{Limits, Node, Position};
    ///
    /// let node = Node::parse("{ // a comment\n  \"a\": [1]\n}", &Limits::default())?;
    /// let a = node.get("a").expect("the key is there");
    /// assert_eq!(a.position, Position::new(2, 8));
    /// # Ok::<(), arm_template::Error>(())
    /// ```
    pub fn parse(text: &str, limits: &Limits) -> Result<Self, Error> {
        read(text, limits)
    }

    /// A tree of a value. Every node has the same place: where the value was found.
    pub fn from_value(value: &Value, position: Position) -> Self {
        let content = match value {
            Value::Null => Content::Null,
            Value::Bool(bool) => Content::Bool(*bool),
            Value::Int(number) => Content::Int(*number),
            Value::Float(number) => Content::Float(*number),
            Value::String(text) => Content::Text(Text::new(text.clone())),
            Value::Array(items) => {
                Content::Array(items.iter().map(|item| Self::from_value(item, position)).collect())
            }
            Value::Object(object) => Content::Object(Members::of_object(object, position)),
        };
        Self { position, content }
    }

    /// The value as it stands in the text: expressions remain strings.
    pub fn to_value(&self) -> Value {
        match &self.content {
            Content::Null => Value::Null,
            Content::Bool(bool) => Value::Bool(*bool),
            Content::Int(number) => Value::Int(*number),
            Content::Float(number) => Value::Float(*number),
            Content::Text(text) => Value::String(text.raw().clone()),
            Content::Array(items) => Value::Array(items.iter().map(Self::to_value).collect()),
            Content::Object(members) => {
                let members = members.iter().map(|m| (m.key.raw().clone(), m.value.to_value()));
                Value::Object(members.collect())
            }
        }
    }

    /// The value of a key, if this is an object that has it: of exactly this key, or else of the first that differs in
    /// case only.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.as_object()?.get(key).map(|member| &member.value)
    }

    /// The string.
    pub fn as_text(&self) -> Option<&Text> {
        match &self.content {
            Content::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The text of a string that is not an expression.
    pub fn as_literal(&self) -> Option<Arc<str>> {
        self.as_text()?.literal()
    }

    /// The elements of an array.
    pub fn as_array(&self) -> Option<&[Node]> {
        match &self.content {
            Content::Array(items) => Some(items),
            _ => None,
        }
    }

    /// The members of an object.
    pub fn as_object(&self) -> Option<&Members> {
        match &self.content {
            Content::Object(members) => Some(members),
            _ => None,
        }
    }

    /// Whether the value is `null`.
    pub fn is_null(&self) -> bool {
        matches!(self.content, Content::Null)
    }

    /// The name of the type as error messages give it.
    pub fn type_name(&self) -> &'static str {
        match &self.content {
            Content::Null => "Null",
            Content::Bool(_) => "Boolean",
            Content::Int(_) => "Integer",
            Content::Float(_) => "Float",
            Content::Text(_) => "String",
            Content::Array(_) => "Array",
            Content::Object(_) => "Object",
        }
    }
}

impl Build for Node {
    fn scalar(position: Position, scalar: Scalar) -> Self {
        let content = match scalar {
            Scalar::Null => Content::Null,
            Scalar::Bool(bool) => Content::Bool(bool),
            Scalar::Int(number) => Content::Int(number),
            Scalar::Float(number) => Content::Float(number),
            Scalar::Text(text) => Content::Text(Text::new(text)),
        };
        Self { position, content }
    }

    fn array(position: Position, items: Vec<Self>) -> Self {
        Self { position, content: Content::Array(items.into()) }
    }

    fn object(position: Position, fields: Vec<Field<Self>>) -> Self {
        let member =
            |Field { key, position, value }| Member { key: Text::new(key), position, value };
        let members = Members(fields.into_iter().map(member).collect());
        Self { position, content: Content::Object(members) }
    }
}

impl Members {
    /// Members in their order.
    pub fn new(members: Vec<Member>) -> Self {
        Self(members.into())
    }

    fn of_object(object: &Object, position: Position) -> Self {
        let member = |(key, value): (&Arc<str>, &Value)| Member {
            key: Text::new(key.clone()),
            position,
            value: Node::from_value(value, position),
        };
        Self(object.iter().map(member).collect())
    }

    /// The members in the order of the text.
    pub fn iter(&self) -> std::slice::Iter<'_, Member> {
        self.0.iter()
    }

    /// The number of members.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no member.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The member of exactly this key, or else the first whose key differs in case only. Keys are compared as they
    /// stand in the text.
    pub fn get(&self, key: &str) -> Option<&Member> {
        let exact = self.iter().find(|member| **member.key.raw() == *key);
        exact.or_else(|| self.iter().find(|member| same_name(member.key.raw(), key)))
    }
}

impl<'a> IntoIterator for &'a Members {
    type Item = &'a Member;
    type IntoIter = std::slice::Iter<'a, Member>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
