//! Templates with symbolic names.

use super::{World, after, body, group_scope, json, named, plan, plan_error, symbolic};

#[test]
fn resources_are_known_by_their_symbols() {
    let template = symbolic(
        r#""resources": {
            "me": {"existing": true, "type": "N.I/ids", "apiVersion": "1", "name": "me", "resourceGroup": "other"},
            "gallery": {"type": "N.C/galleries", "apiVersion": "2", "name": "gal", "dependsOn": ["me"]},
            "gallery::image": {"type": "N.C/galleries/images", "apiVersion": "3", "name": "[format('{0}/{1}', 'gal', 'one')]", "dependsOn": ["GALLERY"],
                "properties": {"owner": "[reference('me').principal]", "full": "[reference('me', '9', 'Full').location]", "info": "[resourceInfo('gallery::image')]"}}
        }"#,
    );
    let plan = plan(&template);
    let me = named(&plan, "me");
    assert!(me.existing && me.id.contains("/resourceGroups/other/"));
    assert_eq!(after(&plan, "gal"), ["me"]);
    assert_eq!(after(&plan, "gal/one"), ["me", "gal"]);
    let world =
        World::with(&[(&me.id, r#"{"location": "westus", "properties": {"principal": "p"}}"#)]);
    let id = &named(&plan, "gal/one").id;
    let expected = format!(
        r#"{{"properties": {{"owner": "p", "full": "westus", "info": {{"id": "{id}", "name": "one", "type": "N.C/galleries/images", "apiVersion": "3"}}}}}}"#
    );
    assert_eq!(body(&plan, "gal/one", &world), json(&expected));
    let versions: Vec<_> =
        world.asked.borrow().iter().map(|question| format!("{question:?}")).collect();
    assert!(
        versions[0].contains("api_version: \"1\"") && versions[1].contains("api_version: \"9\""),
        "{versions:?}"
    );
}

#[test]
fn loops_are_known_by_symbol_and_index() {
    let template = symbolic(
        r#""resources": {
            "items": {"copy": {"name": "loop", "count": 2}, "type": "N.C/t", "apiVersion": "1", "name": "[format('r{0}', copyIndex())]"},
            "none": {"copy": {"name": "none", "count": 0}, "type": "N.C/t", "apiVersion": "1", "name": "[format('n{0}', copyIndex())]"},
            "one": {"type": "N.C/t", "apiVersion": "1", "name": "one", "dependsOn": ["[format('items[{0}]', 1)]"]},
            "all": {"type": "N.C/t", "apiVersion": "1", "name": "all", "dependsOn": ["items", "none"],
                "properties": {"states": "[references('items', 'full')]", "locations": "[map(references('items'), lambda('r', lambdaVariables('r').x))]", "none": "[references('none')]"}}
        }"#,
    );
    let plan = plan(&template);
    assert_eq!(after(&plan, "one"), ["r1"]);
    assert_eq!(after(&plan, "all"), ["r0", "r1"]);
    let group = group_scope();
    let states: Vec<_> = (0..2)
        .map(|n| {
            (format!("{group}/providers/N.C/t/r{n}"), format!(r#"{{"properties": {{"x": {n}}}}}"#))
        })
        .collect();
    let states: Vec<_> = states.iter().map(|(id, state)| (&**id, &**state)).collect();
    let body = body(&plan, "all", &World::with(&states));
    let properties =
        body.as_object().and_then(|body| body.get("properties")?.as_object()).expect("properties");
    assert_eq!(properties.get("locations"), Some(&json("[0, 1]")));
    assert_eq!(properties.get("none"), Some(&json("[]")));
    assert_eq!(
        properties.get("states").and_then(|states| states.as_array()).map(|states| states.len()),
        Some(2)
    );
}

#[test]
fn options_are_read() {
    let template = symbolic(
        r#""resources": {
            "a": {"type": "N.C/t", "apiVersion": "1", "name": "a", "@options": {"onlyIfNotExists": [], "retryOn": [["Code1", "Code2"], 3]}},
            "b": {"existing": true, "type": "N.C/t", "apiVersion": "1", "name": "b", "@options": {"nullIfNotFound": []}}
        },
        "outputs": {"b": {"type": "object", "nullable": true, "value": "[reference('b')]"}, "c": {"type": "bool", "value": "[empty(tryGet(reference('b'), 'x'))]"}}"#,
    );
    let plan = plan(&template);
    let options = &named(&plan, "a").options;
    let retry = options.retry_on.clone().expect("the codes");
    assert!(options.only_if_not_exists && !options.null_if_not_found);
    assert_eq!((retry.codes.len(), retry.times), (2, Some(3)));
    let outputs = plan.outputs(&World::default()).expect("null is a value");
    assert_eq!(outputs[0].value, Some(json("null")));
    let wrong = symbolic(
        r#""resources": {"a": {"type": "N.C/t", "apiVersion": "1", "name": "a", "@options": {"waitUntil": []}}}"#,
    );
    assert_eq!(plan_error(&wrong).kind, arm_template::Kind::Unsupported);
}

#[test]
fn dialects_do_not_mix() {
    let array = symbolic(r#""resources": []"#);
    assert!(plan_error(&array).message.contains("must be an object by symbolic names"));
    let object = super::classic(r#""resources": {}"#);
    assert!(plan_error(&object).message.contains("must be an array"));
    let existing = super::classic(
        r#""resources": [{"existing": true, "type": "N.C/t", "apiVersion": "1", "name": "a"}]"#,
    );
    assert!(plan_error(&existing).message.contains("'languageVersion' 2.0"));
}

#[test]
fn functions_call_one_another_and_have_types() {
    let template = symbolic(
        r##""definitions": {"short": {"type": "string", "maxLength": 4}},
        "functions": [{"namespace": "__bicep", "members": {
            "twice": {"parameters": [{"name": "s", "$ref": "#/definitions/short"}], "output": {"type": "string", "value": "[concat(parameters('s'), parameters('s'))]"}},
            "greet": {"parameters": [{"name": "s", "type": "string"}], "output": {"type": "object", "value": {"to": "[__bicep.twice(parameters('s'))]"}}}
        }}],
        "resources": {},
        "outputs": {"o": {"type": "object", "value": "[__bicep.greet('ab')]"}, "bad": {"type": "object", "value": "[__bicep.greet('abcde')]"}}"##,
    );
    let errors = plan(&template).outputs(&World::default()).expect_err("one is too long");
    assert_eq!(errors.len(), 1);
    assert!(errors[0].error.message.contains("less than or equal to '4'"), "{:?}", errors[0]);
    let good = template.replace("abcde", "abcd");
    let outputs = plan(&good).outputs(&World::default()).expect("the outputs");
    assert_eq!(outputs[0].value, Some(json(r#"{"to": "abab"}"#)));
}
