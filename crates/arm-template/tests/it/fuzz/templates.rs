use std::ops::Range;

use arm_template::{
    Error, Facts, Given, Limits, Linked, NothingDeployed, Parameters, Plan, Schema, Scope, Template,
};
use proptest::prelude::*;

use super::{check_error, documents::check_place, mutated, tight};
use crate::templates::{SUBSCRIPTION, World, facts, group_scope};

/// Templates with every construct of their dialect.
const TEMPLATES: &[&str] = &[CLASSIC, SYMBOLIC];

const CLASSIC: &str = r#"{
  "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#", "contentVersion": "1.0.0.0",
  "parameters": {
    "p": {"type": "string", "defaultValue": "[concat('a', newGuid())]", "minLength": 1, "maxLength": 90, "metadata": {"description": "d"}},
    "n": {"type": "int", "defaultValue": 2, "minValue": 0, "maxValue": 9, "allowedValues": [1, 2, 3]}, "s": {"type": "secureObject", "defaultValue": {}}
  },
  "functions": [{"namespace": "ns", "members": {"f": {"parameters": [{"name": "x", "type": "string"}], "output": {"type": "string", "value": "[toUpper(parameters('x'))]"}}}}],
  "variables": {"v": "[ns.f(parameters('p'))]", "copy": [{"name": "c", "count": 3, "input": {"at": "[copyIndex('c')]"}}], "o": {"copy": [{"name": "x", "count": "[parameters('n')]", "input": "[copyIndex('x')]"}]}},
  "resources": [
    {"type": "A.B/c", "apiVersion": "2024-01-01", "name": "[format('c{0}', copyIndex())]", "copy": {"name": "loop", "count": "[length(variables('c'))]", "mode": "serial", "batchSize": 2}, "location": "[resourceGroup().location]", "tags": {"[variables('v')]": "x"}, "properties": {"copy": [{"name": "y", "count": 2, "input": "[copyIndex('y', 5)]"}]}},
    {"type": "A.B/d", "apiVersion": "2024-01-01", "name": "d", "condition": "[equals(parameters('n'), 2)]", "dependsOn": ["loop", "[resourceId('A.B/c', 'c0')]"], "properties": "[if(true(), variables('o'), fail('never'))]",
     "resources": [{"type": "e", "apiVersion": "2024-01-01", "name": "e", "dependsOn": ["d"], "scope": null, "properties": {"id": "[reference('d').id]", "key": "[listKeys('d', '2024-01-01').key]"}}]},
    {"type": "A.B/x", "apiVersion": "2024-01-01", "name": "x", "scope": "[resourceId('A.B/d', 'd')]", "sku": {"name": "s"}, "comments": "c"},
    {"type": "Microsoft.Resources/deployments", "apiVersion": "2024-01-01", "name": "inner", "resourceGroup": "other", "dependsOn": ["A.B/d/d"], "properties": {"mode": "Incremental", "expressionEvaluationOptions": {"scope": "inner"}, "parameters": {"q": {"value": "[reference('d').x]"}}, "template": {
      "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#", "contentVersion": "1.0.0.0", "parameters": {"q": {"type": "string"}},
      "resources": [{"type": "A.B/g", "apiVersion": "2024-01-01", "name": "g", "properties": {"q": "[parameters('q')]"}}], "outputs": {"r": {"type": "string", "value": "[parameters('q')]"}}}}},
    {"type": "Microsoft.Resources/deployments", "apiVersion": "2024-01-01", "name": "outer", "properties": {"mode": "Incremental", "template": {
      "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#", "contentVersion": "1.0.0.0", "resources": [{"type": "A.B/h", "apiVersion": "2024-01-01", "name": "[variables('v')]"}]}}},
    {"type": "Microsoft.Resources/deployments", "apiVersion": "2024-01-01", "name": "linked", "properties": {"mode": "Incremental", "templateLink": {"relativePath": "a.json", "contentVersion": "1.0.0.0"}, "parametersLink": {"uri": "https://x/y"}}}
  ],
  "outputs": {"o": {"type": "string", "condition": "[equals(1, 1)]", "value": "[reference('inner').outputs.r.value]"}, "l": {"type": "array", "copy": {"count": 2, "input": "[copyIndex()]"}}, "i": {"type": "int", "value": "[parameters('n')]"}}
}"#;

const SYMBOLIC: &str = r##"{
  "$schema": "https://schema.management.azure.com/schemas/2018-05-01/subscriptionDeploymentTemplate.json#", "languageVersion": "2.0", "contentVersion": "1.0.0.0",
  "definitions": {
    "t": {"type": "object", "properties": {"a": {"type": "string", "nullable": true}, "b": {"$ref": "#/definitions/u"}}, "additionalProperties": {"type": "int"}},
    "u": {"type": "array", "prefixItems": [{"type": "int"}], "items": {"type": "string"}, "nullable": true, "maxLength": 5},
    "k": {"type": "object", "discriminator": {"propertyName": "kind", "mapping": {"one": {"$ref": "#/definitions/one"}}}},
    "one": {"type": "object", "properties": {"kind": {"type": "string", "allowedValues": ["one"]}, "next": {"$ref": "#/definitions/k", "nullable": true}}}
  },
  "functions": [{"namespace": "__bicep", "members": {"f": {"parameters": [{"name": "x", "$ref": "#/definitions/t"}], "output": {"type": "array", "value": "[objectKeys(parameters('x'))]"}}}}],
  "parameters": {"t": {"$ref": "#/definitions/t", "defaultValue": {"a": "x", "b": [1, "y"], "c": 3}}, "k": {"$ref": "#/definitions/k", "defaultValue": {"kind": "one", "next": {"kind": "one"}}}, "s": {"type": "securestring", "nullable": true}},
  "variables": {"v": "[map(range(0, 3), lambda('i', createObject('n', lambdaVariables('i'))))]", "w": "[__bicep.f(parameters('t'))]"},
  "resources": {
    "g": {"type": "Microsoft.Resources/resourceGroups", "apiVersion": "2024-01-01", "name": "g", "location": "[deployment().location]", "tags": "[shallowMerge(createArray(createObject('a', 'b'), createObject()))]"},
    "e": {"existing": true, "type": "A.B/c", "apiVersion": "2024-01-01", "resourceGroup": "g", "name": "e"},
    "l": {"copy": {"name": "l", "count": "[length(variables('v'))]", "mode": "parallel"}, "type": "A.B/p", "apiVersion": "2024-01-01", "scope": "/", "name": "[string(variables('v')[copyIndex()].n)]", "dependsOn": ["g"], "@options": {"onlyIfNotExists": true}},
    "m": {"type": "Microsoft.Resources/deployments", "apiVersion": "2024-01-01", "name": "m", "resourceGroup": "g", "properties": {"mode": "Incremental", "expressionEvaluationOptions": {"scope": "inner"}, "parameters": {"x": {"value": "[reference('e', '2024-01-01', 'full').location]"}, "y": {"value": "[references('l', 'full')[0].id]"}}, "template": {
      "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#", "languageVersion": "2.0", "contentVersion": "1.0.0.0", "parameters": {"x": {"type": "string"}, "y": {"type": "string", "nullable": true}},
      "resources": {"d": {"type": "A.B/d", "apiVersion": "2024-01-01", "name": "[parameters('x')]", "properties": {"y": "[parameters('y')]"}}}, "outputs": {"x": {"type": "string", "value": "[reference('d').x]"}}}}, "dependsOn": ["g", "e", "l"]}
  },
  "outputs": {"x": {"type": "string", "nullable": true, "value": "[tryGet(reference('m').outputs, 'x', 'value')]"}, "t": {"$ref": "#/definitions/t", "value": "[parameters('t')]"}, "s": {"type": "securestring", "value": "[coalesce(parameters('s'), 'x')]"}}
}"##;

/// What may stand in place of a string of a template.
const PIECES: &[&str] = &[
    "null",
    "true",
    "{}",
    "[]",
    "[{}]",
    "-1",
    "3",
    "801",
    "9223372036854775807",
    "\"\"",
    "\"a/b\"",
    "\"[[x]\"",
    "\"[x\"",
    "\"[null()]\"",
    "\"[copyIndex()]\"",
    "\"[parameters('p')]\"",
    "\"[parameters('t')]\"",
    "\"[variables('v')]\"",
    "\"[variables('o')]\"",
    "\"[reference('d')]\"",
    "\"[reference('m').outputs]\"",
    "\"[references('l')]\"",
    "\"[resourceId('A.B/c', 'c0')]\"",
    "\"[subscription().id]\"",
    "\"[deployment()]\"",
    "\"[newGuid()]\"",
    "\"[utcNow()]\"",
    "\"[fail('x')]\"",
    "\"[createArray(1, 'a', null())]\"",
    "\"[json('{\\\"a\\\": [1]}')]\"",
    "\"copy\"",
    "\"type\"",
    "\"existing\"",
    "\"resources\"",
    "\"$ref\"",
    "\"#/definitions/t\"",
    "\"2.0\"",
    "\"outer\"",
    "\"int\"",
    "\"array\"",
    "{\"name\": \"loop\", \"count\": 2}",
    "[{\"name\": \"z\", \"count\": 2, \"input\": \"[copyIndex('z')]\"}]",
];

/// The strings of a text, with their quotes.
fn strings(text: &str) -> Vec<Range<usize>> {
    let (mut found, mut begin, mut escaped) = (Vec::new(), None, false);
    for (at, byte) in text.bytes().enumerate() {
        match (begin, byte) {
            (Some(_), _) if escaped => escaped = false,
            (Some(_), b'\\') => escaped = true,
            (Some(first), b'"') => {
                found.push(first..at + 1);
                begin = None;
            }
            (None, b'"') => begin = Some(at),
            _ => {}
        }
    }
    found
}

/// A template in which some strings are pieces, or other strings of the template.
fn exchanged() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        2 => prop::sample::select(PIECES).prop_map(Ok),
        1 => any::<prop::sample::Index>().prop_map(Err),
    ];
    let edit = (any::<prop::sample::Index>(), piece);
    (prop::sample::select(TEMPLATES), prop::collection::vec(edit, 1..4)).prop_map(
        |(template, edits)| {
            let mut text = template.to_owned();
            for (at, piece) in edits {
                let places = strings(&text);
                let piece = match piece {
                    Ok(piece) => piece.to_owned(),
                    Err(other) => text[places[other.index(places.len())].clone()].to_owned(),
                };
                text.replace_range(places[at.index(places.len())].clone(), &piece);
            }
            text
        },
    )
}

fn facts_for(template: &Template) -> Facts {
    let facts = Facts { limits: tight(), ..facts() };
    match template.schema() {
        Schema::ResourceGroup => facts,
        Schema::Subscription | Schema::ManagementGroup | Schema::Tenant => {
            facts.nested("d1", Scope::Subscription(SUBSCRIPTION.into()), Some("westus"))
        }
    }
}

/// Plans a text and evaluates the plan, as a preview and as if everything were deployed.
fn check(text: &str) -> Result<(), TestCaseError> {
    let accept = |error: &Error| {
        check_place(text, error.position)?;
        check_error(error)
    };
    let template = match Template::parse(text, &Limits::default()) {
        Ok(template) => template,
        Err(error) => return accept(&error),
    };
    let mut unknown = Parameters::new();
    for declared in template.declared_parameters().filter(|declared| declared.required) {
        unknown.set(declared.name.clone(), Given::Unknown);
    }
    let preview = Facts { preview: true, ..facts_for(&template) };
    match template.plan(&unknown, preview) {
        Ok(plan) => {
            check_order(&plan)?;
            if let Err(error) = plan.render(&NothingDeployed) {
                accept(&error)?;
            }
        }
        Err(error) => accept(&error)?,
    }
    match template.plan(&Parameters::new(), facts_for(&template)) {
        Ok(plan) => check_bodies(&plan, &accept),
        Err(error) => accept(&error),
    }
}

/// Checks that each resource has one turn, after those that it waits for.
fn check_order(plan: &Plan) -> Result<(), TestCaseError> {
    let mut done = vec![false; plan.resources().len()];
    for turn in plan.order() {
        let resource = &plan.resources()[*turn];
        prop_assert!(resource.after.iter().all(|before| done[*before]), "{} is early", resource.id);
        prop_assert!(!std::mem::replace(&mut done[*turn], true), "{} has two turns", resource.id);
    }
    prop_assert!(done.iter().all(|done| *done), "a resource has no turn");
    Ok(())
}

/// Evaluates every resource in a cloud where resources `d` and `e` are there, and the outputs.
fn check_bodies(
    plan: &Plan,
    accept: &dyn Fn(&Error) -> Result<(), TestCaseError>,
) -> Result<(), TestCaseError> {
    let scope = group_scope();
    let (d, e) = (format!("{scope}/providers/A.B/d/d"), format!("{scope}/providers/A.B/c/e"));
    let state = r#"{"location": "westus", "properties": {"id": "i", "x": "y", "outputs": {}}}"#;
    let world = World::with(&[(&d, state), (&e, state)]);
    for resource in plan.resources().iter().filter(|resource| !resource.existing) {
        match plan.body(resource, &world) {
            Ok(body) => prop_assert!(body.value.weight() <= tight().value_weight),
            Err(error) => accept(&error)?,
        }
        if !resource.is_deployment() {
            continue;
        }
        let nested = plan.nested(resource, &world).and_then(|nested| {
            let facts = plan.facts().nested(&nested.name, nested.scope.clone(), None);
            match nested.template_link {
                Some(_) => Ok(None),
                None => nested.plan(facts, Linked::default()).map(Some),
            }
        });
        match nested {
            Ok(Some(inner)) => check_bodies(&inner, accept)?,
            Ok(None) => {}
            Err(error) => accept(&error)?,
        }
    }
    let errors = plan.outputs(&world).err().unwrap_or_default();
    errors.iter().try_for_each(|wrong| accept(&wrong.error))
}

/// A template takes as long as twenty expressions or so.
fn config() -> ProptestConfig {
    let config = ProptestConfig::default();
    let cases = (config.cases / 20).max(64);
    ProptestConfig { cases, failure_persistence: None, ..config }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn templates_with_exchanged_strings_are_planned_or_refused(text in exchanged()) {
        check(&text)?;
    }

    #[test]
    fn mutated_templates_are_planned_or_refused(text in mutated(exchanged(), PIECES)) {
        check(&text)?;
    }
}

#[test]
fn templates_of_these_tests_are_planned_and_rendered() {
    for text in TEMPLATES {
        let template = Template::parse(text, &Limits::default()).expect("a template");
        let plan =
            template.plan(&Parameters::new(), Facts { preview: true, ..facts_for(&template) });
        let plan = plan.unwrap_or_else(|error| panic!("{error}"));
        let rendered = plan.render(&NothingDeployed).unwrap_or_else(|error| panic!("{error}"));
        assert!(rendered.output_errors.is_empty(), "{:?}", rendered.output_errors);
        assert!(rendered.deployments().len() >= 2);
    }
}
