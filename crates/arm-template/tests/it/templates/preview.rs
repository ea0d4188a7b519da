//! What is known before anything is deployed.

use arm_template::{
    Given, Kind, Limits, NothingDeployed, Parameters, Rendered, RenderedNested, Template,
};

use super::{classic, facts, json, named, plan, symbolic};

fn render(template: &str, given: &Parameters) -> Rendered {
    let mut facts = facts();
    facts.preview = true;
    let template = Template::parse(template, &Limits::default()).expect("the template");
    let plan = template.plan(given, facts).unwrap_or_else(|error| panic!("{error}"));
    plan.render(&NothingDeployed).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn pending_and_secure_strings_remain_expressions() {
    let template = classic(
        r#""parameters": {"s": {"type": "securestring", "defaultValue": "secret"}},
        "resources": [{"type": "N.C/t", "apiVersion": "1", "name": "a"},
            {"type": "N.C/t", "apiVersion": "1", "name": "b", "location": "[toLower('WESTUS')]", "properties": {
                "secret": "[concat(parameters('s'), '!')]", "list": ["[reference('a').x]", "[length('abc')]"],
                "[reference('a').key]": 1,
                "copy": [{"name": "later", "count": "[length(reference('a').list)]", "input": 1}]}}]"#,
    );
    let plan = plan(&template);
    let preview = plan.preview(named(&plan, "b"), &NothingDeployed).expect("the preview");
    let expected = r#"{"location": "westus", "properties": {
        "secret": "[concat(parameters('s'), '!')]", "list": ["[reference('a').x]", 3], "[reference('a').key]": 1,
        "copy": [{"name": "later", "count": "[length(reference('a').list)]", "input": 1}]}}"#;
    assert_eq!(preview.body, json(expected));
    assert!(preview.pending && preview.secure);
}

#[test]
fn mistakes_are_found_in_a_preview() {
    let template = classic(
        r#""resources": [{"type": "N.C/t", "apiVersion": "1", "name": "a", "properties": {"x": "[add(1, 'b')]"}}]"#,
    );
    let plan = plan(&template);
    let error = plan.preview(named(&plan, "a"), &NothingDeployed).expect_err("it is wrong");
    assert_eq!((error.kind, &*error.path), (Kind::Evaluation, "resources[0].properties.x"));
}

#[test]
fn unknown_parameters_leave_resources_undetermined() {
    let template = classic(
        r#""parameters": {"p": {"type": "string"}, "q": {"type": "string", "defaultValue": "[concat(parameters('p'), '2')]"}},
        "variables": {"v": "[parameters('q')]"},
        "resources": [
            {"type": "N.C/t", "apiVersion": "1", "name": "[variables('v')]"},
            {"type": "N.C/t", "apiVersion": "1", "name": "[concat('l', copyIndex())]", "copy": {"name": "l", "count": "[length(parameters('p'))]"}},
            {"type": "N.C/t", "apiVersion": "1", "name": "a", "dependsOn": ["[parameters('p')]"], "properties": {"x": "[variables('v')]"}}]"#,
    );
    let mut given = Parameters::new();
    given.set("p", Given::Unknown);
    let rendered = render(&template, &given);
    assert_eq!(rendered.plan.undetermined().len(), 2);
    assert_eq!(&*rendered.plan.undetermined()[0].name, "[variables('v')]");
    assert_eq!(rendered.resources.len(), 1);
    assert_eq!(
        rendered.resources[0].preview.body,
        json(r#"{"properties": {"x": "[variables('v')]"}}"#)
    );
    let strict =
        Template::parse(&template, &Limits::default()).expect("the template").plan(&given, facts());
    assert_eq!(strict.expect_err("a name is not known").kind, Kind::Pending);
}

#[test]
fn tree_is_rendered_with_the_outputs_that_are_known() {
    let inner = classic(
        r#""parameters": {"name": {"type": "string"}},
        "resources": [{"type": "N.C/t", "apiVersion": "1", "name": "[parameters('name')]"}],
        "outputs": {"id": {"type": "string", "value": "[resourceId('N.C/t', parameters('name'))]"},
            "later": {"type": "string", "value": "[reference(resourceId('N.C/t', parameters('name')), '1').x]"}}"#,
    );
    let template = symbolic(&format!(
        r#""resources": {{
            "mod": {{"type": "Microsoft.Resources/deployments", "apiVersion": "1", "name": "mod", "properties": {{"mode": "Incremental", "parameters": {{"name": {{"value": "n"}}}}, "template": {inner}}}}},
            "user": {{"type": "N.C/u", "apiVersion": "1", "name": "user", "location": "westus", "properties": {{"id": "[reference('mod').outputs.id.value]", "later": "[reference('mod').outputs.later.value]"}}}},
            "off": {{"condition": false, "type": "N.C/u", "apiVersion": "1", "name": "off", "properties": "[fail('never')]"}}
        }},
        "outputs": {{"location": {{"type": "string", "value": "[reference('user', '1', 'full').location]"}}, "state": {{"type": "object", "value": "[reference('user')]"}}}}"#
    ));
    let rendered = render(&template, &Parameters::new());
    assert_eq!(rendered.deployments().len(), 2);
    let names: Vec<_> = rendered.resources.iter().map(|r| &*rendered.resource(r).name).collect();
    assert_eq!(names, ["mod", "user"]);
    let Some(RenderedNested::Tree(nested)) = &rendered.resources[0].nested else {
        panic!("{rendered:?}")
    };
    assert_eq!(&*nested.resource(&nested.resources[0]).name, "n");
    let id = &nested.resource(&nested.resources[0]).id;
    let expected = format!(
        r#"{{"location": "westus", "properties": {{"id": "{id}", "later": "[reference('mod').outputs.later.value]"}}}}"#
    );
    assert_eq!(rendered.resources[1].preview.body, json(&expected));
    let outputs: Vec<_> = rendered.outputs.iter().map(|o| o.value.clone()).collect();
    assert_eq!(outputs, [Some("westus".into()), None]);
}

#[test]
fn group_that_the_template_creates_is_known_to_its_deployments() {
    let inner = classic(
        r#""parameters": {"where": {"type": "string", "defaultValue": "[resourceGroup().location]"}},
        "resources": [{"type": "N.C/t", "apiVersion": "1", "name": "[parameters('where')]"}]"#,
    );
    let template = format!(
        r#"{{"$schema": "https://x/subscriptionDeploymentTemplate.json", "contentVersion": "1", "resources": [
            {{"type": "Microsoft.Resources/resourceGroups", "apiVersion": "1", "name": "g", "location": "northeurope"}},
            {{"type": "Microsoft.Resources/deployments", "apiVersion": "1", "name": "d", "resourceGroup": "g", "dependsOn": ["g"],
              "properties": {{"mode": "Incremental", "expressionEvaluationOptions": {{"scope": "inner"}}, "template": {inner}}}}},
            {{"type": "Microsoft.Resources/deployments", "apiVersion": "1", "name": "e", "resourceGroup": "elsewhere",
              "properties": {{"mode": "Incremental", "expressionEvaluationOptions": {{"scope": "inner"}}, "template": {inner}}}}}]}}"#
    );
    let mut facts = facts();
    facts.scope = arm_template::Scope::Subscription(super::SUBSCRIPTION.into());
    facts.resource_group = None;
    facts.preview = true;
    let template = Template::parse(&template, &Limits::default()).expect("the template");
    let plan = template.plan(&Parameters::new(), facts).expect("the plan");
    let rendered = plan.render(&NothingDeployed).unwrap_or_else(|error| panic!("{error}"));
    let Some(RenderedNested::Tree(known)) = &rendered.resources[1].nested else {
        panic!("{rendered:?}")
    };
    assert_eq!(&*known.resource(&known.resources[0]).name, "northeurope");
    let Some(RenderedNested::Tree(unknown)) = &rendered.resources[2].nested else {
        panic!("{rendered:?}")
    };
    assert_eq!(unknown.plan.undetermined().len(), 1);
}
