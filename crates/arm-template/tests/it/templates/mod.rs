//! Whole templates: from the text to the plan, and from the plan to bodies and outputs.

mod dependencies;
mod errors;
mod loops;
mod names;
mod nested;
mod parameters;
mod preview;
mod runtime;
mod symbolic;

use std::{cell::RefCell, collections::HashMap};

use arm_template::{
    Answer, Error, Facts, Fault, Kind, Limits, Node, Object, Parameters, Plan, Question, Resource,
    Runtime, Scope, Template, Value,
};

pub(crate) const SUBSCRIPTION: &str = "11111111-1111-1111-1111-111111111111";

/// A template without `languageVersion`; `rest` has its members after the first two.
pub(crate) fn classic(rest: &str) -> String {
    format!(
        r#"{{"$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#", "contentVersion": "1.0.0.0", {rest}}}"#
    )
}

/// A template with symbolic names.
pub(crate) fn symbolic(rest: &str) -> String {
    classic(&format!(r#""languageVersion": "2.0", {rest}"#))
}

pub(crate) fn group_scope() -> Scope {
    Scope::ResourceGroup { subscription: SUBSCRIPTION.into(), name: "rg".into() }
}

/// The facts of a deployment to a resource group in West US.
pub(crate) fn facts() -> Facts {
    let now = "2026-01-02T03:04:05Z".parse().expect("an instant");
    let mut facts = Facts::new("d1", group_scope(), now);
    let group = [
        ("id", group_scope().to_string()),
        ("name", "rg".to_owned()),
        ("type", "Microsoft.Resources/resourceGroups".to_owned()),
        ("location", "westus".to_owned()),
    ];
    let group = group.into_iter().map(|(key, text)| (key, Value::from(text)));
    facts.resource_group = Some(Value::Object(group.collect::<Object>()));
    facts
}

pub(crate) fn parameters(json: &str) -> Parameters {
    Parameters::parse(json, &Limits::default()).expect("the parameters are well formed")
}

pub(crate) fn try_plan(template: &str, given: &str) -> Result<Plan, Error> {
    Template::parse(template, &Limits::default())?.plan(&parameters(given), facts())
}

pub(crate) fn plan(template: &str) -> Plan {
    plan_with(template, "{}")
}

pub(crate) fn plan_with(template: &str, given: &str) -> Plan {
    try_plan(template, given).unwrap_or_else(|error| panic!("{error}\n{template}"))
}

pub(crate) fn plan_error(template: &str) -> Error {
    try_plan(template, "{}").expect_err("the template is wrong")
}

/// The resource whose name this is.
pub(crate) fn named<'a>(plan: &'a Plan, name: &str) -> &'a Resource {
    let found = plan.resources().iter().find(|resource| &*resource.name == name);
    found.unwrap_or_else(|| panic!("there is no resource '{name}'"))
}

/// The names of the resources that the one with this name waits for.
pub(crate) fn after<'a>(plan: &'a Plan, name: &str) -> Vec<&'a str> {
    named(plan, name).after.iter().map(|at| &*plan.resources()[*at].name).collect()
}

pub(crate) fn json(text: &str) -> Value {
    Node::parse(text, &Limits::default()).expect("the expected value is JSON").to_value()
}

/// A cloud in which resources have a state.
#[derive(Debug, Default)]
pub(crate) struct World {
    states: HashMap<String, Value>,
    pub(crate) asked: RefCell<Vec<Question>>,
}

impl World {
    pub(crate) fn with(states: &[(&str, &str)]) -> Self {
        let states = states.iter().map(|(id, state)| (id.to_lowercase(), json(state)));
        Self { states: states.collect(), asked: RefCell::default() }
    }
}

impl Runtime for World {
    fn ask(&self, question: &Question) -> Result<Answer, Fault> {
        self.asked.borrow_mut().push(question.clone());
        Ok(match question {
            Question::State { id, .. } => {
                let state = self.states.get(&id.to_lowercase()).cloned();
                state.map_or(Answer::NotFound, Answer::Known)
            }
            Question::List { action, .. } => {
                let key = Object::from_iter([("key", Value::from(format!("secret of {action}")))]);
                Answer::Known(key.into())
            }
        })
    }
}

/// A body, or a part of it.
pub(crate) fn body(plan: &Plan, name: &str, world: &World) -> Value {
    let body = plan.body(named(plan, name), world);
    body.unwrap_or_else(|error| panic!("{error}")).value
}

#[test]
fn template_gives_its_resources_outputs_and_parameters() {
    let template = classic(
        r#"
        // A comment.
        "parameters": {
            "name": {"type": "string", "metadata": {"description": "What it is called."}},
            "size": {"type": "int", "defaultValue": 4},
            "secret": {"type": "securestring", "defaultValue": "s"}
        },
        "variables": {"full": "[concat(parameters('name'), '-', parameters('size'))]"},
        "resources": [{
            "type": "Microsoft.Compute/disks", "apiVersion": "2024-03-02", "name": "[variables('full')]",
            "location": "[resourceGroup().location]", "zones": null,
            "properties": {"diskSizeGB": "[parameters('size')]", "[toLower('KEY')]": "[[literal]"}
        }],
        "outputs": {"id": {"type": "string", "value": "[resourceId('Microsoft.Compute/disks', variables('full'))]"}}
        "#,
    );
    let plan = plan_with(&template, r#"{"name": {"value": "d"}}"#);
    let disk = named(&plan, "d-4");
    let id = format!("{}/providers/Microsoft.Compute/disks/d-4", group_scope());
    assert_eq!((&*disk.id, &*disk.api_version), (&*id, "2024-03-02"));
    let expected = r#"{"location": "westus", "properties": {"diskSizeGB": 4, "key": "[literal]"}}"#;
    assert_eq!(body(&plan, "d-4", &World::default()), json(expected));
    let outputs = plan.outputs(&World::default()).expect("the outputs");
    assert_eq!(outputs[0].value, Some(id.into()));
    let parameters: Vec<_> =
        plan.parameters().iter().map(|p| (&*p.name, p.type_name, p.value.clone())).collect();
    let expected = [
        ("name", "String", Some("d".into())),
        ("size", "Int", Some(4.into())),
        ("secret", "SecureString", None),
    ];
    assert_eq!(parameters, expected);
    let declared: Vec<_> = plan.template().declared_parameters().collect();
    assert!(declared[0].required && !declared[1].required && declared[2].secure);
    assert_eq!(declared[0].description.as_deref(), Some("What it is called."));
}

#[test]
fn same_template_parameters_and_facts_give_the_same_plan() {
    let template = classic(
        r#""parameters": {"a": {"type": "string", "defaultValue": "[newGuid()]"}, "b": {"type": "string", "defaultValue": "[newGuid()]"}, "now": {"type": "string", "defaultValue": "[utcNow()]"}},
        "resources": []"#,
    );
    let values =
        |plan: &Plan| -> Vec<_> { plan.parameters().iter().map(|p| p.value.clone()).collect() };
    let (first, second) = (plan(&template), plan(&template));
    assert_eq!(values(&first), values(&second));
    assert_ne!(values(&first)[0], values(&first)[1]);
    assert_eq!(values(&first)[2], Some("20260102T030405Z".into()));
    let mut other = facts();
    other.seed = "another".into();
    let template = Template::parse(&template, &Limits::default()).expect("the template");
    let third = template.plan(&Parameters::new(), other).expect("the plan");
    assert_ne!(values(&first)[0], values(&third)[0]);
}

#[test]
fn plan_can_be_sent_to_other_threads() {
    fn check<T: Send + Sync>() {}
    check::<Plan>();
    check::<Template>();
    assert_ne!(Kind::Pending, Kind::Template);
}
