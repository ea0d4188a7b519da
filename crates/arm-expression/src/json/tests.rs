use proptest::prelude::*;

use super::*;
use crate::{
    error::{Error, Kind},
    limits::Limits,
    notation::{Quote, read_value, write},
    position::Position,
    value::{Object, Value, tests::any_value},
};

fn read(text: &str) -> Result<Value, Error> {
    read_value(text, &Limits::default())
}

fn failure(text: &str) -> (String, Option<(u32, u32)>) {
    let error = read(text).expect_err("the text is not JSON");
    assert_eq!(error.kind, Kind::Json, "{error}");
    (error.message, error.position.map(|position| (position.line, position.column)))
}

#[test]
fn values_of_each_type_are_read() {
    let value =
        read(r#" {"n": null, "t": true, "f": false, "i": -12, "d": 0.5, "s": "x", "a": []}"#);
    let expected: Object = [
        ("n", Value::Null),
        ("t", true.into()),
        ("f", false.into()),
        ("i", Value::Int(-12)),
        ("d", Value::Float(0.5)),
        ("s", "x".into()),
        ("a", Vec::new().into()),
    ]
    .into_iter()
    .collect();
    let value = value.expect("the text is JSON");
    assert_eq!(value, expected.into());
    let keys: Vec<&str> = value.as_object().expect("an object").keys().map(|key| &**key).collect();
    assert_eq!(keys, ["n", "t", "f", "i", "d", "s", "a"]);
}

#[test]
fn numbers_beyond_64_bits_and_with_exponents_are_floats() {
    for (text, expected) in [
        ("9223372036854775807", Value::Int(i64::MAX)),
        ("9223372036854775808", Value::Float(9_223_372_036_854_775_808.0)),
        ("1e3", Value::Float(1000.0)),
        ("1.0", Value::Float(1.0)),
        ("-0", Value::Int(0)),
    ] {
        assert_eq!(read(text), Ok(expected), "{text}");
    }
}

#[test]
fn malformed_numbers_are_refused() {
    for text in
        ["01", "1.", "-", "1e", ".5", "+1", "0x10", "1_000", "1e999", "--1", "NaN", "Infinity"]
    {
        assert!(read(text).is_err(), "{text}");
    }
}

#[test]
fn what_azure_accepts_beyond_the_standard_is_accepted() {
    let expected = read(r#"{"a": [1, "x\ny"]}"#).expect("plain JSON");
    for text in [
        "// first\n{ /* a */ \"a\" /* b */ : // c\r\n [ /**/ 1, \"x\ny\" /* d */ ] } // last",
        "{'a': [1, 'x\\ny']}",
        "{a: [1, \"x\\ny\",],}",
        "\u{feff}{\"a\":[1,\"x\\ny\"]}",
        "\u{a0}{\"a\":\t[1,\"x\\u000ay\"]}\r\n",
    ] {
        assert_eq!(read(text), Ok(expected.clone()), "{text}");
    }
}

#[test]
fn last_of_equal_keys_counts_and_keys_with_other_case_stay() {
    let value = read(r#"{"a": 1, "A": 2, "a": 3}"#).expect("the text is JSON");
    let object = value.as_object().expect("an object");
    assert_eq!(object.len(), 2);
    assert_eq!(object.get("a"), Some(&Value::Int(3)));
    assert_eq!(object.get("A"), Some(&Value::Int(2)));
    let many: String = (0..50).map(|n| format!("\"k{}\": {n},", n % 25)).collect();
    let value = read(&format!("{{{many}}}")).expect("the text is JSON");
    let object = value.as_object().expect("an object");
    assert_eq!(object.len(), 25);
    assert_eq!(object.get("K24"), Some(&Value::Int(49)));
}

#[test]
fn escape_sequences_are_decoded() {
    assert_eq!(
        read(r#""\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00\'""#),
        Ok("\"\\/\u{8}\u{c}\n\r\té😀'".into())
    );
    // Half of a pair is not a character.
    assert_eq!(read(r#""\ud83dx\ude00""#), Ok("\u{fffd}x\u{fffd}".into()));
    assert_eq!(read(r#""\ud83d\u0041""#), Ok("\u{fffd}A".into()));
}

#[test]
fn errors_name_line_and_column() {
    for (text, position, part) in [
        ("", (1, 1), "end of the text"),
        ("{\n  \"a\": x\n}", (2, 8), "'x'"),
        ("{\n  \"a\" 1\n}", (2, 7), "':'"),
        ("[1\r\n 2]", (2, 2), "','"),
        ("[1,,2]", (1, 4), "','"),
        ("{\"é😀\" 1}", (1, 8), "':'"),
        ("[1] 2", (1, 5), "the end of the text"),
        ("[\n\"abc", (2, 1), "closing quote"),
        ("[1, /* ", (1, 5), "comment"),
        ("[1, / 2]", (1, 5), "comment"),
        ("\"a\\x\"", (1, 3), "escape"),
        ("\"a\\u12g4\"", (1, 3), "hexadecimal"),
        ("\"\\u+123\"", (1, 2), "hexadecimal"),
        ("{\"a\": 1 \"b\"", (1, 9), "'}'"),
        ("\n\r[1.5.2]", (3, 2), "number"),
    ] {
        let (message, found) = failure(text);
        assert_eq!(found, Some(position), "{text}: {message}");
        assert!(message.contains(part), "{text}: {message}");
    }
}

#[test]
fn positions_count_utf16_units_of_the_line() {
    let text = "{\n \"k\": [ true,\n\"é😀\", /* ü\n😀 */ 'x\ny', {\"z\" : null}]}";
    let node = Node::parse(text, &Limits::default()).expect("the text is JSON");
    let items = node.get("K").expect("the key is there").as_array().expect("an array");
    let positions: Vec<(u32, u32)> =
        items.iter().map(|item| (item.position.line, item.position.column)).collect();
    assert_eq!(positions, [(2, 9), (3, 1), (4, 7), (5, 5)]);
    let inner = items[3].as_object().expect("an object").get("z").expect("the key is there");
    assert_eq!((inner.position, inner.value.position), (Position::new(5, 6), Position::new(5, 12)));
}

#[test]
fn depth_beyond_the_limit_is_an_error() {
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let limit = Limits::default().value_depth as usize;
    assert_eq!(read(&deep(limit)).map(|value| value.depth() as usize), Ok(limit));
    for text in [deep(limit + 1), deep(100_000), "[".repeat(100_000), "{\"a\":".repeat(100_000)] {
        let error = read(&text).expect_err("the text is too deep");
        assert_eq!((error.kind, error.position.is_some()), (Kind::Limit, true));
    }
}

#[test]
fn text_beyond_the_limit_is_an_error() {
    let limits = Limits { template_bytes: 10, ..Limits::default() };
    assert_eq!(read_value("[1,2,3,45]", &limits).map(|value| value.depth()), Ok(1));
    assert_eq!(read_value("[1,2,3,456]", &limits).expect_err("too large").kind, Kind::Limit);
}

#[test]
fn only_strings_in_single_brackets_are_expressions() {
    for (raw, literal) in [
        ("[a]", None),
        ("[]", None),
        ("[\n a() ]", None),
        ("[[a]", Some("[a]")),
        ("[[]", Some("[]")),
        ("[[test[]test2]", Some("[test[]test2]")),
        ("[[a", Some("[[a")),
        ("[test", Some("[test")),
        ("a[b]", Some("a[b]")),
        (" [a]", Some(" [a]")),
        ("[a] ", Some("[a] ")),
        ("[", Some("[")),
        ("", Some("")),
    ] {
        let text = Text::new(raw.into());
        assert_eq!(text.literal().as_deref(), literal, "{raw}");
        assert_eq!(text.is_expression(), literal.is_none(), "{raw}");
    }
}

#[test]
fn written_json_has_the_escapes_of_azures_writer() {
    let object: Object = [("a'b\"c", Value::from("\u{85}\u{1}\n'\"\\"))].into_iter().collect();
    let value = Value::from(object);
    assert_eq!(write(&value, Quote::Double), "{\"a'b\\\"c\":\"\\u0085\\u0001\\n'\\\"\\\\\"}");
    assert_eq!(write(&value, Quote::Single), "{'a\\'b\"c':'\\u0085\\u0001\\n\\'\"\\\\'}");
}

#[test]
fn written_floats_stay_floats() {
    for (number, text) in [
        (1.0, "1.0"),
        (-0.25, "-0.25"),
        (123_456_789.5, "123456789.5"),
        (1e21, "1E+21"),
        (1.5e-7, "1.5E-07"),
        (0.0, "0.0"),
    ] {
        assert_eq!(write(&Value::Float(number), Quote::Double), text);
        assert_eq!(read(text), Ok(Value::Float(number)));
    }
}

/// Line and column of a byte by definition, from the start of the text.
fn position_of(text: &str, at: usize) -> Position {
    let before = text[..at].replace("\r\n", "\n").replace('\r', "\n");
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |line| line.encode_utf16().count()) + 1;
    Position::new(line as u32, column as u32)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_read_or_refused(text in "[\\[\\]{}:,\"'\\\\/*a-f0-9.eE+\\-\\s\u{80}\u{1f600}]{0,60}") {
        if let Err(error) = read(&text) {
            prop_assert!(error.position.is_some());
        }
    }

    #[test]
    fn what_serde_json_reads_is_read_alike(
        text in "[\\[\\]{}:,\"a0-2.e\\- ]{0,12}|\\[(\"[ab]\\\\\\\\?n?\"|[0-9]{1,3}|-?[0-9]\\.[0-9]|,){0,5}\\]"
    ) {
        if let Ok(json) = serde_json::from_str::<serde_json::Value>(&text) {
            prop_assert_eq!(read(&text), Ok(Value::from(&json)));
        }
    }

    #[test]
    fn written_values_read_back(value in any_value()) {
        prop_assert_eq!(read(&write(&value, Quote::Double)), Ok(value.clone()));
        prop_assert_eq!(read(&write(&value, Quote::Single)), Ok(value.clone()));
        let json: serde_json::Value = serde_json::from_str(&write(&value, Quote::Double)).expect("standard JSON");
        prop_assert_eq!(json, serde_json::Value::from(&value));
    }

    #[test]
    fn trees_of_values_keep_them(value in any_value()) {
        prop_assert_eq!(Node::from_value(&value, Position::new(1, 1)).to_value(), value);
    }

    #[test]
    fn positions_are_those_of_the_text(blanks in proptest::collection::vec("( |\t|\n|\r|\r\n|/\\*[é😀\n\r*]*\\*/|//[é😀/]*\n){0,4}", 1..12)) {
        let mut text = "[".to_owned();
        let mut starts = Vec::new();
        for blank in &blanks {
            text.push_str(blank);
            starts.push(text.len());
            text.push_str("\"é😀\n\",");
        }
        text.push(']');
        let node = Node::parse(&text, &Limits::default()).expect("the text is relaxed JSON");
        let items = node.as_array().expect("an array");
        prop_assert_eq!(items.len(), starts.len());
        for (item, start) in items.iter().zip(starts) {
            prop_assert_eq!(item.position, position_of(&text, start));
        }
    }
}
