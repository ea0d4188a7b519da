mod envelope;
mod source;
mod steps;
mod targets;

use api::ErrorCode::{self, *};

use super::{EVERYTHING, edit, errors, serve};

/// One edit of a valid template, and the single error that it causes.
struct Case {
    old: &'static str,
    new: &'static str,
    code: ErrorCode,
    path: &'static str,
    /// A part of the message or the hint.
    says: &'static str,
}

const fn case(
    old: &'static str,
    new: &'static str,
    code: ErrorCode,
    path: &'static str,
    says: &'static str,
) -> Case {
    Case { old, new, code, path, says }
}

fn run(text: &str, cases: &[Case]) {
    for Case { old, new, code, path, says } in cases {
        let parsed = serve(&edit(text, old, new));
        assert!(parsed.template.is_none(), "{new} is refused");
        let found = errors(&parsed);
        let [error] = found.as_slice() else { panic!("one error for {new}: {found:#?}") };
        assert_eq!((error.code, error.path.as_str()), (*code, *path), "{new}: {}", error.message);
        let hint = error.hint.as_deref().unwrap_or_default();
        assert!(
            error.message.contains(says) || hint.contains(says),
            "{new}: `{says}` in `{}` or `{hint}`",
            error.message
        );
    }
}

/// Replaces everything from the first text up to the second.
fn cut(from: &str, to: &str, with: &str) -> String {
    let start = EVERYTHING.find(from).unwrap();
    let end = EVERYTHING.find(to).unwrap_or(EVERYTHING.trim_end().len() - 1);
    format!("{}{with}{}", &EVERYTHING[..start], &EVERYTHING[end..])
}

#[test]
fn bad_section_is_reported() {
    let source = r#""source": {"#;
    let steps = r#""customize": ["#;
    let targets = r#""distribute": ["#;
    let errors_section = r#""errorHandling""#;
    for (text, path, says) in [
        (cut(source, steps, ""), "properties.source", "Missing field 'source'"),
        (cut(source, steps, "\"source\": null,"), "properties.source", "Missing field 'source'"),
        (cut(source, steps, "\"source\": \"x\","), "properties.source", "Expected an object"),
        (cut(source, steps, "\"source\": {},"), "properties.source.type", "Missing field 'type'"),
        (cut(targets, errors_section, ""), "properties.distribute", "Missing field 'distribute'"),
        (
            cut(targets, errors_section, "\"distribute\": [],"),
            "properties.distribute",
            "At least one",
        ),
        (
            cut(targets, errors_section, "\"distribute\": {},"),
            "properties.distribute",
            "Expected a list",
        ),
        (
            cut(r#""properties": {"#, "no such text", "\"name\": \"x\""),
            "properties",
            "Missing field 'properties'",
        ),
        (
            cut(r#""properties": {"#, "no such text", "\"properties\": 1"),
            "properties",
            "Expected an object",
        ),
    ] {
        let parsed = serve(&text);
        let found = errors(&parsed);
        let [error] = found.as_slice() else { panic!("one error for {says}: {found:#?}") };
        assert_eq!((error.code, error.path.as_str()), (ValidationFailed, path));
        assert!(error.message.contains(says), "{}", error.message);
    }
}

#[test]
fn tags_beyond_limits_are_reported() {
    let many = |count: usize| {
        let tags: Vec<String> = (0..count).map(|i| format!(r#""t{i}": "x""#)).collect();
        format!("{{ {} }}", tags.join(", "))
    };
    let long = |length: usize| format!(r#"{{ "t": "{}" }}"#, "ä".repeat(length));
    let named = |length: usize| format!(r#"{{ "{}": "" }}"#, "ä".repeat(length));
    for (old, name, path, most) in [
        (r#"{ "team": "forge", "cost": null }"#, "tags", "tags", 50),
        (r#"{ "owner": "forge" }"#, "managedResourceTags", "properties.managedResourceTags", 47),
        (
            r#"{ "base": "debian-12", "empty": null }"#,
            "artifactTags",
            "properties.distribute[0].artifactTags",
            50,
        ),
    ] {
        let with = |tags: &str| {
            let (old, new) = (format!(r#""{name}": {old}"#), format!(r#""{name}": {tags}"#));
            serve(&edit(EVERYTHING, &old, &new))
        };
        for good in [many(most), long(256), named(512)] {
            assert_eq!(errors(&with(&good)).len(), 0, "{name}: {good}");
        }
        for (bad, says) in [
            (many(most + 1), format!("At most {most} tags are allowed, found {}", most + 1)),
            (long(257), "at most 256 characters".to_owned()),
            (named(513), "1 to 512 characters".to_owned()),
        ] {
            let parsed = with(&bad);
            let found = errors(&parsed);
            let [error] = found.as_slice() else { panic!("one error for {says}: {found:#?}") };
            assert!(error.path.starts_with(path), "{}", error.path);
            assert!(error.message.contains(&says), "{}", error.message);
        }
    }
}

#[test]
fn rejected_address_is_reported_without_secrets() {
    let (script, vhd) = ("https://example.org/setup.sh", "https://store.example.org/vhds/web.vhd");
    for (old, new) in [
        (script, "ftp://u:pw@example.org/setup.sh?sig=SECRETSIG"),
        (script, "https://u:pw@example.org/set up.sh?sv=1&sig=SECRETSIG"),
        (script, "https:/u:pw@example.org/setup.sh?sig=SECRETSIG"),
        (script, "[concat('https://u:pw@example.org/setup.sh?sig=SECRETSIG')]"),
        (vhd, "https://u:pw@store.example.org/vhds/web.vhd?sig=SECRETSIG"),
        (vhd, "store.example.org/vhds/web.vhd?sig=SECRETSIG"),
    ] {
        let parsed = serve(&edit(EVERYTHING, old, new));
        let shown = format!("{:?}", parsed.diagnostics);
        assert!(!errors(&parsed).is_empty(), "{new}");
        assert!(!shown.contains("SECRETSIG") && !shown.contains("pw"), "{shown}");
    }
    let list = r#""scriptUri": ["https://example.org/setup.sh?sig=SECRETSIG"]"#;
    let parsed = serve(&edit(EVERYTHING, r#""scriptUri": "https://example.org/setup.sh""#, list));
    let shown = format!("{:?}", parsed.diagnostics);
    assert!(!errors(&parsed).is_empty() && !shown.contains("SECRETSIG"), "{shown}");
}

#[test]
fn misspelt_section_is_one_error_and_its_content_is_checked() {
    let text = edit(EVERYTHING, r#""distribute": ["#, r#""distribut": ["#);
    let text = edit(&text, r#""replicaCount": 2"#, r#""replicaCount": 0"#);
    let parsed = serve(&text);
    let paths: Vec<_> = errors(&parsed).iter().map(|e| e.path.clone()).collect();
    assert_eq!(
        paths,
        ["properties.distribut", "properties.distribute[1].targetRegions[0].replicaCount"]
    );
}

#[test]
fn deployment_is_rejected_as_template() {
    let text = format!(
        r#"{{ "$schema": "https://schema.management.azure.com/x", "parameters": {{}}, "resources": [{{}}, {EVERYTHING}] }}"#
    );
    let parsed = serve(&text);
    let [error] = parsed.diagnostics.as_slice() else { panic!("one error") };
    assert_eq!(error.code, ValidationFailed);
    assert!(error.message.contains("deployment template"));
    assert_eq!(
        error.hint.as_deref(),
        Some("move the object at `resources[1]` into a file of its own")
    );
}

#[test]
fn warnings_do_not_reject_a_template() {
    let cases = [
        (
            r#""type": "Microsoft.VirtualMachineImages/imageTemplates""#,
            r#""type": "Microsoft.Compute/images""#,
            "type",
        ),
        (r#""location": "westus2""#, r#""location": "<region>""#, "location"),
        (r#""location": "westus2""#, r#""location": "[resourceGroup().location]""#, "location"),
        (
            "golden/images/web\"",
            "golden/images/web/versions/1.2.3\"",
            "properties.distribute[1].versioning",
        ),
        (
            r#""inline": ["Get-Date"]"#,
            r#""inline": ["Get-Date"], "sha256Checksum": "ade4c5214c3c675e92c66e2d067a870c5b81b9844b3de3cc72c49ff36425fc93""#,
            "properties.customize[3].sha256Checksum",
        ),
    ];
    for (old, new, path) in cases {
        let parsed = serve(&edit(EVERYTHING, old, new));
        assert!(parsed.template.is_some(), "{new}");
        let [warning] = parsed.diagnostics.as_slice() else { panic!("one warning for {new}") };
        assert_eq!(warning.path, path);
    }
}
