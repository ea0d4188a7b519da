//! The built-in roles.

use std::sync::Arc;

use crate::{Pattern, Permission, Role};

/// A built-in role of Azure, with the same id everywhere.
///
/// Source: Azure RBAC documentation, "Azure built-in roles".
#[derive(Debug)]
pub struct BuiltIn {
    /// The GUID of its definition, in lower case.
    pub id: &'static str,
    /// The display name.
    pub name: &'static str,
    /// What it is for.
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

/// All built-in roles.
pub static ROLES: &[BuiltIn] = &[
    BuiltIn {
        id: "8e3af657-a8ff-443c-a75c-2fe8c4bcb635",
        name: "Owner",
        description: "Grants full access to manage all resources, including the ability to assign roles in Azure RBAC.",
        actions: &["*"],
        not_actions: &[],
        data_actions: &[],
        not_data_actions: &[],
    },
    BuiltIn {
        id: "b24988ac-6180-42a0-ab88-20f7382dd24c",
        name: "Contributor",
        description: "Grants full access to manage all resources, but does not allow you to assign roles in Azure RBAC.",
        actions: &["*"],
        not_actions: &[
            "Microsoft.Authorization/*/Delete",
            "Microsoft.Authorization/*/Write",
            "Microsoft.Authorization/elevateAccess/Action",
        ],
        data_actions: &[],
        not_data_actions: &[],
    },
    BuiltIn {
        id: "acdd72a7-3385-48ef-bd42-f606fba81ae7",
        name: "Reader",
        description: "View all resources, but does not allow you to make any changes.",
        actions: &["*/read"],
        not_actions: &[],
        data_actions: &[],
        not_data_actions: &[],
    },
    BuiltIn {
        id: "b7e6dc6d-f1e8-4753-8033-0f276bb0955b",
        name: "Storage Blob Data Owner",
        description: "Allows for full access to Azure Storage blob containers and data.",
        actions: &[
            "Microsoft.Storage/storageAccounts/blobServices/containers/*",
            "Microsoft.Storage/storageAccounts/blobServices/generateUserDelegationKey/action",
        ],
        not_actions: &[],
        data_actions: &["Microsoft.Storage/storageAccounts/blobServices/containers/blobs/*"],
        not_data_actions: &[],
    },
];

/// The role of an id (a GUID in any case).
pub fn role(id: &str) -> Option<&'static BuiltIn> {
    ROLES.iter().find(|role| role.id.eq_ignore_ascii_case(id))
}

/// The role of a display name, ignoring case.
pub fn named(name: &str) -> Option<&'static BuiltIn> {
    ROLES.iter().find(|role| role.name.eq_ignore_ascii_case(name))
}

impl BuiltIn {
    /// The role, for decisions.
    pub fn role(&self) -> Arc<Role> {
        let read = |texts: &[&str]| -> Vec<Pattern> {
            texts.iter().filter_map(|text| Pattern::parse(text).ok()).collect()
        };
        let permission = Permission {
            actions: read(self.actions),
            not_actions: read(self.not_actions),
            data_actions: read(self.data_actions),
            not_data_actions: read(self.not_data_actions),
        };
        Arc::new(Role {
            id: self.id.to_owned(),
            name: self.name.to_owned(),
            permissions: vec![permission],
        })
    }
}
