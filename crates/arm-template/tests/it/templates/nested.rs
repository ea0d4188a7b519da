//! Nested deployments.

use arm_template::{
    Given, Kind, Limits, LinkTarget, Linked, Nested, NothingDeployed, Plan, Scope, Template, Value,
};

use super::{SUBSCRIPTION, World, body, classic, json, named, parameters, plan, symbolic};

fn nested_plan(plan: &Plan, name: &str, world: &World) -> Plan {
    let nested = nested(plan, name, world);
    let facts = plan.facts().nested(&nested.name, nested.scope.clone(), None);
    nested.plan(facts, Linked::default()).unwrap_or_else(|error| panic!("{error}"))
}

fn nested(plan: &Plan, name: &str, world: &World) -> Nested {
    plan.nested(named(plan, name), world).unwrap_or_else(|error| panic!("{error}"))
}

/// A template with a nested deployment `inner`, whose properties begin with what is given.
fn around(options: &str, template: &str) -> String {
    classic(&format!(
        r#""parameters": {{"p": {{"type": "string", "defaultValue": "outer"}}}},
        "variables": {{"v": "outer variable"}},
        "resources": [
            {{"type": "N.C/t", "apiVersion": "1", "name": "first"}},
            {{"type": "Microsoft.Resources/deployments", "apiVersion": "2022-09-01", "name": "inner", "resourceGroup": "other",
              "dependsOn": ["first"],
              "properties": {{{options} "mode": "Incremental", "template": {template}}}}}],
        "outputs": {{"x": {{"type": "string", "value": "[reference('inner').outputs.x.value]"}}}}"#
    ))
}

#[test]
fn outer_scope_sees_the_names_and_the_scope_around_it() {
    let template = classic(
        r#""variables": {"v": "inner variable"},
        "resources": [{"type": "N.C/t", "apiVersion": "1", "name": "[concat(parameters('p'), '-', deployment().name)]",
            "properties": {"v": "[variables('v')]", "group": "[resourceGroup().name]", "id": "[resourceId('N.C/t', 'a')]"}}],
        "outputs": {"x": {"type": "string", "value": "[parameters('p')]"}}"#,
    );
    for options in ["", r#""expressionEvaluationOptions": {"scope": "Outer"},"#] {
        let plan = plan(&around(options, &template));
        let inner = nested_plan(&plan, "inner", &World::default());
        let resource = named(&inner, "outer-d1");
        let other = format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/other");
        assert_eq!(*resource.id, format!("{other}/providers/N.C/t/outer-d1"));
        let expected = format!(
            r#"{{"properties": {{"v": "outer variable", "group": "rg", "id": "/subscriptions/{SUBSCRIPTION}/resourceGroups/rg/providers/N.C/t/a"}}}}"#
        );
        assert_eq!(body(&inner, "outer-d1", &World::default()), json(&expected));
        let outputs = inner.outputs(&World::default()).expect("the outputs");
        assert_eq!(outputs[0].value, Some("outer".into()));
    }
}

#[test]
fn inner_scope_sees_its_own_names_only() {
    let template = classic(
        r#""parameters": {"q": {"type": "string"}}, "variables": {"v": "[concat(parameters('q'), '!')]"},
        "resources": [{"type": "N.C/t", "apiVersion": "1", "name": "[variables('v')]",
            "properties": {"group": "[resourceGroup().name]", "deployment": "[deployment().name]"}}]"#,
    );
    let options = r#""expressionEvaluationOptions": {"scope": "inner"}, "parameters": {"q": {"value": "[concat('from ', parameters('p'))]"}},"#;
    let plan = plan(&around(options, &template));
    let inner = nested_plan(&plan, "inner", &World::default());
    assert_eq!(inner.parameters()[0].value, Some("from outer".into()));
    let expected = r#"{"properties": {"group": "other", "deployment": "inner"}}"#;
    assert_eq!(body(&inner, "from outer!", &World::default()), json(expected));
    let facts = plan.facts();
    let group = Scope::ResourceGroup { subscription: SUBSCRIPTION.into(), name: "other".into() };
    assert_eq!((inner.facts().scope.clone(), inner.facts().now), (group, facts.now));
}

#[test]
fn names_around_an_inner_scope_are_not_found() {
    let template = classic(
        r#""resources": [{"type": "N.C/t", "apiVersion": "1", "name": "[parameters('p')]"}]"#,
    );
    let options = r#""expressionEvaluationOptions": {"scope": "inner"},"#;
    let plan = plan(&around(options, &template));
    let nested = nested(&plan, "inner", &World::default());
    let facts = plan.facts().nested("inner", nested.scope.clone(), None);
    let error = nested.plan(facts, Linked::default()).expect_err("there is no parameter");
    assert!(error.message.contains("parameter 'p' is not found"), "{error}");
    assert_eq!(error.path, "resources[1].properties.template.resources[0].name");
}

#[test]
fn symbolic_template_has_inner_scopes_only() {
    let with = |options: &str| {
        symbolic(&format!(
            r#""parameters": {{"p": {{"type": "string", "defaultValue": "a"}}}},
            "resources": {{"mod": {{"type": "Microsoft.Resources/deployments", "apiVersion": "1", "name": "mod",
                "properties": {{{options} "mode": "Incremental", "template": {}}}}}}}"#,
            classic(
                r#""parameters": {"p": {"type": "string", "defaultValue": "b"}}, "resources": [], "outputs": {"o": {"type": "string", "value": "[parameters('p')]"}}"#
            )
        ))
    };
    let inner = nested_plan(&plan(&with("")), "mod", &World::default());
    let outputs = inner.outputs(&NothingDeployed).expect("the outputs");
    assert_eq!(outputs[0].value, Some("b".into()));
    let plan = plan(&with(r#""expressionEvaluationOptions": {"scope": "outer"},"#));
    let error = plan.nested(&plan.resources()[0], &NothingDeployed).expect_err("outer is refused");
    assert!(error.message.contains("outer scope"), "{error}");
}

#[test]
fn outputs_of_a_nested_deployment_are_its_state() {
    let plan = plan(&around("", &classic(r#""resources": []"#)));
    assert!(named(&plan, "inner").is_deployment() && !named(&plan, "first").is_deployment());
    let id = named(&plan, "inner").id.to_string();
    let state = r#"{"properties": {"outputs": {"x": {"type": "String", "value": "yes"}}}}"#;
    let outputs = plan.outputs(&World::with(&[(&id, state)])).expect("the outputs");
    assert_eq!(outputs[0].value, Some("yes".into()));
}

#[test]
fn parameters_may_be_wrappers_that_expressions_make() {
    let template = classic(
        r#""parameters": {"a": {"type": "int"}, "s": {"type": "securestring"}}, "resources": []"#,
    );
    let options = r#""expressionEvaluationOptions": {"scope": "inner"}, "parameters": {
        "a": "[if(true(), createObject('value', 1), createObject('value', 2))]",
        "s": {"reference": {"keyVault": {"id": "[resourceId('Microsoft.KeyVault/vaults', 'v')]"}, "secretName": "n", "secretVersion": "1"}}},"#;
    let plan = plan(&around(options, &template));
    let mut nested = nested(&plan, "inner", &World::default());
    assert_eq!(nested.parameters.get("a"), Some(&Given::Value(1.into())));
    let Some(Given::Secret(secret)) = nested.parameters.get("s").cloned() else {
        panic!("{:?}", nested.parameters)
    };
    assert!(secret.vault_id.ends_with("/vaults/v") && secret.version.as_deref() == Some("1"));
    nested.parameters.set("s", Given::Value("secret".into()));
    let facts = plan.facts().nested("inner", nested.scope.clone(), None);
    let inner = nested.plan(facts, Linked::default()).expect("the plan");
    assert_eq!(inner.parameters()[1].value, None);
}

#[test]
fn linked_template_is_fetched_by_the_caller_and_has_an_inner_scope() {
    let template = classic(
        r#""resources": [{"type": "Microsoft.Resources/deployments", "apiVersion": "1", "name": "d", "properties": {
            "mode": "Incremental", "parameters": {"n": {"value": 5}},
            "templateLink": {"relativePath": "[concat('sub', '/b.json')]", "contentVersion": "1.0.0.0"}}}]"#,
    );
    let plan = plan(&template);
    let nested = nested(&plan, "d", &World::default());
    let link = nested.template_link.clone().expect("the link");
    assert_eq!(link.target, LinkTarget::RelativePath("sub/b.json".into()));
    assert_eq!(link.content_version.as_deref(), Some("1.0.0.0"));
    let facts = plan.facts().nested("d", nested.scope.clone(), None);
    let text = classic(r#""parameters": {"n": {"type": "int"}}, "resources": []"#);
    let template = Template::parse(&text, &Limits::default()).expect("the template");
    let link = Some(Value::from("where it was"));
    let linked =
        Linked { template: Some(template.clone()), link: link.clone(), ..Linked::default() };
    let inner = nested.plan(facts.clone(), linked).expect("the plan");
    assert_eq!(inner.parameters()[0].value, Some(5.into()));
    assert_eq!((&nested.link_around, &inner.facts().template_link), (&None, &link));
    let file = Some(parameters(r#"{"n": {"value": 6}}"#));
    let linked = Linked { template: Some(template), parameters: file, ..Linked::default() };
    let inner = nested.plan(facts.clone(), linked).expect("the plan");
    assert_eq!(inner.parameters()[0].value, Some(6.into()));
    assert!(nested.plan(facts, Linked::default()).is_err());
}

#[test]
fn wrong_nested_deployments_are_errors() {
    for (properties, message) in [
        (r#""mode": "Complete", "template": {}"#, "must be 'Incremental'"),
        (r#""mode": "Incremental""#, "either 'template' or 'templateLink'"),
        (r#""template": {}, "templateLink": {"uri": "u"}"#, "either 'template' or 'templateLink'"),
        (r#""templateLink": {"uri": "u", "id": "i"}"#, "one of 'uri', 'id' and 'relativePath'"),
        (r#""template": {}, "parameters": {"a": {}}"#, "no 'value' and no 'reference'"),
        (r#""template": {}, "parameters": {"a": 5}"#, "must be an object"),
        (
            r#""template": {}, "expressionEvaluationOptions": {"scope": "both"}"#,
            "'inner' or 'outer'",
        ),
    ] {
        let plan = plan(&classic(&format!(
            r#""resources": [{{"type": "Microsoft.Resources/deployments", "apiVersion": "1", "name": "d", "properties": {{{properties}}}}}]"#
        )));
        let error = plan.nested(&plan.resources()[0], &NothingDeployed).expect_err(properties);
        assert!(error.message.contains(message), "{properties}: {error}");
        assert!(error.path.starts_with("resources[0].properties"), "{properties}: {}", error.path);
    }
}

#[test]
fn template_of_an_inner_scope_is_not_searched_for_dependencies() {
    let template = classic(
        r#""resources": [{"type": "N.C/t", "apiVersion": "1", "name": "a", "properties": {"x": "[reference('first').y]"}}]"#,
    );
    let without = |options: &str| {
        let text = around(options, &template).replace(r#""dependsOn": ["first"],"#, "");
        plan(&text).resources()[1].depends_on.clone()
    };
    assert!(without(r#""expressionEvaluationOptions": {"scope": "inner"},"#).is_empty());
    assert_eq!(without(""), [0]);
}

#[test]
fn nested_template_in_a_loop_sees_the_index_with_an_outer_scope() {
    let template = classic(
        r#""resources": [{"type": "Microsoft.Resources/deployments", "apiVersion": "1", "name": "[concat('d', copyIndex())]",
            "copy": {"name": "l", "count": 2}, "properties": {"mode": "Incremental", "template": INNER}}]"#,
    );
    let inner = classic(
        r#""resources": [{"type": "N.C/t", "apiVersion": "1", "name": "[concat('r', copyIndex('l'))]"}]"#,
    );
    let plan = plan(&template.replace("INNER", &inner));
    let inner = nested_plan(&plan, "d1", &World::default());
    assert_eq!(&*inner.resources()[0].name, "r1");
}

#[test]
fn pending_parameter_of_a_nested_deployment_is_unknown_in_a_preview() {
    let options = r#""expressionEvaluationOptions": {"scope": "inner"}, "parameters": {"a": {"value": "[reference('first').x]"}},"#;
    let plan = plan(&around(
        options,
        &classic(r#""parameters": {"a": {"type": "string"}}, "resources": []"#),
    ));
    let resource = named(&plan, "inner");
    let error = plan.nested(resource, &NothingDeployed).expect_err("nothing is deployed");
    assert_eq!(error.kind, Kind::Pending);
    let nested = plan.nested_preview(resource, &NothingDeployed).expect("the preview");
    assert_eq!(nested.parameters.get("a"), Some(&Given::Unknown));
}

#[test]
fn outer_scope_reads_resources_around_it() {
    let template = classic(
        r#""resources": [{"type": "N.C/t", "apiVersion": "1", "name": "own", "properties": {"x": "[reference('first').y]", "z": "[reference('OWN2', '2').y]"}},
            {"type": "N.C/t", "apiVersion": "1", "name": "own2"}]"#,
    );
    let plan = plan(&around("", &template));
    let inner = nested_plan(&plan, "inner", &World::default());
    let (first, own) = (named(&plan, "first").id.clone(), named(&inner, "own2").id.clone());
    let world = World::with(&[
        (&first, r#"{"properties": {"y": 1}}"#),
        (&own, r#"{"properties": {"y": 2}}"#),
    ]);
    assert_eq!(body(&inner, "own", &world), json(r#"{"properties": {"x": 1, "z": 2}}"#));
}
