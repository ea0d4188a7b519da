//! Parsed ARM paths: `/subscriptions/{id}/resourceGroups/{name}/providers/{namespace}/{type}/{name}/…`.
//!
//! Comparisons of keywords, namespaces, types and names ignore case, but the client's spelling remains.
//! Repeated and trailing slashes are ignored.

/// A parsed path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    /// The whole path, percent-decoded, without repeated and trailing slashes.
    pub text: String,
    /// The part before `providers`.
    pub scope: Scope,
    /// The provider namespace: the segment after `providers`.
    pub namespace: Option<String>,
    /// The parts after the namespace, or after the scope if there is no namespace: `imageTemplates`, `t`, `run`.
    pub rest: Vec<String>,
}

/// A level of the hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// No subscription.
    Tenant,
    /// `/subscriptions/{id}`.
    Subscription(String),
    /// `/subscriptions/{id}/resourceGroups/{name}`.
    Group(String, String),
}

impl Scope {
    /// The subscription's id, if any.
    pub fn subscription(&self) -> Option<&str> {
        match self {
            Self::Tenant => None,
            Self::Subscription(id) | Self::Group(id, _) => Some(id),
        }
    }

    /// The group's name, if any.
    pub fn group(&self) -> Option<&str> {
        match self {
            Self::Tenant | Self::Subscription(_) => None,
            Self::Group(_, name) => Some(name),
        }
    }
}

impl Path {
    /// Parses any path. The routes decide whether it leads anywhere.
    pub fn parse(raw: &str) -> Self {
        Self::of_decoded(&percent_encoding::percent_decode_str(raw).decode_utf8_lossy())
    }

    /// The path without its last part, such as the name of an action.
    pub(crate) fn without_last(&self) -> Self {
        // Decoding again would change `%41` in a name.
        Self::of_decoded(self.text.rsplit_once('/').map_or("", |(text, _)| text))
    }

    fn of_decoded(decoded: &str) -> Self {
        let segments: Vec<&str> = decoded.split('/').filter(|part| !part.is_empty()).collect();
        let text = format!("/{}", segments.join("/"));
        let owned = |part: &str| part.to_owned();
        let (scope, rest) = match segments.as_slice() {
            [s, id, g, group, rest @ ..] if is(s, "subscriptions") && is(g, "resourceGroups") => {
                (Scope::Group(owned(id), owned(group)), rest)
            }
            [s, id, rest @ ..] if is(s, "subscriptions") => (Scope::Subscription(owned(id)), rest),
            rest => (Scope::Tenant, rest),
        };
        let (namespace, rest) = match rest {
            [p, namespace, rest @ ..] if is(p, "providers") => (Some(owned(namespace)), rest),
            rest => (None, rest),
        };
        Self { text, scope, namespace, rest: rest.iter().map(|part| owned(part)).collect() }
    }

    /// Whether the namespace is this one.
    pub fn in_namespace(&self, namespace: &str) -> bool {
        self.namespace.as_deref().is_some_and(|own| is(own, namespace))
    }

    /// The types in lower case, outermost first: `galleries/images` for `galleries/g/images[/d]`.
    pub fn types(&self) -> String {
        let types: Vec<_> = self.rest.iter().step_by(2).map(|part| part.to_lowercase()).collect();
        types.join("/")
    }

    /// The names, outermost first.
    pub fn names(&self) -> Vec<&str> {
        self.rest.iter().skip(1).step_by(2).map(String::as_str).collect()
    }

    /// Whether it ends in a type, not in a name.
    pub fn is_collection(&self) -> bool {
        self.rest.len() % 2 == 1
    }
}

/// Whether two identifiers are equal, ignoring case.
pub fn is(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_is_decoded_once() {
        let path = Path::parse("/subscriptions/s/resourceGroups/g/providers/N/types/x%2541/run");
        assert_eq!(path.rest, ["types", "x%41", "run"]);
        assert_eq!(path.without_last().names(), ["x%41"]);
        assert_eq!(path.without_last().scope, path.scope);
    }

    #[test]
    fn case_and_repeated_slashes_are_ignored() {
        let path = Path::parse(
            "/Subscriptions/S/resourcegroups/Rg/providers/microsoft.compute//Galleries/g/images/d/",
        );
        assert_eq!(path.scope, Scope::Group("S".into(), "Rg".into()));
        assert!(path.in_namespace("Microsoft.Compute"));
        assert_eq!(path.types(), "galleries/images");
        assert_eq!(path.names(), ["g", "d"]);
        assert!(!path.is_collection());
    }

    #[test]
    fn path_ending_in_type_is_collection() {
        let path = Path::parse("/subscriptions/S/providers/Microsoft.Compute/galleries");
        assert_eq!(path.scope, Scope::Subscription("S".into()));
        assert!(path.is_collection());
        assert_eq!(path.names(), Vec::<&str>::new());
    }
}
