//! A template's names for a single expression: parameters, variables and user functions from a test,
//! in a deployment to a resource group.

use std::sync::Arc;

use arm_template::{
    Budget, Check, Context, Environment, Error, Evaluated, Evaluator, Fault, Limits, Node, Object,
    Place, UserFunction, UserParameter, Value, same_name,
};

pub(crate) struct World {
    pub(crate) parameters: Object,
    pub(crate) variables: Option<Node>,
    pub(crate) functions: Vec<Arc<UserFunction>>,
    pub(crate) environment: Environment,
    pub(crate) budget: Budget,
}

impl World {
    pub(crate) fn new(subscription: &str, resource_group: &str) -> Self {
        let environment = Environment {
            place: Place::Output,
            now: "2020-04-07T14:53:14Z".parse().expect("an instant"),
            tenant: "22222222-2222-2222-2222-222222222222".into(),
            management_group: None,
            subscription: Some(subscription.into()),
            resource_group: Some(resource_group.into()),
        };
        Self {
            parameters: Object::new(),
            variables: None,
            functions: Vec::new(),
            environment,
            budget: Budget::new(Limits::default()),
        }
    }

    pub(crate) fn evaluate(&self, node: &Node) -> Result<Value, Error> {
        Evaluator::new(self, &self.budget).node(node).map(|evaluated| evaluated.value)
    }

    /// Takes the `functions` of a template. Types are checked by their name only.
    pub(crate) fn define_functions(&mut self, functions: &Node) {
        for group in functions.as_array().expect("an array of namespaces") {
            let namespace = text(group, "namespace");
            for member in group.get("members").and_then(Node::as_object).expect("members") {
                let name = format!("{namespace}.{}", member.key.raw()).into();
                let parameters = member.value.get("parameters").and_then(Node::as_array);
                let output = member.value.get("output").expect("an output");
                self.functions.push(Arc::new(UserFunction {
                    name,
                    parameters: parameters.into_iter().flatten().map(parameter).collect(),
                    body: output.get("value").expect("a value").clone(),
                    check: check(text(output, "type")),
                    isolated: false,
                }));
            }
        }
    }
}

fn parameter(declaration: &Node) -> UserParameter {
    let name = text(declaration, "name").into();
    UserParameter { name, check: check(text(declaration, "type")) }
}

fn text(node: &Node, key: &str) -> String {
    let text = node.get(key).and_then(Node::as_literal);
    text.unwrap_or_else(|| panic!("'{key}' should be a string")).to_string()
}

fn check(kind: String) -> Check {
    Box::new(move |value| match (kind.as_str(), value) {
        ("string", Value::String(_))
        | ("int", Value::Int(_))
        | ("bool", Value::Bool(_))
        | ("array", Value::Array(_))
        | ("object", Value::Object(_)) => Ok(()),
        _ => Err(Fault::new(format!("it must be of type '{kind}'"))),
    })
}

impl Context for World {
    fn parameter(&self, name: &str) -> Result<Evaluated, Fault> {
        let value = self.parameters.get(name).cloned().map(Evaluated::from);
        value.ok_or_else(|| Fault::new(format!("the template parameter '{name}' is not found")))
    }

    fn variable(&self, name: &str) -> Result<Evaluated, Fault> {
        let node = self.variables.as_ref().and_then(|variables| variables.get(name));
        let node =
            node.ok_or_else(|| Fault::new(format!("the template variable '{name}' is not found")))?;
        Ok(Evaluator::new(self, &self.budget).node(node)?)
    }

    fn function(&self, name: &str) -> Option<Arc<UserFunction>> {
        self.functions.iter().find(|function| same_name(&function.name, name)).cloned()
    }

    fn call(&self, name: &str, _arguments: &[Value]) -> Option<Result<Evaluated, Fault>> {
        let subscription = self.environment.subscription.as_deref()?;
        let subscription_id = format!("/subscriptions/{subscription}");
        let members = if same_name(name, "subscription") {
            vec![("id", subscription_id), ("subscriptionId", subscription.to_owned())]
        } else if same_name(name, "resourceGroup") {
            let group = self.environment.resource_group.as_deref()?;
            vec![
                ("id", format!("{subscription_id}/resourceGroups/{group}")),
                ("name", group.to_owned()),
                ("type", "Microsoft.Resources/resourceGroups".to_owned()),
                ("location", "westus".to_owned()),
            ]
        } else if same_name(name, "newGuid") {
            let message = "the template function 'newGuid' is for defaults of parameters only";
            return Some(Err(Fault::new(message)));
        } else {
            return None;
        };
        let object: Object =
            members.into_iter().map(|(key, text)| (key, Value::from(text))).collect();
        Some(Ok(Value::from(object).into()))
    }

    fn environment(&self) -> &Environment {
        &self.environment
    }
}
