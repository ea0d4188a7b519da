//! ARM paths, taken apart: `/subscriptions/{id}/resourceGroups/{name}/providers/{namespace}/{type}/{name}/…`.
//!
//! Keywords, namespaces, types and names are compared without case; the caller's spelling is kept.
//! Doubled slashes and one at the end are no difference.

/// What a path is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    /// As it came, percent-decoded, slashes collapsed.
    pub text: String,
    /// The part before `providers`.
    pub scope: Scope,
    /// Provider namespace, if there is a `providers` segment with one after it.
    pub namespace: Option<String>,
    /// What follows the namespace (or the scope, where there is none): `imageTemplates`, `t`, `run`.
    pub rest: Vec<String>,
}

/// Where in the hierarchy.
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
    /// Takes a request's path apart. Every text is a path; whether it leads anywhere is for the
    /// routes to say.
    pub fn parse(raw: &str) -> Self {
        Self::of_decoded(&percent_encoding::percent_decode_str(raw).decode_utf8_lossy())
    }

    /// The path without its last part, which is an action's name.
    pub(crate) fn without_last(&self) -> Self {
        // Decoding what is decoded would turn `%41` in a name into another name.
        Self::of_decoded(self.text.rsplit_once('/').map_or("", |(text, _)| text))
    }

    fn of_decoded(decoded: &str) -> Self {
        let segments: Vec<&str> = decoded.split('/').filter(|part| !part.is_empty()).collect();
        let text = format!("/{}", segments.join("/"));
        let own = |part: &str| part.to_owned();
        let (scope, rest) = match segments.as_slice() {
            [s, id, g, group, rest @ ..] if is(s, "subscriptions") && is(g, "resourceGroups") => {
                (Scope::Group(own(id), own(group)), rest)
            }
            [s, id, rest @ ..] if is(s, "subscriptions") => (Scope::Subscription(own(id)), rest),
            rest => (Scope::Tenant, rest),
        };
        let (namespace, rest) = match rest {
            [p, namespace, rest @ ..] if is(p, "providers") => (Some(own(namespace)), rest),
            rest => (None, rest),
        };
        Self { text, scope, namespace, rest: rest.iter().map(|part| own(part)).collect() }
    }

    /// Whether the namespace is this one.
    pub fn in_namespace(&self, namespace: &str) -> bool {
        self.namespace.as_deref().is_some_and(|own| is(own, namespace))
    }

    /// Types from the outside in, in lower case: `galleries/images` for `galleries/g/images[/d]`.
    pub fn types(&self) -> String {
        let types: Vec<_> = self.rest.iter().step_by(2).map(|part| part.to_lowercase()).collect();
        types.join("/")
    }

    /// Names from the outside in.
    pub fn names(&self) -> Vec<&str> {
        self.rest.iter().skip(1).step_by(2).map(String::as_str).collect()
    }

    /// Whether it ends in a type and not in a name.
    pub fn is_collection(&self) -> bool {
        self.rest.len() % 2 == 1
    }
}

/// Equal but for case.
pub fn is(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_decoded_once() {
        let path = Path::parse("/subscriptions/s/resourceGroups/g/providers/N/types/x%2541/run");
        assert_eq!(path.rest, ["types", "x%41", "run"]);
        assert_eq!(path.without_last().names(), ["x%41"]);
        assert_eq!(path.without_last().scope, path.scope);
    }

    #[test]
    fn case_and_doubled_slashes_make_no_difference() {
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
    fn a_collection_ends_in_a_type() {
        let path = Path::parse("/subscriptions/S/providers/Microsoft.Compute/galleries");
        assert_eq!(path.scope, Scope::Subscription("S".into()));
        assert!(path.is_collection());
        assert_eq!(path.names(), Vec::<&str>::new());
    }
}
