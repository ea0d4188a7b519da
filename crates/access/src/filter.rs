//! `$filter` of lists of roles, assignments and locks: functions of the scope beside comparisons.

use arm::{ApiError, Call, Filter};

/// A parsed filter.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Scoped {
    /// The names of functions without arguments, in lower case: `atscope`.
    functions: Vec<String>,
    /// The argument of `assignedTo('…')`.
    pub(crate) assigned_to: Option<String>,
    /// The comparisons.
    pub(crate) comparisons: Filter,
}

impl Scoped {
    /// The filter of a request, which may call these functions (in lower case) and compare these fields.
    ///
    /// # Errors
    /// `InvalidFilterInQueryString`
    pub(crate) fn of(
        call: &Call,
        functions: &[&str],
        fields: &[&'static str],
    ) -> Result<Self, ApiError> {
        let text = call.query.get("$filter").map(String::as_str).unwrap_or_default();
        Self::parse(text, functions, fields)
    }

    fn parse(text: &str, known: &[&str], fields: &[&'static str]) -> Result<Self, ApiError> {
        let mut parsed = Self::default();
        let mut comparisons = Vec::new();
        for term in terms(text) {
            let lower = term.to_lowercase();
            match lower.strip_suffix("()").map(str::trim) {
                Some(name) if known.contains(&name) => parsed.functions.push(name.to_owned()),
                _ => match assigned_to(term) {
                    Some(principal) if known.contains(&"assignedto") => {
                        parsed.assigned_to = Some(principal.to_owned());
                    }
                    _ => comparisons.push(term),
                },
            }
        }
        parsed.comparisons = Filter::parse(&comparisons.join(" and "), fields)?;
        Ok(parsed)
    }

    /// Whether it calls a function.
    pub(crate) fn has(&self, function: &str) -> bool {
        self.functions.iter().any(|own| own == function)
    }
}

/// The parts between ` and `, but not inside quotes.
fn terms(text: &str) -> impl Iterator<Item = &str> {
    let lower = text.to_ascii_lowercase();
    let (mut parts, mut start, mut is_quoted) = (Vec::new(), 0, false);
    for (at, c) in text.char_indices() {
        is_quoted ^= c == '\'';
        if !is_quoted && at >= start && lower[at..].starts_with(" and ") {
            parts.push(&text[start..at]);
            start = at + " and ".len();
        }
    }
    parts.push(&text[start..]);
    parts.into_iter().map(str::trim).filter(|part| !part.is_empty())
}

/// The argument of `assignedTo('…')`.
fn assigned_to(term: &str) -> Option<&str> {
    const NAME: &str = "assignedto(";
    let name = term.get(..NAME.len()).filter(|start| start.eq_ignore_ascii_case(NAME))?;
    let argument = term[name.len()..].strip_suffix(')')?.trim();
    argument.strip_prefix('\'')?.strip_suffix('\'').filter(|text| !text.contains('\''))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Scoped, String> {
        let parsed = Scoped::parse(text, &["atscope", "assignedto"], &["principalId"]);
        parsed.map_err(|error| error.code)
    }

    #[test]
    fn functions_and_comparisons_are_combined_in_any_order() {
        for text in ["atScope() and assignedTo('x')", "assignedTo( 'x' ) AND ATSCOPE()"] {
            let parsed = parse(text).unwrap();
            assert!(parsed.has("atscope"), "{text}");
            assert_eq!(parsed.assigned_to.as_deref(), Some("x"), "{text}");
        }
        let parsed = parse("principalId eq 'a and b'").unwrap();
        assert_eq!(parsed.comparisons.get("principalId"), Some("a and b"));
        assert_eq!(parse(" ").unwrap(), Scoped::default());
    }

    #[test]
    fn unknown_function_or_field_is_rejected() {
        for text in ["atScopeAndBelow()", "assignedTo(x)", "assignedTo('x'", "roleName eq 'x'"] {
            assert_eq!(parse(text).unwrap_err(), "InvalidFilterInQueryString", "{text}");
        }
    }
}
