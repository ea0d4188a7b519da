//! Expressions: which strings are one, their grammar, and their syntax tree.
//!
//! ```text
//! expression := term
//! term       := (literal | call) ( '.' name | '[' term ']' )*
//! literal    := integer | "'" text "'"          two quotes stand for one
//! call       := name [ '.' name ] '(' [ term ( ',' term )* ] ')'
//! ```

mod lex;
mod parse;
#[cfg(test)]
mod tests;
mod tree;

pub use tree::{Call, Expression};
pub(crate) use tree::{Callee, Special, Step, Term};

/// Whether a string of a template is an expression. Nothing is trimmed.
pub(crate) fn is_expression(text: &str) -> bool {
    text.starts_with('[') && text.ends_with(']') && !text.starts_with("[[")
}

/// What an escaped literal stands for: `[a]` for `[[a]`. `None` if the string stands for itself.
pub(crate) fn unescaped(text: &str) -> Option<&str> {
    (text.starts_with("[[") && text.ends_with(']')).then(|| &text[1..])
}
