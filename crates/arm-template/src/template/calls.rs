//! The functions that tell something about the deployment and its resources.

use std::sync::Arc;

use super::{
    facts::object,
    id,
    resource::Resource,
    runtime::{Answer, Question, pending},
    session::{Deployed, Session},
};
use arm_expression::{
    Array, Evaluated, Fault, Kind, Object, Place, Value, reads_resources, same_name,
};

/// Calls a function by its folded name; `spelled` is for messages.
pub(super) fn call(
    session: &Session<'_>,
    name: &str,
    spelled: &str,
    arguments: &[Value],
) -> Option<Result<Evaluated, Fault>> {
    let facts = &session.names.facts;
    let known = |value: Value| Some(Ok(value.into()));
    match name {
        "deployment" => known(session.names.deployment()),
        "environment" => known(facts.cloud.environment()),
        "deployer" => known(facts.deployer.clone()),
        "tenant" => known(facts.tenant.clone()),
        "newguid" if session.environment.place == Place::ParameterDefault => {
            known(session.new_guid().into())
        }
        "newguid" | "externalinputs" => Some(Err(misplaced(spelled))),
        "subscription" | "resourcegroup" | "managementgroup" => {
            Some(scope(session, name, spelled).map(Evaluated::from))
        }
        "providers" => Some(provider(session, arguments).map(Evaluated::from)),
        "roledefinitions" => Some(role(session, arguments).map(Evaluated::from)),
        // There are no availability zones.
        "pickzones" => known(Array::new(Vec::new()).into()),
        "tologicalzone" | "tophysicalzone" => known("".into()),
        "tologicalzones" | "tophysicalzones" => known(Array::new(Vec::new()).into()),
        _ => {
            let runtime = reads_resources(name) || name == "resourceinfo";
            let call = |deployed| of_resource(session, deployed, name, spelled, arguments);
            runtime.then(|| session.deployed.ok_or_else(|| misplaced(spelled)).and_then(call))
        }
    }
}

fn of_resource(
    session: &Session<'_>,
    deployed: Deployed<'_>,
    name: &str,
    spelled: &str,
    arguments: &[Value],
) -> Result<Evaluated, Fault> {
    let lookup = Lookup { session, deployed };
    match name {
        "reference" => lookup.reference(arguments).map(Evaluated::from),
        "references" => lookup.references(arguments).map(Evaluated::from),
        "resourceinfo" => lookup.resource_info(arguments).map(Evaluated::from),
        "target" => lookup.target(arguments).map(Evaluated::from),
        _ => lookup.list(spelled, arguments).map(|value| Evaluated { value, secure: true }),
    }
}

/// The fault of a function that must not stand here.
fn misplaced(name: &str) -> Fault {
    let message = format!("The template function '{name}' is not expected at this location");
    Fault::of(Kind::Template, message).complete()
}

/// `subscription()`, `resourceGroup()`, `managementGroup()`. Where only the id is known, the rest is pending.
fn scope(session: &Session<'_>, name: &str, spelled: &str) -> Result<Value, Fault> {
    let facts = &session.names.facts;
    let scope = &facts.scope;
    let (in_scope, known) = match name {
        "subscription" => (scope.subscription().is_some(), &facts.subscription),
        "resourcegroup" => (scope.resource_group().is_some(), &facts.resource_group),
        _ => (scope.management_group().is_some(), &facts.management_group),
    };
    if !in_scope {
        return Err(misplaced(spelled));
    }
    if let Some(known) = known {
        return Ok(known.clone());
    }
    session.progress.partial.set(true);
    let (own_name, own_type) = match (name, scope.resource_group(), scope.management_group()) {
        ("resourcegroup", Some(group), _) => (group, "Microsoft.Resources/resourceGroups"),
        (_, _, Some(group)) => (group, "Microsoft.Management/managementGroups"),
        _ => return Err(pending("The subscription")),
    };
    Ok(object([
        ("id", scope.to_string().into()),
        ("name", own_name.clone().into()),
        ("type", own_type.into()),
    ]))
}

fn provider(session: &Session<'_>, arguments: &[Value]) -> Result<Value, Fault> {
    let namespace = text(arguments, 0)?;
    let found = session.names.facts.cloud.provider(namespace);
    let provider = found.ok_or_else(|| {
        Fault::new(format!("The resource provider namespace '{namespace}' is not available"))
    })?;
    if arguments.len() == 1 {
        return Ok(provider);
    }
    let resource_type = text(arguments, 1)?;
    let types = provider.as_object().and_then(|provider| provider.get("resourceTypes")?.as_array());
    let named = |value: &&Value| {
        let name = value.as_object().and_then(|value| value.get("resourceType")?.as_str());
        name.is_some_and(|name| same_name(name, resource_type))
    };
    let found = types.and_then(|types| types.iter().find(named));
    found.cloned().ok_or_else(|| {
        Fault::new(format!("The resource type '{namespace}/{resource_type}' is not available"))
    })
}

fn role(session: &Session<'_>, arguments: &[Value]) -> Result<Value, Fault> {
    let name = text(arguments, 0)?;
    let found = session.names.facts.cloud.role_definition(name);
    let role = found.ok_or_else(|| Fault::new(format!("There is no built-in role '{name}'")))?;
    Ok(object([
        ("id", format!("/providers/Microsoft.Authorization/roleDefinitions/{role}").into()),
        ("roleDefinitionId", role.into()),
    ]))
}

/// A call about resources.
struct Lookup<'s> {
    session: &'s Session<'s>,
    deployed: Deployed<'s>,
}

/// What an argument names.
struct Target<'s> {
    id: Arc<str>,
    /// The resource of the template.
    resource: Option<&'s Resource>,
}

impl<'s> Lookup<'s> {
    /// The resource that an argument names by a symbol, a name, or an id.
    fn target_of(&self, named: &str) -> Result<Target<'s>, Fault> {
        // The expressions of a nested template with an outer scope also speak of resources around it.
        let graphs =
            std::iter::successors(Some(self.deployed.graph), |graph| graph.outer.as_deref());
        for graph in graphs {
            match graph.find(named)?[..] {
                [] => {}
                [index] => {
                    let resource = &graph.resources[index];
                    return Ok(Target { id: resource.id.clone(), resource: Some(resource) });
                }
                [..] => {
                    let message =
                        format!("The name '{named}' means more than one resource of the template");
                    return Err(Fault::of(Kind::Template, message));
                }
            }
        }
        if named.starts_with('/') {
            return Ok(Target { id: named.trim_end_matches('/').into(), resource: None });
        }
        let scope = self.session.names.facts.scope.to_string();
        let id = id::relative(&scope, named).ok_or_else(|| {
            let message = format!("The resource '{named}' is not defined in the template");
            Fault::of(Kind::Template, message).complete()
        })?;
        Ok(Target { id: id.into(), resource: None })
    }

    fn reference(&self, arguments: &[Value]) -> Result<Value, Fault> {
        let target = self.target_of(text(arguments, 0)?)?;
        let given = match arguments.get(1) {
            None | Some(Value::Null) => None,
            Some(_) => Some(text(arguments, 1)?).filter(|version| !version.is_empty()),
        };
        let full = match arguments.get(2) {
            None => false,
            Some(_) => wants_full(text(arguments, 2)?)?,
        };
        self.state(&target, given, full)
    }

    fn state(
        &self,
        target: &Target<'_>,
        version: Option<&str>,
        full: bool,
    ) -> Result<Value, Fault> {
        let own_version = target.resource.map(|resource| resource.api_version.clone());
        let api_version = version.map(Arc::from).or(own_version).ok_or_else(|| {
            Fault::new(format!(
                "the resource '{}' is not in the template, so an API version is needed as the second argument",
                target.id
            ))
        })?;
        let question = Question::State { id: target.id.clone(), api_version: api_version.clone() };
        let state = match self.deployed.runtime.ask(&question)? {
            Answer::Known(state) => state,
            Answer::Partial(state) => {
                self.session.progress.partial.set(true);
                state
            }
            Answer::Pending => return Err(pending(&format!("The resource '{}'", target.id))),
            Answer::NotFound => {
                if target.resource.is_some_and(|resource| resource.options.null_if_not_found) {
                    return Ok(Value::Null);
                }
                return Err(
                    Fault::new(format!("The resource '{}' was not found", target.id)).complete()
                );
            }
        };
        if full {
            return Ok(full_state(&state, target, api_version));
        }
        let properties = state.as_object().and_then(|state| state.get("properties")).cloned();
        match properties {
            Some(properties) => Ok(properties),
            None if self.session.progress.partial.get() => {
                Err(pending(&format!("The state of the resource '{}'", target.id)))
            }
            None => Ok(Object::new().into()),
        }
    }

    fn references(&self, arguments: &[Value]) -> Result<Value, Fault> {
        let named = text(arguments, 0)?;
        let full = match arguments.get(1) {
            None => false,
            Some(_) => wants_full(text(arguments, 1)?)?,
        };
        let graph = self.deployed.graph;
        let Some(indices) = graph.loop_of(named) else {
            return Err(Fault::new(format!("'{named}' is not a loop of resources")));
        };
        let states = indices.iter().map(|index| {
            let resource = &graph.resources[*index];
            let target = Target { id: resource.id.clone(), resource: Some(resource) };
            self.state(&target, None, full)
        });
        Ok(states.collect::<Result<Array, Fault>>()?.into())
    }

    fn resource_info(&self, arguments: &[Value]) -> Result<Value, Fault> {
        let named = text(arguments, 0)?;
        let target = self.target_of(named)?;
        let resource = target.resource.ok_or_else(|| {
            Fault::new(format!("The resource '{named}' is not defined in the template"))
        })?;
        // The name of a resource that is declared inside another one is its own part only.
        let nested = resource.symbol.as_deref().is_some_and(|symbol| symbol.contains("::"));
        let name = match resource.name.rsplit_once('/') {
            Some((_, last)) if nested => last.into(),
            _ => resource.name.clone(),
        };
        Ok(object([
            ("id", resource.id.clone().into()),
            ("name", name.into()),
            ("type", resource.resource_type.clone().into()),
            ("apiVersion", resource.api_version.clone().into()),
        ]))
    }

    /// The state of the resource before it is written; null if there is none.
    fn target(&self, arguments: &[Value]) -> Result<Value, Fault> {
        let Some((id, api_version)) = self.deployed.own else {
            return Err(Fault::of(Kind::Template, "it may stand only in a resource"));
        };
        let full = match arguments.first() {
            None => false,
            Some(_) => wants_full(text(arguments, 0)?)?,
        };
        let question = Question::State { id: id.clone(), api_version: api_version.clone() };
        let state = match self.deployed.runtime.ask(&question)? {
            Answer::Known(state) | Answer::Partial(state) => state,
            Answer::NotFound => return Ok(Value::Null),
            Answer::Pending => return Err(pending(&format!("The resource '{id}'"))),
        };
        if full {
            return Ok(state);
        }
        let properties = state.as_object().and_then(|state| state.get("properties"));
        Ok(properties.cloned().unwrap_or(Value::Null))
    }

    fn list(&self, action: &str, arguments: &[Value]) -> Result<Value, Fault> {
        let target = self.target_of(text(arguments, 0)?)?;
        let api_version = text(arguments, 1)?.into();
        let body = arguments.get(2).cloned();
        let question =
            Question::List { id: target.id.clone(), action: action.into(), api_version, body };
        match self.deployed.runtime.ask(&question)? {
            Answer::Known(answer) => Ok(answer),
            Answer::Partial(answer) => {
                self.session.progress.partial.set(true);
                Ok(answer)
            }
            Answer::Pending => Err(pending(&format!("What '{action}' gives for '{}'", target.id))),
            Answer::NotFound => {
                Err(Fault::new(format!("The resource '{}' was not found", target.id)).complete())
            }
        }
    }
}

/// The state of a resource with what Azure adds to it for `'Full'`.
fn full_state(state: &Value, target: &Target<'_>, api_version: Arc<str>) -> Value {
    let mut full = Object::new();
    let own = target.resource.map_or(&api_version, |resource| &resource.api_version);
    full.insert("apiVersion", own.clone().into());
    for (key, value) in state.as_object().map(Object::iter).into_iter().flatten() {
        if !["id", "name", "type", "apiVersion"].iter().any(|own| same_name(own, key)) {
            full.insert(key.clone(), value.clone());
        }
    }
    let (scope, relative) = id::split(&target.id);
    let scope = super::Scope::parse(scope);
    let part = |part: Option<&Arc<str>>| part.map_or(Value::Null, |part| part.clone().into());
    full.insert("subscriptionId", part(scope.as_ref().and_then(super::Scope::subscription)));
    full.insert("resourceGroupName", part(scope.as_ref().and_then(super::Scope::resource_group)));
    full.insert("resourceId", relative.into());
    full.insert("referenceApiVersion", api_version.into());
    let condition = target.resource.is_none_or(|resource| resource.condition);
    let written = target.resource.is_some_and(|resource| !resource.existing);
    full.insert("condition", true.into());
    full.insert("isConditionTrue", condition.into());
    full.insert("isTemplateResource", written.into());
    full.insert("isAction", false.into());
    full.insert("provisioningOperation", if written { "Create" } else { "Read" }.into());
    full.into()
}

fn wants_full(text: &str) -> Result<bool, Fault> {
    if same_name(text, "full") {
        return Ok(true);
    }
    Err(Fault::new(format!("the last argument may be 'Full' only, it is '{text}'")))
}

fn text(arguments: &[Value], index: usize) -> Result<&str, Fault> {
    let value = arguments.get(index).unwrap_or(&Value::Null);
    value.as_str().ok_or_else(|| {
        let (number, found) = (index + 1, value.type_name());
        Fault::new(format!("argument {number} must be of type 'String', it is of type '{found}'"))
    })
}
