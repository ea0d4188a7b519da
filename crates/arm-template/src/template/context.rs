//! The names that an expression can use: parameters and variables, which are remembered, and functions.

use std::sync::Arc;

use super::{calls, session::Session};
use arm_expression::{
    Context, Environment, Evaluated, Fault, Kind, Place, UserFunction, Value, fold_name,
};

impl Context for Session<'_> {
    fn parameter(&self, name: &str) -> Result<Evaluated, Fault> {
        if let Some(known) = self.names.known_parameter(name) {
            return Ok(known);
        }
        let Some(declared) = self.names.parameter(name) else {
            return Err(
                Fault::new(format!("The template parameter '{name}' is not found")).complete()
            );
        };
        let value = self.entered("parameter", name, || {
            let value = self.evaluate_parameter(declared);
            value.map_err(|error| error.within_key(&declared.name).within_key("parameters"))
        })?;
        self.names.remember_parameter(name, value.clone());
        Ok(value)
    }

    fn variable(&self, name: &str) -> Result<Evaluated, Fault> {
        if self.environment.place == Place::ParameterDefault {
            let message = "The template function 'variables' is not expected at this location";
            return Err(Fault::of(Kind::Template, message).complete());
        }
        if let Some(known) = self.names.known_variable(name) {
            return Ok(known);
        }
        let Some(variable) = self.find_variable(name) else {
            let message = format!("The template variable '{name}' is not found");
            return Err(Fault::new(message).complete());
        };
        let value = self.entered("variable", name, || self.evaluate_variable(name, &variable))?;
        self.names.remember_variable(name, value.clone());
        Ok(value)
    }

    fn function(&self, name: &str) -> Option<Arc<UserFunction>> {
        self.names.template.function(name).cloned()
    }

    fn call(&self, name: &str, arguments: &[Value]) -> Option<Result<Evaluated, Fault>> {
        calls::call(self, &fold_name(name), name, arguments)
    }

    fn environment(&self) -> &Environment {
        &self.environment
    }
}
