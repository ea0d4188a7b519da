use api::{ErrorCode, template::Severity};

use super::file;

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
    let found = file(&allowed).diagnostics;
    assert!(
        found.iter().any(|e| e.severity == Severity::Error && e.path == "a"),
        "an unknown field"
    );
}
