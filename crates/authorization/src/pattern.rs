//! Patterns of actions, with `*`.
//!
//! Matching never goes back over the action: the pattern is split at its `*` when it is read, and each part is searched
//! from where the one before it ended. So the time is linear in the lengths of both, whatever a role's author wrote.

use std::fmt;

/// The longest pattern, in bytes. The longest action of Azure has about 200.
const MOST_BYTES: usize = 1_024;

/// A pattern of actions, such as `Microsoft.Compute/images/*` or `*/read`. A `*` stands for any text, slashes included, also
/// for none, and there may be several. `/*/` stands for a single `/` as well: by
/// `Microsoft.ManagedIdentity/userAssignedIdentities/*/assign/action`, Managed Identity Operator grants
/// `Microsoft.ManagedIdentity/userAssignedIdentities/assign/action`. Case is ignored.
///
/// Source: Azure RBAC documentation, "Understand Azure role definitions", "Azure custom roles" and "Azure built-in roles".
#[derive(Clone, PartialEq, Eq)]
pub struct Pattern {
    text: Box<str>,
    shape: Shape,
}

/// The parts between the `*`, in lower case.
#[derive(Clone, PartialEq, Eq)]
enum Shape {
    /// Without `*`.
    Exact(Box<[u8]>),
    Wild {
        first: Box<[u8]>,
        middle: Box<[Part]>,
        last: Box<[u8]>,
        /// How much of the last part may be the end of the one before it: 1 in `/*/`.
        shared: usize,
    },
}

/// A part to search for (Knuth, Morris and Pratt). Never empty.
#[derive(Clone, PartialEq, Eq)]
struct Part {
    text: Box<[u8]>,
    /// For each length of a beginning of the text: the length of its longest proper beginning that is also its end.
    shorter: Box<[u16]>,
    /// How much of the part may be the end of the one before it: 1 in `/*/`.
    shared: usize,
}

/// A text that is not a pattern of actions.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not an action or a pattern of actions: {why}")]
pub struct InvalidPattern {
    /// The text, or its beginning if it is very long.
    pub text: String,
    /// What is wrong, and what would be right.
    pub why: &'static str,
}

impl Pattern {
    /// Reads a pattern. Azure also refuses an action without `*` that no provider of its own has; names of providers that
    /// are not here are accepted, so that roles from Azure can be used unchanged.
    ///
    /// # Errors
    /// The text is neither `*` nor has a `/`, has empty segments or characters that no action has, or is too long.
    pub fn parse(text: &str) -> Result<Self, InvalidPattern> {
        let invalid = |why| Err(InvalidPattern { text: text.chars().take(100).collect(), why });
        if text.len() > MOST_BYTES {
            return invalid("it has more than 1024 characters");
        }
        if !text.chars().all(|c| c.is_ascii_alphanumeric() || "./*-_".contains(c)) {
            return invalid("it may only have letters, digits, '.', '/', '-', '_' and '*'");
        }
        if text != "*" && !text.contains('/') {
            return invalid("it must be '*' or a name such as 'Microsoft.Compute/images/read'");
        }
        if text.split('/').any(str::is_empty) {
            return invalid("a '/' must stand between two names or '*'");
        }
        let lower = text.to_ascii_lowercase();
        Ok(Self { text: text.into(), shape: Shape::of(&lower) })
    }

    /// Whether the pattern stands for the action, whatever the case of letters.
    pub fn matches(&self, action: &str) -> bool {
        let action = action.as_bytes();
        match &self.shape {
            Shape::Exact(text) => action.eq_ignore_ascii_case(text),
            Shape::Wild { first, middle, last, shared } => {
                let Some(end) = action.len().checked_sub(last.len()) else { return false };
                let begins =
                    action.get(..first.len()).is_some_and(|own| own.eq_ignore_ascii_case(first));
                if !begins || !action[end..].eq_ignore_ascii_case(last) {
                    return false;
                }
                let after =
                    middle.iter().try_fold(first.len(), |from, part| part.find(action, from));
                after.is_some_and(|after| after <= end + shared)
            }
        }
    }

    /// The text as it was given.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl Shape {
    fn of(lower: &str) -> Self {
        let Some((first, rest)) = lower.split_once('*') else {
            return Self::Exact(lower.as_bytes().into());
        };
        let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
        let mut before = first;
        let mut parts = Vec::new();
        for part in middle.split('*').filter(|part| !part.is_empty()) {
            parts.push(Part::of(part.as_bytes(), shared(before, part)));
            before = part;
        }
        Self::Wild {
            first: first.as_bytes().into(),
            middle: parts.into(),
            last: last.as_bytes().into(),
            shared: shared(before, last),
        }
    }
}

/// How much two parts with a `*` between them may share.
fn shared(before: &str, part: &str) -> usize {
    usize::from(before.ends_with('/') && part.starts_with('/'))
}

impl Part {
    fn of(text: &[u8], shared: usize) -> Self {
        let mut shorter = vec![0_u16; text.len() + 1];
        let mut length = 0;
        for (at, byte) in text.iter().enumerate().skip(1) {
            while length > 0 && text[length] != *byte {
                length = usize::from(shorter[length]);
            }
            length += usize::from(text[length] == *byte);
            // A pattern is shorter than MOST_BYTES.
            shorter[at + 1] = u16::try_from(length).unwrap_or_default();
        }
        Self { text: text.into(), shorter: shorter.into(), shared }
    }

    /// Where the first place of the part ends, if the part before it ended at `from`.
    fn find(&self, action: &[u8], from: usize) -> Option<usize> {
        let from = from - self.shared;
        let mut length = 0;
        for (at, byte) in action.iter().enumerate().skip(from) {
            let byte = byte.to_ascii_lowercase();
            while length > 0 && self.text[length] != byte {
                length = usize::from(self.shorter[length]);
            }
            length += usize::from(self.text[length] == byte);
            if length == self.text.len() {
                return Some(at + 1);
            }
        }
        None
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({:?})", self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, action: &str) -> bool {
        Pattern::parse(pattern).unwrap().matches(action)
    }

    #[test]
    fn star_matches_any_text_across_slashes() {
        for (pattern, action) in [
            ("*", "Microsoft.Compute/images/read"),
            ("*/read", "Microsoft.Compute/galleries/images/versions/read"),
            ("Microsoft.Compute/*", "Microsoft.Compute/images/delete"),
            ("Microsoft.Authorization/*/Write", "microsoft.authorization/roleAssignments/write"),
            ("Microsoft.CostManagement/*/query/*", "Microsoft.CostManagement/a/b/query/c/action"),
            ("Microsoft.Compute/*s/*/action", "Microsoft.Compute/disks/beginGetAccess/action"),
            ("A/**/b", "a//b"),
            ("a/*", "a/"),
        ] {
            assert!(matches(pattern, action), "{pattern} {action}");
        }
    }

    #[test]
    fn pattern_must_match_the_whole_action() {
        for (pattern, action) in [
            ("Microsoft.Compute/images/read", "Microsoft.Compute/images/readAll"),
            ("Microsoft.Compute/*", "Microsoft.ComputeX/images/read"),
            ("*/read", "Microsoft.Compute/images/read/action"),
            ("a/*/b", "ab"),
            ("a/*/b", "a/c-b"),
            ("a/b*b", "a/b"),
            ("a/*bc*c", "a/bc"),
            ("a/*aab*", "a/ab"),
        ] {
            assert!(!matches(pattern, action), "{pattern} {action}");
        }
    }

    #[test]
    fn star_between_slashes_matches_a_single_slash() {
        let operator = "Microsoft.ManagedIdentity/userAssignedIdentities/*/assign/action";
        assert!(matches(
            operator,
            "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action"
        ));
        assert!(matches(
            operator,
            "Microsoft.ManagedIdentity/userAssignedIdentities/x/assign/action"
        ));
        assert!(
            matches("a/*/b/*/c/*/d", "a/b/c/d")
                && matches("a/*/*/b", "a/b")
                && matches("a/**/b", "a/b")
        );
        assert!(!matches("a/*/b/*/b", "a/b"));
        assert!(!matches("a/*/*/b", "ab"));
    }

    #[test]
    fn repeated_part_is_found_where_a_first_try_fails() {
        assert!(matches("x/*aab*c", "x/aaab-c"));
        assert!(matches("x/*ababac*", "x/abababac"));
        assert!(!matches("x/*ababac*", "x/ababab"));
    }

    #[test]
    fn text_that_is_no_action_is_rejected_with_the_reason() {
        for (text, why) in [
            ("", "must be '*'"),
            ("read", "must be '*'"),
            ("Microsoft.Compute/images read", "may only have"),
            ("Microsoft.Compute/{x}", "may only have"),
            ("ä/read", "may only have"),
            ("/read", "'/'"),
            ("Microsoft.Compute//read", "'/'"),
            ("Microsoft.Compute/", "'/'"),
            (&"a/".repeat(600), "1024"),
        ] {
            let error = Pattern::parse(text).unwrap_err();
            assert!(error.why.contains(why), "{error}");
            assert!(error.to_string().len() < 300, "{error}");
        }
    }
}
