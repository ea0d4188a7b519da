//! Expressions with their results: `vectors.json` has the origin of each.

use arm_template::{Limits, Node, Value};

use crate::world::World;

const VECTORS: &str = include_str!("../vectors.json");

#[test]
fn expressions_give_the_results_of_azure() {
    let file = Node::parse(VECTORS, &Limits::default()).expect("vectors.json is JSON");
    let context = file.get("defaultContext").expect("a context");
    let vectors = file.get("vectors").and_then(Node::as_array).expect("vectors");
    let wrong: Vec<String> = vectors.iter().filter_map(|vector| check(vector, context)).collect();
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), vectors.len(), wrong.join("\n"));
    assert_eq!(vectors.len(), 287);
}

/// What is wrong with the result of a vector.
fn check(vector: &Node, default: &Node) -> Option<String> {
    let raw = |key: &str| vector.get(key).and_then(Node::as_text).map(|text| text.raw().clone());
    let id = raw("id").expect("every vector has an id");
    let expression = vector.get("expression").expect("every vector has an expression");
    let found = world(vector, default).evaluate(expression);
    let wrong = match (found, vector.get("error"), vector.get("expect")) {
        (Ok(found), None, Some(expected)) => {
            (found != expected.to_value()).then(|| format!("gives {found:?}"))
        }
        (Err(error), None, _) => Some(format!("fails: {error}")),
        (Ok(found), Some(_), _) => Some(format!("does not fail, it gives {found:?}")),
        (Err(error), Some(expected), _) => {
            let contained = expected.get("contains").and_then(Node::as_literal);
            let fits = contained.is_none_or(|text| error.message.contains(&*text));
            let function = raw("function").filter(|name| !name.contains("syntax"));
            let function = function.filter(|name| !name.contains(' '));
            let named = function.is_none_or(|name| error.message.contains(&*name));
            (!fits || !named || error.position.is_none()).then(|| format!("fails with: {error}"))
        }
        (Ok(_), None, None) => Some("has no expectation".to_owned()),
    };
    wrong.map(|wrong| format!("{id} {} {wrong}", raw("expression").unwrap_or_default()))
}

fn world(vector: &Node, default: &Node) -> World {
    let context = |key: &str| {
        let own = vector.get("context").and_then(|context| context.get(key));
        let text = own.or_else(|| default.get(key)).and_then(Node::as_literal);
        text.unwrap_or_else(|| panic!("the context has no '{key}'"))
    };
    let mut world = World::new(&context("subscriptionId"), &context("resourceGroup"));
    if let Some(Value::Object(parameters)) = vector.get("parameters").map(Node::to_value) {
        world.parameters = parameters;
    }
    world.variables = vector.get("variables").cloned();
    if let Some(functions) = vector.get("functions") {
        world.define_functions(functions);
    }
    world
}
