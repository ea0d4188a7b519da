//! From a request, or from the rows of a deployment, to its plan.

use std::{future::Future, pin::Pin, sync::Arc};

use arm::{ApiError, Extension, Method, Path};
use arm_template::{Facts, Given, Limits, Nested, Node, Parameters, Plan, Resource, Template};
use jiff::Timestamp;

use crate::{
    ask, errors,
    facts::{self, About},
    links::{self, Links},
    manager::Requests,
    place::Place,
    record::{Parent, Record},
    request::{Request, plain},
    tree,
};

/// A deployment before it is recorded.
pub(crate) struct Draft {
    pub(crate) request: Request,
    pub(crate) links: Links,
    pub(crate) plan: Arc<Plan>,
    /// The same for a preview, in which something may be unknown.
    pub(crate) preview: Arc<Plan>,
    /// The template's hash, as responses show it.
    pub(crate) hash: String,
    pub(crate) now: Timestamp,
    pub(crate) seed: String,
}

/// Plans what a client requests.
///
/// # Errors
/// `InvalidTemplate`, `InvalidTemplateParameter`… with places; the errors of links.
pub(crate) async fn draft(
    requests: &Requests,
    place: &Place,
    name: &str,
    request: Request,
) -> Result<Draft, ApiError> {
    let links = links::follow(requests, &request).await?;
    draft_with(requests, place, name, request, links)
}

/// Plans what a client requests, with what it links to.
///
/// # Errors
/// `InvalidTemplate`
pub(crate) fn draft_with(
    requests: &Requests,
    place: &Place,
    name: &str,
    request: Request,
    links: Links,
) -> Result<Draft, ApiError> {
    let (now, seed) = (Timestamp::now(), uuid::Uuid::new_v4().to_string());
    let about = About {
        name,
        location: request.location.as_deref(),
        mode: request.mode,
        seed: &seed,
        now,
        request: &request,
    };
    let facts = facts::of(requests.app(), &requests.client, place, &about);
    let preview = Facts { preview: true, ..facts.clone() };
    let preview = Arc::new(plan(&request, &links, preview)?);
    let plan = Arc::new(plan(&request, &links, facts)?);
    let hash = plan.template().hash();
    Ok(Draft { plan, preview, request, links, hash, now, seed })
}

fn plan(request: &Request, links: &Links, facts: Facts) -> Result<Plan, ApiError> {
    let limits = Limits::default();
    let linked = links.template.as_deref().map(|text| parse(text, &limits)).transpose()?;
    let node = match &linked {
        Some(node) => node,
        None => request.template()?,
    };
    let wrong = |error: arm_template::Error| errors::template(&error);
    let template = Template::from_node(node).map_err(wrong)?;
    let given = links.parameters.as_deref().map(|text| Parameters::parse(text, &limits));
    let parameters = match (given, &request.parameters) {
        (Some(parsed), _) => parsed.map_err(wrong)?,
        (None, Some(node)) => match &request.external_inputs {
            Some(inputs) => Parameters::from_node_with_inputs(node, inputs, &limits),
            None => Parameters::from_node(node),
        }
        .map_err(wrong)?,
        (None, None) => Parameters::default(),
    };
    refuse_secrets(&parameters)?;
    template.plan(&parameters, facts).map_err(wrong)
}

fn parse(text: &str, limits: &Limits) -> Result<Node, ApiError> {
    Node::parse(text, limits).map_err(|error| errors::template(&error))
}

/// There is no key vault here.
fn refuse_secrets(parameters: &Parameters) -> Result<(), ApiError> {
    let secret = parameters.iter().find(|(_, given)| matches!(given, Given::Secret(_)));
    let Some((name, _)) = secret else { return Ok(()) };
    Err(ApiError::bad_request(
        "KeyVaultParameterReferenceNotSupported",
        format!(
            "The parameter '{name}' refers to a secret of a key vault. Goldsmith has no key vaults: give the value itself, as a parameter of type securestring."
        ),
    )
    .target(format!("properties.parameters.{name}")))
}

/// The plan of a recorded deployment, the same as when it was accepted.
///
/// # Errors
/// The deployment that contains it is gone, or what it links to is.
pub(crate) fn recorded<'a>(
    requests: &'a Requests,
    record: &'a Record,
) -> Pin<Box<dyn Future<Output = Result<Arc<Plan>, ApiError>> + Send + 'a>> {
    Box::pin(async move {
        let place = place_of(requests, &record.row.id).await?;
        let links = record.hidden.links.clone();
        if let Some(Parent { id, index }) = &record.hidden.parent {
            let parent = Record::find(requests.app().store(), &db::ResourceKey::of(id)).await?;
            let parent = parent.ok_or_else(|| gone(id))?;
            let outer = recorded(requests, &parent).await?;
            let resource = outer.resources().get(*index).ok_or_else(|| gone(id))?;
            let nested = nested(requests, &outer, resource).await?;
            return nested_plan(requests, &outer, &nested, &place, &links, false);
        }
        let text = requests.app().store().deployment_request(&record.key()).await?;
        let request = Request::read(&text.unwrap_or_default())?;
        let about = About {
            name: &record.row.name,
            location: record.hidden.location.as_deref(),
            mode: request.mode,
            seed: &record.hidden.seed,
            now: record.row.started,
            request: &request,
        };
        let facts = facts::of(requests.app(), &record.hidden.client, &place, &about);
        plan(&request, &links, facts).map(Arc::new)
    })
}

fn gone(id: &str) -> ApiError {
    ApiError::absent(
        "DeploymentNotFound",
        format!("The deployment '{id}', which contains this one, was removed."),
    )
}

/// The scope that a deployment's id is in.
pub(crate) async fn place_of(requests: &Requests, id: &str) -> Result<Place, ApiError> {
    let at = Extension::of(&Path::parse(&id.replace('%', "%25")));
    let at = at.ok_or_else(|| ApiError::internal(format!("{id} is no id of a deployment")))?;
    Place::of(requests.app(), &at, Method::Get).await
}

/// A nested deployment of a plan, with its parameters, which may need resources that exist by now.
///
/// # Errors
/// A parameter cannot be evaluated.
pub(crate) async fn nested(
    requests: &Requests,
    outer: &Plan,
    resource: &Resource,
) -> Result<Nested, ApiError> {
    let evaluated = ask::until_known(requests, |answers| outer.nested(resource, answers)).await?;
    evaluated.map_err(|error| errors::expressions(&resource.id, &error))
}

/// The plan of a nested deployment.
///
/// # Errors
/// `InvalidTemplate`
pub(crate) fn nested_plan(
    requests: &Requests,
    outer: &Plan,
    nested: &Nested,
    place: &Place,
    links: &Links,
    preview: bool,
) -> Result<Arc<Plan>, ApiError> {
    // With the stored spelling of the group's name.
    let scope = facts::scope(place);
    let mut facts = outer.facts().nested(&nested.name, scope, nested.location.as_deref());
    facts.resource_group = place.group.as_ref().map(facts::group);
    facts.subscription = Some(facts::subscription(requests.app(), place));
    facts.preview = preview;
    refuse_secrets(&nested.parameters)?;
    let plan = nested.plan(facts, tree::linked(links)?);
    plan.map(Arc::new).map_err(|error| errors::template(&error))
}

/// The files that a nested deployment links to.
pub(crate) async fn nested_links(requests: &Requests, nested: &Nested) -> Result<Links, ApiError> {
    let mut links = Links::default();
    let base = tree::base(nested);
    if let Some(link) = &nested.template_link {
        links.add_template(requests, &tree::link_value(link), base.as_ref()).await?;
    }
    if let Some(link) = &nested.parameters_link {
        links.add_parameters(requests, &tree::link_value(link), base.as_ref()).await?;
    }
    Ok(links)
}

/// The template of a recorded deployment as it was sent.
///
/// # Errors
/// The template cannot be read.
pub(crate) async fn template_of(
    requests: &Requests,
    record: &Record,
) -> Result<serde_json::Value, ApiError> {
    let text = requests.app().store().deployment_request(&record.key()).await?.unwrap_or_default();
    if record.hidden.parent.is_some() {
        return serde_json::from_str(&text).map_err(ApiError::internal);
    }
    let request = Request::read(&text)?;
    match &record.hidden.links.template {
        Some(text) => Ok(plain(&parse(text, &Limits::default())?)),
        None => Ok(plain(request.template()?)),
    }
}
