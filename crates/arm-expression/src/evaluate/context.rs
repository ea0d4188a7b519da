//! What an expression sees of the template and the deployment around it.

use std::sync::Arc;

use super::function::UserFunction;
use crate::{environment::Environment, error::Fault, value::Value};

/// A value, and whether it comes from a secure one.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluated {
    /// The value.
    pub value: Value,
    /// Whether a secure parameter or a secret of a resource contributed to it.
    pub secure: bool,
}

impl From<Value> for Evaluated {
    fn from(value: Value) -> Self {
        Self { value, secure: false }
    }
}

/// The names that an expression can use.
///
/// An implementation evaluates variables and defaults when they are asked for, with an [`Evaluator`](super::Evaluator)
/// of their own on the same [`Budget`](crate::Budget), and remembers them. It detects circles. An [`Error`](crate::Error)
/// of such an evaluation becomes a fault by `into()`, which keeps its place.
pub trait Context {
    /// The value of a parameter, by a name without regard to case.
    fn parameter(&self, name: &str) -> Result<Evaluated, Fault>;

    /// The value of a variable, by a name without regard to case.
    fn variable(&self, name: &str) -> Result<Evaluated, Fault>;

    /// The user function with this name, which includes its namespace, without regard to case.
    fn function(&self, name: &str) -> Option<Arc<UserFunction>>;

    /// Calls a function that the deployment provides, such as `reference`, `listKeys`, `resourceGroup`, `deployment`,
    /// `newGuid`; `None` if it does not provide this one.
    fn call(&self, name: &str, arguments: &[Value]) -> Option<Result<Evaluated, Fault>>;

    /// The facts that pure functions need.
    fn environment(&self) -> &Environment;
}
