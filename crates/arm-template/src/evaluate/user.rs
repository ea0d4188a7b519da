//! User functions.

use std::{fmt, sync::Arc};

use super::{Context, Environment, Evaluated, Evaluator, Place};
use crate::{
    error::{Fault, Kind},
    functions::{self, Entry},
    json::Node,
    value::{Value, same_name},
};

/// Checks a value against a type; the fault says what does not fit.
pub type Check = Box<dyn Fn(&Value) -> Result<(), Fault> + Send + Sync>;

/// A function that a template defines.
pub struct UserFunction {
    /// The name with its namespace, such as `contoso.uniqueName`.
    pub name: Arc<str>,
    /// The parameters in order.
    pub parameters: Vec<UserParameter>,
    /// What the function returns: a tree with expressions.
    pub body: Node,
    /// The type of the result.
    pub check: Check,
    /// Whether the body sees neither variables nor other user functions, as in templates without `languageVersion`.
    pub isolated: bool,
}

/// A parameter of a user function.
pub struct UserParameter {
    /// The name.
    pub name: Arc<str>,
    /// The type.
    pub check: Check,
}

impl fmt::Debug for UserFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserFunction").field("name", &self.name).finish_non_exhaustive()
    }
}

impl fmt::Debug for UserParameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserParameter").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A call of a user function.
pub(super) struct Frame<'a> {
    function: &'a UserFunction,
    arguments: &'a [Value],
    /// The context of the call, which for a call from another user function is the frame of that.
    outer: &'a dyn Context,
    /// The call in whose body this one stands.
    caller: Option<&'a Frame<'a>>,
    environment: Environment,
}

impl Evaluator<'_> {
    pub(super) fn user_function(
        &self,
        function: &UserFunction,
        arguments: &[Value],
    ) -> Result<Value, Fault> {
        let (wanted, count) = (function.parameters.len(), arguments.len());
        if wanted != count {
            return Err(Fault::new(format!(
                "the function takes {wanted} argument(s), {count} given"
            )));
        }
        self.refuse_recursion(function)?;
        for (parameter, value) in function.parameters.iter().zip(arguments) {
            (parameter.check)(value).map_err(|fault| {
                let (name, wrong) = (&parameter.name, fault.message());
                Fault::of(fault.kind(), format!("the argument '{name}' does not fit: {wrong}"))
            })?;
        }
        let environment =
            Environment { place: Place::UserFunction, ..self.context.environment().clone() };
        let outer = self.context;
        let frame = Frame { function, arguments, outer, caller: self.frame, environment };
        let evaluator = Evaluator { frame: Some(&frame), ..Evaluator::new(&frame, self.budget) };
        let result = evaluator.node(&function.body)?;
        (function.check)(&result.value).map_err(|fault| {
            Fault::of(fault.kind(), format!("the result does not fit: {}", fault.message()))
        })?;
        self.noted(result)
    }

    fn refuse_recursion(&self, function: &UserFunction) -> Result<(), Fault> {
        let mut caller = self.frame;
        while let Some(frame) = caller {
            if same_name(&frame.function.name, &function.name) {
                return Err(Fault::new("a user-defined function must not call itself"));
            }
            caller = frame.caller;
        }
        Ok(())
    }
}

impl Context for Frame<'_> {
    fn parameter(&self, name: &str) -> Result<Evaluated, Fault> {
        let parameters = self.function.parameters.iter();
        let mut pairs = parameters.zip(self.arguments);
        let found = pairs.find(|(parameter, _)| same_name(&parameter.name, name));
        let value = found.map(|(_, value)| Evaluated::from(value.clone()));
        value.ok_or_else(|| {
            let function = &self.function.name;
            Fault::new(format!("the function '{function}' has no parameter '{name}'"))
        })
    }

    fn variable(&self, name: &str) -> Result<Evaluated, Fault> {
        if self.function.isolated {
            return Err(Fault::new("variables can't be used in a user-defined function"));
        }
        self.outer.variable(name)
    }

    fn function(&self, name: &str) -> Option<Arc<UserFunction>> {
        if self.function.isolated { None } else { self.outer.function(name) }
    }

    fn call(&self, name: &str, arguments: &[Value]) -> Option<Result<Evaluated, Fault>> {
        let of_instant = same_name(name, "newGuid");
        if of_instant || functions::find(name).is_some_and(Entry::is_runtime) {
            let message = "it can't be used in a user-defined function";
            return Some(Err(Fault::of(Kind::Template, message)));
        }
        self.outer.call(name, arguments)
    }

    fn environment(&self) -> &Environment {
        &self.environment
    }
}
