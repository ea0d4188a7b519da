//! Values of parameters that are expressions over external inputs, as Bicep writes them into parameters files.

use std::sync::Arc;

use jiff::Timestamp;

use arm_expression::{
    Budget, Context, Environment, Error, Evaluated, Evaluator, Fault, Kind, Limits, Node, Object,
    Place, UserFunction, Value, same_name,
};

/// What a client found out and sends beside the parameters.
pub(super) struct ExternalInputs {
    /// The values by name.
    values: Object,
    limits: Limits,
    environment: Environment,
}

impl ExternalInputs {
    /// Reads `{"name": {"value": ...}, ...}`.
    pub(super) fn read(node: &Node, limits: &Limits) -> Result<Self, Error> {
        let mut values = Object::new();
        for member in node.as_object().into_iter().flatten() {
            let name = member.key.raw();
            let value = member.value.get("value").ok_or_else(|| {
                let message = format!("The external input '{name}' has no 'value'");
                Error::new(Kind::Parameter, message, Some(member.value.position)).within_key(name)
            })?;
            values.insert(name.clone(), value.to_value());
        }
        Ok(Self { values, limits: limits.clone(), environment: nowhere() })
    }

    /// The value of an expression over the inputs.
    pub(super) fn evaluate(&self, expression: &Node) -> Result<Value, Error> {
        let budget = Budget::new(self.limits.clone());
        Ok(Evaluator::new(self, &budget).node(expression)?.value)
    }
}

/// A place without a deployment: the expressions depend on the inputs only.
fn nowhere() -> Environment {
    Environment {
        place: Place::Variable,
        now: Timestamp::UNIX_EPOCH,
        tenant: "".into(),
        management_group: None,
        subscription: None,
        resource_group: None,
    }
}

fn misplaced(function: &str) -> Fault {
    let message =
        format!("The template function '{function}' is not expected in the value of a parameter");
    Fault::of(Kind::Parameter, message).complete()
}

impl Context for ExternalInputs {
    fn parameter(&self, _name: &str) -> Result<Evaluated, Fault> {
        Err(misplaced("parameters"))
    }

    fn variable(&self, _name: &str) -> Result<Evaluated, Fault> {
        Err(misplaced("variables"))
    }

    fn function(&self, _name: &str) -> Option<Arc<UserFunction>> {
        None
    }

    fn call(&self, name: &str, arguments: &[Value]) -> Option<Result<Evaluated, Fault>> {
        if !same_name(name, "externalInputs") {
            return Some(Err(misplaced(name)));
        }
        let input = arguments.first().and_then(Value::as_str).unwrap_or_default();
        let value = self.values.get(input).cloned().map(Evaluated::from);
        Some(value.ok_or_else(|| Fault::new(format!("there is no external input '{input}'"))))
    }

    fn environment(&self) -> &Environment {
        &self.environment
    }
}
