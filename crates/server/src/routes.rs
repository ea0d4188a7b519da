//! From a request to its handler: ARM's whole address space.
//!
//! ```text
//! form of the api-version and of the subscription's id → Target → the caller's rights → Target::rule (403)
//!   → the subscription (404) → Target::run
//! ```

mod target;

use arm::{
    ApiError, Call, Extension, Method, Reply, Request, denied, group, operation, retry_overtaken,
    version,
};
use authorization::{Denial, Rule};
use deployments::Manager;
use providers::{
    REGISTRY, image_builder::runs, namespaces, platform_image, resource_group, sku, storage,
    subscription, tags,
};
use serde_json::json;
use service::{App, activity::Attempt};

pub(crate) use target::Target;

/// Handles a request. The HTTP layer wraps each [`ApiError`] in an envelope. What changes something, or tries to, is in the
/// activity log.
pub(crate) async fn handle(app: &App, request: Request) -> Result<Reply, ApiError> {
    let target = Target::of(&request);
    // A hash is computed from the request alone.
    if target == Target::TemplateHash {
        return answer(app, request).await;
    }
    let need = target.need(request.method, &request.path);
    match Attempt::of(app, &request, need.wanted.name()).await {
        Some(attempt) => {
            let answered = answer(&attempt.within(app), request).await;
            attempt.finish(app, &answered).await;
            answered
        }
        None => answer(app, request).await,
    }
}

async fn answer(app: &App, request: Request) -> Result<Reply, ApiError> {
    version::check_form(&request)?;
    if let Some(id) = request.path.scope.subscription() {
        subscription::check_form(id)?;
    }
    let target = Target::of(&request);
    let rights = app.rights(&request.caller).await?;
    let own = match target.operation(&request.path) {
        Some(id) => arm::is_own_operation(app.store(), &request, id).await?,
        None => false,
    };
    let rule = match own {
        true => Rule::SignedIn,
        false => target.rule(request.method, &request.path),
    };
    if let Err(denial) = rights.rule(&rule) {
        return Err(target.refused(&request, &denial));
    }
    let caller = request.caller.clone();
    let call = Call::admit(request, rights, &rule);
    let call = call.map_err(|denial| denied(&caller, &denial))?;
    let within = match call.path.scope.subscription() {
        Some(id) => subscription::enter(app, id).await?,
        None => app.clone(),
    };
    retry_overtaken(|| Box::pin(target.run(&within, &call))).await
}

/// What deployments need: their resources go through these routes, too.
pub(crate) fn manager(app: &App) -> Manager {
    Manager::new(
        app.clone(),
        |app, request| Box::pin(async move { handle(&app, request).await }),
        |request| Target::of(request).rule(request.method, &request.path),
    )
}

impl Target {
    /// The answer to a caller who may not do this. Of a subscription in which the caller has no role, nobody learns
    /// whether it exists.
    fn refused(self, request: &Request, denial: &Denial) -> ApiError {
        match (self, denial) {
            (Self::Subscription, Denial::Missing { .. }) => {
                subscription::not_found(request.path.scope.subscription().unwrap_or_default())
            }
            (_, Denial::Missing { .. }) => denied(
                &request.caller,
                &Denial::Missing { need: self.need(request.method, &request.path) },
            ),
            (_, Denial::Linked { .. } | Denial::Locked { .. }) => denied(&request.caller, denial),
        }
    }

    async fn run(self, app: &App, call: &Call) -> Result<Reply, ApiError> {
        self.check_method(call)?;
        let part = |at: usize| call.path.rest.get(at).map(String::as_str).unwrap_or_default();
        match self {
            Self::Subscriptions => subscription::list(app, call).await,
            Self::Tenants => Ok(subscription::tenants(app)),
            Self::Providers => namespaces::list(app, call),
            Self::Provider | Self::ProviderRegistration => {
                namespaces::show(app, call, namespace(call))
            }
            Self::ProviderOperations => namespaces::operations(namespace(call)),
            Self::Subscription => subscription::show(app).await,
            Self::Locations => Ok(subscription::locations(app)),
            Self::ResourceGroups => resource_group::list_all(app, call).await,
            Self::TagNames => tags::names(app, call).await,
            Self::OperationResult => {
                resource_group::result(app, call, &part(1).to_lowercase()).await
            }
            Self::Resources => namespaces::resources(app, call).await,
            Self::Group => {
                let name = call.path.scope.group().unwrap_or_default();
                resource_group::handle(app, call, name).await
            }
            Self::RoleDefinitions | Self::RoleDefinition => {
                access::definitions(app, call, &extension(call)?).await
            }
            Self::RoleAssignments | Self::RoleAssignment => {
                access::assignments(app, call, &extension(call)?).await
            }
            Self::Locks | Self::Lock => access::locks(app, call, &extension(call)?).await,
            Self::Permissions => access::permissions(app, call, &extension(call)?).await,
            Self::DenyAssignments | Self::DenyAssignment => {
                access::deny_assignments(app, call, &extension(call)?).await
            }
            Self::AllOperations => {
                let at = extension(call)?;
                access::provider_operations(call, &at, &target::actions(), &target::DATA_ACTIONS)
            }
            Self::ActivityLog => access::activity(app, call).await,
            Self::EventCategories => access::event_categories(call),
            Self::Tags => tags::handle(app, call, &extension(call)?).await,
            Self::Deployments
            | Self::Deployment
            | Self::DeploymentAction
            | Self::DeploymentStatus => {
                deployments::handle(&manager(app), call, &extension(call)?).await
            }
            Self::DeploymentOperations => match &call.path.namespace {
                Some(_) => deployments::handle(&manager(app), call, &extension(call)?).await,
                None => {
                    let id = call.path.rest.get(3).map(|id| id.to_lowercase());
                    deployments::operations(&manager(app), call, part(1), id.as_deref()).await
                }
            },
            Self::TemplateHash => deployments::template_hash(call),
            Self::ImageBuilderOperation => {
                let row = arm::readable_operation(app.context(), call, part(3)).await?;
                Ok(operation::status(&row))
            }
            Self::Run => runs::by_id(app, call, part(1)).await,
            Self::PlatformImages => {
                platform_image::handle(app, call, part(1), &call.path.rest[3..]).await
            }
            Self::MachineSizes => sku::sizes(app, part(1)),
            Self::Skus => sku::list(app, call),
            Self::MachineChild => {
                let in_group = call.path.scope.group().unwrap_or_default();
                group::existing(app.context(), in_group).await?;
                Err(ApiError::not_found("Microsoft.Compute/virtualMachines", part(1), in_group))
            }
            Self::CheckNameAvailability => storage::check_name_availability(app, call).await,
            Self::Feature => Ok(feature(call, part(1), part(3))),
            Self::Resource => arm::handle(&REGISTRY, app, call, namespace(call)).await,
            // Streams are not answered as a whole: http::manager has its own way to them.
            Self::RunStream | Self::RunStreamById | Self::Nowhere => Err(nothing(call)),
        }
    }

    /// Refuses the methods that a path does not have. Handlers of several paths refuse by themselves.
    fn check_method(self, call: &Call) -> Result<(), ApiError> {
        use Method::{Delete, Get, Head, Patch, Post, Put};
        match self {
            Self::Subscriptions
            | Self::Tenants
            | Self::ProviderOperations
            | Self::Subscription
            | Self::Locations
            | Self::ResourceGroups
            | Self::OperationResult
            | Self::ImageBuilderOperation
            | Self::Run
            | Self::MachineSizes
            | Self::Skus => call.only(&[Get]),
            Self::Group => call.only(&[Get, Head, Put, Patch, Delete]),
            Self::CheckNameAvailability => call.only(&[Post]),
            Self::Feature => call.only(&[Get, Post]),
            Self::Providers
            | Self::Provider
            | Self::ProviderRegistration
            | Self::TagNames
            | Self::Resources
            | Self::RoleDefinitions
            | Self::RoleDefinition
            | Self::RoleAssignments
            | Self::RoleAssignment
            | Self::Locks
            | Self::Lock
            | Self::Permissions
            | Self::DenyAssignments
            | Self::DenyAssignment
            | Self::AllOperations
            | Self::ActivityLog
            | Self::EventCategories
            | Self::Tags
            | Self::Deployments
            | Self::Deployment
            | Self::DeploymentAction
            | Self::DeploymentStatus
            | Self::DeploymentOperations
            | Self::TemplateHash
            | Self::RunStream
            | Self::RunStreamById
            | Self::PlatformImages
            | Self::MachineChild
            | Self::Resource
            | Self::Nowhere => Ok(()),
        }
    }
}

fn namespace(call: &Call) -> &str {
    call.path.namespace.as_deref().unwrap_or_default()
}

fn extension(call: &Call) -> Result<Extension, ApiError> {
    Extension::of(&call.path).ok_or_else(|| nothing(call))
}

/// A preview feature. Every feature counts as registered.
fn feature(call: &Call, namespace: &str, name: &str) -> Reply {
    Reply::ok(json!({
        "id": call.path.text.trim_end_matches("/register"),
        "name": format!("{namespace}/{name}"),
        "type": "Microsoft.Features/providers/features",
        "properties": { "state": "Registered" },
    }))
}

/// There is nothing at a path: the namespace, the type or the whole path is unknown.
fn nothing(call: &Call) -> ApiError {
    let found = call
        .path
        .namespace
        .as_ref()
        .map(|namespace| arm::registered(&REGISTRY, namespace, &call.path).err());
    found.flatten().unwrap_or_else(|| {
        ApiError::absent(
            "InvalidResourceType",
            format!("There is nothing at '{}'.", call.path.text),
        )
    })
}

#[cfg(test)]
mod tests;
