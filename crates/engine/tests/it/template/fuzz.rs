use proptest::prelude::*;

use api::template::{ApiVersion, Face, ParseOptions};
use engine::template::parse;

use super::{EVERYTHING, GALLERY_2020, LOCAL, errors};

const PIECES: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "null",
    "true",
    "-1",
    "1e9",
    "\"type\"",
    "\"Shell\"",
    "{}",
    "[]",
    "\"\"",
    "ä",
    "\u{feff}",
    "\\u",
    "\\ud800",
    "//",
    "'",
    "\n",
    "\u{0}",
    "99999999999999999999",
];

fn texts() -> impl Strategy<Value = String> {
    let base = prop::sample::select(vec![EVERYTHING, GALLERY_2020, LOCAL]);
    let edits = prop::collection::vec(
        (any::<prop::sample::Index>(), 0_usize..40, prop::sample::select(PIECES)),
        0..6,
    );
    (base, edits).prop_map(|(base, edits)| {
        let mut text: Vec<char> = base.chars().collect();
        for (at, removed, inserted) in edits {
            let at = at.index(text.len() + 1);
            let end = (at + removed).min(text.len());
            text.splice(at..end, inserted.chars());
        }
        text.into_iter().collect()
    })
}

/// Replacing one value by another keeps the text well-formed, so that the rules are exercised.
fn replaced() -> impl Strategy<Value = String> {
    let values = &[
        "null",
        "1",
        "-7",
        "1.5",
        "true",
        "\"\"",
        "\"ä<x>\"",
        "[]",
        "[null]",
        "{}",
        "{\"type\":1}",
    ];
    (any::<prop::sample::Index>(), prop::sample::select(&values[..])).prop_map(|(at, value)| {
        let places: Vec<_> = EVERYTHING.match_indices("\": ").map(|(at, _)| at + 3).collect();
        let start = places[at.index(places.len())];
        let mut depth = 0_i32;
        let mut quoted = false;
        let length = EVERYTHING[start..]
            .find(|c| {
                match c {
                    '"' => quoted = !quoted,
                    '{' | '[' if !quoted => depth += 1,
                    '}' | ']' if !quoted => depth -= 1,
                    _ => {}
                }
                !quoted && (depth < 0 || depth == 0 && c == ',')
            })
            .unwrap();
        format!("{}{value}{}", &EVERYTHING[..start], &EVERYTHING[start + length..])
    })
}

fn check(text: &str, version: ApiVersion, face: Face) {
    let parsed = parse(text, &ParseOptions { api_version: Some(version), face });
    assert_eq!(
        parsed.template.is_none(),
        !errors(&parsed).is_empty(),
        "no template without a reason"
    );
    for found in &parsed.diagnostics {
        assert!(found.span.start <= found.span.end && found.span.end <= text.len());
        assert!(text.is_char_boundary(found.span.start) && text.is_char_boundary(found.span.end));
        assert!(found.line >= 1 && found.column >= 1);
        assert!(found.line <= text.lines().count() + 1);
        assert!(!found.message.is_empty());
    }
}

fn versions() -> impl Strategy<Value = ApiVersion> {
    prop::sample::select(ApiVersion::ALL)
}

fn faces() -> impl Strategy<Value = Face> {
    prop::sample::select(&[Face::File, Face::Service][..])
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn parse_of_mutated_text_never_panics(text in texts(), version in versions(), face in faces()) {
        check(&text, version, face);
    }

    #[test]
    fn parse_with_replaced_value_never_panics(text in replaced(), version in versions(), face in faces()) {
        check(&text, version, face);
    }

    #[test]
    fn parse_of_any_text_never_panics(text in "\\PC{0,60}", version in versions(), face in faces()) {
        check(&text, version, face);
    }
}
