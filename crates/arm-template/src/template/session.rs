//! The context in which the expressions of a template are evaluated.

use std::{
    cell::{Cell, RefCell},
    sync::Arc,
};

use super::{
    declarations::Parameter,
    facts::Facts,
    given::Given,
    graph::Graph,
    names::Names,
    runtime::{Runtime, pending},
};
use arm_expression::{
    Budget, Environment, Error, Evaluated, Evaluator, Fault, Iteration, Kind, Node, Place, Value,
    fold_name, same_name,
};

/// What expressions see at one place of a template.
pub(super) struct Session<'a> {
    pub(super) names: &'a Names,
    pub(super) budget: &'a Budget,
    pub(super) environment: Environment,
    /// What is deployed; absent where `reference` and its like must not stand.
    pub(super) deployed: Option<Deployed<'a>>,
    pub(super) progress: &'a Progress,
}

/// What expressions see of resources.
#[derive(Clone, Copy)]
pub(super) struct Deployed<'a> {
    pub(super) runtime: &'a dyn Runtime,
    pub(super) graph: &'a Graph,
    /// The id and the version of the resource whose body is evaluated, for `target`.
    pub(super) own: Option<(&'a Arc<str>, &'a Arc<str>)>,
}

/// What changes while expressions are evaluated.
#[derive(Default)]
pub(super) struct Progress {
    /// The parameters and variables that are being evaluated, outer ones first.
    stack: RefCell<Vec<String>>,
    /// Whether a value was used of which only a part is known.
    pub(super) partial: Cell<bool>,
    /// The parameter whose default is being evaluated, and how many UUIDs it has.
    guids: RefCell<(Arc<str>, usize)>,
}

/// A variable as the template has it.
pub(super) enum Variable<'a> {
    Value(&'a Node),
    /// The loop that makes it, and its place among the loops.
    Loop(usize, &'a Node),
}

/// The budget of an evaluation.
pub(super) fn budget(facts: &Facts) -> Budget {
    let budget = Budget::new(facts.limits.clone());
    match facts.stop.clone() {
        Some(stop) => budget.stopped_by(move || stop()),
        None => budget,
    }
}

impl<'a> Session<'a> {
    pub(super) fn new(
        names: &'a Names,
        budget: &'a Budget,
        progress: &'a Progress,
        place: Place,
        deployed: Option<Deployed<'a>>,
    ) -> Self {
        let environment = names.facts.environment(place);
        Self { names, budget, environment, deployed, progress }
    }

    /// An evaluator with open copy loops.
    pub(super) fn evaluator(&self, iterations: &[Iteration]) -> Evaluator<'_> {
        Evaluator::new(self, self.budget).opened(iterations)
    }

    /// Evaluates a tree. An error that a partly known value explains is one of [`Kind::Pending`].
    pub(super) fn node(&self, node: &Node, iterations: &[Iteration]) -> Result<Evaluated, Error> {
        let before = self.progress.partial.replace(false);
        let result = self.evaluator(iterations).node(node);
        let partial = self.progress.partial.replace(before);
        result.map_err(|error| self.settled(error, partial))
    }

    /// The error, as one of [`Kind::Pending`] if a partly known value explains it.
    pub(super) fn settled(&self, mut error: Error, partial: bool) -> Error {
        if partial && error.kind == Kind::Evaluation {
            error.kind = Kind::Pending;
        }
        error
    }

    /// The same names at another place, where `reference` and its like must not stand.
    fn at(&self, place: Place) -> Session<'_> {
        Session::new(self.names, self.budget, self.progress, place, None)
    }

    pub(super) fn evaluate_parameter(&self, declared: &Parameter) -> Result<Evaluated, Error> {
        let name = &declared.name;
        let error = |kind, message| Err(Error::new(kind, message, Some(declared.position)));
        match self.names.given.get(name) {
            Some(Given::Value(value)) if !value.is_null() => {
                self.checked(declared, value.clone().into())
            }
            Some(Given::Unknown) => error(
                Kind::Pending,
                pending(&format!("The parameter '{name}'")).message().to_owned(),
            ),
            Some(Given::Secret(_)) => error(
                Kind::Parameter,
                format!("The secret of the template parameter '{name}' was not read"),
            ),
            Some(Given::Value(_)) | None => match &declared.default {
                Some(default) => {
                    let before = self.progress.guids.replace((name.clone(), 0));
                    let value = self.at(Place::ParameterDefault).node(default, &[]);
                    self.progress.guids.replace(before);
                    let value = value.map_err(|error| {
                        explained(
                            error.within_key("defaultValue"),
                            &format!("The template parameter '{name}' is not valid"),
                        )
                    })?;
                    self.checked(declared, value)
                }
                None if self.names.template.definitions().accepts_null(&declared.of) => {
                    Ok(Value::Null.into())
                }
                None => {
                    let place = declared.position;
                    error(
                        Kind::Parameter,
                        format!(
                            "The value for the template parameter '{name}' at {place} is not provided"
                        ),
                    )
                }
            },
        }
    }

    fn checked(&self, declared: &Parameter, value: Evaluated) -> Result<Evaluated, Error> {
        let checked = self.names.template.definitions().check(&value.value, &declared.of);
        match checked {
            Ok(secure) => Ok(Evaluated { secure: secure || value.secure, ..value }),
            Err(fault) => {
                let (name, cause) = (&declared.name, fault.message());
                let message = format!(
                    "The provided value for the template parameter '{name}' is not valid. {cause}"
                );
                Err(Error::new(fault.kind(), message, Some(declared.position)))
            }
        }
    }

    /// What the template says about a variable.
    pub(super) fn find_variable(&self, name: &str) -> Option<Variable<'a>> {
        let variables = self.names.template.node().get("variables")?;
        let is_loops = |node: &Node| same_name(name, "copy") && node.as_array().is_some();
        if let Some(node) = variables.get(name).filter(|node| !is_loops(node)) {
            return Some(Variable::Value(node));
        }
        let mut loops = variables.get("copy")?.as_array()?.iter().enumerate();
        let has_name = |copy: &Node| {
            copy.get("name").and_then(Node::as_literal).is_some_and(|own| same_name(&own, name))
        };
        loops.find(|(_, copy)| has_name(copy)).map(|(index, copy)| Variable::Loop(index, copy))
    }

    pub(super) fn evaluate_variable(
        &self,
        name: &str,
        variable: &Variable<'_>,
    ) -> Result<Evaluated, Error> {
        let session = self.at(Place::Variable);
        let value = match variable {
            Variable::Value(node) => {
                session.node(node, &[]).map_err(|error| error.within_key(name))
            }
            Variable::Loop(index, copy) => {
                let copies = session.evaluator(&[]).copies(copy);
                copies.map_err(|error| error.within_index(*index).within_key("copy"))
            }
        };
        value.map_err(|error| {
            let error = error.within_key("variables");
            explained(error, &format!("The template variable '{name}' is not valid"))
        })
    }

    /// Evaluates a name unless that is being done already.
    pub(super) fn entered(
        &self,
        what: &str,
        name: &str,
        evaluate: impl FnOnce() -> Result<Evaluated, Error>,
    ) -> Result<Evaluated, Fault> {
        let entry = format!("{what} {}", fold_name(name));
        if self.progress.stack.borrow().contains(&entry) {
            let message = format!("The template {what} '{name}' depends on itself");
            return Err(Fault::of(Kind::Template, message).complete());
        }
        self.progress.stack.borrow_mut().push(entry);
        let result = evaluate();
        self.progress.stack.borrow_mut().pop();
        Ok(result?)
    }

    /// A UUID that depends on the deployment, the parameter, and how many UUIDs its default had before.
    pub(super) fn new_guid(&self) -> String {
        let mut guids = self.progress.guids.borrow_mut();
        guids.1 += 1;
        arm_expression::uuid(&format!("{}/{}/{}", self.names.facts.seed, guids.0, guids.1))
    }
}

/// The error with the thing that it makes invalid before its message.
pub(super) fn explained(mut error: Error, what: &str) -> Error {
    error.message = format!("{what}: {}", error.message);
    error
}
