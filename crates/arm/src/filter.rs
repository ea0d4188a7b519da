//! `$filter` of ARM's lists of resources and groups: comparisons with `eq`, joined by `and`. Other parts of OData are
//! rejected rather than ignored, because ignoring a filter would return too many resources.

use crate::{ApiError, is};

/// A parsed filter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    terms: Vec<(&'static str, String)>,
}

impl Filter {
    /// Parses a filter that may compare these fields. An empty filter matches everything.
    ///
    /// # Errors
    /// `InvalidFilterInQueryString`
    pub fn parse(text: &str, fields: &[&'static str]) -> Result<Self, ApiError> {
        let wrong = |why: &str| {
            ApiError::bad_request(
                "InvalidFilterInQueryString",
                format!(
                    "Invalid $filter '{text}' specified in the query string: {why}. It may contain comparisons such as {} eq 'value', joined by 'and', of the fields {}.",
                    fields.first().copied().unwrap_or("name"),
                    fields.join(", ")
                ),
            )
            .target("$filter")
        };
        let mut terms = Vec::new();
        let mut rest = text.trim();
        while !rest.is_empty() {
            let (field, after) = word(rest).ok_or_else(|| wrong("a field is missing"))?;
            let field = fields.iter().find(|known| is(known, field));
            let field = field.ok_or_else(|| wrong("it compares an unsupported field"))?;
            let (operator, after) = word(after).ok_or_else(|| wrong("an operator is missing"))?;
            if !is(operator, "eq") {
                return Err(wrong("only the operator 'eq' is supported"));
            }
            let (value, after) =
                quoted(after).ok_or_else(|| wrong("a value in quotes is missing"))?;
            terms.push((*field, value));
            rest = match word(after) {
                None if after.trim().is_empty() => "",
                Some((and, after)) if is(and, "and") && !after.trim().is_empty() => after.trim(),
                _ => return Err(wrong("only 'and' may follow a comparison")),
            };
        }
        Ok(Self { terms })
    }

    /// The required value of a field, if any.
    pub fn get(&self, field: &str) -> Option<&str> {
        self.terms.iter().find(|(own, _)| is(own, field)).map(|(_, value)| value.as_str())
    }

    /// Whether a value meets every comparison of that field, ignoring case.
    pub fn allows(&self, field: &str, value: &str) -> bool {
        let mut terms = self.terms.iter().filter(|(own, _)| is(own, field));
        terms.all(|(_, wanted)| wanted.to_lowercase() == value.to_lowercase())
    }
}

fn word(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start();
    let end = text.find(|c: char| c.is_whitespace() || c == '\'').unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// A quoted string; `''` stands for a quote.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut rest = text.trim_start().strip_prefix('\'')?;
    loop {
        let (part, after) = rest.split_once('\'')?;
        value.push_str(part);
        let Some(more) = after.strip_prefix('\'') else { return Some((value, after)) };
        value.push('\'');
        rest = more;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELDS: &[&str] = &["tagName", "tagValue", "name"];

    #[test]
    fn comparisons_joined_by_and_are_parsed() {
        let filter = Filter::parse("tagname eq 'a' and TagValue eq 'it''s b'", FIELDS).unwrap();
        assert_eq!(filter.get("tagName"), Some("a"));
        assert_eq!(filter.get("tagValue"), Some("it's b"));
        assert!(filter.allows("name", "anything"));
        assert!(filter.allows("tagName", "A"));
        assert!(!filter.allows("tagName", "b"));
        assert_eq!(Filter::parse("  ", FIELDS).unwrap(), Filter::default());
    }

    #[test]
    fn unsupported_filter_is_rejected() {
        for text in [
            "location eq 'x'",
            "name ne 'x'",
            "name eq x",
            "name eq 'x",
            "name eq 'x' or name eq 'y'",
            "name eq 'x' and",
            "name",
            "substringof('x', name)",
        ] {
            let error = Filter::parse(text, FIELDS).unwrap_err();
            assert_eq!(error.code, "InvalidFilterInQueryString", "{text}");
            assert!(error.message.contains(text), "{}", error.message);
        }
    }
}
