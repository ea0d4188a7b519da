//! The action that a target stands for, where it happens, and what its caller must satisfy.

use std::borrow::Cow;

use access::{
    ASSIGNMENTS, DEFINITIONS, DENY_ASSIGNMENTS, EVENTS, LOCKS, PERMISSIONS, PROVIDER_OPERATIONS,
};
use arm::{Actions, Extension, Method, Path, Scope};
use authorization::{Need, Rule, Wanted};
use providers::REGISTRY;

use super::Target;

const GROUPS: Actions = arm::actions!("Microsoft.Resources/subscriptions/resourceGroups");
const TAGS: Actions = arm::actions!("Microsoft.Resources/tags");
const DEPLOYMENTS: Actions = arm::actions!(
    "Microsoft.Resources/deployments",
    "validate",
    "whatIf",
    "cancel",
    "exportTemplate",
    "listOutputsWithSecureValues",
);
const FEATURES: Actions = arm::actions!("Microsoft.Features/providers/features", "register");
/// Reads a run of a template, its events and its logs.
const READ_RUNS: &str = "Microsoft.VirtualMachineImages/imageTemplates/runs/read";

/// The actions that are declared here, beside those of the registered types.
const DECLARED: [Actions; 10] = [
    GROUPS,
    TAGS,
    DEPLOYMENTS,
    FEATURES,
    DEFINITIONS,
    ASSIGNMENTS,
    LOCKS,
    PERMISSIONS,
    DENY_ASSIGNMENTS,
    PROVIDER_OPERATIONS,
];

/// Every action of a resource that roles can permit.
pub(in crate::routes) fn actions() -> Vec<&'static str> {
    let registered = REGISTRY.types().iter().flat_map(|kind| kind.actions().all());
    registered.chain(DECLARED.iter().flat_map(Actions::all)).chain(READS).collect()
}

/// What is only read.
const READS: [&str; 8] = [
    EVENTS.read,
    "Goldsmith.Service/metrics/read",
    "Microsoft.Storage/storageAccounts/blobServices/containers/read",
    "Microsoft.Resources/subscriptions/read",
    "Microsoft.Resources/subscriptions/locations/read",
    "Microsoft.Resources/subscriptions/providers/read",
    "Microsoft.Resources/deployments/operations/read",
    READ_RUNS,
];

/// What is read inside a resource.
pub(in crate::routes) const DATA_ACTIONS: [&str; 1] =
    ["Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read"];

/// How a [`Need`] becomes a [`Rule`].
enum Class {
    /// It tells nothing of what is in a subscription: a token suffices, and some role in the subscription that the path
    /// names, so that nobody learns whether another one exists. Handlers that answer about one resource, an operation or a
    /// run, check that this one is readable.
    Open,
    /// A list, without what the caller may not read.
    List,
    /// The right at the scope.
    One,
}

impl Target {
    /// What the caller must satisfy.
    pub(crate) fn rule(self, method: Method, path: &Path) -> Rule {
        let need = self.need(method, path);
        match self.class(method, path) {
            Class::Open => match path.scope.subscription() {
                Some(id) => Rule::Touches(of_subscription(id)),
                None => Rule::SignedIn,
            },
            Class::List => Rule::List(need),
            Class::One => Rule::All(vec![need]),
        }
    }

    /// The id of the operation that the request is about. Whoever began it may always follow it.
    pub(in crate::routes) fn operation(self, path: &Path) -> Option<&str> {
        match self {
            Self::OperationResult => path.rest.get(1).map(String::as_str),
            Self::ImageBuilderOperation => path.rest.get(3).map(String::as_str),
            _ => None,
        }
    }

    fn class(self, method: Method, path: &Path) -> Class {
        match self {
            Self::Subscriptions
            | Self::Tenants
            | Self::Providers
            | Self::Provider
            | Self::ProviderOperations
            | Self::Subscription
            | Self::Locations
            | Self::OperationResult
            | Self::TemplateHash
            | Self::ImageBuilderOperation
            | Self::Run
            | Self::RunStreamById
            | Self::PlatformImages
            | Self::MachineSizes
            | Self::Skus
            | Self::CheckNameAvailability
            | Self::Permissions
            | Self::AllOperations
            | Self::EventCategories
            | Self::Nowhere => Class::Open,
            Self::Feature if method == Method::Post => Class::One,
            Self::Feature => Class::Open,
            Self::ResourceGroups
            | Self::TagNames
            | Self::Resources
            | Self::RoleDefinitions
            | Self::RoleAssignments
            | Self::Locks
            | Self::DenyAssignments
            | Self::ActivityLog
            | Self::Deployments => Class::List,
            Self::ProviderRegistration
            | Self::Group
            | Self::RoleDefinition
            | Self::RoleAssignment
            | Self::Lock
            | Self::DenyAssignment
            | Self::Tags
            | Self::Deployment
            | Self::DeploymentAction
            | Self::DeploymentStatus
            | Self::DeploymentOperations
            | Self::RunStream
            | Self::MachineChild => Class::One,
            Self::Resource => match arm::rule(&REGISTRY, method, path) {
                Some(Rule::List(_)) => Class::List,
                Some(Rule::All(_) | Rule::Touches(_) | Rule::SignedIn) | None => Class::One,
            },
        }
    }

    /// The action of a request, and where it happens: in refusals and in the activity log.
    pub(crate) fn need(self, method: Method, path: &Path) -> Need {
        if self == Self::Resource {
            match arm::rule(&REGISTRY, method, path) {
                Some(Rule::List(need)) => return need,
                Some(Rule::All(mut needs)) if !needs.is_empty() => return needs.swap_remove(0),
                Some(Rule::All(_) | Rule::Touches(_) | Rule::SignedIn) | None => {}
            }
        }
        let scope = authorization::Scope::parse(&self.scope(path));
        Need::new(Wanted::Action(self.action(method, path)), scope)
    }

    fn action(self, method: Method, path: &Path) -> Cow<'static, str> {
        let of = |actions: &'static Actions| by_method(actions, method);
        let action = match self {
            Self::Subscriptions | Self::Subscription => "Microsoft.Resources/subscriptions/read",
            Self::Tenants => "Microsoft.Resources/tenants/read",
            Self::Providers | Self::Provider => "Microsoft.Resources/subscriptions/providers/read",
            Self::ProviderRegistration => {
                let namespace = path.namespace.as_deref().unwrap_or_default();
                let verb = path.rest.first().map(|verb| verb.to_lowercase()).unwrap_or_default();
                return format!("{namespace}/{verb}/action").into();
            }
            Self::ProviderOperations => "Microsoft.Resources/providers/operations/read",
            Self::Locations => "Microsoft.Resources/subscriptions/locations/read",
            Self::ResourceGroups => GROUPS.read,
            Self::TagNames => "Microsoft.Resources/subscriptions/tagNames/read",
            Self::OperationResult => "Microsoft.Resources/subscriptions/operationresults/read",
            Self::Resources if path.scope.group().is_some() => {
                "Microsoft.Resources/subscriptions/resourceGroups/resources/read"
            }
            Self::Resources | Self::Resource | Self::Nowhere => {
                "Microsoft.Resources/subscriptions/resources/read"
            }
            Self::Group => of(&GROUPS),
            Self::RoleDefinitions => DEFINITIONS.read,
            Self::RoleDefinition => of(&DEFINITIONS),
            Self::RoleAssignments => ASSIGNMENTS.read,
            Self::RoleAssignment => of(&ASSIGNMENTS),
            Self::Locks => LOCKS.read,
            Self::Lock => of(&LOCKS),
            Self::Permissions => PERMISSIONS.read,
            Self::DenyAssignments => DENY_ASSIGNMENTS.read,
            Self::DenyAssignment => of(&DENY_ASSIGNMENTS),
            Self::AllOperations => PROVIDER_OPERATIONS.read,
            Self::ActivityLog => EVENTS.read,
            Self::EventCategories => "Microsoft.Insights/eventCategories/read",
            Self::Tags => of(&TAGS),
            Self::Deployments => DEPLOYMENTS.read,
            Self::Deployment => of(&DEPLOYMENTS),
            Self::DeploymentAction => {
                let last = path.rest.last().map(String::as_str).unwrap_or_default();
                let verb = DEPLOYMENTS.verb(last).filter(|_| method == Method::Post);
                verb.map_or(DEPLOYMENTS.read, |verb| verb.action)
            }
            Self::DeploymentStatus => "Microsoft.Resources/deployments/operationstatuses/read",
            Self::DeploymentOperations => "Microsoft.Resources/deployments/operations/read",
            Self::TemplateHash => "Microsoft.Resources/calculateTemplateHash/action",
            Self::ImageBuilderOperation => {
                "Microsoft.VirtualMachineImages/locations/operations/read"
            }
            Self::Run | Self::RunStreamById | Self::RunStream => READ_RUNS,
            Self::PlatformImages => "Microsoft.Compute/locations/publishers/read",
            Self::MachineSizes => "Microsoft.Compute/locations/vmSizes/read",
            Self::Skus => "Microsoft.Compute/skus/read",
            Self::MachineChild => {
                let child = path.rest.get(2).map(String::as_str).unwrap_or_default();
                return format!("Microsoft.Compute/virtualMachines/{child}/read").into();
            }
            Self::CheckNameAvailability => "Microsoft.Storage/checkNameAvailability/read",
            Self::Feature if method == Method::Post => FEATURES.verbs[0].action,
            Self::Feature => FEATURES.read,
        };
        action.into()
    }

    fn scope(self, path: &Path) -> String {
        match self {
            Self::Subscriptions
            | Self::Tenants
            | Self::ProviderOperations
            | Self::AllOperations
            | Self::EventCategories => String::new(),
            Self::RoleDefinitions
            | Self::RoleAssignments
            | Self::Locks
            | Self::Permissions
            | Self::DenyAssignments
            | Self::Deployments
            | Self::TemplateHash => Extension::of(path).map(|at| at.scope).unwrap_or_default(),
            Self::RoleDefinition
            | Self::RoleAssignment
            | Self::Lock
            | Self::DenyAssignment
            | Self::Tags
            | Self::Deployment
            | Self::MachineChild => path.text.clone(),
            Self::DeploymentAction => without(path, 1),
            Self::DeploymentStatus => without(path, 2),
            Self::DeploymentOperations => of_deployment(path),
            // Without `events`, `log` or `logs/{name}`.
            Self::RunStream => without(path, path.rest.len().saturating_sub(4)),
            Self::Providers
            | Self::Provider
            | Self::ProviderRegistration
            | Self::Subscription
            | Self::Locations
            | Self::ResourceGroups
            | Self::TagNames
            | Self::OperationResult
            | Self::Resources
            | Self::Group
            | Self::ActivityLog
            | Self::ImageBuilderOperation
            | Self::Run
            | Self::RunStreamById
            | Self::PlatformImages
            | Self::MachineSizes
            | Self::Skus
            | Self::CheckNameAvailability
            | Self::Feature
            | Self::Resource
            | Self::Nowhere => above(path),
        }
    }
}

/// Reads need the right to read. So do methods that there are not: whoever may not read does not learn what there is.
fn by_method(actions: &'static Actions, method: Method) -> &'static str {
    match method {
        Method::Put | Method::Patch => actions.write,
        Method::Delete => actions.delete,
        Method::Get | Method::Head | Method::Post => actions.read,
    }
}

fn of_subscription(id: &str) -> authorization::Scope {
    authorization::Scope::parse(&format!("/subscriptions/{id}"))
}

/// The subscription or the group of a path.
fn above(path: &Path) -> String {
    match &path.scope {
        Scope::Tenant => String::new(),
        Scope::Subscription(id) => format!("/subscriptions/{id}"),
        Scope::Group(id, group) => format!("/subscriptions/{id}/resourceGroups/{group}"),
    }
}

/// The path without its last parts.
fn without(path: &Path, parts: usize) -> String {
    path.text.rsplitn(parts + 1, '/').last().unwrap_or_default().to_owned()
}

/// The id of a deployment, in whose path of operations the provider may be missing.
fn of_deployment(path: &Path) -> String {
    match Extension::of(path) {
        Some(at) => without(path, at.rest.len().saturating_sub(2)),
        None => {
            let name = path.rest.get(1).map(String::as_str).unwrap_or_default();
            format!("{}/providers/{}/{name}", above(path), DEPLOYMENTS.kind)
        }
    }
}
