//! What a request is about, by its path, and what its caller needs.
//!
//! Every path of the resource manager belongs to one [`Target`], also those that lead nowhere. Who may do what is decided
//! here alone, before anything is read: [`handle`](super::handle) makes a [`Call`](arm::Call) only of a request whose
//! caller satisfies [`Target::rule`].

mod need;

use arm::{Extension, Method, Path, Request, Scope};
use providers::REGISTRY;

pub(super) use need::{DATA_ACTIONS, actions};

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
    /// The activity log of a subscription, or of the tenant itself.
    ActivityLog,
    /// The categories of the activity log's events.
    EventCategories,
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
        ("microsoft.insights", ["eventtypes", "management", "values"])
            if *scope == Scope::Tenant || in_subscription =>
        {
            Target::ActivityLog
        }
        ("microsoft.insights", ["eventcategories"]) if *scope == Scope::Tenant => {
            Target::EventCategories
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
