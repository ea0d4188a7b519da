use arm_template::{Evaluator, Limits, Node, Position};
use proptest::prelude::*;

use super::{check_error, mutated, tight};
use crate::world::World;

const PIECES: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "'",
    "\\",
    "\\u",
    "\\ud83d",
    "\\ude00",
    "/",
    "//",
    "/*",
    "*/",
    "\n",
    "\r",
    "\u{0}",
    "\u{feff}",
    "é",
    "\u{1f600}",
    "null",
    "true",
    "-",
    "1",
    "-1",
    "1e9",
    "1e999",
    "0.1",
    "99999999999999999999",
    "\"\"",
    "{}",
    "[]",
    "a:",
    "\"copy\": [{\"name\": \"x\", \"count\": 3, \"input\": \"[copyIndex('x')]\"}],",
    "\"[copyIndex()]\"",
    "\"[[x]\"",
    "\"[concat('a', 'b')]\"",
    "\"[parameters('x')]\": 1,",
    "801",
    "\"count\": -1,",
];

/// A tree with everything that has a meaning: loops, keys that are expressions, escapes, comments.
const DOCUMENT: &str = r#"{
  // A comment.
  "name": "[concat('a', string(1))]", "literal": "[[not an expression]", 'single': 'quotes',
  "numbers": [0, -1, 2.5, 1e3, 9223372036854775807], /* another */ "empty": [{}, [], null, true, false],
  "[format('{0}-key', 'x')]": {"escapes": "\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00"},
  "properties": {
    "copy": [
      {"name": "disks", "count": 3, "input": {"lun": "[copyIndex('disks')]", "copy": [
        {"name": "parts", "count": "[add(1, 1)]", "input": "[add(copyIndex('disks'), copyIndex('parts'))]"}
      ]}},
      {"name": "none", "count": 0, "input": "[fail('never')]"}
    ],
    "tags": "[createObject('a', createArray(1, 2))]"
  }
}"#;

/// Reads a text as a tree and evaluates it.
fn check(text: &str) -> Result<(), TestCaseError> {
    let node = match Node::parse(text, &Limits::default()) {
        Ok(node) => node,
        Err(error) => return check_place(text, error.position).and_then(|()| check_error(&error)),
    };
    let world = World { budget: arm_template::Budget::new(tight()), ..World::new("s", "g") };
    match Evaluator::new(&world, &world.budget).node(&node) {
        Ok(found) => prop_assert!(found.value.weight() <= tight().value_weight),
        Err(error) => {
            check_place(text, error.position)?;
            check_error(&error)?;
        }
    }
    Ok(())
}

/// Checks that a place is in the text, or right behind it.
pub(super) fn check_place(text: &str, position: Option<Position>) -> Result<(), TestCaseError> {
    let Some(position) = position else { return Ok(()) };
    // A mark at the beginning has no column.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let line = text.split('\n').nth(position.line as usize - 1);
    let line = line.ok_or_else(|| TestCaseError::fail(format!("no {position}")))?;
    let units = line.encode_utf16().count();
    prop_assert!((1..=units + 2).contains(&(position.column as usize)), "no {}", position);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mutated_trees_are_evaluated_or_refused(text in mutated(Just(DOCUMENT.to_owned()), PIECES)) {
        check(&text)?;
    }

    #[test]
    fn texts_of_random_pieces_are_read_or_refused(
        pieces in prop::collection::vec(prop::sample::select(PIECES), 0..30)
    ) {
        check(&pieces.concat())?;
    }

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,60}") {
        check(&text)?;
    }
}

#[test]
fn document_of_these_tests_is_evaluated() {
    let node = Node::parse(DOCUMENT, &Limits::default()).expect("it is relaxed JSON");
    let world = World::new("s", "g");
    let found = world.evaluate(&node).expect("it can be evaluated");
    let disks =
        found.as_object().and_then(|root| root.get("properties")?.as_object()?.get("disks"));
    assert_eq!(disks.and_then(|disks| disks.as_array()).map(|disks| disks.len()), Some(3));
}
