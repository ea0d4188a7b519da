//! Calls of user functions.

use std::sync::Arc;

use super::{Context, Evaluated, Evaluator, UserFunction};
use crate::{
    environment::{Environment, Place},
    error::{Fault, Kind},
    functions::reads_resources,
    value::{Value, same_name},
};

/// A call of a user function.
pub(super) struct Frame<'a> {
    function: &'a UserFunction,
    arguments: &'a [Value],
    /// Whether an argument may be secure.
    secure: bool,
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
                let fault = self.discreet(fault);
                let (name, wrong) = (&parameter.name, fault.message());
                Fault::of(fault.kind(), format!("the argument '{name}' does not fit: {wrong}"))
            })?;
        }
        let environment =
            Environment { place: Place::UserFunction, ..self.context.environment().clone() };
        let outer = self.context;
        let (secure, caller) = (self.secure.get(), self.frame);
        let frame = Frame { function, arguments, secure, outer, caller, environment };
        let evaluator = Evaluator { frame: Some(&frame), ..Evaluator::new(&frame, self.budget) };
        let result = evaluator.node(&function.body)?;
        self.secure.set(self.secure.get() || result.secure);
        (function.check)(&result.value).map_err(|fault| {
            let fault = self.discreet(fault);
            Fault::of(fault.kind(), format!("the result does not fit: {}", fault.message()))
        })?;
        Ok(result.value)
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
        let secure = self.secure;
        let value = found.map(|(_, value)| Evaluated { value: value.clone(), secure });
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
        if of_instant || reads_resources(name) {
            let message = "it can't be used in a user-defined function";
            return Some(Err(Fault::of(Kind::Template, message)));
        }
        self.outer.call(name, arguments)
    }

    fn environment(&self) -> &Environment {
        &self.environment
    }
}
