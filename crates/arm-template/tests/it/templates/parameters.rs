//! Parameters: values, defaults, types.

use arm_template::{Given, Kind, Limits, Node, Parameters, Value};

use super::{classic, json, parameters, plan_with, symbolic, try_plan};

/// A template with these parameters, and with these definitions.
fn typed(definitions: &str, declared: &str) -> String {
    symbolic(&format!(
        r#""definitions": {{{definitions}}}, "parameters": {{{declared}}}, "resources": {{}}"#
    ))
}

/// Checks whether a value fits the declaration of a parameter `p`.
fn fits(definitions: &str, declaration: &str, value: &str) -> Result<(), String> {
    let template = typed(definitions, &format!(r#""p": {declaration}"#));
    let given = format!(r#"{{"p": {{"value": {value}}}}}"#);
    match try_plan(&template, &given) {
        Ok(_) => Ok(()),
        Err(error) => {
            assert_eq!(error.kind, Kind::Parameter, "{error}");
            assert!(error.position.is_some(), "{error}");
            Err(error.message)
        }
    }
}

#[test]
fn values_are_checked_against_type_bounds_and_allowed_values() {
    let cases = [
        (r#"{"type": "string"}"#, r#""a""#, "1"),
        (r#"{"type": "SECURESTRING"}"#, r#""a""#, "1"),
        (r#"{"type": "int"}"#, "1", r#""1""#),
        (r#"{"type": "bool"}"#, "true", r#""true""#),
        (r#"{"type": "object"}"#, "{}", "[]"),
        (r#"{"type": "array"}"#, "[1, {}]", "{}"),
        (r#"{"type": "string", "minLength": 2, "maxLength": 3}"#, r#""ab""#, r#""a""#),
        (r#"{"type": "string", "minLength": 2, "maxLength": 3}"#, r#""abc""#, r#""abcd""#),
        (r#"{"type": "array", "minLength": 1}"#, "[1]", "[]"),
        (r#"{"type": "int", "minValue": 1, "maxValue": 3}"#, "3", "0"),
        (r#"{"type": "string", "allowedValues": ["a", "b"]}"#, r#""b""#, r#""c""#),
        (r#"{"type": "array", "allowedValues": ["a", "b"]}"#, r#"["b", "a"]"#, r#"["b", "c"]"#),
        (r#"{"type": "array", "allowedValues": [["a"], [1, 2]]}"#, "[1, 2]", "[1]"),
        (r#"{"type": "array", "items": {"type": "int"}}"#, "[1, 2]", r#"[1, "2"]"#),
        (
            r#"{"type": "array", "prefixItems": [{"type": "int"}, {"type": "bool"}], "items": false}"#,
            "[1, true]",
            "[1, true, 3]",
        ),
        (
            r#"{"type": "array", "prefixItems": [{"type": "int"}, {"type": "bool"}]}"#,
            "[1, true, 3]",
            "[1]",
        ),
        (
            r#"{"type": "object", "properties": {"a": {"type": "int"}}}"#,
            r#"{"A": 1, "b": 2}"#,
            r#"{"b": 2}"#,
        ),
        (
            r#"{"type": "object", "properties": {"a": {"type": "int", "nullable": true}}}"#,
            r#"{"b": 2}"#,
            r#"{"a": "x"}"#,
        ),
        (
            r#"{"type": "object", "additionalProperties": false, "properties": {"a": {"type": "int"}}}"#,
            r#"{"a": 1}"#,
            r#"{"a": 1, "b": 2}"#,
        ),
        (
            r#"{"type": "object", "additionalProperties": {"type": "int"}}"#,
            r#"{"a": 1}"#,
            r#"{"a": "1"}"#,
        ),
    ];
    for (declaration, good, bad) in cases {
        assert_eq!(fits("", declaration, good), Ok(()), "{declaration}");
        assert!(fits("", declaration, bad).is_err(), "{declaration} takes {bad}");
    }
}

#[test]
fn message_tells_the_parameter_the_rule_and_the_place_inside_the_value() {
    let declaration = r#"{"type": "object", "properties": {"list": {"type": "array", "items": {"type": "string", "minLength": 3}}}}"#;
    assert_eq!(
        fits("", declaration, r#"{"list": ["abc", "x"]}"#),
        Err("The provided value for the template parameter 'p' is not valid. Length of the value should be greater than or equal to '3' (at 'list[1]')".to_owned())
    );
}

#[test]
fn references_are_followed_and_narrowed() {
    let definitions = r##"
        "name": {"type": "string", "minLength": 2},
        "maybe": {"$ref": "#/definitions/name", "nullable": true},
        "sure": {"$ref": "#/definitions/maybe", "nullable": false},
        "tree": {"type": "object", "properties": {"left": {"$ref": "#/definitions/tree", "nullable": true}, "n": {"type": "int"}}},
        "pair": {"type": "array", "prefixItems": [{"type": "int"}, {"type": "object", "properties": {"x": {"type": "bool"}}}]}
    "##;
    let check = |reference: &str, value: &str| {
        fits(definitions, &format!(r##"{{"$ref": "#/definitions/{reference}"}}"##), value)
    };
    assert_eq!(check("name", r#""ab""#), Ok(()));
    assert!(check("name", r#""a""#).is_err());
    assert_eq!(check("maybe", "null"), Ok(()));
    assert!(check("sure", "null").is_err());
    assert_eq!(check("tree", r#"{"n": 1, "left": {"n": 2}}"#), Ok(()));
    assert!(check("tree", r#"{"n": 1, "left": {"n": "2"}}"#).is_err());
    assert!(check("pair/prefixItems/1/properties/x", "1").is_err());
    assert_eq!(check("pair/prefixItems/1/properties/x", "true"), Ok(()));
    let narrowed = r##"{"$ref": "#/definitions/name", "maxLength": 3}"##;
    assert!(fits(definitions, narrowed, r#""abcd""#).is_err());
}

#[test]
fn discriminator_chooses_the_type() {
    let definitions = r##"
        "cat": {"type": "object", "properties": {"kind": {"type": "string", "allowedValues": ["cat"]}, "lives": {"type": "int"}}},
        "any": {"type": "object", "discriminator": {"propertyName": "kind", "mapping": {
            "cat": {"$ref": "#/definitions/cat"},
            "dog": {"type": "object", "properties": {"kind": {"type": "string"}, "name": {"type": "string"}}}
        }}}
    "##;
    let check = |value| fits(definitions, r##"{"$ref": "#/definitions/any"}"##, value);
    assert_eq!(check(r#"{"kind": "cat", "lives": 9}"#), Ok(()));
    assert_eq!(check(r#"{"kind": "dog", "name": "x"}"#), Ok(()));
    assert!(check(r#"{"kind": "cat", "name": "x"}"#).is_err());
    let message = check(r#"{"kind": "cow"}"#).expect_err("no such type");
    assert!(message.contains("must be one of 'cat, dog'"), "{message}");
}

#[test]
fn endless_types_are_an_error() {
    let definitions = r##""a": {"$ref": "#/definitions/b"}, "b": {"$ref": "#/definitions/a"}"##;
    assert!(fits(definitions, r##"{"$ref": "#/definitions/a"}"##, "1").is_err());
    let unknown = typed("", r##""p": {"$ref": "#/definitions/none"}"##);
    let error = try_plan(&unknown, r#"{"p": {"value": 1}}"#).expect_err("no such definition");
    assert!(error.message.contains("#/definitions/none"), "{error}");
}

#[test]
fn null_counts_as_not_given() {
    let template = typed(
        "",
        r#""a": {"type": "string", "defaultValue": "x"}, "b": {"type": "int", "nullable": true}, "c": {"nullable": true}"#,
    );
    let plan = plan_with(&template, r#"{"a": {"value": null}, "b": {"value": null}}"#);
    let values: Vec<_> = plan.parameters().iter().map(|p| p.value.clone()).collect();
    assert_eq!(values, [Some("x".into()), Some(Value::Null), Some(Value::Null)]);
}

#[test]
fn missing_and_superfluous_parameters_are_named() {
    let template =
        classic("\"parameters\": {\n  \"p\": {\"type\": \"string\"}}, \"resources\": []");
    let error = try_plan(&template, "{}").expect_err("a value is missing");
    assert_eq!(
        error.message,
        "The value for the template parameter 'p' at line '2' and column '8' is not provided"
    );
    assert_eq!(error.path, "parameters.p");
    let given = r#"{"p": {"value": "a"}, "q": {"value": 1}, "r": {"value": 1}}"#;
    let error = try_plan(&template, given).expect_err("two are not declared");
    assert!(error.message.contains("'q, r' in the parameters file are not valid"), "{error}");
    assert!(error.message.ends_with("supported parameters for this template are 'p'"), "{error}");
}

#[test]
fn defaults_use_other_parameters_but_neither_variables_nor_resources() {
    let declared = |default: &str| {
        classic(&format!(
            r#""parameters": {{"a": {{"type": "string", "defaultValue": "x"}}, "b": {{"type": "string", "defaultValue": "{default}"}}}},
            "variables": {{"v": "v"}}, "resources": []"#
        ))
    };
    let plan = plan_with(&declared("[concat(parameters('A'), '1')]"), r#"{"a": {"value": "y"}}"#);
    assert_eq!(plan.parameters()[1].value, Some("y1".into()));
    for (default, message) in [
        ("[variables('v')]", "'variables' is not expected at this location"),
        ("[reference('x').y]", "'reference' is not expected at this location"),
        ("[listKeys('x', '1').y]", "'listKeys' is not expected at this location"),
        ("[parameters('b')]", "depends on itself"),
        ("[parameters('c')]", "'c' is not found"),
    ] {
        let error = try_plan(&declared(default), "{}").expect_err(default);
        assert!(error.message.contains(message), "{error}");
        assert_eq!(error.path, "parameters.b.defaultValue", "{default}");
    }
}

#[test]
fn parameters_file_and_its_inner_object_are_read_alike() {
    let inner = r#"{"a": {"value": "[not('evaluated')]"}, "s": {"reference": {"keyVault": {"id": "/v"}, "secretName": "n"}}}"#;
    let file = format!(r#"{{"$schema": "s", "contentVersion": "1.0.0.0", "parameters": {inner}}}"#);
    for given in [parameters(inner), parameters(&file)] {
        assert_eq!(given.get("A"), Some(&Given::Value("[not('evaluated')]".into())));
        let Some(Given::Secret(secret)) = given.get("s") else { panic!("{given:?}") };
        assert_eq!((&*secret.vault_id, &*secret.name, &secret.version), ("/v", "n", &None));
    }
}

#[test]
fn secret_that_was_not_read_is_an_error() {
    let template = classic(r#""parameters": {"s": {"type": "securestring"}}, "resources": []"#);
    let given = r#"{"s": {"reference": {"keyVault": {"id": "/v"}, "secretName": "n"}}}"#;
    let error = try_plan(&template, given).expect_err("nobody read the secret");
    assert!(error.message.contains("secret"), "{error}");
}

#[test]
fn secure_parts_make_a_value_secure() {
    let template = typed(
        "",
        r#""p": {"type": "object", "properties": {"user": {"type": "string"}, "password": {"type": "securestring", "nullable": true}}}"#,
    );
    let with = plan_with(&template, r#"{"p": {"value": {"user": "u", "password": "x"}}}"#);
    assert_eq!(with.parameters()[0].value, None);
    let without = plan_with(&template, r#"{"p": {"value": {"user": "u"}}}"#);
    assert!(without.parameters()[0].value.is_some());
}

#[test]
fn types_that_make_checks_exponential_end_with_an_error() {
    let definitions = r##"
        "a": {"$ref": "#/definitions/b", "properties": {"x": {"$ref": "#/definitions/a", "nullable": true}}},
        "b": {"$ref": "#/definitions/c", "properties": {"x": {"$ref": "#/definitions/a", "nullable": true}}},
        "c": {"type": "object", "properties": {"x": {"$ref": "#/definitions/b", "nullable": true}}}"##;
    let value = format!("{}{{}}{}", r#"{"x": "#.repeat(60), "}".repeat(60));
    let template = typed(definitions, r##""p": {"$ref": "#/definitions/a"}"##);
    let given = format!(r#"{{"p": {{"value": {value}}}}}"#);
    let error = try_plan(&template, &given).expect_err("the checks are too many");
    assert_eq!(error.kind, Kind::Limit, "{error}");
}

#[test]
fn parameters_may_be_expressions_over_external_inputs() {
    let limits = Limits::default();
    let node = |text: &str| Node::parse(text, &limits).expect("JSON");
    let inputs = node(r#"{"who": {"value": "me"}, "n": {"value": [1, 2]}}"#);
    let given = node(
        r#"{"a": {"expression": "[format('{0}!', externalInputs('WHO'))]"}, "b": {"expression": "[externalInputs('n')]"}, "c": {"value": 1}}"#,
    );
    let given = Parameters::from_node_with_inputs(&given, &inputs, &limits).expect("the values");
    assert_eq!(given.get("a"), Some(&Given::Value("me!".into())));
    assert_eq!(given.get("b"), Some(&Given::Value(json("[1, 2]"))));
    for expression in
        ["[externalInputs('x')]", "[variables('v')]", "[resourceGroup()]", "[utcNow()]"]
    {
        let wrong = node(&format!(r#"{{"a": {{"expression": "{expression}"}}}}"#));
        let error = Parameters::from_node_with_inputs(&wrong, &inputs, &limits);
        assert_eq!(error.expect_err(expression).path, "a.expression");
        assert!(Parameters::from_node(&wrong).is_err());
    }
    let template = classic(
        r#""resources": [], "variables": {"v": "[externalInputs('who')]"}, "outputs": {"o": {"type": "string", "value": "[variables('v')]"}}"#,
    );
    let errors = super::plan(&template).outputs(&super::World::default()).expect_err("misplaced");
    assert!(errors[0].error.message.contains("'externalInputs' is not expected"), "{errors:?}");
}
