//! Evaluation of expressions and of trees that contain them.

mod access;
mod body;
mod context;
mod function;
mod lambda;
mod loops;
mod sort;
mod special;
#[cfg(test)]
mod tests;
mod user;

use std::cell::{Cell, RefCell};

pub use context::{Context, Evaluated};
pub use function::{Check, UserFunction, UserParameter};
pub use loops::Iteration;

pub use crate::environment::{Environment, Place};

use self::{lambda::LambdaVariables, loops::Loops, user::Frame};
use crate::{
    error::{Error, Fault, Kind},
    expression::{Call, Callee, Expression, Term},
    functions::{Arguments, Function},
    json::{Node, Text},
    limits::Budget,
    position::Position,
    value::{Array, Object, Value},
};

/// How many bytes of arguments count as one step.
const BYTES_OF_A_STEP: u64 = 1024;

/// Evaluates expressions in one context.
pub struct Evaluator<'a> {
    context: &'a dyn Context,
    budget: &'a Budget,
    /// The user function whose body is evaluated.
    frame: Option<&'a Frame<'a>>,
    loops: RefCell<Loops>,
    lambda_variables: RefCell<LambdaVariables>,
    /// Whether a secure value was seen since the evaluation began.
    secure: Cell<bool>,
    /// Which strings keep their expressions.
    keep: Option<&'a Keep<'a>>,
}

/// Tells from its result whether a string of a tree remains the expression that it is.
pub type Keep<'a> = dyn Fn(&Result<Evaluated, Error>) -> bool + 'a;

impl<'a> Evaluator<'a> {
    /// An evaluator without open copy loops.
    pub fn new(context: &'a dyn Context, budget: &'a Budget) -> Self {
        Self {
            context,
            budget,
            frame: None,
            loops: RefCell::default(),
            lambda_variables: RefCell::default(),
            secure: Cell::new(false),
            keep: None,
        }
    }

    /// The same evaluator with open copy loops, outer ones first.
    pub fn opened(self, iterations: &[Iteration]) -> Self {
        iterations.iter().for_each(|iteration| self.loops.borrow_mut().open(iteration.clone()));
        self
    }

    /// The same evaluator for a tree in which some expressions are not replaced by their values.
    pub fn keeping(self, keep: &'a Keep<'a>) -> Self {
        Self { keep: Some(keep), ..self }
    }

    /// Evaluates a string, which is an expression or a literal. `position` is its place.
    pub fn text(&self, text: &Text, position: Position) -> Result<Evaluated, Error> {
        self.watched(|| self.text_value(text, position))
    }

    /// Evaluates a tree: every string and key in it, and property loops (`copy`).
    ///
    /// The path of an error begins at `node`.
    pub fn node(&self, node: &Node) -> Result<Evaluated, Error> {
        self.watched(|| self.node_value(node))
    }

    /// Evaluates a parsed expression.
    pub fn expression(&self, expression: &Expression) -> Result<Evaluated, Fault> {
        self.watched(|| self.term(&expression.root))
    }

    /// Runs `evaluate` while an iteration of a copy loop is open.
    pub fn within<T>(&self, iteration: Iteration, evaluate: impl FnOnce() -> T) -> T {
        self.loops.borrow_mut().open(iteration);
        let result = evaluate();
        self.loops.borrow_mut().close();
        result
    }

    /// Evaluates with a fresh note of whether a secure value is seen.
    fn watched<E>(&self, evaluate: impl FnOnce() -> Result<Value, E>) -> Result<Evaluated, E> {
        let before = self.secure.replace(false);
        let result = evaluate();
        let secure = self.secure.replace(before);
        result.map(|value| Evaluated { value, secure })
    }

    fn text_value(&self, text: &Text, position: Position) -> Result<Value, Error> {
        let Some(keep) = self.keep.filter(|_| text.is_expression()) else {
            return self.evaluated_text(text, position);
        };
        let result = self.watched(|| self.evaluated_text(text, position));
        if keep(&result) {
            return Ok(Value::String(text.raw().clone()));
        }
        self.noted(result?).map_err(|fault| fault.at(Some(position)))
    }

    /// The value of a string, even if expressions are kept.
    fn evaluated_text(&self, text: &Text, position: Position) -> Result<Value, Error> {
        match text.expression(self.budget.limits()) {
            None => Ok(Value::String(text.literal().unwrap_or_else(|| text.raw().clone()))),
            Some(Ok(expression)) => {
                self.term(&expression.root).map_err(|fault| fault.at(Some(position)))
            }
            Some(Err(fault)) => Err(fault.clone().at(Some(position))),
        }
    }

    /// Whether a tree remains as it is because of this error.
    fn keeps(&self, error: &Error) -> bool {
        self.keep.is_some_and(|keep| keep(&Err(error.clone())))
    }

    /// Evaluates the first argument of a call; `None` if it has none.
    pub fn first_argument(&self, call: &Call) -> Option<Result<Value, Fault>> {
        call.arguments.first().map(|argument| self.term(argument))
    }

    pub(crate) fn term(&self, term: &Term) -> Result<Value, Fault> {
        match term {
            Term::Literal(value) => Ok(value.clone()),
            Term::Call(call) => self.call(call),
            Term::Access(access) => {
                let _depth = self.budget.enter()?;
                let base = self.term(&access.base)?;
                access.steps.iter().try_fold(base, |value, step| self.step(&value, step))
            }
        }
    }

    fn call(&self, call: &Call) -> Result<Value, Fault> {
        let _depth = self.budget.enter()?;
        self.budget.charge_steps(1)?;
        self.called(call).map_err(|fault| fault.in_function(&call.name))
    }

    fn called(&self, call: &Call) -> Result<Value, Fault> {
        let arguments = &call.arguments;
        match call.callee {
            Callee::Special(special, entry) => {
                entry.check_count(arguments.len())?;
                self.special(special, arguments)
            }
            Callee::Pure(function, entry) => {
                entry.check_count(arguments.len())?;
                self.pure(function, arguments)
            }
            Callee::Deployment(entry) => {
                entry.check_count(arguments.len())?;
                self.provided(call)
            }
            Callee::Unsupported(reason) => {
                let message =
                    format!("The template function '{}' is not supported: {reason}", call.name);
                Err(Fault::of(Kind::Unsupported, message))
            }
            Callee::User => match self.context.function(&call.name) {
                Some(function) => self.user_function(&function, &self.values(arguments)?),
                None => Err(not_valid(&call.name)),
            },
            Callee::Unknown => self.provided(call),
        }
    }

    fn pure(&self, function: Function, arguments: &[Term]) -> Result<Value, Fault> {
        let values = self.values(arguments)?;
        let weight = values.iter().fold(0u64, |sum, value| sum.saturating_add(value.weight()));
        self.budget.charge_steps(weight / BYTES_OF_A_STEP)?;
        let environment = self.context.environment();
        let arguments = Arguments { values: &values, environment, budget: self.budget };
        let result = function(&arguments).map_err(|fault| self.discreet(fault))?;
        self.checked(result)
    }

    /// The result of a function that the context provides.
    fn provided(&self, call: &Call) -> Result<Value, Fault> {
        let values = self.values(&call.arguments)?;
        let result = self.context.call(&call.name, &values);
        self.noted(result.ok_or_else(|| not_valid(&call.name))??)
    }

    fn values(&self, terms: &[Term]) -> Result<Vec<Value>, Fault> {
        terms.iter().map(|term| self.term(term)).collect()
    }

    /// The value, after a note of whether it is secure.
    fn noted(&self, evaluated: Evaluated) -> Result<Value, Fault> {
        if evaluated.secure {
            self.secure.set(true);
        }
        Ok(evaluated.value)
    }

    /// The fault without its message, if that may repeat a part of a secure value.
    fn discreet(&self, fault: Fault) -> Fault {
        let shows_values = fault.kind() == Kind::Evaluation;
        if self.secure.get() && shows_values { fault.without_values() } else { fault }
    }

    /// The value that a function made, if it is within the limits.
    fn checked(&self, value: Value) -> Result<Value, Fault> {
        let limits = self.budget.limits();
        if value.weight() > limits.value_weight {
            let message =
                format!("The size of a value exceeds the limit of {} bytes", limits.value_weight);
            return Err(Fault::of(Kind::Limit, message));
        }
        if value.depth() > limits.value_depth {
            let message =
                format!("The depth of a value exceeds the limit of {}", limits.value_depth);
            return Err(Fault::of(Kind::Limit, message));
        }
        self.budget.charge_bytes(own_bytes(&value))?;
        Ok(value)
    }
}

fn not_valid(function: &str) -> Fault {
    Fault::of(Kind::Unsupported, format!("The template function '{function}' is not valid"))
}

/// The memory that a value needs beside that of its elements.
fn own_bytes(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) => 0,
        Value::String(text) => text.len(),
        Value::Array(array) => size_of::<Array>() + array.len() * size_of::<Value>(),
        Value::Object(object) => size_of::<Object>() + object.len() * 2 * size_of::<Value>(),
    }
}
