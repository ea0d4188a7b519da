//! Scopes: where a deployment and its resources belong.

use std::{fmt, sync::Arc};

use arm_expression::same_name;

/// Where a deployment puts its resources.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Scope {
    /// The tenant.
    Tenant,
    /// A management group, by its name.
    ManagementGroup(Arc<str>),
    /// A subscription, by its id.
    Subscription(Arc<str>),
    /// A resource group.
    ResourceGroup {
        /// The subscription's id.
        subscription: Arc<str>,
        /// The group's name. Its spelling is part of ids and hashes, so it must be the stored one.
        name: Arc<str>,
    },
}

impl Scope {
    /// The scope with this resource id; the tenant for an empty one and for `/`. `None` for the id of another resource.
    pub fn parse(id: &str) -> Option<Self> {
        let segments: Vec<&str> = id.split('/').filter(|segment| !segment.is_empty()).collect();
        match segments[..] {
            [] => Some(Self::Tenant),
            [subscriptions, id] if same_name(subscriptions, "subscriptions") => {
                Some(Self::Subscription(id.into()))
            }
            [subscriptions, id, groups, name]
                if same_name(subscriptions, "subscriptions")
                    && same_name(groups, "resourceGroups") =>
            {
                Some(Self::ResourceGroup { subscription: id.into(), name: name.into() })
            }
            [providers, namespace, kind, name]
                if same_name(providers, "providers")
                    && same_name(namespace, "Microsoft.Management")
                    && same_name(kind, "managementGroups") =>
            {
                Some(Self::ManagementGroup(name.into()))
            }
            _ => None,
        }
    }

    /// The subscription's id, if the scope is in one.
    pub fn subscription(&self) -> Option<&Arc<str>> {
        match self {
            Self::Tenant | Self::ManagementGroup(_) => None,
            Self::Subscription(id) | Self::ResourceGroup { subscription: id, .. } => Some(id),
        }
    }

    /// The resource group's name, if the scope is one.
    pub fn resource_group(&self) -> Option<&Arc<str>> {
        match self {
            Self::ResourceGroup { name, .. } => Some(name),
            Self::Tenant | Self::ManagementGroup(_) | Self::Subscription(_) => None,
        }
    }

    /// The management group's name, if the scope is one.
    pub fn management_group(&self) -> Option<&Arc<str>> {
        match self {
            Self::ManagementGroup(name) => Some(name),
            Self::Tenant | Self::Subscription(_) | Self::ResourceGroup { .. } => None,
        }
    }
}

/// The resource id, without a slash at its end: empty for the tenant.
impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tenant => Ok(()),
            Self::ManagementGroup(name) => {
                write!(f, "/providers/Microsoft.Management/managementGroups/{name}")
            }
            Self::Subscription(id) => write!(f, "/subscriptions/{id}"),
            Self::ResourceGroup { subscription, name } => {
                write!(f, "/subscriptions/{subscription}/resourceGroups/{name}")
            }
        }
    }
}
