//! Scopes: where a right holds.

use std::{fmt, sync::Arc};

/// Where a right holds: the root of the tenant, a subscription, a resource group, a resource, or a part of one, such as a
/// container of blobs. Equal and ordered without case, trailing slashes and repeated slashes; a scope comes directly before
/// the scopes below it.
///
/// Source: Azure RBAC documentation, "Understand scope".
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope(Arc<str>);

// The text has a slash at its end, the root is "/". So one scope contains another if its text begins the other's, and in
// the order of texts a scope's descendants follow it without a gap.
impl Scope {
    /// The scope of an id in any spelling. `""` and `"/"` are the root.
    pub fn parse(id: &str) -> Self {
        let mut text = String::with_capacity(id.len() + 2);
        text.push('/');
        for segment in id.split('/').filter(|segment| !segment.is_empty()) {
            text.push_str(segment);
            text.push('/');
        }
        Self(text.to_lowercase().into())
    }

    /// The root of the tenant, which contains every scope.
    pub fn root() -> Self {
        Self("/".into())
    }

    /// The id in lower case, without a slash at its end; `""` for the root.
    pub fn as_str(&self) -> &str {
        self.0.strip_suffix('/').unwrap_or_default()
    }

    /// The scope itself, then every scope above it, the root (`""`) last.
    pub fn above(&self) -> impl Iterator<Item = &str> {
        self.keys().map(|key| key.strip_suffix('/').unwrap_or_default())
    }

    /// Whether the other scope is this one or below it.
    pub fn contains(&self, other: &Self) -> bool {
        other.0.starts_with(&*self.0)
    }

    /// The parts of the name of the scope's type: of a resource group `Microsoft.Resources`, `subscriptions` and
    /// `resourceGroups`, in lower case.
    pub(crate) fn kind(&self) -> impl Iterator<Item = &str> {
        let pairs =
            || self.as_str().split('/').skip(1).zip(self.as_str().split('/').skip(2)).step_by(2);
        let provider = pairs().enumerate().filter(|(_, (kind, _))| *kind == "providers").last();
        let (skip, namespace) =
            provider.map_or((0, "microsoft.resources"), |(at, (_, namespace))| (at + 1, namespace));
        [namespace].into_iter().chain(pairs().skip(skip).map(|(kind, _)| kind))
    }

    /// The text that maps by scope have as their key.
    pub(crate) fn key(&self) -> &Arc<str> {
        &self.0
    }

    /// The keys of the scope itself and of those above it, the root last.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.rmatch_indices('/').map(|(at, _)| &self.0[..=at])
    }

    /// The scope of a key.
    pub(crate) fn of_key(key: &Arc<str>) -> Self {
        Self(Arc::clone(key))
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scope({:?})", self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_an_id_are_one_scope() {
        let scope = Scope::parse("/subscriptions/s/resourcegroups/rg");
        for id in [
            "/Subscriptions/S/resourceGroups/RG",
            "/subscriptions/s/resourceGroups/rg/",
            "//subscriptions//s/resourcegroups/rg//",
            "subscriptions/s/resourcegroups/rg",
        ] {
            assert_eq!(Scope::parse(id), scope, "{id}");
        }
        assert_eq!(scope.as_str(), "/subscriptions/s/resourcegroups/rg");
        assert_eq!(Scope::parse("/"), Scope::root());
        assert_eq!((Scope::parse("").as_str(), Scope::root().as_str()), ("", ""));
    }

    #[test]
    fn scopes_above_begin_with_the_scope_itself_and_end_with_the_root() {
        let scope = Scope::parse("/subscriptions/s/resourceGroups");
        let above: Vec<&str> = scope.above().collect();
        assert_eq!(
            above,
            ["/subscriptions/s/resourcegroups", "/subscriptions/s", "/subscriptions", ""]
        );
        assert_eq!(Scope::root().above().collect::<Vec<_>>(), [""]);
    }

    #[test]
    fn kind_is_the_type_of_the_resource_that_the_scope_names() {
        for (id, kind) in [
            ("/subscriptions/s", "microsoft.resources/subscriptions"),
            (
                "/subscriptions/s/resourceGroups/g",
                "microsoft.resources/subscriptions/resourcegroups",
            ),
            ("/subscriptions/s/resourceGroups/g/providers/A.B/c/d/e/f", "a.b/c/e"),
            ("/subscriptions/s/resourceGroups/providers/providers/A.B/c/providers", "a.b/c"),
            ("/subscriptions/s/providers/A.B/c/d/providers/E.F/g/h", "e.f/g"),
            ("/providers/A.B/c/d", "a.b/c"),
        ] {
            assert_eq!(Scope::parse(id).kind().collect::<Vec<_>>().join("/"), kind, "{id}");
        }
    }

    #[test]
    fn scope_contains_itself_and_whole_segments_below() {
        let group = Scope::parse("/subscriptions/s/resourceGroups/rg1");
        let contains = |id: &str| group.contains(&Scope::parse(id));
        assert!(contains("/subscriptions/s/resourcegroups/RG1"));
        assert!(contains("/subscriptions/s/resourcegroups/rg1/providers/a/b/c"));
        assert!(!contains("/subscriptions/s/resourcegroups/rg10"));
        assert!(!contains("/subscriptions/s"));
        assert!(Scope::root().contains(&group) && Scope::root().contains(&Scope::root()));
    }
}
