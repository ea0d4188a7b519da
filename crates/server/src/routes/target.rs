//! What a request is about, by its path, and what its caller needs.
//!
//! Every path of the resource manager belongs to one [`Target`], also those that lead nowhere. Who may do what is decided
//! here alone, before anything is read: [`handle`](super::handle) makes a [`Call`](arm::Call) only of a request whose
//! caller satisfies [`Target::rule`].

use std::borrow::Cow;

use access::{ASSIGNMENTS, DEFINITIONS, DENY_ASSIGNMENTS, LOCKS, PERMISSIONS, PROVIDER_OPERATIONS};
use arm::{Actions, Extension, Method, Path, Request, Scope};
use authorization::{Need, Rule, Wanted};
use providers::REGISTRY;

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
pub(super) fn actions() -> Vec<&'static str> {
    let registered = REGISTRY.types().iter().flat_map(|kind| kind.actions().all());
    registered.chain(DECLARED.iter().flat_map(Actions::all)).chain(READS).collect()
}

/// What is only read.
const READS: [&str; 5] = [
    "Microsoft.Resources/subscriptions/read",
    "Microsoft.Resources/subscriptions/locations/read",
    "Microsoft.Resources/subscriptions/providers/read",
    "Microsoft.Resources/deployments/operations/read",
    READ_RUNS,
];

/// What is read inside a resource.
pub(super) const DATA_ACTIONS: [&str; 1] =
    ["Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read"];

/// What a request is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, strum::EnumIter)]
pub(crate) enum Target {
    /// The list of subscriptions.
    Subscriptions,
    /// The list of tenants.
    Tenants,
    /// The list of resource providers.
    Providers,
    /// A resource provider.
    Provider,
    /// `register` and `unregister` of a resource provider.
    ProviderRegistration,
    /// The operations of a resource provider.
    ProviderOperations,
    /// A subscription.
    Subscription,
    /// Its locations.
    Locations,
    /// Its resource groups.
    ResourceGroups,
    /// The names of all tags in it.
    TagNames,
    /// The result of an operation of a resource group.
    OperationResult,
    /// The resources of a subscription or group, of all types.
    Resources,
    /// A resource group.
    Group,
    /// The role definitions of a scope.
    RoleDefinitions,
    /// A role definition.
    RoleDefinition,
    /// The role assignments of a scope.
    RoleAssignments,
    /// A role assignment.
    RoleAssignment,
    /// The locks of a scope.
    Locks,
    /// A lock.
    Lock,
    /// What the caller itself may do at a scope.
    Permissions,
    /// The deny assignments of a scope.
    DenyAssignments,
    /// A deny assignment.
    DenyAssignment,
    /// The actions that roles can permit.
    AllOperations,
    /// The tags of a scope.
    Tags,
    /// The deployments of a scope.
    Deployments,
    /// A deployment.
    Deployment,
    /// An action of a deployment, such as `validate`.
    DeploymentAction,
    /// The status of a deployment's operation.
    DeploymentStatus,
    /// What a deployment did, with and without the provider in the path.
    DeploymentOperations,
    /// The hash of a template.
    TemplateHash,
    /// The status of an operation of the image builder.
    ImageBuilderOperation,
    /// A run by its id.
    Run,
    /// The events or a log of a run of a template.
    RunStream,
    /// The events or a log of a run by its id.
    RunStreamById,
    /// The catalogue of images.
    PlatformImages,
    /// Sizes of machines.
    MachineSizes,
    /// Sizes of machines, in the form of all kinds of products.
    Skus,
    /// What a machine has below it in Azure, and here never has.
    MachineChild,
    /// Whether the name of a storage account is free.
    CheckNameAvailability,
    /// A preview feature.
    Feature,
    /// A registered type: its lists, its resources and their actions.
    Resource,
    /// Anything else: there is nothing.
    Nowhere,
}

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
    /// The target of a request.
    pub(crate) fn of(request: &Request) -> Self {
        Self::at(request.method, &request.path)
    }

    /// The target of a path.
    pub(crate) fn at(method: Method, path: &Path) -> Self {
        if let Some(found) = Extension::of(path).and_then(|at| of_any_scope(&at)) {
            return found;
        }
        let rest: Vec<String> = path.rest.iter().map(|part| part.to_lowercase()).collect();
        let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
        match &path.namespace {
            None => plain(&path.scope, &rest),
            Some(namespace) => provided(&path.scope, &namespace.to_lowercase(), &rest, method)
                .unwrap_or_else(|| registered(method, path)),
        }
    }

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
        let of = |actions: &'static Actions| by_method(actions, method);
        let extended = || Extension::of(path).map(|at| at.scope).unwrap_or_default();
        let (action, scope): (Cow<'static, str>, String) = match self {
            Self::Subscriptions => ("Microsoft.Resources/subscriptions/read".into(), String::new()),
            Self::Tenants => ("Microsoft.Resources/tenants/read".into(), String::new()),
            Self::Providers | Self::Provider => {
                ("Microsoft.Resources/subscriptions/providers/read".into(), above(path))
            }
            Self::ProviderRegistration => {
                let namespace = path.namespace.as_deref().unwrap_or_default();
                let verb = path.rest.first().map(|verb| verb.to_lowercase()).unwrap_or_default();
                (format!("{namespace}/{verb}/action").into(), above(path))
            }
            Self::ProviderOperations => {
                ("Microsoft.Resources/providers/operations/read".into(), String::new())
            }
            Self::Subscription => ("Microsoft.Resources/subscriptions/read".into(), above(path)),
            Self::Locations => {
                ("Microsoft.Resources/subscriptions/locations/read".into(), above(path))
            }
            Self::ResourceGroups => (GROUPS.read.into(), above(path)),
            Self::TagNames => {
                ("Microsoft.Resources/subscriptions/tagNames/read".into(), above(path))
            }
            Self::OperationResult => {
                ("Microsoft.Resources/subscriptions/operationresults/read".into(), above(path))
            }
            Self::Resources => {
                let action = match &path.scope {
                    Scope::Group(..) => {
                        "Microsoft.Resources/subscriptions/resourceGroups/resources/read"
                    }
                    Scope::Tenant | Scope::Subscription(_) => {
                        "Microsoft.Resources/subscriptions/resources/read"
                    }
                };
                (action.into(), above(path))
            }
            Self::Group => (of(&GROUPS).into(), above(path)),
            Self::RoleDefinitions => (DEFINITIONS.read.into(), extended()),
            Self::RoleDefinition => (of(&DEFINITIONS).into(), path.text.clone()),
            Self::RoleAssignments => (ASSIGNMENTS.read.into(), extended()),
            Self::RoleAssignment => (of(&ASSIGNMENTS).into(), path.text.clone()),
            Self::Locks => (LOCKS.read.into(), extended()),
            Self::Lock => (of(&LOCKS).into(), path.text.clone()),
            Self::Permissions => (PERMISSIONS.read.into(), extended()),
            Self::DenyAssignments => (DENY_ASSIGNMENTS.read.into(), extended()),
            Self::DenyAssignment => (of(&DENY_ASSIGNMENTS).into(), path.text.clone()),
            Self::AllOperations => (PROVIDER_OPERATIONS.read.into(), String::new()),
            Self::Tags => (of(&TAGS).into(), path.text.clone()),
            Self::Deployments => (DEPLOYMENTS.read.into(), extended()),
            Self::Deployment => (of(&DEPLOYMENTS).into(), path.text.clone()),
            Self::DeploymentAction => {
                let last = path.rest.last().map(String::as_str).unwrap_or_default();
                let verb = DEPLOYMENTS.verb(last).filter(|_| method == Method::Post);
                (verb.map_or(DEPLOYMENTS.read, |verb| verb.action).into(), without(path, 1))
            }
            Self::DeploymentStatus => {
                ("Microsoft.Resources/deployments/operationstatuses/read".into(), without(path, 2))
            }
            Self::DeploymentOperations => {
                ("Microsoft.Resources/deployments/operations/read".into(), of_deployment(path))
            }
            Self::TemplateHash => {
                ("Microsoft.Resources/calculateTemplateHash/action".into(), extended())
            }
            Self::ImageBuilderOperation => {
                ("Microsoft.VirtualMachineImages/locations/operations/read".into(), above(path))
            }
            Self::Run | Self::RunStreamById => (READ_RUNS.into(), above(path)),
            Self::RunStream => {
                let run: Vec<&str> = path.rest.iter().take(4).map(String::as_str).collect();
                let scope = without(path, path.rest.len().saturating_sub(run.len()));
                (READ_RUNS.into(), scope)
            }
            Self::PlatformImages => {
                ("Microsoft.Compute/locations/publishers/read".into(), above(path))
            }
            Self::MachineSizes => ("Microsoft.Compute/locations/vmSizes/read".into(), above(path)),
            Self::Skus => ("Microsoft.Compute/skus/read".into(), above(path)),
            Self::MachineChild => {
                let child = path.rest.get(2).map(String::as_str).unwrap_or_default();
                let action = format!("Microsoft.Compute/virtualMachines/{child}/read");
                (action.into(), path.text.clone())
            }
            Self::CheckNameAvailability => {
                ("Microsoft.Storage/checkNameAvailability/read".into(), above(path))
            }
            Self::Feature => {
                let action = match method {
                    Method::Post => FEATURES.verbs[0].action,
                    _ => FEATURES.read,
                };
                (action.into(), above(path))
            }
            Self::Resource => match arm::rule(&REGISTRY, method, path) {
                Some(Rule::List(need)) => return need,
                Some(Rule::All(mut needs)) if !needs.is_empty() => return needs.swap_remove(0),
                Some(Rule::All(_) | Rule::Touches(_) | Rule::SignedIn) | None => {
                    ("Microsoft.Resources/subscriptions/resources/read".into(), above(path))
                }
            },
            Self::Nowhere => {
                ("Microsoft.Resources/subscriptions/resources/read".into(), above(path))
            }
        };
        Need::new(Wanted::Action(action), authorization::Scope::parse(&scope))
    }
}

/// Extension resources of any scope; `None` for other paths.
fn of_any_scope(at: &Extension) -> Option<Target> {
    let is_list = at.rest.len() == 1;
    Some(match at.kind.as_str() {
        "microsoft.authorization/roledefinitions" if is_list => Target::RoleDefinitions,
        "microsoft.authorization/roledefinitions" => Target::RoleDefinition,
        "microsoft.authorization/roleassignments" if is_list => Target::RoleAssignments,
        "microsoft.authorization/roleassignments" => Target::RoleAssignment,
        "microsoft.authorization/locks" if is_list => Target::Locks,
        "microsoft.authorization/locks" => Target::Lock,
        "microsoft.authorization/permissions" if is_list => Target::Permissions,
        "microsoft.authorization/denyassignments" if is_list => Target::DenyAssignments,
        "microsoft.authorization/denyassignments" => Target::DenyAssignment,
        "microsoft.authorization/provideroperations" if at.scope.is_empty() => {
            Target::AllOperations
        }
        "microsoft.resources/tags" => Target::Tags,
        "microsoft.resources/calculatetemplatehash" if is_list => Target::TemplateHash,
        "microsoft.resources/deployments" => {
            let rest: Vec<String> = at.rest.iter().map(|part| part.to_lowercase()).collect();
            let rest: Vec<&str> = rest.iter().skip(1).map(String::as_str).collect();
            match rest.as_slice() {
                [] => Target::Deployments,
                [_] => Target::Deployment,
                [_, "operations"] | [_, "operations", _] => Target::DeploymentOperations,
                [_, "operationstatuses", _] => Target::DeploymentStatus,
                _ => Target::DeploymentAction,
            }
        }
        _ => return None,
    })
}

/// Paths without a namespace.
fn plain(scope: &Scope, rest: &[&str]) -> Target {
    match (scope, rest) {
        (Scope::Tenant, ["subscriptions"]) => Target::Subscriptions,
        (Scope::Tenant, ["tenants"]) => Target::Tenants,
        (Scope::Tenant | Scope::Subscription(_), ["providers"]) => Target::Providers,
        (Scope::Subscription(_), []) => Target::Subscription,
        (Scope::Subscription(_), ["locations"]) => Target::Locations,
        (Scope::Subscription(_), ["resourcegroups"]) => Target::ResourceGroups,
        (Scope::Subscription(_), ["tagnames"]) => Target::TagNames,
        (Scope::Subscription(_), ["operationresults", _]) => Target::OperationResult,
        (Scope::Subscription(_) | Scope::Group(..), ["resources"]) => Target::Resources,
        (Scope::Group(..), []) => Target::Group,
        (
            Scope::Group(..),
            ["deployments", _, "operations"] | ["deployments", _, "operations", _],
        ) => Target::DeploymentOperations,
        _ => Target::Nowhere,
    }
}

/// Paths with a namespace that are not those of registered types.
fn provided(scope: &Scope, namespace: &str, rest: &[&str], method: Method) -> Option<Target> {
    let in_subscription = matches!(scope, Scope::Subscription(_));
    Some(match (namespace, rest) {
        (_, ["operations"]) if *scope == Scope::Tenant => Target::ProviderOperations,
        (_, []) if *scope == Scope::Tenant || in_subscription => Target::Provider,
        (_, ["register" | "unregister"]) if in_subscription => Target::ProviderRegistration,
        ("microsoft.virtualmachineimages", ["locations", _, "operations", _])
            if in_subscription =>
        {
            Target::ImageBuilderOperation
        }
        ("microsoft.virtualmachineimages", ["runs", _]) if in_subscription => Target::Run,
        ("microsoft.virtualmachineimages", ["runs", _, "events" | "log"])
        | ("microsoft.virtualmachineimages", ["runs", _, "logs", _])
            if in_subscription && method == Method::Get =>
        {
            Target::RunStreamById
        }
        ("microsoft.virtualmachineimages", ["imagetemplates", _, "runs", _, "events" | "log"])
        | ("microsoft.virtualmachineimages", ["imagetemplates", _, "runs", _, "logs", _])
            if *scope != Scope::Tenant && method == Method::Get =>
        {
            Target::RunStream
        }
        ("microsoft.compute", ["locations", _, "publishers", ..]) if in_subscription => {
            Target::PlatformImages
        }
        ("microsoft.compute", ["locations", _, "vmsizes"]) if in_subscription => {
            Target::MachineSizes
        }
        ("microsoft.compute", ["skus"]) if in_subscription => Target::Skus,
        ("microsoft.compute", ["virtualmachines", _, _, ..])
            if matches!(scope, Scope::Group(..)) && method == Method::Get =>
        {
            Target::MachineChild
        }
        ("microsoft.storage", ["checknameavailability"]) if in_subscription => {
            Target::CheckNameAvailability
        }
        ("microsoft.features", ["providers", _, "features", _, ..]) if in_subscription => {
            Target::Feature
        }
        _ => return None,
    })
}

/// A path of a registered type, or nothing.
fn registered(method: Method, path: &Path) -> Target {
    match arm::is_registered(&REGISTRY, method, path) {
        true => Target::Resource,
        false => Target::Nowhere,
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
