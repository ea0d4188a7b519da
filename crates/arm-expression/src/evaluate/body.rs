//! Trees with expressions: strings, keys, and property loops.

use std::sync::Arc;

use super::{Evaluated, Evaluator, Iteration};
use crate::{
    error::{Error, Fault, Kind},
    json::{Content, Member, Node},
    value::{Array, Object, Value, same_name},
};

impl Evaluator<'_> {
    pub(super) fn node_value(&self, node: &Node) -> Result<Value, Error> {
        let _depth = self.budget.enter().map_err(|fault| fault.at(Some(node.position)))?;
        match &node.content {
            Content::Null => Ok(Value::Null),
            Content::Bool(bool) => Ok(Value::Bool(*bool)),
            Content::Int(number) => Ok(Value::Int(*number)),
            Content::Float(number) => Ok(Value::Float(*number)),
            Content::Text(text) => self.text_value(text, node.position),
            Content::Array(items) => {
                let items = items.iter().enumerate().map(|(index, item)| {
                    self.node_value(item).map_err(|error| error.within_index(index))
                });
                let items = items.collect::<Result<Array, Error>>()?;
                self.checked(items.into()).map_err(|fault| fault.at(Some(node.position)))
            }
            Content::Object(members) => {
                let mut object = Object::new();
                for member in members {
                    self.insert_member(&mut object, member)
                        .map_err(|error| error.within_key(member.key.raw()))?;
                }
                self.checked(object.into()).map_err(|fault| fault.at(Some(node.position)))
            }
        }
    }

    fn insert_member(&self, object: &mut Object, member: &Member) -> Result<(), Error> {
        // A key that an expression makes is never a loop, even if it is `copy`.
        if let (Content::Array(loops), true) =
            (&member.value.content, same_name(member.key.raw(), "copy"))
        {
            for (index, copy) in loops.iter().enumerate() {
                let copies = self.copies_value(copy).map_err(|error| error.within_index(index));
                match copies {
                    Ok((name, copies)) => object.insert(name, copies),
                    Err(error) if self.keeps(&error) => {
                        object.insert(member.key.raw().clone(), member.value.to_value());
                    }
                    Err(error) => return Err(error),
                }
            }
            return Ok(());
        }
        let key = match self.text_value(&member.key, member.position)? {
            Value::String(key) => key,
            other => {
                let kind = other.type_name();
                let message = format!(
                    "The key of an object must be of type 'String', it is of type '{kind}'"
                );
                return Err(Error::new(Kind::Evaluation, message, Some(member.position)));
            }
        };
        object.insert(key, self.node_value(&member.value)?);
        Ok(())
    }

    /// The array that an entry of `copy` makes.
    pub fn copies(&self, copy: &Node) -> Result<Evaluated, Error> {
        self.watched(|| self.copies_value(copy).map(|(_name, copies)| copies))
    }

    /// The property that an entry of `copy` makes.
    fn copies_value(&self, copy: &Node) -> Result<(Arc<str>, Value), Error> {
        let part = |key: &str| {
            copy.get(key).ok_or_else(|| wrong(copy, format!("The copy loop has no '{key}'")))
        };
        let (name, count, input) = (part("name")?, part("count")?, part("input")?);
        let Value::String(name) = self.node_value(name)? else {
            return Err(wrong(name, "The name of a copy loop must be a string"));
        };
        let count = self.copy_count(count)?;
        let items = (0..count).map(|index| self.copy(&name, index, input));
        let items: Array = items.collect::<Result<_, _>>()?;
        Ok((name, items.into()))
    }

    fn copy(&self, name: &Arc<str>, index: usize, input: &Node) -> Result<Value, Error> {
        let placed = |fault: Fault| fault.at(Some(input.position));
        let _depth = self.budget.enter().map_err(placed)?;
        self.budget.charge_steps(1).map_err(placed)?;
        let iteration = Iteration { name: Some(name.clone()), index, of_property: true };
        let value = self.within(iteration, || self.node_value(input));
        value.map_err(|error| error.within_key("input"))
    }

    /// The number of iterations that a `count` of a copy loop gives.
    ///
    /// # Errors
    ///
    /// Everything but an integer from 0 to the [limit](crate::Limits::copies).
    pub fn copy_count(&self, count: &Node) -> Result<usize, Error> {
        let limit = self.budget.limits().copies;
        let value = match &count.content {
            // The count must be known even if other expressions are kept.
            Content::Text(text) => self.evaluated_text(text, count.position)?,
            _ => self.node_value(count)?,
        };
        let number = value.as_int().and_then(|number| usize::try_from(number).ok());
        match number {
            Some(number) if number <= limit => Ok(number),
            Some(_) => {
                let message = format!("The copy count must not exceed '{limit}'");
                Err(Error::new(Kind::Limit, message, Some(count.position)))
            }
            None => {
                let message = "The copy count must be a non-negative integer value";
                Err(wrong(count, message))
            }
        }
    }
}

fn wrong(node: &Node, message: impl Into<String>) -> Error {
    Error::new(Kind::Template, message, Some(node.position))
}
