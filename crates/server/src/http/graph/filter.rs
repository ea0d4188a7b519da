//! `$filter`, in the forms of az and PowerShell: conditions joined by `and`.

use access::principals::{Kind, Principal};
use arm::{ApiError, is};

/// A parsed filter. Without conditions, it keeps everything.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Filter(Vec<Condition>);

#[derive(Debug, PartialEq)]
struct Condition {
    field: Field,
    value: String,
    /// Whether the beginning suffices.
    is_start: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Field {
    AppId,
    /// The client id, or the display name of the only application that has it.
    Names,
    Id,
    DisplayName,
    Type,
    /// No application has any.
    IdentifierUris,
}

const FIELDS: [(&str, Field); 4] = [
    ("appId", Field::AppId),
    ("id", Field::Id),
    ("displayName", Field::DisplayName),
    ("servicePrincipalType", Field::Type),
];

impl Filter {
    /// Parses a filter.
    ///
    /// # Errors
    /// `Request_UnsupportedQuery`
    pub(super) fn parse(text: &str) -> Result<Self, ApiError> {
        terms(text)
            .into_iter()
            .map(|term| Condition::parse(term, text))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Whether it keeps one of all principals.
    pub(super) fn fits(&self, one: &Principal, all: &[Principal]) -> bool {
        self.0.iter().all(|condition| condition.fits(one, all))
    }
}

impl Condition {
    fn parse(term: &str, whole: &str) -> Result<Self, ApiError> {
        let equal = |field, value| Self { field, value, is_start: false };
        if let Some(value) = member(term, "servicePrincipalNames") {
            return Ok(equal(Field::Names, value));
        }
        if let Some(value) = member(term, "identifierUris") {
            return Ok(equal(Field::IdentifierUris, value));
        }
        if let Some(value) = start(term) {
            return Ok(Self { field: Field::DisplayName, value, is_start: true });
        }
        let compared = FIELDS.iter().find_map(|(name, field)| Some((*field, equals(term, name)?)));
        compared.map(|(field, value)| equal(field, value)).ok_or_else(|| {
            ApiError::bad_request(
                "Request_UnsupportedQuery",
                format!(
                    "The filter \"{whole}\" is not supported. Use servicePrincipalNames/any(c:c eq 'ID'), appId eq 'ID', id eq 'ID', displayName eq 'NAME', startswith(displayName,'NAME') or servicePrincipalType eq 'ManagedIdentity', joined by 'and'."
                ),
            )
        })
    }

    fn fits(&self, one: &Principal, all: &[Principal]) -> bool {
        let own = match self.field {
            Field::AppId => one.client_id.as_str(),
            Field::Names if is_only_one_named(one, all, &self.value) => return true,
            Field::Names => &one.client_id,
            Field::Id => &one.object_id,
            Field::DisplayName => &one.name,
            Field::Type => match one.kind {
                Kind::Application => "Application",
                Kind::ManagedIdentity(_) => "ManagedIdentity",
            },
            Field::IdentifierUris => return false,
        };
        if self.is_start {
            return own.to_lowercase().starts_with(&self.value.to_lowercase());
        }
        is(own, &self.value)
    }
}

/// Whether one is the only application with a name. An identity is not found by its name: whoever may create identities
/// could take the name of an application that does not exist yet.
fn is_only_one_named(one: &Principal, all: &[Principal], name: &str) -> bool {
    let is_named = |one: &&Principal| one.kind == Kind::Application && is(&one.name, name);
    is_named(&one) && all.iter().filter(is_named).count() == 1
}

/// The parts between ` and `, but not inside quotes.
fn terms(text: &str) -> Vec<&str> {
    let lower = text.to_ascii_lowercase();
    let (mut parts, mut start, mut is_quoted) = (Vec::new(), 0, false);
    for (at, c) in text.char_indices() {
        is_quoted ^= c == '\'';
        if !is_quoted && at >= start && lower[at..].starts_with(" and ") {
            parts.push(text[start..at].trim());
            start = at + " and ".len();
        }
    }
    parts.push(text[start..].trim());
    parts
}

/// The value of `LIST/any(c:c eq 'VALUE')`. The variable has another name with each client.
fn member(text: &str, list: &str) -> Option<String> {
    let head = format!("{list}/any(");
    let found = text.get(..head.len()).filter(|found| is(found, &head))?;
    let (variable, condition) = text[found.len()..].strip_suffix(')')?.split_once(':')?;
    equals(condition.trim(), variable.trim())
}

/// The value of `startswith(displayName,'VALUE')`.
fn start(text: &str) -> Option<String> {
    const HEAD: &str = "startswith(";
    let found = text.get(..HEAD.len()).filter(|found| is(found, HEAD))?;
    let (field, value) = text[found.len()..].strip_suffix(')')?.split_once(',')?;
    is(field.trim(), "displayName").then(|| quoted(value))?
}

/// The value of `FIELD eq 'VALUE'`.
fn equals(text: &str, field: &str) -> Option<String> {
    let (own, rest) = text.split_once(' ')?;
    let (operator, value) = rest.trim_start().split_once(' ')?;
    if !is(own, field) || !is(operator, "eq") {
        return None;
    }
    quoted(value)
}

fn quoted(text: &str) -> Option<String> {
    let value = text.trim().strip_prefix('\'')?.strip_suffix('\'')?;
    let ends_early = value.replace("''", "").contains('\'');
    (!ends_early).then(|| value.replace("''", "'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conditions(text: &str) -> Result<Vec<(Field, String, bool)>, String> {
        let parsed = Filter::parse(text).map_err(|error| error.code)?;
        Ok(parsed.0.into_iter().map(|one| (one.field, one.value, one.is_start)).collect())
    }

    #[test]
    fn filters_of_clients_are_parsed() {
        for (text, field, value, is_start) in [
            ("servicePrincipalNames/any(c:c eq 'ID')", Field::Names, "ID", false),
            ("servicePrincipalNames/any(c: c eq 'ID')", Field::Names, "ID", false),
            ("identifierUris/any(s:s eq 'api://x')", Field::IdentifierUris, "api://x", false),
            ("APPID eq 'ID'", Field::AppId, "ID", false),
            ("displayName eq 'it''s and that'", Field::DisplayName, "it's and that", false),
            ("startswith(displayName,'a, b')", Field::DisplayName, "a, b", true),
            ("servicePrincipalType eq 'Application'", Field::Type, "Application", false),
        ] {
            assert_eq!(conditions(text).unwrap(), [(field, value.to_owned(), is_start)], "{text}");
        }
        assert_eq!(conditions("appId eq 'x' and id eq 'y'").unwrap().len(), 2);
    }

    #[test]
    fn name_of_one_application_is_a_name_of_its_service_principal() {
        let principal = |id: &str, name: &str, kind: Kind| Principal {
            object_id: format!("o-{id}"),
            client_id: id.to_owned(),
            name: name.to_owned(),
            created: jiff::Timestamp::UNIX_EPOCH,
            kind,
        };
        let identity = Kind::ManagedIdentity("/i".to_owned());
        let all = [
            principal("1", "ci", Kind::Application),
            principal("2", "two", Kind::Application),
            principal("3", "TWO", Kind::Application),
            principal("4", "ci", identity),
        ];
        let found = |name: &str| -> Vec<&str> {
            let filter = Filter::parse(&format!("servicePrincipalNames/any(c:c eq '{name}')"));
            let filter = filter.unwrap();
            all.iter().filter(|one| filter.fits(one, &all)).map(|one| &*one.client_id).collect()
        };
        assert_eq!(found("CI"), ["1"]);
        assert_eq!(found("two"), Vec::<&str>::new());
        assert_eq!(found("4"), ["4"]);
    }

    #[test]
    fn unsupported_filter_is_rejected() {
        for bad in [
            "",
            "appId ne 'x'",
            "appId eq 'x",
            "appIdeq 'x'",
            "appId eq 'x' or id eq 'y'",
            "appId eq 'x' and ",
            "startswith(appId,'a')",
            "servicePrincipalNames/any(c:d eq 'x')",
            "servicePrincipalNames/any(c:c eq 'x'",
        ] {
            assert_eq!(conditions(bad).unwrap_err(), "Request_UnsupportedQuery", "{bad}");
        }
    }
}
