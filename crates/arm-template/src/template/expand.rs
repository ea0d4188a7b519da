//! From declarations to resources: loops, conditions, names, scopes.

use std::sync::Arc;

use super::{
    declarations::{Declaration, Loop},
    facts::Facts,
    id, reading,
    resource::{CopyPlace, Resource, ResourceOptions, RetryOn, Source, Undetermined},
    schema::Schema,
    session::{Session, explained},
};
use arm_expression::{Error, Iteration, Kind, Node, Object, Value, same_name};

/// The most resources of a template, with all iterations of its loops.
const MOST_RESOURCES: usize = 800;

/// Resources that were expanded so far.
pub(super) struct Expansion<'a> {
    pub(super) session: &'a Session<'a>,
    /// The facts of the deployment whose resources these are.
    pub(super) facts: &'a Facts,
    pub(super) resources: Vec<Resource>,
    pub(super) undetermined: Vec<Undetermined>,
    /// The names of all loops and symbols of loops.
    pub(super) loops: Vec<Arc<str>>,
}

/// The resource in which another one is declared.
#[derive(Clone, Copy)]
struct Parent<'p> {
    /// Absent if it is not known, which is so only for a resource that is not deployed.
    name: Option<&'p str>,
    scope: &'p str,
}

/// What tells a resource from others.
struct Identity {
    id: Arc<str>,
    name: Arc<str>,
    scope: Arc<str>,
}

impl Identity {
    /// The name as the template has it, and no id.
    fn unknown(declaration: &Declaration) -> Self {
        let name = declaration.node.get("name").and_then(Node::as_text);
        let name = name.map_or_else(|| "".into(), |name| name.raw().clone());
        Self { id: "".into(), name, scope: "".into() }
    }
}

impl<'a> Expansion<'a> {
    pub(super) fn new(session: &'a Session<'a>, facts: &'a Facts) -> Self {
        let (resources, undetermined, loops) = Default::default();
        Self { session, facts, resources, undetermined, loops }
    }

    /// Expands a declaration at the top of the template.
    pub(super) fn declare(
        &mut self,
        declaration: &Declaration,
        outer: &[Iteration],
    ) -> Result<(), Error> {
        self.expand(declaration, None, outer)
    }

    fn expand(
        &mut self,
        declaration: &Declaration,
        parent: Option<Parent<'_>>,
        outer: &[Iteration],
    ) -> Result<(), Error> {
        let Some(copy) = &declaration.copy else {
            return self.attempt(declaration, parent, outer, None);
        };
        self.note_loop(declaration, copy)?;
        let (count, batch_size) = match self.size(copy, outer) {
            Ok(size) => size,
            Err(error) if self.facts.preview && error.kind == Kind::Pending => {
                self.undetermine(declaration, &error);
                return Ok(());
            }
            Err(error) => return Err(placed(declaration, None, error.within_key("copy"))),
        };
        for index in 0..count {
            let name = Some(copy.name.clone());
            let mut iterations = outer.to_vec();
            iterations.push(Iteration { name, index, of_property: false });
            let place = CopyPlace { name: copy.name.clone(), index, batch_size };
            self.attempt(declaration, parent, &iterations, Some(place))?;
        }
        Ok(())
    }

    fn note_loop(&mut self, declaration: &Declaration, copy: &Loop) -> Result<(), Error> {
        if self.loops.iter().any(|name| same_name(name, &copy.name)) && declaration.symbol.is_none()
        {
            let message = format!("The template has more than one copy loop '{}'", copy.name);
            return Err(placed(declaration, None, reading::wrong(&declaration.node, message)));
        }
        self.loops.push(copy.name.clone());
        self.loops.extend(declaration.symbol.clone());
        Ok(())
    }

    /// How many iterations a loop has, and how many may run at the same time.
    fn size(&self, copy: &Loop, outer: &[Iteration]) -> Result<(usize, Option<usize>), Error> {
        let evaluator = self.session.evaluator(outer);
        let count = evaluator.copy_count(&copy.count).map_err(|error| {
            let partial = self.session.progress.partial.get();
            self.session.settled(error, partial).within_key("count")
        })?;
        if !copy.serial {
            return Ok((count, None));
        }
        let Some(node) = &copy.batch_size else { return Ok((count, Some(1))) };
        let size = self.session.node(node, outer)?.value.as_int();
        match size.and_then(|size| usize::try_from(size).ok()).filter(|size| *size > 0) {
            Some(size) => Ok((count, Some(size))),
            None => Err(reading::wrong(node, "The batch size must be a positive integer")
                .within_key("batchSize")),
        }
    }

    /// Makes one resource, or notes that it cannot be determined in this preview.
    fn attempt(
        &mut self,
        declaration: &Declaration,
        parent: Option<Parent<'_>>,
        iterations: &[Iteration],
        copy: Option<CopyPlace>,
    ) -> Result<(), Error> {
        if self.resources.len() + self.undetermined.len() >= MOST_RESOURCES {
            let message = format!(
                "The number of template resources limit exceeded. Limit: '{MOST_RESOURCES}'"
            );
            return Err(Error::new(Kind::Limit, message, Some(declaration.node.position)));
        }
        match self.make(declaration, parent, iterations, copy) {
            Ok(resource) => self.add(declaration, resource, iterations),
            Err(error) if self.facts.preview && error.kind == Kind::Pending => {
                self.undetermine(declaration, &error);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn add(
        &mut self,
        declaration: &Declaration,
        resource: Resource,
        iterations: &[Iteration],
    ) -> Result<(), Error> {
        let (name, scope) = (resource.name.clone(), resource.scope.clone());
        let is_known = !resource.id.is_empty();
        self.resources.push(resource);
        let parent = Parent { name: is_known.then_some(&*name), scope: &scope };
        declaration
            .children
            .iter()
            .try_for_each(|child| self.expand(child, Some(parent), iterations))
    }

    fn undetermine(&mut self, declaration: &Declaration, error: &Error) {
        let name = declaration.node.get("name").and_then(Node::as_text);
        self.undetermined.push(Undetermined {
            symbol: declaration.symbol.clone(),
            resource_type: declaration.resource_type.clone(),
            name: name.map_or_else(|| "".into(), |name| name.raw().clone()),
            reason: error.message.clone(),
            position: declaration.node.position,
            path: declaration.path.clone(),
        });
    }

    fn make(
        &self,
        declaration: &Declaration,
        parent: Option<Parent<'_>>,
        iterations: &[Iteration],
        copy: Option<CopyPlace>,
    ) -> Result<Resource, Error> {
        let fail = |error| placed(declaration, None, error);
        let condition = self.condition(&declaration.node, iterations).map_err(fail)?;
        let identity = match self.identity(declaration, parent, iterations) {
            Ok(identity) => identity,
            // The names of a resource that is not deployed may make sense only with its condition.
            Err(_) if !condition => Identity::unknown(declaration),
            Err(error) => return Err(error),
        };
        Ok(Resource {
            symbol: declaration.symbol.clone(),
            id: identity.id,
            resource_type: declaration.resource_type.clone(),
            api_version: declaration.api_version.clone(),
            name: identity.name,
            scope: identity.scope,
            condition,
            existing: declaration.existing,
            copy,
            depends_on: Vec::new(),
            after: Vec::new(),
            options: options(&declaration.node).map_err(fail)?,
            position: declaration.node.position,
            path: declaration.path.clone(),
            source: Source { node: declaration.node.clone(), iterations: iterations.to_vec() },
        })
    }

    fn identity(
        &self,
        declaration: &Declaration,
        parent: Option<Parent<'_>>,
        iterations: &[Iteration],
    ) -> Result<Identity, Error> {
        let own_name = self.name(&declaration.node, iterations);
        let own_name = own_name.map_err(|error| placed(declaration, None, error))?;
        let name: Arc<str> = match parent {
            Some(Parent { name: Some(outer), .. }) => format!("{outer}/{own_name}").into(),
            Some(Parent { name: None, .. }) => {
                let message = "The name of the resource around it can't be evaluated";
                let error = reading::wrong(&declaration.node, message);
                return Err(placed(declaration, None, error));
            }
            None => own_name,
        };
        let scope = self.scope(declaration, parent, iterations);
        let scope = scope.map_err(|error| placed(declaration, Some(&name), error))?;
        let id = id::of_resource(&scope, &declaration.resource_type, &name).map_err(|rule| {
            let (place, resource_type) = (declaration.node.position, &declaration.resource_type);
            let message = format!(
                "The template resource '{name}' for type '{resource_type}' at {place} {rule}"
            );
            reading::wrong(&declaration.node, message).within(&declaration.path)
        })?;
        Ok(Identity { id: id.into(), name, scope: scope.into() })
    }

    fn condition(&self, node: &Node, iterations: &[Iteration]) -> Result<bool, Error> {
        let Some(node) = reading::present(node, "condition") else { return Ok(true) };
        let value = self
            .session
            .node(node, iterations)
            .map_err(|error| error.within_key("condition"))?
            .value;
        value.as_bool().ok_or_else(|| {
            let found = value.type_name();
            let message =
                format!("The condition must be of type 'Boolean', it is of type '{found}'");
            reading::wrong(node, message).within_key("condition")
        })
    }

    fn name(&self, node: &Node, iterations: &[Iteration]) -> Result<Arc<str>, Error> {
        let node = reading::required(node, "name")?;
        self.string(node, iterations).map_err(|error| error.within_key("name"))
    }

    fn string(&self, node: &Node, iterations: &[Iteration]) -> Result<Arc<str>, Error> {
        match self.session.node(node, iterations)?.value {
            Value::String(text) => Ok(text),
            other => {
                let found = other.type_name();
                Err(reading::wrong(
                    node,
                    format!("The value must be of type 'String', it is of type '{found}'"),
                ))
            }
        }
    }

    /// The value of a member that may be absent, null or empty.
    fn optional(
        &self,
        node: &Node,
        key: &str,
        iterations: &[Iteration],
    ) -> Result<Option<Arc<str>>, Error> {
        let Some(node) = reading::present(node, key) else { return Ok(None) };
        let value =
            self.session.node(node, iterations).map_err(|error| error.within_key(key))?.value;
        match value {
            Value::Null => Ok(None),
            Value::String(text) => Ok(Some(text).filter(|text| !text.is_empty())),
            other => Err(reading::wrong_type(node, key, other.type_name()).within_key(key)),
        }
    }

    /// The id of what the resource hangs on.
    fn scope(
        &self,
        declaration: &Declaration,
        parent: Option<Parent<'_>>,
        iterations: &[Iteration],
    ) -> Result<String, Error> {
        let node = &declaration.node;
        let own = &self.facts.scope;
        if let Some(scope) = self.optional(node, "scope", iterations)? {
            if scope.starts_with('/') {
                return Ok(scope.trim_end_matches('/').to_owned());
            }
            return id::relative(&own.to_string(), &scope).ok_or_else(|| {
                let message = format!(
                    "The scope '{scope}' must be a resource id, or a resource type with names"
                );
                reading::wrong(node, message).within_key("scope")
            });
        }
        let subscription = self.optional(node, "subscriptionId", iterations)?;
        let group = self.optional(node, "resourceGroup", iterations)?;
        if subscription.is_none() && group.is_none() {
            return Ok(parent.map_or_else(|| own.to_string(), |parent| parent.scope.to_owned()));
        }
        let group = group.or_else(|| own.resource_group().filter(|_| keeps_group(node)).cloned());
        let Some(subscription) = subscription.or_else(|| own.subscription().cloned()) else {
            let message =
                "The deployment has no subscription, so 'resourceGroup' needs a 'subscriptionId'";
            return Err(reading::wrong(node, message));
        };
        let group = group.map(|group| format!("/resourceGroups/{group}")).unwrap_or_default();
        Ok(format!("/subscriptions/{subscription}{group}"))
    }
}

/// Whether a nested deployment into another subscription is for a resource group, that of the same name: its template
/// is written for one.
fn keeps_group(node: &Node) -> bool {
    let template = node.get("properties").and_then(|properties| properties.get("template"));
    template.is_some_and(|template| matches!(Schema::read(template), Ok(Schema::ResourceGroup)))
}

fn options(node: &Node) -> Result<ResourceOptions, Error> {
    let Some(node) = reading::present(node, "@options") else {
        return Ok(ResourceOptions::default());
    };
    let value = super::given::literal(node);
    let none = Object::new();
    let object = value.as_object().unwrap_or(&none);
    if object.get("waitUntil").is_some() {
        let message = "The option 'waitUntil' is not supported: it is an experiment of Azure";
        return Err(
            Error::new(Kind::Unsupported, message, Some(node.position)).within_key("@options")
        );
    }
    let retry_on = object.get("retryOn").map(|value| {
        retry(value).ok_or_else(|| {
            let message =
                "The option 'retryOn' must be an array of an array of codes, and a number";
            reading::wrong(node, message).within_key("@options")
        })
    });
    Ok(ResourceOptions {
        only_if_not_exists: object.get("onlyIfNotExists").is_some(),
        null_if_not_found: object.get("nullIfNotFound").is_some(),
        retry_on: retry_on.transpose()?,
    })
}

fn retry(value: &Value) -> Option<RetryOn> {
    let arguments = value.as_array()?;
    let codes = arguments.first()?.as_array()?.iter();
    let codes = codes.map(|code| code.as_str().map(Arc::from)).collect::<Option<_>>()?;
    let times = match arguments.get(1) {
        None => None,
        Some(times) => Some(u32::try_from(times.as_int()?).ok()?),
    };
    Some(RetryOn { codes, times })
}

/// The error of a resource, with its path and, in the message, its name and place.
pub(super) fn placed(declaration: &Declaration, name: Option<&str>, error: Error) -> Error {
    let own_name = declaration.node.get("name").and_then(Node::as_text);
    let name = name.or(own_name.map(|text| &**text.raw())).unwrap_or_default();
    let place = declaration.node.position;
    let error = error.within(&declaration.path);
    explained(error, &format!("The template resource '{name}' at {place} is not valid"))
}
