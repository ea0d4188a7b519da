//! Values that are given for parameters.

use std::sync::Arc;

use super::external::ExternalInputs;
use arm_expression::{
    Array, Content, Error, Kind, Limits, Member, Members, Node, Object, Value, same_name,
};

/// Values for the parameters of a template, in their order.
#[derive(Debug, Clone, Default)]
pub struct Parameters(Vec<(Arc<str>, Given)>);

/// What is given for a parameter.
#[derive(Debug, Clone, PartialEq)]
pub enum Given {
    /// A value. `null` counts as not given.
    Value(Value),
    /// A secret of a key vault. The caller reads it and [sets](Parameters::set) the value before it plans.
    Secret(SecretReference),
    /// A value that is not known yet, in a preview. What depends on it is pending.
    Unknown,
}

/// A secret of a key vault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretReference {
    /// The vault's resource id.
    pub vault_id: Arc<str>,
    /// The secret's name.
    pub name: Arc<str>,
    /// The version; the newest if absent.
    pub version: Option<Arc<str>>,
}

impl Parameters {
    /// No values.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads a parameters file, or its object `parameters` alone.
    ///
    /// # Errors
    ///
    /// [`Kind::Json`] if the text is not JSON; [`Kind::Parameter`] if it has another shape.
    pub fn parse(text: &str, limits: &Limits) -> Result<Self, Error> {
        let node = Node::parse(text, limits)?;
        let members = object(&node, "The parameters file")?;
        // A parameter may be called `parameters`; then its value has a `value`.
        let inner = members.get("parameters").map(|member| &member.value);
        match inner.filter(|inner| members.get("$schema").is_some() || inner.get("value").is_none())
        {
            Some(inner) => Self::from_node(inner).map_err(|error| error.within_key("parameters")),
            None => Self::from_node(&node),
        }
    }

    /// Reads an object of parameters: `{"name": {"value": ...}, ...}`.
    ///
    /// # Errors
    ///
    /// [`Kind::Parameter`] if it has another shape.
    pub fn from_node(node: &Node) -> Result<Self, Error> {
        Self::read(node, None)
    }

    /// Reads an object of parameters some of which are expressions over external inputs:
    /// `{"name": {"expression": "[externalInputs('key')]"}, ...}` with `{"key": {"value": ...}, ...}`.
    ///
    /// # Errors
    ///
    /// [`Kind::Parameter`] if one of the two has another shape; that of an expression that is wrong.
    pub fn from_node_with_inputs(
        node: &Node,
        external_inputs: &Node,
        limits: &Limits,
    ) -> Result<Self, Error> {
        let inputs = ExternalInputs::read(external_inputs, limits);
        Self::read(node, Some(&inputs.map_err(|error| error.within_key("externalInputs"))?))
    }

    fn read(node: &Node, inputs: Option<&ExternalInputs>) -> Result<Self, Error> {
        if node.is_null() {
            return Ok(Self::new());
        }
        let mut parameters = Self::new();
        for member in object(node, "The value of 'parameters'")? {
            let name = member.key.raw();
            let given = given(member, inputs).map_err(|error| error.within_key(name))?;
            if parameters.get(name).is_some() {
                let message = format!("The parameter '{name}' is given more than once");
                return Err(Error::new(Kind::Parameter, message, Some(member.position)));
            }
            parameters.set(name.clone(), given);
        }
        Ok(parameters)
    }

    /// Sets what is given for a parameter, by a name without regard to case.
    pub fn set(&mut self, name: impl Into<Arc<str>>, given: Given) {
        let name = name.into();
        match self.0.iter_mut().find(|(other, _)| same_name(other, &name)) {
            Some((_, old)) => *old = given,
            None => self.0.push((name, given)),
        }
    }

    /// What is given for a parameter.
    pub fn get(&self, name: &str) -> Option<&Given> {
        self.0.iter().find(|(other, _)| same_name(other, name)).map(|(_, given)| given)
    }

    /// Names and what is given for them.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Arc<str>, &Given)> {
        self.0.iter().map(|(name, given)| (name, given))
    }

    /// Whether nothing is given.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn object<'a>(node: &'a Node, what: &str) -> Result<&'a Members, Error> {
    node.as_object().ok_or_else(|| {
        let message = format!("{what} must be an object, it is of type '{}'", node.type_name());
        Error::new(Kind::Parameter, message, Some(node.position))
    })
}

fn given(member: &Member, inputs: Option<&ExternalInputs>) -> Result<Given, Error> {
    let name = member.key.raw();
    let node = &member.value;
    object(node, &format!("What is given for the parameter '{name}'"))?;
    if node.get("reference").is_some() {
        return wrapped(&node.to_value(), name)
            .map_err(|message| Error::new(Kind::Parameter, message, Some(node.position)));
    }
    if let Some(expression) = node.get("expression").filter(|expression| !expression.is_null()) {
        let Some(inputs) = inputs else {
            let message = format!(
                "The parameter '{name}' is given by an expression, and there are no external inputs"
            );
            return Err(Error::new(Kind::Parameter, message, Some(node.position)));
        };
        let value = inputs.evaluate(expression);
        return value.map(Given::Value).map_err(|error| error.within_key("expression"));
    }
    match node.get("value") {
        Some(value) => Ok(Given::Value(value.to_value())),
        None => {
            let message = format!(
                "What is given for the parameter '{name}' has no 'value' and no 'reference'"
            );
            Err(Error::new(Kind::Parameter, message, Some(node.position)))
        }
    }
}

/// What the wrapper `{"value": ...}` or `{"reference": {"keyVault": ...}}` gives.
pub(super) fn wrapped(wrapper: &Value, name: &str) -> Result<Given, String> {
    let Value::Object(object) = wrapper else {
        let kind = wrapper.type_name();
        return Err(format!(
            "What is given for the parameter '{name}' must be an object with 'value' or 'reference', it is of type '{kind}'"
        ));
    };
    if let Some(reference) = object.get("reference").filter(|reference| !reference.is_null()) {
        return secret(reference).map(Given::Secret).ok_or_else(|| {
            format!("The reference of the parameter '{name}' needs 'keyVault.id' and 'secretName'")
        });
    }
    match object.get("value") {
        Some(value) => Ok(Given::Value(value.clone())),
        None => Err(format!(
            "What is given for the parameter '{name}' has no 'value' and no 'reference'"
        )),
    }
}

fn secret(reference: &Value) -> Option<SecretReference> {
    let reference = reference.as_object()?;
    let text = |object: &Object, key: &str| object.get(key).and_then(Value::as_str).map(Arc::from);
    Some(SecretReference {
        vault_id: text(reference.get("keyVault")?.as_object()?, "id")?,
        name: text(reference, "secretName")?,
        version: text(reference, "secretVersion"),
    })
}

/// A literal of a declaration: its strings are not evaluated, but `[[` at the start of one stands for `[`.
pub(super) fn literal(node: &Node) -> Value {
    match &node.content {
        Content::Text(text) => text.literal().unwrap_or_else(|| text.raw().clone()).into(),
        Content::Array(items) => Value::Array(items.iter().map(literal).collect::<Array>()),
        Content::Object(members) => {
            let members = members.iter().map(|m| (m.key.raw().clone(), literal(&m.value)));
            Value::Object(members.collect::<Object>())
        }
        Content::Null | Content::Bool(_) | Content::Int(_) | Content::Float(_) => node.to_value(),
    }
}
