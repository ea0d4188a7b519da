//! The outputs of a deployment.

use std::sync::Arc;

use super::{
    declarations::{self, OutputValue},
    plan::Plan,
    reading,
    runtime::Runtime,
    session::{Session, explained},
};
use arm_expression::{Array, Error, Evaluated, Iteration, Kind, Node, Place, Value};

/// An output.
#[derive(Debug, Clone, PartialEq)]
pub struct Output {
    /// The name as the template spells it.
    pub name: Arc<str>,
    /// The type as Azure's answers spell it, such as `SecureString`.
    pub type_name: &'static str,
    /// The value; absent if it is pending, in a preview.
    pub value: Option<Value>,
    /// Whether the value must not be shown: the type is secure.
    pub secure: bool,
}

/// An output that cannot be evaluated.
#[derive(Debug, Clone, PartialEq)]
pub struct OutputError {
    /// The name as the template spells it.
    pub name: Arc<str>,
    /// Why; [`Kind::Pending`] if the runtime does not know enough yet.
    pub error: Error,
}

impl Plan {
    /// The outputs, after all resources are deployed. An output whose condition is false is left out.
    ///
    /// # Errors
    ///
    /// All outputs that cannot be evaluated. If one of them is [pending](Kind::Pending), evaluation can be repeated
    /// when the runtime knows more.
    pub fn outputs(&self, runtime: &dyn Runtime) -> Result<Vec<Output>, Vec<OutputError>> {
        let (mut outputs, mut errors) = (Vec::new(), Vec::new());
        for declared in self.0.template.outputs() {
            match self.output(declared, runtime) {
                Ok(output) => outputs.extend(output),
                Err(error) => errors.push(OutputError { name: declared.name.clone(), error }),
            }
        }
        if errors.is_empty() { Ok(outputs) } else { Err(errors) }
    }

    /// The outputs as far as they are known.
    ///
    /// # Errors
    ///
    /// All outputs that are wrong whatever the runtime will know.
    pub fn preview_outputs(&self, runtime: &dyn Runtime) -> Result<Vec<Output>, Vec<OutputError>> {
        let (mut outputs, mut errors) = (Vec::new(), Vec::new());
        for declared in self.0.template.outputs() {
            match self.output(declared, runtime) {
                Ok(output) => outputs.extend(output),
                Err(error) if error.kind == Kind::Pending => {
                    outputs.push(self.shaped(declared, None))
                }
                Err(error) => errors.push(OutputError { name: declared.name.clone(), error }),
            }
        }
        if errors.is_empty() { Ok(outputs) } else { Err(errors) }
    }

    fn output(
        &self,
        declared: &declarations::Output,
        runtime: &dyn Runtime,
    ) -> Result<Option<Output>, Error> {
        let name = &declared.name;
        let value = self.0.with_session(Place::Output, runtime, None, |session| {
            if !self.is_wanted(session, declared)? {
                return Ok(None);
            }
            let value = self.value(session, declared)?;
            let definitions = self.0.template.definitions();
            definitions.check(&value.value, &declared.of).map_err(|fault| {
                Error::new(Kind::Evaluation, fault.message(), Some(declared.position))
            })?;
            Ok(Some(value.value))
        });
        let value = value.map_err(|error: Error| {
            let error = error.within_key(name).within_key("outputs");
            explained(error, &format!("The template output '{name}' is not valid"))
        })?;
        Ok(value.map(|value| self.shaped(declared, Some(value))))
    }

    fn shaped(&self, declared: &declarations::Output, value: Option<Value>) -> Output {
        let definitions = self.0.template.definitions();
        let secure = definitions.base(&declared.of).is_some_and(super::types::Base::is_secure);
        let type_name = definitions.type_name(&declared.of);
        Output { name: declared.name.clone(), type_name, value, secure }
    }

    fn is_wanted(
        &self,
        session: &Session<'_>,
        declared: &declarations::Output,
    ) -> Result<bool, Error> {
        let Some(node) = &declared.condition else { return Ok(true) };
        let value =
            session.node(node, &self.0.iterations).map_err(|e| e.within_key("condition"))?.value;
        value.as_bool().ok_or_else(|| {
            reading::wrong_type(node, "condition", "Boolean").within_key("condition")
        })
    }

    fn value(
        &self,
        session: &Session<'_>,
        declared: &declarations::Output,
    ) -> Result<Evaluated, Error> {
        match &declared.value {
            OutputValue::One(node) => {
                session.node(node, &self.0.iterations).map_err(|error| error.within_key("value"))
            }
            OutputValue::Loop { count, input } => {
                self.copies(session, count, input).map_err(|error| error.within_key("copy"))
            }
        }
    }

    fn copies(
        &self,
        session: &Session<'_>,
        count: &Node,
        input: &Node,
    ) -> Result<Evaluated, Error> {
        let count = session.evaluator(&self.0.iterations).copy_count(count);
        let count = count.map_err(|error| {
            session.settled(error, session.progress.partial.get()).within_key("count")
        })?;
        let mut secure = false;
        let items = (0..count).map(|index| {
            let mut iterations = self.0.iterations.clone();
            iterations.push(Iteration { name: None, index, of_property: false });
            let item =
                session.node(input, &iterations).map_err(|error| error.within_key("input"))?;
            secure |= item.secure;
            Ok(item.value)
        });
        let value = items.collect::<Result<Array, Error>>()?.into();
        Ok(Evaluated { value, secure })
    }
}
