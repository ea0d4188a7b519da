//! `goldsmith template render`: the resources and outputs of a deployment file, before anything is deployed.

use arm_template::{
    Link, LinkTarget, Output as Declared, Rendered, RenderedNested, RenderedResource, Value,
};

use super::{file::File, json, offline::Offline, read::text};
use crate::{cli, cmd::Result, output::Output};

pub(super) async fn run(args: &cli::Render, output: &Output) -> Result {
    let file = File::parse(&args.file, text(&args.file).await?, &args.deployment, output)?;
    let plan = file.plan(&args.deployment, output)?;
    let offline = Offline::new(&file, &args.deployment);
    let rendered = plan.render(&offline).map_err(|error| offline.report(&error, output))?;
    let value = shown(&rendered);
    output.result("rendered", &json::Ordered(&value), || json::pretty(&value));
    let errors = rendered.output_errors.iter().map(|wrong| &wrong.error);
    errors.map(|error| offline.report(error, output)).last().map_or(Ok(0), Err)
}

fn shown(rendered: &Rendered) -> Value {
    let (mut resources, mut left) = (Vec::new(), Vec::new());
    for (level, deployment) in rendered.deployments().into_iter().enumerate() {
        let name = (level > 0).then(|| deployment.plan.facts().name.clone().into());
        for one in &deployment.resources {
            resources.push(resource(deployment, one, name.clone()));
            left.extend(left_of(deployment, one));
        }
        left.extend(undetermined(deployment));
    }
    let outputs = rendered.outputs.iter().map(|declared| (&*declared.name, Some(output(declared))));
    let outputs = json::object(outputs);
    left.extend(rendered.outputs.iter().filter_map(left_output));
    json::object([
        ("resources", Some(resources.into())),
        ("outputs", Some(outputs)),
        ("left", Some(left.into())),
    ])
}

/// A resource as a template without expressions would have it, with its id. `deployment` names the nested deployment
/// that contains it.
fn resource(deployment: &Rendered, one: &RenderedResource, name: Option<Value>) -> Value {
    let resource = deployment.resource(one);
    let all = deployment.plan.resources();
    let needed: Vec<Value> =
        resource.depends_on.iter().map(|&index| all[index].id.clone().into()).collect();
    let own = [
        ("type", Some(resource.resource_type.clone().into())),
        ("apiVersion", Some(resource.api_version.clone().into())),
        ("name", Some(resource.name.clone().into())),
        ("id", Some(resource.id.clone().into())),
        ("deployment", name),
        ("dependsOn", (!needed.is_empty()).then(|| needed.into())),
    ];
    let body = one.preview.body.as_object();
    let body = body.into_iter().flat_map(arm_template::Object::iter);
    json::object(own.into_iter().chain(body.map(|(key, value)| (&**key, Some(value.clone())))))
}

fn output(declared: &Declared) -> Value {
    let value = declared.value.clone().filter(|_| !declared.secure);
    json::object([("type", Some(declared.type_name.into())), ("value", value)])
}

/// What a deployment still has to find out about a resource.
fn left_of(deployment: &Rendered, one: &RenderedResource) -> Vec<Value> {
    let id = &deployment.resource(one).id;
    let reason = match (one.preview.pending, one.preview.secure) {
        (false, false) => None,
        (true, false) => Some("known only after a deployment"),
        (false, true) => Some("secret"),
        (true, true) => Some("secret, or known only after a deployment"),
    };
    let expressions = reason.map(|_| open(&one.preview.body)).unwrap_or_default();
    let mut left: Vec<Value> = expressions
        .into_iter()
        .map(|open| {
            json::object([
                ("resource", Some(id.clone().into())),
                ("path", Some(open.path.into())),
                ("expression", Some(open.expression.into())),
                ("reason", reason.map(Value::from)),
            ])
        })
        .collect();
    let reason = match &one.nested {
        Some(RenderedNested::Linked(link)) => Some(link_reason(link)),
        Some(RenderedNested::Pending(reason)) => Some(reason.clone()),
        Some(RenderedNested::Tree(_)) | None => None,
    };
    left.extend(reason.map(|reason| {
        json::object([("resource", Some(id.clone().into())), ("reason", Some(reason.into()))])
    }));
    left
}

fn link_reason(link: &Link) -> String {
    let (LinkTarget::Uri(target) | LinkTarget::Id(target) | LinkTarget::RelativePath(target)) =
        &link.target;
    format!("its file {target} is not read here")
}

fn undetermined(deployment: &Rendered) -> impl Iterator<Item = Value> {
    deployment.plan.undetermined().iter().map(|one| {
        json::object([
            ("type", Some(one.resource_type.clone().into())),
            ("name", Some(one.name.clone().into())),
            ("path", Some(one.path.clone().into())),
            ("reason", Some(one.reason.clone().into())),
        ])
    })
}

fn left_output(declared: &Declared) -> Option<Value> {
    let reason = match (&declared.value, declared.secure) {
        (_, true) => "secret",
        (None, false) => "known only after a deployment",
        (Some(_), false) => return None,
    };
    Some(json::object([
        ("output", Some(declared.name.clone().into())),
        ("reason", Some(reason.into())),
    ]))
}

/// An expression that is left in a body.
pub(super) struct Open {
    pub(super) path: String,
    pub(super) expression: String,
}

/// The expressions that are left in a body. A text that only looks like one counts, too.
pub(super) fn open(body: &Value) -> Vec<Open> {
    let mut found = Vec::new();
    collect(body, String::new(), &mut found);
    found
}

fn collect(value: &Value, path: String, found: &mut Vec<Open>) {
    match value {
        Value::String(text) => note(text, path, found),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                collect(item, format!("{path}[{index}]"), found);
            }
        }
        Value::Object(members) => {
            let dot = if path.is_empty() { "" } else { "." };
            for (key, value) in members.iter() {
                note(key, path.clone(), found);
                collect(value, format!("{path}{dot}{key}"), found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) => {}
    }
}

fn note(text: &str, path: String, found: &mut Vec<Open>) {
    if text.starts_with('[') && text.ends_with(']') {
        found.push(Open { path, expression: text.to_owned() });
    }
}
