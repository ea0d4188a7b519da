//! JSON as Azure Resource Manager takes it, with the place of every value.

mod node;
mod read;
mod scan;
#[cfg(test)]
mod tests;
mod text;
mod write;

pub use node::{Content, Member, Members, Node};
pub use text::Text;
pub(crate) use write::{Quote, write};

use crate::{error::Error, limits::Limits, value::Value};

/// Reads a value, as the template function `json` does, with the same freedoms as [`Node::parse`].
pub(crate) fn read_value(text: &str, limits: &Limits) -> Result<Value, Error> {
    Node::parse(text, limits).map(|node| node.to_value())
}
