//! The actions that a resource type declares: what roles grant and deny.

use crate::is;

/// The actions on a type of resource, by Azure's names: `{Provider}/{type}/{read|write|delete|verb/action}`. Made by
/// [`actions!`](crate::actions).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Actions {
    /// Namespace and types, such as `Microsoft.Compute/galleries/images`.
    pub kind: &'static str,
    /// GET, HEAD and lists.
    pub read: &'static str,
    /// PUT and PATCH.
    pub write: &'static str,
    /// DELETE.
    pub delete: &'static str,
    /// The verbs that clients POST.
    pub verbs: &'static [Verb],
}

/// A verb that clients POST, and its action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verb {
    /// The last part of the path, in Azure's spelling: `listKeys`.
    pub name: &'static str,
    /// The whole action: `Microsoft.Storage/storageAccounts/listKeys/action`.
    pub action: &'static str,
}

impl Actions {
    /// The declared verb of a name, ignoring case.
    pub fn verb(&self, name: &str) -> Option<&'static Verb> {
        self.verbs.iter().find(|verb| is(verb.name, name))
    }

    /// Every action.
    pub fn all(&self) -> impl Iterator<Item = &'static str> {
        [self.read, self.write, self.delete]
            .into_iter()
            .chain(self.verbs.iter().map(|verb| verb.action))
    }
}

/// The [`Actions`] of a type: its name, then the verbs that clients may POST to a resource of it.
///
/// ```
/// const ACTIONS: arm::Actions = arm::actions!("Example.Lab/widgets", "polish");
/// assert_eq!(ACTIONS.write, "Example.Lab/widgets/write");
/// assert_eq!(ACTIONS.verbs[0].action, "Example.Lab/widgets/polish/action");
/// ```
#[macro_export]
macro_rules! actions {
    ($kind:literal $(, $verb:literal)* $(,)?) => {
        $crate::Actions {
            kind: $kind,
            read: concat!($kind, "/read"),
            write: concat!($kind, "/write"),
            delete: concat!($kind, "/delete"),
            verbs: &[$($crate::Verb {
                name: $verb,
                action: concat!($kind, "/", $verb, "/action"),
            }),*],
        }
    };
}
