//! Preflight: what is wrong with a template's resources, and what the client may not write of them, before anything is made.

use arm::{ApiError, Call, denied, region};
use arm_template::{Kind, Rendered, RenderedResource, Resource};
use authorization::Denial;
use providers::{REGISTRY, namespaces};

use crate::{
    ask::url,
    errors,
    load::Draft,
    manager::Requests,
    request::Level,
    tree::{self, json_of},
};

/// What a check is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum For {
    /// A validation or a preview, which changes nothing: the request's level says what is asked of the client.
    Preview,
    /// A deployment, whose client must have the right to write whatever the level says.
    Deployment,
}

/// Checks every resource, also of nested deployments, as far as it is known.
///
/// # Errors
/// `InvalidTemplate`; `InvalidTemplateDeployment` with every resource that the client may not write, or else with all
/// mistakes of resources.
pub(crate) async fn all(
    requests: &Requests,
    name: &str,
    draft: &Draft,
    purpose: For,
) -> Result<Rendered, ApiError> {
    let rendered = tree::render(requests, &draft.preview).await?;
    outputs(&rendered)?;
    let (level, is_preview) = (draft.request.level, purpose == For::Preview);
    if is_preview && level == Level::Template {
        return Ok(rendered);
    }
    let is_read = is_preview && level == Level::ProviderNoRbac;
    let (mut forbidden, mut details) = (Vec::new(), Vec::new());
    for deployment in rendered.deployments() {
        for one in &deployment.resources {
            let resource = deployment.resource(one);
            match admitted(requests, resource, one, is_read).await? {
                Err(denial) => forbidden.push(refused(requests, resource, &denial)),
                Ok(call) if one.nested.is_none() && level != Level::Template => {
                    details.extend(mistake(requests, resource, one, &call).await.err());
                }
                Ok(_) => {}
            }
        }
    }
    if !forbidden.is_empty() {
        return Err(errors::forbidden(forbidden));
    }
    if details.is_empty() {
        return Ok(rendered);
    }
    Err(errors::preflight(name, &requests.client.correlation_id, details))
}

/// Refuses outputs that are wrong whatever the resources will be.
fn outputs(rendered: &Rendered) -> Result<(), ApiError> {
    let mut wrong = rendered.deployments().into_iter().flat_map(|one| &one.output_errors);
    match wrong.find(|output| output.error.kind != Kind::Pending) {
        Some(output) => Err(errors::template(&output.error)),
        None => Ok(()),
    }
}

/// Checks a resource by its type: whether there is such a type, whether clients may write it, and what the type itself
/// can say about a body that is completely known.
async fn mistake(
    requests: &Requests,
    resource: &Resource,
    rendered: &RenderedResource,
    call: &Call,
) -> Result<(), ApiError> {
    let kind = &*resource.resource_type;
    let (namespace, types) = kind.split_once('/').unwrap_or((kind, ""));
    let Some(known) = REGISTRY.find(namespace, types) else {
        let is_deployable = namespaces::is_deployable(kind);
        return is_deployable.then_some(()).ok_or_else(|| unknown_type(resource));
    };
    if let Some(why) = known.read_only() {
        return Err(ApiError::bad_request(
            "InvalidResourceType",
            format!("A resource of type '{kind}' cannot be deployed: {why}."),
        )
        .target(&*resource.id));
    }
    let body = json_of(&rendered.preview.body);
    let location = body["location"].as_str().filter(|text| !text.starts_with('['));
    if let Some(location) = location {
        let checked = region::check(requests.app().context(), kind, location);
        checked.map_err(|error| error.target(&*resource.id))?;
    }
    if rendered.preview.pending || rendered.preview.secure {
        return Ok(());
    }
    known.preflight(requests.app(), call).await
}

/// The request for a resource as the deployment will make it, as far as it is known.
async fn admitted(
    requests: &Requests,
    resource: &Resource,
    rendered: &RenderedResource,
    is_read: bool,
) -> Result<Result<Call, Denial>, ApiError> {
    let body = json_of(&rendered.preview.body).to_string();
    requests.admitted(&url(&resource.id), &resource.api_version, body, is_read).await
}

/// A resource that the client may not write, in Azure's words for templates.
fn refused(requests: &Requests, resource: &Resource, denial: &Denial) -> ApiError {
    let caller = requests.caller();
    let error = denied(&caller, denial).target(&*resource.id);
    let Denial::Missing { need } = denial else { return error };
    let name = resource.name.rsplit('/').next().unwrap_or_default();
    let message = format!(
        "Authorization failed for template resource '{name}' of type '{}'. The client '{}' with object id '{}' does not have permission to perform action '{}' at scope '{}'.",
        resource.resource_type,
        caller.client_id,
        caller.object_id,
        need.wanted.name(),
        url(&resource.id)
    );
    ApiError { message, ..error }
}

fn unknown_type(resource: &Resource) -> ApiError {
    let kind = &*resource.resource_type;
    let error = if arm::is(kind, "Microsoft.Resources/deploymentScripts") {
        ApiError::bad_request(
            "DeploymentScriptsNotSupported",
            "Resources of type 'Microsoft.Resources/deploymentScripts' are not supported: Goldsmith runs no scripts beside image builds. Remove the resource or give it a condition that is false, and do what the script does after the deployment, for example 'az image builder run'.",
        )
    } else {
        ApiError::bad_request(
            "InvalidResourceType",
            format!(
                "The resource type '{kind}' is not supported. The types that can be deployed are {}.",
                namespaces::deployable().join(", ")
            ),
        )
    };
    error.target(&*resource.id)
}
