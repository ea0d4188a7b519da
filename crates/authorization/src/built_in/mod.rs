//! The built-in roles: data, as Azure's documentation has it.
//!
//! Many of their actions are on providers that are not here, and grant nothing. They are listed because clients show and
//! compare roles, and because a role must not change its meaning when such a provider comes.

mod table;

use std::sync::{Arc, LazyLock};

use crate::{Pattern, Permission, Role};

pub use table::ROLES;

/// A built-in role of Azure, with the same id everywhere. It can be assigned at any scope.
///
/// Source: Azure RBAC documentation, "Azure built-in roles".
#[derive(Debug, PartialEq, Eq)]
pub struct BuiltIn {
    /// The GUID of its definition, in lower case.
    pub id: &'static str,
    /// The display name.
    pub name: &'static str,
    /// What it is for, in Azure's words.
    pub description: &'static str,
    /// The permitted actions.
    pub actions: &'static [&'static str],
    /// The exceptions of `actions`.
    pub not_actions: &'static [&'static str],
    /// The permitted data actions.
    pub data_actions: &'static [&'static str],
    /// The exceptions of `data_actions`.
    pub not_data_actions: &'static [&'static str],
}

/// The roles for decisions, in the order of [`ROLES`].
static PARSED: LazyLock<Vec<Arc<Role>>> =
    LazyLock::new(|| ROLES.iter().map(|role| Arc::new(role.parse())).collect());

/// The role of an id (a GUID in any case).
pub fn role(id: &str) -> Option<&'static BuiltIn> {
    ROLES.iter().find(|role| role.id.eq_ignore_ascii_case(id))
}

/// The role of a display name, ignoring case.
pub fn named(name: &str) -> Option<&'static BuiltIn> {
    ROLES.iter().find(|role| role.name.eq_ignore_ascii_case(name))
}

impl BuiltIn {
    /// The role, for decisions. Read once.
    pub fn role(&self) -> Arc<Role> {
        let known = ROLES.iter().position(|role| role.id == self.id).and_then(|at| PARSED.get(at));
        known.map_or_else(|| Arc::new(self.parse()), Arc::clone)
    }

    fn parse(&self) -> Role {
        let read = |texts: &[&str]| -> Vec<Pattern> {
            texts.iter().filter_map(|text| Pattern::parse(text).ok()).collect()
        };
        let permission = Permission {
            actions: read(self.actions),
            not_actions: read(self.not_actions),
            data_actions: read(self.data_actions),
            not_data_actions: read(self.not_data_actions),
            condition: None,
        };
        Role { id: self.id.to_owned(), name: self.name.to_owned(), permissions: vec![permission] }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::Wanted;

    const BLOB: &str = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read";

    fn permits(name: &str, wanted: Wanted) -> bool {
        named(name).unwrap().role().permits(&wanted)
    }

    #[test]
    fn roles_have_their_own_id_and_name_and_all_patterns_are_read() {
        assert_eq!(ROLES.len(), 18);
        assert_eq!(ROLES.iter().map(|role| role.id).collect::<BTreeSet<_>>().len(), ROLES.len());
        for role in ROLES.iter() {
            assert_eq!(role.id, role.id.to_lowercase());
            let permission = &role.role().permissions[0];
            let texts = |patterns: &[Pattern]| -> Vec<String> {
                patterns.iter().map(|one| one.text().to_owned()).collect()
            };
            assert_eq!(texts(&permission.actions), role.actions, "{}", role.name);
            assert_eq!(texts(&permission.not_actions), role.not_actions, "{}", role.name);
            assert_eq!(texts(&permission.data_actions), role.data_actions, "{}", role.name);
            assert_eq!(texts(&permission.not_data_actions), role.not_data_actions, "{}", role.name);
        }
    }

    #[test]
    fn role_is_found_by_id_and_name_in_any_case_and_read_once() {
        let owner = named("owner").unwrap();
        assert_eq!(role("8E3AF657-A8FF-443C-A75C-2FE8C4BCB635"), Some(owner));
        assert!(Arc::ptr_eq(&owner.role(), &owner.role()));
        assert!(named("Nobody").is_none() && role("").is_none());
    }

    #[test]
    fn owner_reads_no_blobs_and_the_role_for_data_does() {
        assert!(permits("Owner", Wanted::action(BLOB)));
        assert!(!permits("Owner", Wanted::data(BLOB)));
        assert!(permits("Storage Blob Data Reader", Wanted::data(BLOB)));
        assert!(!permits("Storage Blob Delegator", Wanted::data(BLOB)));
    }

    #[test]
    fn contributor_changes_everything_but_roles_and_locks() {
        let contributor = |action| permits("Contributor", Wanted::action(action));
        assert!(contributor("Microsoft.VirtualMachineImages/imageTemplates/run/action"));
        assert!(contributor("Microsoft.Authorization/roleAssignments/read"));
        assert!(!contributor("Microsoft.Authorization/roleAssignments/write"));
        assert!(!contributor("Microsoft.Authorization/locks/delete"));
        assert!(!contributor("Microsoft.Compute/galleries/share/action"));
    }

    #[test]
    fn narrow_roles_do_what_their_name_says() {
        for (role, action, expected) in [
            ("Reader", "Microsoft.Compute/images/read", true),
            ("Reader", "Microsoft.Storage/storageAccounts/listKeys/action", false),
            ("User Access Administrator", "Microsoft.Authorization/locks/write", true),
            ("User Access Administrator", "Microsoft.Compute/images/write", false),
            (
                "Role Based Access Control Administrator",
                "Microsoft.Authorization/roleAssignments/write",
                true,
            ),
            (
                "Role Based Access Control Administrator",
                "Microsoft.Authorization/roleDefinitions/write",
                false,
            ),
            (
                "Managed Identity Operator",
                "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action",
                true,
            ),
            (
                "Managed Identity Operator",
                "Microsoft.ManagedIdentity/userAssignedIdentities/write",
                false,
            ),
            (
                "Compute Gallery Image Reader",
                "Microsoft.Compute/galleries/images/versions/read",
                true,
            ),
            ("Compute Gallery Image Reader", "Microsoft.Compute/galleries/read", false),
            (
                "Compute Gallery Artifacts Publisher",
                "Microsoft.Compute/galleries/images/versions/write",
                true,
            ),
            (
                "Compute Gallery Artifacts Publisher",
                "Microsoft.Compute/galleries/share/action",
                false,
            ),
            (
                "Virtual Machine Contributor",
                "Microsoft.Network/virtualNetworks/subnets/join/action",
                true,
            ),
            ("Virtual Machine Contributor", "Microsoft.Network/virtualNetworks/write", false),
            ("Network Contributor", "Microsoft.Network/virtualNetworks/write", true),
        ] {
            assert_eq!(permits(role, Wanted::action(action)), expected, "{role}: {action}");
        }
    }
}
