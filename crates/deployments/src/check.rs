//! Preflight: what is wrong with a template's resources, before anything is made.

use arm::{ApiError, Call, denied, region};
use arm_template::{Kind, Rendered, RenderedResource, Resource};
use authorization::Rule;
use providers::{REGISTRY, namespaces};
use serde_json::Value;

use crate::{
    ask::url,
    errors,
    load::Draft,
    manager::Requests,
    request::Level,
    tree::{self, json_of},
};

/// Checks every resource, also of nested deployments, as far as it is known.
///
/// # Errors
/// `InvalidTemplate`; `InvalidTemplateDeployment` with all mistakes of resources.
pub(crate) async fn all(
    requests: &Requests,
    name: &str,
    draft: &Draft,
) -> Result<Rendered, ApiError> {
    let rendered = tree::render(requests, &draft.preview).await?;
    outputs(&rendered)?;
    if draft.request.level == Level::Template {
        return Ok(rendered);
    }
    let mut details = Vec::new();
    for deployment in rendered.deployments() {
        for rendered in deployment.resources.iter().filter(|one| one.nested.is_none()) {
            let resource = deployment.resource(rendered);
            if let Err(error) = one(requests, resource, rendered).await {
                details.push(error);
            }
        }
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
async fn one(
    requests: &Requests,
    resource: &Resource,
    rendered: &RenderedResource,
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
    preflight(requests, known, resource, &body).await
}

async fn preflight(
    requests: &Requests,
    kind: &dyn arm::ResourceType<service::App>,
    resource: &Resource,
    body: &Value,
) -> Result<(), ApiError> {
    let request = requests.put_request(&url(&resource.id), &resource.api_version, body);
    let caller = request.caller.clone();
    let rights = requests.app().rights(&caller).await?;
    let call = Call::admit(request, rights, &Rule::SignedIn);
    let call = call.map_err(|denial| denied(&caller, &denial))?;
    kind.preflight(requests.app(), &call).await
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
