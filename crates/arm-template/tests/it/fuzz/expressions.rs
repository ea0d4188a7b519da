use std::sync::LazyLock;

use arm_template::{Budget, Evaluator, Limits, Node, Object, Position, Text, Value};
use proptest::prelude::*;

use super::{check_error, mutated, tight};
use crate::world::World;

const PIECES: &[&str] = &[
    "(",
    ")",
    "[",
    "]",
    "[[",
    ",",
    ".",
    "'",
    "''",
    "-",
    " ",
    "\n",
    "é",
    "\u{1f600}",
    "\u{0}",
    "[0]",
    "['a']",
    ".a",
    "1",
    "-1",
    "2147483647",
    "99999999999",
    "'a'",
    "'{0}'",
    "'{0,-9:N3}'",
    "'%7f'",
    "'10.0.0.0/8'",
    "'P1M'",
    "'2024-02-29T23:59:59Z'",
    "null()",
    "true()",
    "json('9223372036854775807')",
    "json('-9223372036854775808')",
    "json('[1e300,{}]')",
    "createArray()",
    "createObject('a', 1)",
    "range(0, 9999)",
    "parameters('o')",
    "parameters('a')",
    "parameters('s')",
    "variables('v')",
    "variables('circle')",
    "lambda('x', lambdaVariables('x'))",
    "lambda('x', 'y', true())",
    "ns.f('a')",
    "copyIndex()",
    "concat(",
    "if(",
    "map(",
    "reduce(",
    "sort(",
    "format(",
    "padLeft(",
    "tryGet(",
    "union(",
];

/// The expressions of the vectors.
static EXPRESSIONS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let file = Node::parse(include_str!("../../vectors.json"), &Limits::default());
    let file = file.expect("vectors.json is JSON").to_value();
    let vectors = file.as_object().and_then(|file| file.get("vectors")).and_then(Value::as_array);
    let vectors = vectors.expect("vectors").iter().filter_map(Value::as_object);
    let expressions = vectors.filter_map(|vector| vector.get("expression").and_then(Value::as_str));
    expressions.map(str::to_owned).collect()
});

fn expressions() -> impl Strategy<Value = String> {
    (0..EXPRESSIONS.len()).prop_map(|at| EXPRESSIONS[at].clone())
}

/// An expression inside another one, in place of one of its parts.
fn grafted() -> impl Strategy<Value = String> {
    (expressions(), expressions(), any::<prop::sample::Index>()).prop_map(|(outer, inner, at)| {
        let inner = inner.trim_start_matches('[').trim_end_matches(']').to_owned();
        let places: Vec<usize> = outer.match_indices(['(', ',']).map(|(at, _)| at + 1).collect();
        let Some(place) = (!places.is_empty()).then(|| places[at.index(places.len())]) else {
            return outer;
        };
        let end = outer[place..].find([',', ')']).map_or(outer.len() - 1, |end| place + end);
        format!("{}{inner}{}", &outer[..place], &outer[end..])
    })
}

fn world() -> World {
    let json = |text: &str| Node::parse(text, &Limits::default()).expect("the text is JSON");
    let mut world = World::new("00000000-0000-0000-0000-000000000000", "g");
    let parameters = json(
        r#"{"o": {"a": [1, {"b": null}], "A": "x"}, "a": ["b", "", "é"], "s": "text", "n": -7}"#,
    );
    world.parameters = parameters.to_value().as_object().cloned().unwrap_or_else(Object::new);
    world.variables =
        Some(json(r#"{"v": ["[parameters('o')]"], "circle": "[variables('circle')]"}"#));
    world.define_functions(&json(
        r#"[{"namespace": "ns", "members": {"f": {
            "parameters": [{"name": "x", "type": "string"}],
            "output": {"type": "string", "value": "[concat(parameters('x'), ns.f('y'))]"}
        }}}]"#,
    ));
    world.budget = Budget::new(tight());
    world
}

fn evaluate(expression: &str) -> Result<(), TestCaseError> {
    let world = world();
    let text = Text::new(expression.into());
    match Evaluator::new(&world, &world.budget).text(&text, Position::new(1, 1)) {
        Ok(found) => prop_assert!(found.value.weight() <= tight().value_weight),
        Err(error) => check_error(&error)?,
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mutated_expressions_are_evaluated_or_refused(text in mutated(expressions(), PIECES)) {
        evaluate(&text)?;
    }

    #[test]
    fn expressions_inside_expressions_are_evaluated_or_refused(text in mutated(grafted(), PIECES)) {
        evaluate(&text)?;
    }

    #[test]
    fn expressions_of_random_pieces_are_evaluated_or_refused(
        pieces in prop::collection::vec(prop::sample::select(PIECES), 0..30)
    ) {
        evaluate(&format!("[{}]", pieces.concat()))?;
    }
}
