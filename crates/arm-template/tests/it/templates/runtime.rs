//! Bodies and outputs that read resources.

use arm_template::{Answer, Answers, Kind, NothingDeployed, Question};

use super::{World, body, classic, group_scope, json, named, plan};

fn reading(expression: &str) -> String {
    classic(&format!(
        r#""resources": [{{"type": "N.C/t", "apiVersion": "7", "name": "a", "condition": false}},
        {{"type": "N.C/t", "apiVersion": "1", "name": "b", "properties": {{"x": "{expression}"}}}}]"#
    ))
}

#[test]
fn evaluation_is_repeated_until_nothing_is_asked() {
    let plan = plan(&reading("[concat(reference('a').y, listKeys('a', '5').key)]"));
    let mut answers = Answers::new();
    let mut rounds = 0;
    let body = loop {
        match plan.body(named(&plan, "b"), &answers) {
            Ok(body) => break body,
            Err(error) => assert_eq!(error.kind, Kind::Pending, "{error}"),
        }
        rounds += 1;
        for question in answers.open_questions() {
            let state = match &question {
                Question::State { api_version, .. } => {
                    assert_eq!(&**api_version, "7");
                    json(r#"{"properties": {"y": "1"}}"#)
                }
                Question::List { action, .. } => {
                    assert_eq!(&**action, "listKeys");
                    json(r#"{"key": "2"}"#)
                }
            };
            answers.insert(&question, Ok(Answer::Known(state)));
        }
    };
    assert_eq!(body.value, json(r#"{"properties": {"x": "12"}}"#));
    assert!(body.secure, "keys are secret");
    assert_eq!(rounds, 2);
}

#[test]
fn branch_that_is_not_taken_asks_nothing() {
    let plan = plan(&reading("[if(false(), reference('a').y, coalesce('c', reference('a').z))]"));
    let world = World::default();
    assert_eq!(body(&plan, "b", &world), json(r#"{"properties": {"x": "c"}}"#));
    assert!(world.asked.borrow().is_empty());
}

#[test]
fn resource_of_another_group_needs_a_version() {
    let id = "/subscriptions/s/resourceGroups/g/providers/N.C/t/z";
    let world = World::with(&[(id, r#"{"location": "westus", "properties": {"y": 3}}"#)]);
    let with = plan(&reading(&format!("[reference('{id}', '2020-01-01').y]")));
    assert_eq!(body(&with, "b", &world), json(r#"{"properties": {"x": 3}}"#));
    let without = plan(&reading(&format!("[reference('{id}').y]")));
    let error = without.body(named(&without, "b"), &world).expect_err("there is no version");
    assert!(error.message.contains("API version is needed"), "{error}");
    let error = plan(&reading("[reference('other', '1').y]"));
    let error = error.body(named(&error, "b"), &world).expect_err("it is not defined");
    assert!(error.message.contains("'other' is not defined in the template"), "{error}");
}

#[test]
fn full_reference_tells_about_the_resource_and_its_place() {
    let plan = plan(&reading("[reference('a', '8', 'full')]"));
    let id = format!("{}/providers/N.C/t/a", group_scope());
    let world = World::with(&[(
        &id,
        r#"{"id": "x", "name": "a", "location": "westus", "tags": {"t": "1"}, "properties": {}}"#,
    )]);
    let body = body(&plan, "b", &world);
    let full = body
        .as_object()
        .and_then(|b| b.get("properties")?.as_object()?.get("x")?.as_object())
        .expect("the state");
    for (key, expected) in [
        ("apiVersion", r#""7""#),
        ("referenceApiVersion", r#""8""#),
        ("location", r#""westus""#),
        ("resourceGroupName", r#""rg""#),
        ("resourceId", r#""N.C/t/a""#),
        ("isConditionTrue", "false"),
    ] {
        assert_eq!(full.get(key), Some(&json(expected)), "{key}");
    }
    assert_eq!(full.get("id"), None);
}

#[test]
fn missing_resource_fails_the_body_with_its_place() {
    let plan = plan(&reading("[reference('a').y]"));
    let error = plan.body(named(&plan, "b"), &World::default()).expect_err("it is not there");
    let id = format!("{}/providers/N.C/t", group_scope());
    assert!(error.message.starts_with(&format!("Unable to process template language expressions for resource '{id}/b' at line '2' and column '9': The resource '{id}/a' was not found")), "{error}");
    assert_eq!(error.path, "resources[1].properties.x");
}

#[test]
fn resource_sees_its_own_state_before_it_is_written() {
    let plan = plan(&reading("[empty(target('full'))]"));
    assert_eq!(body(&plan, "b", &World::default()), json(r#"{"properties": {"x": true}}"#));
    let id = named(&plan, "b").id.to_string();
    let world = World::with(&[(&id, r#"{"properties": {}}"#)]);
    assert_eq!(body(&plan, "b", &world), json(r#"{"properties": {"x": false}}"#));
}

#[test]
fn outputs_are_conditional_typed_and_secret() {
    let template = classic(
        r#""resources": [], "outputs": {
            "left": {"condition": false, "type": "string", "value": "[fail('never')]"},
            "Kept": {"condition": "[equals(1, 1)]", "type": "int", "value": 1},
            "secret": {"type": "securestring", "value": "s"}}"#,
    );
    let outputs = plan(&template).outputs(&NothingDeployed).expect("the outputs");
    let shown: Vec<_> = outputs.iter().map(|o| (&*o.name, o.type_name, o.secure)).collect();
    assert_eq!(shown, [("Kept", "Int", false), ("secret", "SecureString", true)]);
    let wrong = classic(
        r#""resources": [], "outputs": {"a": {"type": "int", "value": "1"}, "b": {"type": "string", "value": "[fail('no')]"}, "c": {"type": "string", "value": "[reference('/x', '1')]"}}"#,
    );
    let errors = plan(&wrong).outputs(&NothingDeployed).expect_err("all three are wrong");
    let kinds: Vec<_> = errors.iter().map(|e| (&*e.name, e.error.kind, &*e.error.path)).collect();
    assert_eq!(
        kinds,
        [
            ("a", Kind::Evaluation, "outputs.a"),
            ("b", Kind::Evaluation, "outputs.b.value"),
            ("c", Kind::Pending, "outputs.c.value")
        ]
    );
    assert!(
        errors[0].error.message.starts_with("The template output 'a' is not valid: "),
        "{errors:?}"
    );
}
