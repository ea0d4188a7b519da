//! The tree of a JSON text, with the place of every value and the expressions in it.

mod node;
#[cfg(test)]
mod tests;
mod text;

pub use node::{Content, Member, Members, Node};
pub use text::Text;
