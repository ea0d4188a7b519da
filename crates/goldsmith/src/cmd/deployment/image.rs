//! The image template in a deployment file.

use api::ErrorCode;
use arm_template::{
    Kind, NothingDeployed, Rendered, RenderedNested, RenderedResource, Resource, Value, same_name,
};
use images::error::Error;

use super::{
    file::File,
    json,
    offline::Offline,
    render::{Open, open},
};
use crate::{cli, cmd::Result, output::Output};

const TYPE: &str = "Microsoft.VirtualMachineImages/imageTemplates";
const SERVICE: &str = "set it by --parameters, or deploy the file to a service, which creates what it reads: \
                       goldsmith az deployment group create --template-file FILE";

/// An image template with all expressions evaluated.
pub(in crate::cmd) struct Image {
    /// For people: the file, and the place in it.
    pub(in crate::cmd) title: String,
    pub(in crate::cmd) name: String,
    /// The body as indented JSON.
    pub(in crate::cmd) text: String,
    /// Whether the text contains secrets, so that it is not shown.
    pub(in crate::cmd) secure: bool,
}

/// An image template, and the deployment that contains it.
type Found<'a> = (&'a Rendered, &'a RenderedResource);

/// The image template of a file, by its name if there are several. Prints mistakes of the file.
pub(in crate::cmd) fn image(
    file: &File,
    wanted: Option<&str>,
    args: &cli::Deployment,
    output: &Output,
) -> Result<Image> {
    let plan = file.plan(args, output)?;
    let offline = Offline::new(file, args);
    let rendered = plan.render(&offline).map_err(|error| offline.report(&error, output))?;
    let deployments = rendered.deployments();
    let all = deployments.iter().flat_map(|deployment| {
        let images = deployment.resources.iter().filter(|one| is_image(deployment.resource(one)));
        images.map(|one| (*deployment, one))
    });
    let (deployment, found) = choose(file, all.collect(), wanted, &deployments)?;
    let resource = deployment.resource(found);
    let body = body(deployment, found)?;
    let name = short_name(resource).to_owned();
    let title = format!("{}: {name}, evaluated", file.path.display());
    output.text(&format!("image template {name} of {}", file.path.display()));
    Ok(Image { title, name, text: text(resource, &body), secure: found.preview.secure })
}

fn is_image(resource: &Resource) -> bool {
    same_name(&resource.resource_type, TYPE)
}

fn short_name(resource: &Resource) -> &str {
    resource.name.rsplit('/').next().unwrap_or_default()
}

fn choose<'a>(
    file: &File,
    all: Vec<Found<'a>>,
    wanted: Option<&str>,
    deployments: &[&Rendered],
) -> Result<Found<'a>> {
    let is_wanted = |resource: &Resource| match wanted {
        None => true,
        Some(name) => same_name(short_name(resource), name) || same_name(&resource.id, name),
    };
    let (matching, others): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|(deployment, one)| is_wanted(deployment.resource(one)));
    let path = file.path.display();
    let error = match (&matching[..], wanted) {
        ([one], _) => return Ok(*one),
        ([], None) => Error::new(ErrorCode::NotFound, format!("{path} deploys no image template"))
            .details(reasons(deployments)),
        ([], Some(name)) => {
            let message = format!("{path} deploys no image template {name}");
            Error::new(ErrorCode::NotFound, message)
                .target("--template")
                .details(names(&others))
                .details(reasons(deployments))
        }
        (several, _) => {
            let message = format!("{path} deploys {} image templates", several.len());
            Error::new(ErrorCode::InvalidArgument, message)
                .target("--template")
                .hint("choose one: --template NAME, or its resource id")
                .details(names(several))
        }
    };
    Err(error.into())
}

fn names(found: &[Found<'_>]) -> Vec<String> {
    let line = |(deployment, one): &Found<'_>| {
        let resource = deployment.resource(one);
        format!("{} ({})", short_name(resource), resource.id)
    };
    found.iter().map(line).collect()
}

/// Why a file that contains an image template may not seem to.
fn reasons(deployments: &[&Rendered]) -> Vec<String> {
    let mut lines = Vec::new();
    for deployment in deployments {
        let unwanted = deployment.plan.resources().iter().filter(|one| !one.condition);
        for resource in unwanted.filter(|one| is_image(one)) {
            lines.push(format!(
                "the condition of {} at {} is false",
                resource.path, resource.position
            ));
        }
        for one in deployment.plan.undetermined() {
            if same_name(&one.resource_type, TYPE) {
                lines.push(format!("{} at {}: {}", one.path, one.position, one.reason));
            }
        }
        for one in &deployment.resources {
            let name = &deployment.resource(one).name;
            match &one.nested {
                Some(RenderedNested::Linked(_)) => {
                    lines.push(format!("the nested deployment {name} links a file elsewhere"));
                }
                Some(RenderedNested::Pending(reason)) => {
                    lines.push(format!("the nested deployment {name}: {reason}"));
                }
                Some(RenderedNested::Tree(_)) | None => {}
            }
        }
    }
    lines
}

/// The evaluated body. A local build needs no identity, so the identity may be one that does not exist yet.
fn body(deployment: &Rendered, found: &RenderedResource) -> Result<Value> {
    let resource = deployment.resource(found);
    if found.preview.pending {
        let body = without_open_identity(&found.preview.body);
        let left = open(&body);
        if left.is_empty() {
            return Ok(body);
        }
        return Err(unknown(resource, &left).into());
    }
    if !found.preview.secure {
        return Ok(found.preview.body.clone());
    }
    // The preview has expressions instead of secrets.
    match deployment.plan.body(resource, &NothingDeployed) {
        Ok(body) => Ok(body.value),
        Err(error) if error.kind == Kind::Pending => {
            Err(unknown(resource, &open(&found.preview.body)).into())
        }
        Err(error) => Err(Error::new(super::report::code(error.kind), error.to_string()).into()),
    }
}

fn without_open_identity(body: &Value) -> Value {
    let Value::Object(members) = body else { return body.clone() };
    let kept = members
        .iter()
        .filter(|(key, value)| !same_name(key, "identity") || open(value).is_empty())
        .map(|(key, value)| (key.clone(), value.clone()));
    Value::Object(kept.collect())
}

fn unknown(resource: &Resource, left: &[Open]) -> Error {
    let name = short_name(resource);
    let message = format!("the image template {name} has values that only a deployment can tell");
    let lines = left.iter().map(|open| format!("{}: {}", open.path, open.expression));
    Error::new(ErrorCode::ValidationFailed, message).details(lines).hint(SERVICE)
}

/// The resource as `az` takes it from a file.
fn text(resource: &Resource, body: &Value) -> String {
    let own = [
        ("type", Some(Value::from(resource.resource_type.clone()))),
        ("apiVersion", Some(resource.api_version.clone().into())),
        ("name", Some(resource.name.clone().into())),
    ];
    let members = body.as_object().into_iter().flat_map(arm_template::Object::iter);
    json::pretty(&json::object(
        own.into_iter().chain(members.map(|(key, value)| (&**key, Some(value.clone())))),
    ))
}
