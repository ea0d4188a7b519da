//! Conditions of assignments.
//!
//! Of a condition's text only the action is known here: what it compares of the request or of the resource is not. So the
//! text is evaluated with three values, and a grant counts only if the condition is certainly true:
//!
//! ```text
//! ((!(ActionMatches{'Microsoft.Authorization/roleAssignments/write'})) OR (@Request[…] ForAnyOfAnyValues:GuidEquals {…}))
//! ```
//!
//! holds for every action except the one that it names.

mod read;
mod words;

use crate::{Pattern, Wanted};

/// The condition of an assignment. What cannot be decided from the action alone grants nothing.
///
/// Source: Azure RBAC documentation, "Azure role assignment condition format and syntax".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    text: String,
    /// `None` if the text cannot be read.
    test: Option<Test>,
}

/// A condition as a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    /// `ActionMatches{'…'}`
    Action(Pattern),
    /// A comparison of what is not known.
    Unknown,
    Not(Box<Test>),
    All(Vec<Test>),
    Any(Vec<Test>),
}

impl Condition {
    /// Reads a condition. There are no errors: a text that cannot be read holds for no action.
    pub fn parse(text: &str) -> Self {
        Self { text: text.to_owned(), test: read::test(text) }
    }

    /// The text as it was given.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether the text could be read. If not, the assignment grants nothing.
    pub fn is_readable(&self) -> bool {
        self.test.is_some()
    }

    /// Whether the condition certainly holds for an action, so that its grant counts.
    pub fn holds(&self, wanted: &Wanted) -> bool {
        self.test.as_ref().and_then(|test| test.value(wanted.name())) == Some(true)
    }
}

impl Test {
    /// `None` if it depends on what is not known.
    fn value(&self, action: &str) -> Option<bool> {
        match self {
            Self::Action(pattern) => Some(pattern.matches(action)),
            Self::Unknown => None,
            Self::Not(test) => test.value(action).map(|value| !value),
            Self::All(tests) => decided(tests, action, false),
            Self::Any(tests) => decided(tests, action, true),
        }
    }
}

/// The value of several tests of which one with the value `by` decides.
fn decided(tests: &[Test], action: &str, by: bool) -> Option<bool> {
    let mut all = Some(!by);
    for test in tests {
        match test.value(action) {
            Some(value) if value == by => return Some(by),
            Some(_) => {}
            None => all = None,
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRITE: &str = "Microsoft.Authorization/roleAssignments/write";
    const DELETE: &str = "Microsoft.Authorization/roleAssignments/delete";
    const BLOB_READ: &str = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read";

    fn holds(text: &str, action: &'static str) -> bool {
        Condition::parse(text).holds(&Wanted::action(action))
    }

    #[test]
    fn condition_of_azures_form_stops_only_the_actions_that_it_names() {
        let text = "((!(ActionMatches{'Microsoft.Authorization/roleAssignments/write'})) OR \
            (@Request[Microsoft.Authorization/roleAssignments:RoleDefinitionId] ForAnyOfAnyValues:GuidEquals\
            {acdd72a7-3385-48ef-bd42-f606fba81ae7})) AND ((!(ActionMatches{'Microsoft.Authorization/roleAssignments/delete'})) \
            OR (@Resource[Microsoft.Authorization/roleAssignments:RoleDefinitionId] ForAnyOfAnyValues:GuidEquals\
            {acdd72a7-3385-48ef-bd42-f606fba81ae7}))";
        assert!(Condition::parse(text).is_readable());
        assert!(!holds(text, WRITE) && !holds(text, DELETE));
        assert!(holds(text, "Microsoft.Authorization/roleAssignments/read"));
    }

    #[test]
    fn condition_on_a_suboperation_stops_the_whole_action() {
        let text = "(\n (\n  !(ActionMatches{'Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read'} AND \
            NOT SubOperationMatches{'Blob.List'})\n )\n OR\n (\n  @Resource[Microsoft.Storage/storageAccounts/blobServices/\
            containers/blobs/tags:Project<$key_case_sensitive$>] StringEquals 'Cascade'\n )\n)";
        assert!(Condition::parse(text).is_readable());
        assert!(!holds(text, BLOB_READ));
        assert!(holds(text, WRITE));
    }

    #[test]
    fn condition_without_actions_stops_everything() {
        for text in [
            "@Resource[Microsoft.Storage/storageAccounts:name] StringEquals 'a'",
            "@Environment[UtcNow] DateTimeGreaterThan '2026-01-01T00:00:00Z' AND Exists @Request[x]",
            "!(@Request[x] StringEquals 'a OR b')",
            "ActionMatches{'*'} AND @Request[x] StringEquals 'a'",
        ] {
            assert!(Condition::parse(text).is_readable(), "{text}");
            assert!(!holds(text, WRITE), "{text}");
        }
    }

    #[test]
    fn condition_on_actions_alone_is_decided() {
        assert!(holds("ActionMatches{'*/write'}", WRITE));
        assert!(!holds("ActionMatches{'*/write'}", DELETE));
        assert!(holds("NOT ActionMatches{'*/write'} && !ActionMatches{'*/read'}", DELETE));
        assert!(holds("ActionMatches{'*/write'} || @Request[x] StringEquals 'a'", WRITE));
    }

    #[test]
    fn text_that_cannot_be_read_stops_everything() {
        let deep = format!("{}ActionMatches{{'*'}}{}", "(".repeat(5000), ")".repeat(5000));
        let long = "ActionMatches{'*'}".to_owned() + &" ".repeat(10_000);
        for text in [
            "",
            "()",
            "(",
            ")",
            "!",
            "AND",
            "ActionMatches",
            "ActionMatches{}",
            "ActionMatches{'a b/c'}",
            "ActionMatches{'*'",
            "ActionMatches{'*'} extra",
            "ActionMatches{'*', '*'}",
            "ActionMatches{'*'} OR",
            "(ActionMatches{'*'}",
            "ActionMatches{'*'})",
            "ActionMatches{'*'} OR 'x",
            "x 'a\\' OR ActionMatches{'*'}",
            // Azure demands parentheses here.
            "ActionMatches{'*'} OR ActionMatches{'*'} AND ActionMatches{'*'}",
            &deep,
            &long,
        ] {
            let condition = Condition::parse(text);
            assert!(!condition.is_readable() && !condition.holds(&Wanted::action(WRITE)), "{text}");
            assert_eq!(condition.text(), text);
        }
    }
}
