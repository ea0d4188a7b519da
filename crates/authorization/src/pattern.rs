//! Patterns of actions, with `*`.

use std::fmt;

/// A pattern of actions, such as `Microsoft.Compute/images/*` or `*/read`. A `*` stands for any text, slashes included, also
/// for none. Case is ignored.
///
/// Source: Azure RBAC documentation, "Understand Azure role definitions".
#[derive(Clone, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    /// What is between the `*`, in lower case.
    parts: Box<[Box<str>]>,
}

/// A text that is no pattern of actions.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is no pattern of actions: {why}")]
pub struct InvalidPattern {
    /// The text.
    pub text: String,
    /// What is wrong, and what would be right.
    pub why: &'static str,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// The text is not `*` and has no `/`, or it has characters that no action has.
    pub fn parse(text: &str) -> Result<Self, InvalidPattern> {
        let invalid = |why| Err(InvalidPattern { text: text.to_owned(), why });
        if text != "*" && !text.contains('/') {
            return invalid("it must be '*' or a name such as 'Microsoft.Compute/images/read'");
        }
        if !text.chars().all(|c| c.is_ascii_alphanumeric() || "./*-_".contains(c)) {
            return invalid("a name has only letters, digits, '.', '/', '-', '_' and '*'");
        }
        let lower = text.to_ascii_lowercase();
        Ok(Self { text: text.to_owned(), parts: lower.split('*').map(Into::into).collect() })
    }

    /// Whether the pattern stands for the action, whatever the case of letters.
    pub fn matches(&self, action: &str) -> bool {
        let action = action.to_ascii_lowercase();
        let (Some(first), Some(last)) = (self.parts.first(), self.parts.last()) else {
            return false;
        };
        if self.parts.len() == 1 {
            return action == **first;
        }
        let Some(mut rest) =
            action.strip_prefix(&**first).and_then(|rest| rest.strip_suffix(&**last))
        else {
            return false;
        };
        for part in &self.parts[1..self.parts.len() - 1] {
            let Some(at) = rest.find(&**part) else { return false };
            rest = &rest[at + part.len()..];
        }
        true
    }

    /// The text as it was given.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({:?})", self.text)
    }
}
