use api::ErrorCode;

use super::{EVERYTHING, edit, errors, file, serve};

/// Line and column of the first error.
fn place(text: &str) -> (usize, usize) {
    let parsed = serve(text);
    let error = errors(&parsed)[0];
    (error.line, error.column)
}

#[test]
fn position_is_that_of_the_value_name_or_object() {
    let value = edit(EVERYTHING, "\"buildTimeoutInMinutes\": 80", "\"buildTimeoutInMinutes\": 961");
    assert_eq!(place(&value), (14, 30));
    let name = edit(EVERYTHING, "\"buildTimeoutInMinutes\"", "\"buildTimeout\"");
    assert_eq!(place(&name), (14, 5));
    let object = edit(EVERYTHING, "\"publisher\": \"Debian\",", "");
    assert_eq!(place(&object), (27, 15));
    let root = edit(EVERYTHING, "\"location\": \"westus2\",", "");
    assert_eq!(place(&root), (1, 1));
}

#[test]
fn column_counts_characters() {
    let text =
        edit(EVERYTHING, "\"team\": \"forge\", \"cost\": null", "\"größe\": \"日本😀\", \"n\": 1");
    assert_eq!(place(&text), (6, 34));
}

#[test]
fn span_counts_bytes_of_the_input() {
    let body = edit(EVERYTHING, "\"name\": \"setup\"", "\"näme\": \"setup\"");
    for text in [format!("\u{feff}{body}"), body.replace('\n', "\r\n"), body] {
        let parsed = serve(&text);
        let error = errors(&parsed)[0];
        assert_eq!(&text[error.span.clone()], "\"näme\"");
        assert_eq!((error.line, error.column), (37, 26));
    }
}

#[test]
fn all_errors_are_reported_in_text_order() {
    let text = edit(EVERYTHING, "\"location\": \"westus2\"", "\"location\": 5");
    let text = edit(&text, "\"buildTimeoutInMinutes\": 80", "\"buildTimeoutInMinutes\": -1");
    let text = edit(&text, "\"offer\": \"debian-12\",", "");
    let text = edit(
        &text,
        "\"type\": \"WindowsRestart\", \"restartTimeout\"",
        "\"type\": \"WindowsRestat\", \"timeout\"",
    );
    let text = edit(&text, "\"runOutputName\": \"disk\"", "\"runOutputName\": \"managed\"");
    let text = edit(&text, "\"state\": \"Disabled\"", "\"state\": \"off\"");
    let parsed = file(&text);
    assert!(parsed.template.is_none());
    let found = errors(&parsed);
    let paths: Vec<_> = found.iter().map(|e| e.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "location",
            "properties.buildTimeoutInMinutes",
            "properties.source.offer",
            "properties.customize[4].type",
            "properties.customize[4].timeout",
            "properties.optimize.workload.state",
            "properties.distribute[2].runOutputName",
        ]
    );
    assert!(found.is_sorted_by_key(|e| (e.line, e.column)));
}

#[test]
fn malformed_json_is_reported_with_position_and_hint() {
    let cases = [
        ("", "empty", (1, 1)),
        ("  \n ", "empty", (2, 2)),
        ("{", "unterminated object", (1, 1)),
        ("{\n  \"a\": 1,\n}", "trailing commas", (2, 9)),
        ("{\n  // why\n}", "comments are not allowed", (2, 3)),
        ("{\n  /* why */ }", "comments are not allowed", (2, 3)),
        ("{ 'a': 1 }", "single-quoted", (1, 3)),
        ("{ a: 1 }", "expected string for object property", (1, 3)),
        ("{ \"a\": 1 \"b\": 2 }", "expected comma", (1, 9)),
        ("{ \"a\" 1 }", "expected colon", (1, 7)),
        ("{ \"a\": }", "unexpected close brace", (1, 8)),
        ("[1, 2", "unterminated array", (1, 1)),
        ("{} {}", "more than one", (1, 4)),
        ("{ \"a\": 0x1F }", "hexadecimal", (1, 8)),
        ("{ \"a\": +1 }", "unary plus", (1, 8)),
        ("{ \"a\": .5 }", "decimal point", (1, 8)),
        ("{ \"a\": NaN }", "unexpected word", (1, 8)),
        ("{ \"a\": True }", "unexpected word", (1, 8)),
        ("{ \"a\": 01 }", "", (1, 9)),
        ("{ \"a\": \"x }", "unterminated string", (1, 8)),
        ("{ \"a\": \"\\x41\" }", "invalid escape", (1, 9)),
        ("{ \"a\": \"line\nbreak\" }", "control character", (1, 12)),
        ("{\u{a0}\"a\": 1 }", "key must be a string", (1, 2)),
        ("[1, 2]", "object", (1, 1)),
        ("\"text\"", "object", (1, 1)),
        ("null", "object", (1, 1)),
    ];
    for (text, reason, place) in cases {
        let parsed = file(text);
        assert!(parsed.template.is_none(), "{text}");
        let [error] = parsed.diagnostics.as_slice() else {
            panic!("one error in {text}: {:?}", parsed.diagnostics)
        };
        assert_eq!(error.code, ErrorCode::InvalidRequestContent, "{text}");
        assert!(error.message.contains(reason), "{text}: {}", error.message);
        assert_eq!((error.line, error.column), place, "{text}: {}", error.message);
    }
}

#[test]
fn deep_nesting_is_rejected_without_overflow() {
    for depth in [1_000, 100_000] {
        let open = format!("{{\"a\": {}", "[".repeat(depth));
        let closed = format!("{open}{}}}", "]".repeat(depth));
        for text in [open, closed] {
            let parsed = file(&text);
            assert_eq!(parsed.diagnostics[0].code, ErrorCode::InvalidRequestContent);
            assert!(parsed.diagnostics[0].message.contains("depth"));
        }
    }
    let allowed = format!("{{\"a\": {}{}}}", "[".repeat(400), "]".repeat(400));
    assert!(errors(&file(&allowed)).iter().any(|e| e.path == "a"), "an unknown field as any");
}

#[test]
fn duplicate_names_are_reported() {
    let text =
        edit(EVERYTHING, "\"offer\": \"debian-12\",", "\"offer\": \"debian-12\", \"sku\": \"a\",");
    let parsed = serve(&text);
    let found = errors(&parsed);
    let [error] = found.as_slice() else { panic!("one error: {found:?}") };
    assert_eq!(error.code, ErrorCode::InvalidRequestContent);
    assert_eq!((error.path.as_str(), error.line), ("properties.source.sku", 31));
}
