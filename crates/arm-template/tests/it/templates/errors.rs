//! Mistakes, with their places.

use arm_template::{Kind, Limits, Linked, Template};

use super::{World, classic, group_scope, named, plan, plan_error, symbolic, try_plan};

#[test]
fn mistakes_of_the_shape_are_found_when_the_template_is_read() {
    for (rest, message, path) in [
        (
            r#""resources": [], "extra": 1"#,
            "Could not find member 'extra' on object of type 'Template'",
            "extra",
        ),
        (r#""parameters": {}"#, "Required property 'resources' not found in JSON", ""),
        (r#""resources": [1]"#, "A resource must be an object", "resources[0]"),
        (
            r#""resources": [{"type": "N.C/t", "name": "a"}]"#,
            "Required property 'apiVersion'",
            "resources[0]",
        ),
        (r#""resources": [], "parameters": []"#, "must be of type 'Object'", "parameters"),
        (
            r#""resources": [], "parameters": {"a": {"type": "number"}}"#,
            "The type 'number' is not valid",
            "parameters.a",
        ),
        (
            r#""resources": [], "parameters": {"a": {"type": "int"}, "A": {"type": "int"}}"#,
            "differ in case only",
            "parameters.A",
        ),
        (r#""resources": [], "variables": {"[x]": 1}"#, "must be a literal", "variables['[x]']"),
        (r#""resources": [], "outputs": {"a": {"type": "int"}}"#, "has no 'value'", "outputs.a"),
        (
            r#""resources": [], "functions": [{"members": {}}]"#,
            "Required property 'namespace'",
            "functions[0]",
        ),
        (
            r#""resources": [], "languageVersion": "2.2-experimental""#,
            "'2.2-experimental' is not supported",
            "languageVersion",
        ),
        (
            r#""resources": [], "extensions": {"k": {"name": "Kubernetes", "version": "1"}}"#,
            "'Kubernetes' is not supported",
            "extensions.k",
        ),
        (r#""resources": [], "asserts": {"a": true}"#, "Asserts are not supported", "asserts"),
    ] {
        let error = Template::parse(&classic(rest), &Limits::default()).expect_err(rest);
        assert!(error.message.contains(message), "{rest}: {error}");
        assert_eq!(error.path, path, "{rest}");
    }
    let text = r#"{"$schema": "https://x/other.json#", "contentVersion": "1", "resources": []}"#;
    let error = Template::parse(text, &Limits::default()).expect_err("the schema is unknown");
    assert_eq!(error.path, "$schema");
}

#[test]
fn error_tells_line_column_and_path() {
    let template = classic(
        "\n\"variables\": {\n  \"v\": \"[add(1, 'x')]\"},\n\"resources\": [{\"type\": \"N.C/t\", \"apiVersion\": \"1\",\n  \"name\": \"[variables('v')]\"}]",
    );
    let error = plan_error(&template);
    let position = error.position.expect("a place");
    assert_eq!((position.line, position.column), (3, 8));
    assert_eq!(error.path, "variables.v");
    assert!(
        error.message.starts_with(
            "The template resource '[variables('v')]' at line '4' and column '15' is not valid: The template variable 'v' is not valid: Unable to evaluate"
        ),
        "{error}"
    );
}

#[test]
fn variables_that_need_one_another_are_an_error() {
    let template = classic(
        r#""variables": {"a": "[variables('b')]", "b": "[variables('A')]"},
        "resources": [{"type": "N.C/t", "apiVersion": "1", "name": "[variables('a')]"}]"#,
    );
    let error = plan_error(&template);
    assert!(error.message.contains("depends on itself"), "{error}");
}

#[test]
fn unused_variables_are_not_evaluated() {
    let template = classic(r#""variables": {"a": "[fail('never')]"}, "resources": []"#);
    assert!(try_plan(&template, "{}").is_ok());
}

#[test]
fn extension_of_a_resource_is_refused_by_name() {
    let template = symbolic(
        r#""resources": {"a": {"import": "kubernetes", "type": "apps/Deployment@v1", "apiVersion": "1", "name": "a"}}"#,
    );
    let error = plan_error(&template);
    assert_eq!(error.kind, Kind::Unsupported);
    assert!(error.message.contains("'kubernetes'"), "{error}");
}

#[test]
fn random_cuts_of_a_template_are_errors_or_plans_but_no_crash() {
    let template = symbolic(
        r##""definitions": {"d": {"type": "object", "properties": {"a": {"type": "int", "nullable": true}}}},
        "parameters": {"p": {"$ref": "#/definitions/d", "defaultValue": {"a": 1}}},
        "variables": {"copy": [{"name": "l", "count": 2, "input": "[copyIndex('l')]"}]},
        "resources": {"r": {"copy": {"name": "c", "count": 2}, "type": "N.C/t", "apiVersion": "1", "name": "[format('{0}', copyIndex())]",
            "properties": {"x": "[variables('l')]", "y": "[parameters('p').a]"}}},
        "outputs": {"o": {"type": "int", "value": "[parameters('p').a]"}}"##,
    );
    assert!(try_plan(&template, "{}").is_ok());
    let characters: Vec<char> = template.chars().collect();
    for at in 0..characters.len() {
        let cut: String = characters[..at].iter().chain(&characters[at + 1..]).collect();
        if let Err(error) = try_plan(&cut, "{}") {
            assert!(!error.message.is_empty());
        }
    }
}

#[test]
fn unknown_variable_is_reported_where_it_is_used() {
    let template = classic(
        r#""variables": {},
        "resources": [{"type": "A.B/c", "apiVersion": "2024-01-01", "name": "[variables('none')]"}]"#,
    );
    let error = plan_error(&template);
    assert_eq!(error.position.map(|position| position.line), Some(2), "{error}");
    assert_eq!(error.path, "resources[0].name");
}

#[test]
fn surplus_parameter_of_a_nested_deployment_is_reported_at_the_deployment() {
    let template = classic(&format!(
        r#""resources": [
        {{"type": "Microsoft.Resources/deployments", "apiVersion": "2024-01-01", "name": "inner", "properties": {{
            "mode": "Incremental", "expressionEvaluationOptions": {{"scope": "inner"}},
            "parameters": {{"none": {{"value": 1}}}}, "template": {}}}}}]"#,
        classic(r#""resources": []"#)
    ));
    let plan = plan(&template);
    let inner = named(&plan, "inner");
    let nested = plan.nested(inner, &World::default()).expect("its parameters are evaluated");
    let facts = plan.facts().nested("inner", group_scope(), None);
    let error = nested.plan(facts, Linked::default()).expect_err("the parameter is surplus");
    assert_eq!(error.position, Some(inner.position), "{error}");
}

#[test]
fn unknown_name_has_the_place_of_its_use() {
    for (expression, message) in [
        ("[variables('none')]", "The template variable 'none' is not found"),
        ("[parameters('none')]", "The template parameter 'none' is not found"),
    ] {
        let error = plan_error(&classic(&format!(
            r#""variables": {{"copy": [{{"name": "v", "count": 1, "input": 1}}]}},
            "resources": [{{"type": "N.C/t", "apiVersion": "1", "name": "{expression}"}}]"#
        )));
        assert!(error.message.ends_with(message), "{error}");
        assert_eq!(error.path, "resources[0].name");
        assert_eq!(error.position.map(|position| position.line), Some(2));
    }
}
