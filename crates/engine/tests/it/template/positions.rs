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
fn duplicate_names_are_reported() {
    let text =
        edit(EVERYTHING, "\"offer\": \"debian-12\",", "\"offer\": \"debian-12\", \"sku\": \"a\",");
    let parsed = serve(&text);
    let found = errors(&parsed);
    let [error] = found.as_slice() else { panic!("one error: {found:?}") };
    assert_eq!(error.code, ErrorCode::InvalidRequestContent);
    assert_eq!((error.path.as_str(), error.line), ("properties.source.sku", 31));
}
