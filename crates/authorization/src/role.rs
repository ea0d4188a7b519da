//! Roles: which actions they permit.

use crate::{Pattern, Wanted};

/// Actions and data actions that a role permits, and the exceptions of each. The exceptions are not denials: another role
/// can permit the same action.
///
/// Source: Azure RBAC documentation, "Understand Azure role definitions".
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Permission {
    /// The permitted actions.
    pub actions: Vec<Pattern>,
    /// The exceptions of `actions`.
    pub not_actions: Vec<Pattern>,
    /// The permitted data actions.
    pub data_actions: Vec<Pattern>,
    /// The exceptions of `data_actions`.
    pub not_data_actions: Vec<Pattern>,
}

impl Permission {
    /// Whether it permits this.
    pub fn permits(&self, wanted: &Wanted) -> bool {
        let (some, except) = match wanted {
            Wanted::Action(_) => (&self.actions, &self.not_actions),
            Wanted::Data(_) => (&self.data_actions, &self.not_data_actions),
        };
        let any = |patterns: &[Pattern]| patterns.iter().any(|one| one.matches(wanted.name()));
        any(some) && !any(except)
    }
}

/// A role, built in or a client's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// The GUID that names its definition, in lower case.
    pub id: String,
    /// Its display name.
    pub name: String,
    /// What it permits: what one of these does.
    pub permissions: Vec<Permission>,
}

impl Role {
    /// Whether one of its permissions permits this.
    pub fn permits(&self, wanted: &Wanted) -> bool {
        self.permissions.iter().any(|permission| permission.permits(wanted))
    }
}
