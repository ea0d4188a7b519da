//! A whole tree of deployments, evaluated without deploying anything.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    sync::Arc,
};

use super::{
    body::Preview,
    facts::{Facts, object},
    nested::{Link, Linked, Nested},
    outputs::{Output, OutputError},
    plan::Plan,
    resource::Resource,
    runtime::{Answer, Question, Runtime},
};
use arm_expression::{Error, Fault, Kind, Object, Value, fold_name};

/// The most deployments of a tree.
const MOST_DEPLOYMENTS: usize = 500;

/// How many deployments may contain one another.
const MOST_LEVELS: usize = 12;

/// What a rendering knows beside the templates.
pub trait Surroundings {
    /// What is known about resources that the templates do not create.
    fn ask(&self, question: &Question) -> Result<Answer, Fault>;

    /// The facts of a nested deployment, with what is known about its resource group.
    fn facts(&self, facts: Facts) -> Facts {
        facts
    }

    /// The files that a nested deployment links; `None` if they are not available.
    fn linked(&self, nested: &Nested) -> Result<Option<Linked>, Error> {
        let _ = nested;
        Ok(None)
    }
}

/// Surroundings in which nothing is known.
impl Surroundings for super::NothingDeployed {
    fn ask(&self, _question: &Question) -> Result<Answer, Fault> {
        Ok(Answer::Pending)
    }
}

/// A deployment as far as it is known before anything is deployed.
#[derive(Debug, Clone)]
pub struct Rendered {
    /// The plan.
    pub plan: Plan,
    /// The resources that are deployed, in the order of the template: not those whose condition is false, and not
    /// existing ones.
    pub resources: Vec<RenderedResource>,
    /// The outputs; those that are pending have no value.
    pub outputs: Vec<Output>,
    /// The outputs that cannot be evaluated.
    pub output_errors: Vec<OutputError>,
}

/// A resource of a [`Rendered`] deployment.
#[derive(Debug, Clone)]
pub struct RenderedResource {
    /// Its place in the plan's [resources](Plan::resources).
    pub index: usize,
    /// What is sent to its provider.
    pub preview: Preview,
    /// The deployment that it is.
    pub nested: Option<RenderedNested>,
}

/// A nested deployment of a [`Rendered`] one.
#[derive(Debug, Clone)]
pub enum RenderedNested {
    /// The deployment.
    Tree(Box<Rendered>),
    /// The template is somewhere else, and the [`Surroundings`] do not have it.
    Linked(Link),
    /// The template is not known yet, for this reason.
    Pending(String),
}

impl Plan {
    /// Evaluates the deployment and all nested ones as far as possible before anything is deployed. Plan with
    /// [`Facts::preview`], as a nested deployment may have parameters that are not known yet.
    ///
    /// # Errors
    ///
    /// The first mistake of a template, in the order of dependencies, except for mistakes of outputs.
    pub fn render(&self, surroundings: &dyn Surroundings) -> Result<Rendered, Error> {
        let simulation = Simulation {
            surroundings,
            states: RefCell::default(),
            planned: RefCell::default(),
            deployments: Cell::new(0),
        };
        simulation.render(self, 0)
    }
}

impl Rendered {
    /// All deployments of the tree, this one first.
    pub fn deployments(&self) -> Vec<&Rendered> {
        let mut all = vec![self];
        for resource in &self.resources {
            if let Some(RenderedNested::Tree(nested)) = &resource.nested {
                all.extend(nested.deployments());
            }
        }
        all
    }

    /// The resource of a rendered one.
    pub fn resource(&self, rendered: &RenderedResource) -> &Resource {
        &self.plan.resources()[rendered.index]
    }
}

struct Simulation<'a> {
    surroundings: &'a dyn Surroundings,
    /// What is known of the resources that were rendered, by folded id.
    states: RefCell<HashMap<String, Value>>,
    /// The resources that the templates deploy, by folded id.
    planned: RefCell<HashMap<String, ()>>,
    deployments: Cell<usize>,
}

impl Runtime for Simulation<'_> {
    fn ask(&self, question: &Question) -> Result<Answer, Fault> {
        let (Question::State { id, .. } | Question::List { id, .. }) = question;
        let folded = fold_name(id);
        if self.planned.borrow().contains_key(&*folded) {
            let known = self.states.borrow().get(&*folded).cloned();
            return Ok(match (question, known) {
                (Question::State { .. }, Some(state)) => Answer::Partial(state),
                _ => Answer::Pending,
            });
        }
        self.surroundings.ask(question)
    }
}

impl Simulation<'_> {
    fn render(&self, plan: &Plan, level: usize) -> Result<Rendered, Error> {
        self.deployments.set(self.deployments.get() + 1);
        if level >= MOST_LEVELS || self.deployments.get() > MOST_DEPLOYMENTS {
            let message = format!(
                "The limit of {MOST_DEPLOYMENTS} nested deployments, or of {MOST_LEVELS} levels of them, is exceeded"
            );
            return Err(Error::new(Kind::Limit, message, None));
        }
        for resource in plan.resources().iter().filter(|resource| is_written(resource)) {
            self.planned.borrow_mut().insert(fold_name(&resource.id).into_owned(), ());
        }
        let mut resources = Vec::new();
        for index in plan.order().iter().copied() {
            let resource = &plan.resources()[index];
            if is_written(resource) {
                resources.push(self.resource(plan, index, level)?);
            }
        }
        resources.sort_by_key(|resource| resource.index);
        let (outputs, output_errors) = match plan.preview_outputs(self) {
            Ok(outputs) => (outputs, Vec::new()),
            Err(errors) => (Vec::new(), errors),
        };
        Ok(Rendered { plan: plan.clone(), resources, outputs, output_errors })
    }

    fn resource(&self, plan: &Plan, index: usize, level: usize) -> Result<RenderedResource, Error> {
        let resource = &plan.resources()[index];
        let preview = plan.preview(resource, self)?;
        let nested = match resource.is_deployment() {
            true => Some(self.nested(plan, resource, level)?),
            false => None,
        };
        let outputs = match &nested {
            Some(RenderedNested::Tree(nested)) => Some(nested.outputs.as_slice()),
            Some(RenderedNested::Linked(_) | RenderedNested::Pending(_)) | None => None,
        };
        let state = state(resource, &preview.body, outputs);
        self.states.borrow_mut().insert(fold_name(&resource.id).into_owned(), state);
        Ok(RenderedResource { index, preview, nested })
    }

    fn nested(
        &self,
        plan: &Plan,
        resource: &Resource,
        level: usize,
    ) -> Result<RenderedNested, Error> {
        let nested = match plan.nested_preview(resource, self) {
            Ok(nested) => nested,
            Err(error) if error.kind == Kind::Pending => {
                return Ok(RenderedNested::Pending(error.message));
            }
            Err(error) => return Err(error),
        };
        let linked = match (&nested.template_link, &nested.parameters_link) {
            (None, None) => Linked::default(),
            (template, parameters) => match self.surroundings.linked(&nested)? {
                Some(linked) => linked,
                None => {
                    let link = template.clone().or(parameters.clone());
                    return Ok(link.map_or_else(
                        || RenderedNested::Pending("The link is not known".to_owned()),
                        RenderedNested::Linked,
                    ));
                }
            },
        };
        let facts =
            plan.facts().nested(&nested.name, nested.scope.clone(), nested.location.as_deref());
        let facts = self.surroundings.facts(self.with_group(facts));
        let inner = nested.plan(facts, linked)?;
        self.render(&inner, level + 1).map(|rendered| RenderedNested::Tree(Box::new(rendered)))
    }

    /// The facts with the resource group, if the templates create it.
    fn with_group(&self, facts: Facts) -> Facts {
        let known = self.states.borrow().get(&*fold_name(&facts.scope.to_string())).cloned();
        let resource_group = facts.resource_group.clone().or(known);
        Facts { resource_group, ..facts }
    }
}

fn is_written(resource: &Resource) -> bool {
    resource.condition && !resource.existing
}

/// What is known of a resource before it is deployed. Providers add to the properties, so these are not known; those of
/// a nested deployment are its outputs.
fn state(resource: &Resource, body: &Value, outputs: Option<&[Output]>) -> Value {
    let mut state = Object::new();
    state.insert("id", resource.id.clone().into());
    let own_name = resource.name.rsplit('/').next().unwrap_or_default();
    state.insert("name", Value::from(own_name));
    state.insert("type", resource.resource_type.clone().into());
    for key in ["location", "kind", "tags", "sku"] {
        let known = body.as_object().and_then(|body| body.get(key)).filter(|value| is_known(value));
        if let Some(value) = known {
            state.insert(key, value.clone());
        }
    }
    if let Some(outputs) = outputs {
        let known = outputs.iter().filter(|output| !output.secure).filter_map(|output| {
            let value = output.value.clone()?;
            let output_type = ("type", output.type_name.into());
            Some((output.name.clone(), object([output_type, ("value", value)])))
        });
        let outputs: Value = known.collect::<Object>().into();
        state.insert("properties", object([("outputs", outputs)]));
    }
    state.into()
}

/// Whether no part of a previewed value is an expression that is pending or secure. A text that only looks like one
/// counts as unknown, too.
fn is_known(value: &Value) -> bool {
    match value {
        Value::String(text) => !(text.starts_with('[') && text.ends_with(']')),
        Value::Array(items) => items.iter().all(is_known),
        Value::Object(object) => object
            .iter()
            .all(|(key, value)| is_known(&Value::String(Arc::clone(key))) && is_known(value)),
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) => true,
    }
}
