use super::*;

const SCHEMA: &str =
    "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#";

/// A template with one disk, whose name is a parameter, and a linked deployment.
fn template() -> String {
    format!(
        r#"{{
  "$schema": "{SCHEMA}", "contentVersion": "1.0.0.0",
  "parameters": {{"name": {{"type": "string"}}}},
  "resources": [
    {{"type": "Microsoft.Compute/disks", "apiVersion": "2024-03-02", "name": "[parameters('name')]"}},
    {{"type": "Microsoft.Resources/deployments", "apiVersion": "2022-09-01", "name": "inner",
     "properties": {{"mode": "Incremental", "templateLink": {{"relativePath": "parts/empty.json"}}}}}}
  ],
  "outputs": {{"name": {{"type": "string", "value": "[parameters('name')]"}}}}
}}"#
    )
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    fs::create_dir(folder.path().join("parts")).unwrap();
    let empty =
        format!(r#"{{"$schema": "{SCHEMA}", "contentVersion": "1.0.0.0", "resources": []}}"#);
    write("parts/empty.json", &empty);
    write("main.json", &template());
    write("main.parameters.json", r#"{"parameters": {"name": {"value": "one"}}}"#);
    write("notes.json", "{}");
    folder
}

fn lines(folder: &Path, given: Option<serde_json::Value>, words: &[&str]) -> Vec<String> {
    let path = folder.to_string_lossy();
    let options = Options::parse(&[&[&*path], words].concat()).unwrap();
    let (cases, _) = files::cases(folder, given.as_ref()).unwrap();
    cases.iter().map(|case| format!("{}: {}", case.title, line(&outcome(case, &options)))).collect()
}

#[test]
fn files_are_evaluated_with_the_parameters_beside_them() {
    let folder = folder();
    let expected = [
        "main.json: evaluated  1 resources, 1 nested deployments, 1 outputs",
        "parts/empty.json: evaluated  0 resources, 0 nested deployments, 0 outputs",
    ];
    assert_eq!(lines(folder.path(), None, &[]), expected);
    assert_eq!(files::cases(folder.path(), None).unwrap().1, 2);
}

#[test]
fn several_sets_of_parameters_are_tried() {
    let given = serde_json::json!({"main": [{"name": {"value": "a"}}, {"name": {"value": 1}}]});
    let lines = lines(folder().path(), Some(given), &[]);
    assert!(lines[0].starts_with("main.json (1): evaluated"), "{lines:?}");
    assert!(lines[1].starts_with("main.json (2): refused    Parameter 3:"), "{lines:?}");
}

#[test]
fn parameters_without_a_value_are_missing_or_unknown() {
    let given = Some(serde_json::json!({"main.json": {}}));
    let folder = folder();
    let missing = lines(folder.path(), given.clone(), &[]);
    assert!(
        missing[0].contains("refused    Parameter 3:") && missing[0].contains("'name'"),
        "{missing:?}"
    );
    let unknown = lines(folder.path(), given, &["--unknown"]);
    assert!(unknown[0].contains("evaluated"), "{unknown:?}");
}

#[test]
fn list_has_resources_and_outputs() {
    let folder = folder();
    let (cases, _) = files::cases(folder.path(), None).unwrap();
    let options = Options::parse(&[&folder.path().to_string_lossy(), "--group", "rg"]).unwrap();
    let text = list(&outcome(&cases[0], &options).unwrap());
    assert!(
        text.contains("resourceGroups/rg/\n        Microsoft.Compute/disks 2024-03-02 one\n"),
        "{text}"
    );
    assert!(text.contains("output name = \"one\""), "{text}");
}

#[test]
fn nonsense_is_refused() {
    for words in [&[][..], &["a", "b"], &["a", "--group"], &["a", "--fast"]] {
        assert!(Options::parse(words).is_err(), "{words:?}");
    }
}
