//! The names that the expressions of a template use: parameters, variables, functions.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use super::{
    declarations::Parameter,
    facts::{Facts, object},
    given::{Given, Parameters},
    read::Template,
};
use arm_expression::{Error, Evaluated, Kind, Object, Value, fold_name};

/// The names of a template in one deployment. Values are evaluated when they are first needed.
pub(super) struct Names {
    pub(super) template: Template,
    pub(super) facts: Facts,
    pub(super) given: Parameters,
    parameters: Memory,
    variables: Memory,
    deployment: OnceLock<Value>,
}

/// Values that were evaluated, by folded name.
#[derive(Default)]
struct Memory(Mutex<HashMap<String, Evaluated>>);

impl Memory {
    fn get(&self, name: &str) -> Option<Evaluated> {
        let memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        memory.get(&*fold_name(name)).cloned()
    }

    fn insert(&self, name: &str, value: Evaluated) {
        let mut memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        memory.insert(fold_name(name).into_owned(), value);
    }
}

impl Names {
    /// Names of which nothing is evaluated.
    ///
    /// # Errors
    ///
    /// A value for a parameter that the template does not have.
    pub(super) fn new(template: Template, facts: Facts, given: Parameters) -> Result<Self, Error> {
        refuse_superfluous(&template, &given)?;
        Ok(Self {
            template,
            facts,
            given,
            parameters: Memory::default(),
            variables: Memory::default(),
            deployment: OnceLock::new(),
        })
    }

    pub(super) fn known_parameter(&self, name: &str) -> Option<Evaluated> {
        self.parameters.get(name)
    }

    pub(super) fn remember_parameter(&self, name: &str, value: Evaluated) {
        self.parameters.insert(name, value);
    }

    pub(super) fn known_variable(&self, name: &str) -> Option<Evaluated> {
        self.variables.get(name)
    }

    pub(super) fn remember_variable(&self, name: &str, value: Evaluated) {
        self.variables.insert(name, value);
    }

    pub(super) fn parameter(&self, name: &str) -> Option<&Parameter> {
        let folded = fold_name(name);
        self.template.parameters().iter().find(|parameter| fold_name(&parameter.name) == folded)
    }

    /// What `deployment()` gives.
    pub(super) fn deployment(&self) -> Value {
        self.deployment.get_or_init(|| self.describe()).clone()
    }

    fn describe(&self) -> Value {
        let facts = &self.facts;
        let mut properties = Object::new();
        match &facts.template_link {
            Some(link) => properties.insert("templateLink", link.clone()),
            None => properties.insert("template", self.template.to_value()),
        }
        properties.insert("templateHash", super::hash::template_hash(&self.template).into());
        properties.insert("parameters", self.given_values());
        properties.insert("mode", facts.mode.clone().into());
        properties.insert("provisioningState", "Accepted".into());
        let mut deployment = Object::new();
        deployment.insert("name", facts.name.clone().into());
        let location = facts.location.as_ref();
        if let Some(location) = location.filter(|_| facts.scope.resource_group().is_none()) {
            deployment.insert("location", location.clone().into());
        }
        deployment.insert("properties", properties.into());
        deployment.into()
    }

    /// The parameters that were given, without secrets.
    fn given_values(&self) -> Value {
        let shown = self.given.iter().filter_map(|(name, given)| {
            let declared = self.parameter(name)?;
            let base = self.template.definitions().base(&declared.of);
            match given {
                Given::Value(value) if !base.is_some_and(super::types::Base::is_secure) => {
                    Some((name.clone(), object([("value", value.clone())])))
                }
                Given::Value(_) | Given::Secret(_) | Given::Unknown => None,
            }
        });
        Value::Object(shown.collect())
    }
}

fn refuse_superfluous(template: &Template, given: &Parameters) -> Result<(), Error> {
    let declared: Vec<&Arc<str>> = template.parameters().iter().map(|p| &p.name).collect();
    let is_declared =
        |name: &str| declared.iter().any(|other| arm_expression::same_name(other, name));
    let superfluous: Vec<&str> =
        given.iter().map(|(name, _)| &**name).filter(|name| !is_declared(name)).collect();
    if superfluous.is_empty() {
        return Ok(());
    }
    let supported: Vec<&str> = declared.iter().map(|name| &***name).collect();
    let message = format!(
        "The template parameters '{}' in the parameters file are not valid; they are not present in the original template and can therefore not be provided at deployment time. The only supported parameters for this template are '{}'",
        superfluous.join(", "),
        supported.join(", ")
    );
    Err(Error::new(Kind::Parameter, message, None))
}
