//! Roles: which actions they permit.

use crate::{Condition, Pattern, Wanted};

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
    /// When it counts; always if absent. Assignments of the role can have a further condition.
    pub condition: Option<Condition>,
}

impl Permission {
    /// Whether it permits this.
    pub fn permits(&self, wanted: &Wanted) -> bool {
        let (some, except) = match wanted {
            Wanted::Action(_) => (&self.actions, &self.not_actions),
            Wanted::Data(_) => (&self.data_actions, &self.not_data_actions),
        };
        let any = |patterns: &[Pattern]| patterns.iter().any(|one| one.matches(wanted.name()));
        let holds = || self.condition.as_ref().is_none_or(|only| only.holds(wanted));
        any(some) && !any(except) && holds()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn condition_of_a_permission_limits_only_this_permission() {
        let patterns = |text: &str| vec![Pattern::parse(text).unwrap()];
        let limited = Permission {
            actions: patterns("*"),
            condition: Some(Condition::parse(
                "!(ActionMatches{'*/write'}) OR (@Request[x] StringEquals 'a')",
            )),
            ..Permission::default()
        };
        let free = Permission { actions: patterns("b/write"), ..Permission::default() };
        let role =
            Role { id: String::new(), name: String::new(), permissions: vec![limited, free] };
        let permits = |action| role.permits(&Wanted::action(action));
        assert!(permits("a/read") && permits("b/write"));
        assert!(!permits("a/write"));
    }
}
