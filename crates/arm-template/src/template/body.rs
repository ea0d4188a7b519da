//! What is sent to the provider of a resource.

use std::cell::Cell;

use super::{
    plan::Plan,
    resource::Resource,
    runtime::Runtime,
    session::{Session, explained},
};
use arm_expression::{
    Content, Error, Evaluated, Kind, Members, Node, Object, Place, Value, same_name,
};

/// The members of a resource that belong to the language, or that the plan has evaluated.
const LANGUAGE: &[&str] = &[
    "@options",
    "apiVersion",
    "comments",
    "condition",
    "copy",
    "dependsOn",
    "existing",
    "extension",
    "import",
    "metadata",
    "method",
    "name",
    "resourceGroup",
    "resources",
    "scope",
    "subscriptionId",
    "type",
];

/// A body in which something may be unknown.
#[derive(Debug, Clone, PartialEq)]
pub struct Preview {
    /// The body. Strings that are pending or secure are the expressions that the template has in their place.
    pub body: Value,
    /// Whether a part is pending.
    pub pending: bool,
    /// Whether a part is secure.
    pub secure: bool,
}

impl Plan {
    /// The body of a resource: an object with all members that are sent to the provider, such as `location`, `tags`,
    /// `identity` and `properties`. The template of a nested deployment is in it as it is written.
    ///
    /// # Errors
    ///
    /// [`Kind::Pending`] if the runtime does not know enough yet; all others are final.
    pub fn body(&self, resource: &Resource, runtime: &dyn Runtime) -> Result<Evaluated, Error> {
        self.0.with_session(Place::Resource, runtime, Some(resource), |session| {
            let node = sent(resource);
            let body = session.node(&node, &resource.source.iterations);
            let body = body.map_err(|error| unprocessed(resource, error))?;
            Ok(Evaluated { value: finished(resource, body.value), ..body })
        })
    }

    /// The body of a resource as far as it is known.
    ///
    /// # Errors
    ///
    /// What is wrong whatever the runtime will know.
    pub fn preview(&self, resource: &Resource, runtime: &dyn Runtime) -> Result<Preview, Error> {
        self.0.with_session(Place::Resource, runtime, Some(resource), |session| {
            let preview = previewed(session, &sent(resource), resource);
            let preview = preview.map_err(|error| unprocessed(resource, error))?;
            Ok(Preview { body: finished(resource, preview.body), ..preview })
        })
    }
}

fn previewed(session: &Session<'_>, node: &Node, resource: &Resource) -> Result<Preview, Error> {
    let (pending, secure) = (Cell::new(false), Cell::new(false));
    let keep = |result: &Result<Evaluated, Error>| {
        let partial = session.progress.partial.replace(false);
        match result {
            Ok(value) if value.secure => secure.set(true),
            Ok(_) => return false,
            Err(error) if is_pending(error, partial) => pending.set(true),
            Err(_) => return false,
        }
        true
    };
    let body = session.evaluator(&resource.source.iterations).keeping(&keep).node(node)?.value;
    Ok(Preview { body, pending: pending.get(), secure: secure.get() })
}

/// Whether an error may be gone when more is known.
fn is_pending(error: &Error, partial: bool) -> bool {
    error.kind == Kind::Pending || partial && error.kind == Kind::Evaluation
}

/// The declaration without what is not evaluated here.
fn sent(resource: &Resource) -> Node {
    let source = &resource.source.node;
    let Content::Object(members) = &source.content else { return source.clone() };
    let own = members.iter().filter(|member| !is_any(LANGUAGE, member.key.raw())).cloned();
    let own = own.map(|mut member| {
        if resource.is_deployment() && same_name(member.key.raw(), "properties") {
            member.value = without(&member.value, "template");
        }
        member
    });
    Node { position: source.position, content: Content::Object(Members::new(own.collect())) }
}

/// The object without one of its members.
fn without(node: &Node, key: &str) -> Node {
    let Content::Object(members) = &node.content else { return node.clone() };
    let others = members.iter().filter(|member| !same_name(member.key.raw(), key)).cloned();
    Node { position: node.position, content: Content::Object(Members::new(others.collect())) }
}

fn is_any(names: &[&str], name: &str) -> bool {
    names.iter().any(|other| same_name(other, name))
}

/// The body with the template of a nested deployment, and without members at its top that evaluate to null.
fn finished(resource: &Resource, body: Value) -> Value {
    let Value::Object(body) = body else { return body };
    let members = body.iter().filter(|(_, value)| !value.is_null());
    let mut body: Object = members.map(|(key, value)| (key.clone(), value.clone())).collect();
    let source = resource.source.node.get("properties");
    let template = source.and_then(|properties| properties.get("template"));
    if let (true, Some(template), Some(Value::Object(properties))) =
        (resource.is_deployment(), template, body.get("properties"))
    {
        let mut properties = properties.clone();
        properties.insert("template", template.to_value());
        body.insert_any_case("properties", properties.into());
    }
    body.into()
}

/// The error of a resource's body.
pub(super) fn unprocessed(resource: &Resource, error: Error) -> Error {
    let what = format!(
        "Unable to process template language expressions for resource '{}' at {}",
        resource.id, resource.position
    );
    explained(error.within(&resource.path), &what)
}
