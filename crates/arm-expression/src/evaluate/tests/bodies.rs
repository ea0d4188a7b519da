use proptest::prelude::*;

use super::*;
use crate::value::tests::any_value;

fn deployment() -> Deployment {
    Deployment::new(r#"{"id": "/x", "n": 2, "o": {"a": 1}}"#, "{}")
}

#[test]
fn strings_and_keys_of_a_tree_are_evaluated() {
    let body = deployment().body(
        r#"{"a": ["[parameters('n')]", "[[x]", 1.5, null], "[format('{0}', parameters('id'))]": {}, "[string('copy')]": [1]}"#,
    );
    assert_eq!(body, Ok(json("{'a':[2,'[x]',1.5,null],'/x':{},'copy':[1]}")));
}

#[test]
fn whole_object_can_be_an_expression() {
    assert_eq!(deployment().body("{\"p\": \"[parameters('o')]\"}"), Ok(json("{'p':{'a':1}}")));
}

#[test]
fn error_in_a_tree_has_path_and_place() {
    let error = deployment()
        .body("{\"a\": {\"b.c\": [1,\n  {\"d\": \"[not(1)]\"}]}}")
        .expect_err("not takes a bool");
    assert_eq!(error.path, "a['b.c'][1].d");
    assert_eq!(error.position, Some(Position::new(2, 9)));
    let error =
        deployment().body("{\"a\": 1, \"[parameters('n')]\": 1}").expect_err("a key is a string");
    assert_eq!((error.kind, error.position), (Kind::Evaluation, Some(Position::new(1, 10))));
}

#[test]
fn property_loops_make_arrays() {
    let body = deployment().body(
        r#"{"x": 1, "copy": [
            {"name": "disks", "count": "[parameters('n')]", "input": {"lun": "[copyIndex('disks', 1)]"}},
            {"name": "none", "count": 0, "input": "[fail('not evaluated')]"}
        ], "y": 2}"#,
    );
    assert_eq!(body, Ok(json("{'x':1,'disks':[{'lun':1},{'lun':2}],'none':[],'y':2}")));
}

#[test]
fn property_loops_nest() {
    let body = deployment().body(
        r#"{"copy": [{"name": "a", "count": 2, "input": {
            "copy": [{"name": "b", "count": 2, "input": "[add(mul(copyIndex('a'), 10), copyIndex('b'))]"}]
        }}]}"#,
    );
    assert_eq!(body, Ok(json("{'a':[{'b':[0,1]},{'b':[10,11]}]}")));
}

#[test]
fn malformed_property_loops_are_refused() {
    for (text, kind, path) in [
        (r#"{"copy": [{"count": 1, "input": 1}]}"#, Kind::Template, "copy[0]"),
        (r#"{"copy": [{"name": "a", "input": 1}]}"#, Kind::Template, "copy[0]"),
        (r#"{"copy": [{"name": "a", "count": 1}]}"#, Kind::Template, "copy[0]"),
        (r#"{"copy": [{"name": 1, "count": 1, "input": 1}]}"#, Kind::Template, "copy[0]"),
        (r#"{"copy": [{"name": "a", "count": -1, "input": 1}]}"#, Kind::Template, "copy[0]"),
        (r#"{"copy": [{"name": "a", "count": "1", "input": 1}]}"#, Kind::Template, "copy[0]"),
        (r#"{"copy": [{"name": "a", "count": 801, "input": 1}]}"#, Kind::Limit, "copy[0]"),
        (
            r#"{"copy": [{"name": "a", "count": 1, "input": ["[not(1)]"]}]}"#,
            Kind::Evaluation,
            "copy[0].input[0]",
        ),
    ] {
        let error = deployment().body(text).expect_err("the loop is malformed");
        assert_eq!((error.kind, error.path.as_str()), (kind, path), "{text}: {error}");
        assert!(error.position.is_some());
    }
}

#[test]
fn copy_that_is_not_an_array_is_data() {
    assert_eq!(deployment().body(r#"{"copy": {"a": 1}}"#), Ok(json("{'copy':{'a':1}}")));
}

/// Whether evaluation leaves a value as it is.
fn is_plain(value: &Value) -> bool {
    let text = |text: &str| !(text.starts_with('[') && text.ends_with(']'));
    match value {
        Value::String(string) => text(string),
        Value::Array(items) => items.iter().all(is_plain),
        Value::Object(object) => object.iter().all(|(key, value)| text(key) && is_plain(value)),
        _ => true,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn trees_without_expressions_stay_as_they_are(value in any_value().prop_filter("expressions", is_plain)) {
        let deployment = deployment();
        let node = Node::from_value(&value, Position::new(1, 1));
        let evaluated = deployment.evaluator().node(&node).map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(evaluated, Evaluated::from(value));
    }
}
