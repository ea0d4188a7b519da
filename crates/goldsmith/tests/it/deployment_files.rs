//! Deployment files on the command line: `template eval`, `template render`, and builds of the image template in a file.

use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::{Sandbox, stderr, stdout};

const SCHEMA: &str =
    "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#";

/// A group with an identity, a gallery, a definition, and an image template that names them.
const MAIN: &str = r#"{
  // The file as people have it, with comments.
  "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
  "contentVersion": "1.0.0.0",
  "parameters": {
    "offer": { "type": "string", "metadata": { "description": "The distribution" } },
    "location": { "type": "string", "defaultValue": "[resourceGroup().location]" },
    "packages": { "type": "array", "defaultValue": ["nginx"] },
    "password": { "type": "secureString", "defaultValue": "secret" }
  },
  "variables": {
    "gallery": "[concat('gallery', uniqueString(resourceGroup().id))]",
    "wrong": "[mul(2, parameters('offer'))]"
  },
  "resources": [
    {
      "type": "Microsoft.ManagedIdentity/userAssignedIdentities",
      "apiVersion": "2023-01-31",
      "name": "builder",
      "location": "[parameters('location')]"
    },
    {
      "type": "Microsoft.Compute/galleries",
      "apiVersion": "2024-03-03",
      "name": "[variables('gallery')]",
      "location": "[parameters('location')]",
      "properties": { "description": "[reference('builder').principalId]" }
    },
    {
      "type": "Microsoft.VirtualMachineImages/imageTemplates",
      "apiVersion": "2024-02-01",
      "name": "web",
      "location": "[parameters('location')]",
      "dependsOn": ["[resourceId('Microsoft.Compute/galleries', variables('gallery'))]"],
      "identity": {
        "type": "UserAssigned",
        "userAssignedIdentities": {
          "[resourceId('Microsoft.ManagedIdentity/userAssignedIdentities', 'builder')]": {}
        }
      },
      "properties": {
        "source": {
          "type": "PlatformImage", "publisher": "Debian", "offer": "[parameters('offer')]",
          "sku": "12-gen2", "version": "latest"
        },
        "customize": [
          { "type": "Shell", "inline": "[map(parameters('packages'), lambda('p', concat('apt-get install -y ', lambdaVariables('p'))))]" },
          { "type": "Shell", "inline": ["[concat('printf %s ', parameters('password'))]"] }
        ],
        "distribute": [{ "type": "VHD", "runOutputName": "out" }]
      }
    }
  ],
  "outputs": {
    "gallery": { "type": "string", "value": "[variables('gallery')]" },
    "principal": { "type": "string", "value": "[reference('builder').principalId]" },
    "password": { "type": "secureString", "value": "[parameters('password')]" }
  }
}
"#;

fn file(resources: &Value) -> String {
    json!({ "$schema": SCHEMA, "contentVersion": "1.0.0.0", "resources": resources }).to_string()
}

fn image_template(name: &str, properties: &Value) -> Value {
    json!({
        "type": "Microsoft.VirtualMachineImages/imageTemplates", "apiVersion": "2024-02-01", "name": name,
        "location": "westus2", "identity": { "type": "None" }, "properties": properties,
    })
}

fn properties() -> Value {
    json!({
        "source": {
            "type": "PlatformImage", "publisher": "Debian", "offer": "debian-12",
            "sku": "12-gen2", "version": "latest"
        },
        "customize": [], "distribute": [{ "type": "VHD", "runOutputName": "out" }]
    })
}

/// Runs a command that fails with code 3, and returns its error object.
fn error(sandbox: &Sandbox, arguments: &[&str]) -> Value {
    let output = sandbox.run(&[&["--output", "json"], arguments].concat());
    let printed = stdout(&output);
    assert_eq!(output.status.code(), Some(3), "{printed}\n{}", stderr(&output));
    let mut lines = printed.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.find(|value| value["kind"] == "error").unwrap_or_else(|| panic!("no error: {printed}"))
}

fn text<'a>(error: &'a Value, field: &str) -> &'a str {
    error[field].as_str().unwrap_or_default()
}

fn printed(sandbox: &Sandbox, arguments: &[&str]) -> String {
    let output = sandbox.run(arguments);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}\n{}", stderr(&output));
    stdout(&output)
}

#[test]
fn expression_is_evaluated_with_or_without_brackets() {
    let sandbox = Sandbox::new();
    let eval = |expression: &str| printed(&sandbox, &["template", "eval", expression]);
    assert_eq!(eval("createObject('b', 1, 'a', true())"), "{\n  \"b\": 1,\n  \"a\": true\n}\n");
    assert_eq!(eval("[toUpper('a')]"), "\"A\"\n");
    assert_eq!(eval("createArray(1, 2)[1]"), "2\n");
    assert_eq!(eval("uniqueString('hello', 'world')"), "\"a7wkljktk6wne\"\n");
    let value = printed(&sandbox, &["--output", "json", "template", "eval", "null()"]);
    assert_eq!(value, "{\"kind\":\"value\",\"value\":null}\n");
}

#[test]
fn expression_sees_the_place_of_the_deployment() {
    let sandbox = Sandbox::new();
    let place = ["--subscription", "s", "--resource-group", "images", "--location", "northeurope"];
    let eval = |expression: &str, options: &[&str]| {
        printed(&sandbox, &[&["template", "eval", expression], options].concat())
    };
    let id = "resourceId('Microsoft.Compute/images', 'web')";
    assert_eq!(
        eval(id, &place),
        "\"/subscriptions/s/resourceGroups/images/providers/Microsoft.Compute/images/web\"\n"
    );
    assert_eq!(eval("resourceGroup().location", &place), "\"northeurope\"\n");
    let default = eval("concat(subscription().subscriptionId, resourceGroup().name)", &[]);
    assert_eq!(default, "\"00000000-0000-0000-0000-000000000000goldsmith\"\n");
}

#[test]
fn expression_sees_the_names_of_a_file() {
    let sandbox = Sandbox::new();
    sandbox.write("main.json", MAIN);
    let of_file = ["--template", "main.json"];
    let eval = ["template", "eval"];
    let value = printed(&sandbox, &[&eval[..], &["parameters('packages')[0]"], &of_file].concat());
    assert_eq!(value, "\"nginx\"\n");
    let offer = [&eval[..], &["parameters('offer')"], &of_file].concat();
    let missing = error(&sandbox, &offer);
    assert_eq!(text(&missing, "hint"), "add --parameters offer=VALUE");
    let given = [&offer[..], &["--parameters", "offer=debian-12"]].concat();
    assert_eq!(printed(&sandbox, &given), "\"debian-12\"\n");
    // Without a file, parameters have the types of their values.
    let alone = ["template", "eval", "add(parameters('n'), 1)", "--parameters", "n=41"];
    assert_eq!(printed(&sandbox, &alone), "42\n");
}

#[test]
fn wrong_expression_is_reported_with_function_and_place() {
    let sandbox = Sandbox::new();
    let wrong = error(&sandbox, &["template", "eval", "mul(2, 'x')"]);
    assert!(text(&wrong, "message").contains("'mul'"), "{wrong}");
    assert_eq!((&wrong["line"], &wrong["column"]), (&json!(1), &json!(1)), "{wrong}");
    let shown = sandbox.run(&["template", "eval", "mul(2, 'x')"]);
    assert!(stderr(&shown).contains("[mul(2, 'x')]"), "{}", stderr(&shown));
    assert_eq!(stdout(&shown), "");
    let unknown = error(&sandbox, &["template", "eval", "frobnicate(1)"]);
    assert_eq!(text(&unknown, "code"), "UnsupportedFeature");
    assert!(text(&unknown, "message").contains("'frobnicate'"), "{unknown}");
    error(&sandbox, &["template", "eval", "concat('a'"]);

    sandbox.write("main.json", MAIN);
    let of_file = ["--template", "main.json", "--parameters", "offer=debian-12"];
    let wrong =
        error(&sandbox, &[&["template", "eval", "variables('wrong')"], &of_file[..]].concat());
    assert_eq!(text(&wrong, "target"), "variables.wrong", "{wrong}");
    assert_eq!((&wrong["line"], &wrong["column"]), (&json!(13), &json!(14)), "{wrong}");
}

#[test]
fn resources_and_outputs_are_rendered() {
    let sandbox = Sandbox::new();
    sandbox.write("main.json", MAIN);
    sandbox.write("p.json", r#"{"$schema": "x", "parameters": {"offer": {"value": "debian-13"}}}"#);
    let render = [
        "template",
        "render",
        "main.json",
        "--resource-group",
        "images",
        "--parameters",
        "p.json",
        "packages=[\"curl\",\"git\"]",
    ];
    insta::assert_snapshot!(printed(&sandbox, &render));
}

#[test]
fn required_parameter_without_a_value_is_named() {
    let sandbox = Sandbox::new();
    sandbox.write("main.json", MAIN);
    let missing = error(&sandbox, &["template", "render", "main.json"]);
    assert!(text(&missing, "message").contains("'offer'"), "{missing}");
    assert_eq!(text(&missing, "hint"), "add --parameters offer=VALUE");
    assert_eq!(missing["line"], 6, "{missing}");
    for (parameter, says) in [
        ("ofer=x", "no parameter ofer"),
        ("packages=nginx", "not of type Array"),
        ("missing.json", "cannot read the parameters missing.json"),
        ("main.bicepparam", "is Bicep, not JSON"),
    ] {
        let wrong =
            error(&sandbox, &["template", "render", "main.json", "--parameters", parameter]);
        assert!(text(&wrong, "message").contains(says), "{wrong}");
        assert_eq!(text(&wrong, "target"), "--parameters", "{wrong}");
    }
}

#[test]
fn parameters_are_files_json_or_values_and_the_last_one_wins() {
    let sandbox = Sandbox::new();
    sandbox.write("main.json", MAIN);
    sandbox.write("p.json", r#"{"offer": {"value": "file"}, "packages": {"value": ["a"]}}"#);
    let eval = |parameters: &[&str]| {
        let expression = "concat(createArray(parameters('offer')), parameters('packages'))";
        let words = ["template", "eval", expression, "--template", "main.json", "--parameters"];
        let printed = printed(&sandbox, &[&words[..], parameters].concat());
        serde_json::from_str::<Value>(&printed).unwrap()
    };
    assert_eq!(eval(&["p.json"]), json!(["file", "a"]));
    assert_eq!(eval(&["@p.json", "OFFER=value"]), json!(["value", "a"]));
    assert_eq!(eval(&["offer=value", "p.json"]), json!(["file", "a"]));
    let inline = r#"{"packages": {"value": []}}"#;
    assert_eq!(eval(&["p.json", "--parameters", inline, "offer=a=b"]), json!(["a=b"]));
}

#[test]
fn malformed_deployment_file_is_reported_with_position() {
    let sandbox = Sandbox::new();
    sandbox.write("broken.json", &MAIN.replace("\"variables\": {", "\"variables\": {]"));
    let broken = error(&sandbox, &["validate", "broken.json"]);
    assert_eq!(text(&broken, "code"), "InvalidRequestContent");
    assert_eq!(broken["line"], 11, "{broken}");
}

#[test]
fn image_template_of_a_deployment_file_is_read() {
    let sandbox = Sandbox::new();
    sandbox.write("main.json", MAIN);
    let valid = printed(&sandbox, &["validate", "main.json", "--parameters", "offer=debian-12"]);
    assert!(valid.starts_with("main.json is valid: 2 customizers, 1 distributors"), "{valid}");
    // The build gets as far as with the same template in a file of its own.
    let unknown = error(&sandbox, &["build", "main.json", "--parameters", "offer=debian-99"]);
    assert_eq!(text(&unknown, "code"), "BadPIRSource");
    sandbox.assert_nothing_created();
    let standard_input = sandbox
        .command()
        .args(["validate", "-", "--parameters", "offer=debian-12"])
        .stdin(std::fs::File::open(sandbox.dir.path().join("main.json")).unwrap())
        .output()
        .unwrap();
    assert_eq!(standard_input.status.code(), Some(0), "{}", stderr(&standard_input));
}

#[test]
fn mistake_in_the_image_template_is_shown_in_its_evaluated_form() {
    let sandbox = Sandbox::new();
    let mut wrong = properties();
    wrong["customize"] = json!([{ "type": "[concat('She', 'l')]", "inline": ["true"] }]);
    sandbox.write("main.json", &file(&json!([image_template("web", &wrong)])));
    let reported = error(&sandbox, &["validate", "main.json"]);
    assert_eq!(text(&reported, "code"), "BadCustomizerType");
    assert_eq!(text(&reported, "target"), "properties.customize[0].type");
    let shown = stderr(&sandbox.run(&["validate", "main.json"]));
    assert!(shown.contains("main.json: web, evaluated"), "{shown}");
    assert!(shown.contains("\"type\": \"Shel\""), "{shown}");
}

#[test]
fn secret_is_not_shown_with_a_mistake_beside_it() {
    let sandbox = Sandbox::new();
    let wrong = MAIN.replace(
        r#"{ "type": "Shell", "inline": ["[concat('printf"#,
        r#"{ "type": "Shel", "inline": ["[concat('printf"#,
    );
    assert_ne!(wrong, MAIN);
    sandbox.write("main.json", &wrong);
    let options = ["--parameters", "offer=debian-12", "password=swordfish"];
    let output = sandbox.run(&[&["validate", "main.json"], &options[..]].concat());
    let shown = stderr(&output);
    assert_eq!(output.status.code(), Some(3), "{shown}");
    assert!(shown.contains("properties.customize[1].type"), "{shown}");
    assert!(shown.contains("did you mean"), "{shown}");
    assert!(!shown.contains("swordfish"), "{shown}");
}

#[test]
fn one_of_several_image_templates_is_chosen_by_name() {
    let sandbox = Sandbox::new();
    let both = json!([image_template("a", &properties()), image_template("b", &properties())]);
    sandbox.write("main.json", &file(&both));
    let several = error(&sandbox, &["validate", "main.json"]);
    assert_eq!(text(&several, "message"), "main.json deploys 2 image templates");
    let names = several["details"].as_array().unwrap();
    assert!(names[0].as_str().unwrap().starts_with("a (/subscriptions/"), "{several}");
    assert!(text(&several, "hint").contains("--template NAME"), "{several}");
    printed(&sandbox, &["validate", "main.json", "--template", "B"]);
    let other = error(&sandbox, &["validate", "main.json", "--template", "c"]);
    assert_eq!(text(&other, "message"), "main.json deploys no image template c");
    assert_eq!(other["details"].as_array().unwrap().len(), 2, "{other}");
}

#[test]
fn missing_image_template_is_explained() {
    let sandbox = Sandbox::new();
    let mut unwanted = image_template("a", &properties());
    unwanted["condition"] = json!("[equals(1, 2)]");
    let elsewhere = json!({
        "type": "Microsoft.Resources/deployments", "apiVersion": "2025-04-01", "name": "more",
        "properties": { "mode": "Incremental", "templateLink": { "uri": "https://example.org/t.json" } }
    });
    sandbox.write("main.json", &file(&json!([unwanted, elsewhere])));
    let none = error(&sandbox, &["validate", "main.json"]);
    assert_eq!(text(&none, "message"), "main.json deploys no image template");
    let details = none["details"].to_string();
    assert!(details.contains("condition of resources[0]"), "{none}");
    assert!(details.contains("nested deployment more links a file elsewhere"), "{none}");
}

#[test]
fn value_of_another_resource_is_left_to_the_deployment() {
    let sandbox = Sandbox::new();
    let mut open = properties();
    open["stagingResourceGroup"] =
        json!("[reference(resourceId('Microsoft.Storage/storageAccounts', 'x'), '2023-01-01').id]");
    sandbox.write("main.json", &file(&json!([image_template("web", &open)])));
    let error = error(&sandbox, &["validate", "main.json"]);
    let details = error["details"].as_array().unwrap();
    assert!(
        details[0].as_str().unwrap().starts_with("properties.stagingResourceGroup: [reference("),
        "{error}"
    );
    assert!(text(&error, "hint").contains("goldsmith az deployment group create"), "{error}");
    // An identity that does not exist yet does not matter to a local build.
    let mut identity = image_template("web", &properties());
    identity["identity"] = json!({
        "type": "UserAssigned",
        "userAssignedIdentities": { "[reference('/subscriptions/s/x', '2023-01-31').id]": {} }
    });
    sandbox.write("identity.json", &file(&json!([identity])));
    printed(&sandbox, &["validate", "identity.json"]);
}

#[test]
fn linked_file_is_read_beside_the_deployment_file() {
    let sandbox = Sandbox::new();
    std::fs::create_dir(sandbox.dir.path().join("parts")).unwrap();
    sandbox.write("parts/image.json", &file(&json!([image_template("web", &properties())])));
    let nested = json!({
        "type": "Microsoft.Resources/deployments", "apiVersion": "2025-04-01", "name": "more",
        "properties": { "mode": "Incremental", "templateLink": { "relativePath": "parts/image.json" } }
    });
    let main = sandbox.write("main.json", &file(&json!([nested])));
    printed(&sandbox, &["validate", main.to_str().unwrap()]);
    sandbox.write("parts/image.json", "{");
    let broken = error(&sandbox, &["validate", "main.json"]);
    assert_eq!(text(&broken, "code"), "InvalidRequestContent");
}

#[test]
fn secret_of_a_key_vault_is_not_known() {
    let sandbox = Sandbox::new();
    sandbox.write("main.json", MAIN);
    let vault = json!({ "parameters": {
        "offer": { "value": "debian-12" },
        "password": { "reference": { "keyVault": { "id": "/v" }, "secretName": "admin" } }
    }});
    sandbox.write("p.json", &vault.to_string());
    let options = ["--parameters", "p.json"];
    let unknown = error(&sandbox, &[&["validate", "main.json"], &options[..]].concat());
    assert!(unknown["details"].to_string().contains("parameters('password')"), "{unknown}");
    let note = stderr(&sandbox.run(&[&["validate", "main.json"], &options[..]].concat()));
    assert!(note.contains("password is the secret admin of a key vault"), "{note}");
    sandbox.write("password", "correct horse");
    let given = [&["validate", "main.json"], &options[..], &["password=@password"]].concat();
    printed(&sandbox, &given);
}

#[test]
fn options_of_deployment_files_are_rejected_for_image_templates() {
    let sandbox = Sandbox::new();
    let template =
        json!({ "location": "here", "identity": { "type": "None" }, "properties": properties() });
    sandbox.write("t.json", &template.to_string());
    printed(&sandbox, &["validate", "t.json"]);
    for (flag, value) in [("--parameters", "a=b"), ("--template", "a"), ("--location", "here")] {
        let wrong = error(&sandbox, &["validate", "t.json", flag, value]);
        assert_eq!(text(&wrong, "target"), flag, "{wrong}");
        assert!(text(&wrong, "message").contains("not a deployment file"), "{wrong}");
    }
}

#[test]
fn bicep_is_compiled_if_it_is_installed() {
    let sandbox = Sandbox::new();
    sandbox.write("main.json", MAIN);
    sandbox.write("main.bicep", "param offer string\n");
    let bin = sandbox.dir.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    let run = |offer: &str| {
        let parameter = format!("offer={offer}");
        sandbox
            .command()
            .env("PATH", &bin)
            .args([
                "--output",
                "json",
                "template",
                "render",
                "main.bicep",
                "--parameters",
                &parameter,
            ])
            .output()
            .unwrap()
    };
    let absent = run("debian-12");
    assert_eq!(absent.status.code(), Some(4), "{}", stdout(&absent));
    assert!(stdout(&absent).contains("bicep build main.bicep"), "{}", stdout(&absent));
    let script = sandbox.write(
        "bin/bicep",
        "#!/bin/sh\ncase \"$*\" in\n'build --stdout main.bicep') ;;\n*) exit 9 ;;\nesac\n\
         if [ -e fails ]; then echo 'main.bicep(1,1) : Error BCP018' >&2; exit 1; fi\n\
         while read -r line; do printf '%s\\n' \"$line\"; done < main.json\n",
    );
    std::fs::set_permissions(script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let compiled = run("debian-12");
    assert_eq!(compiled.status.code(), Some(0), "{}", stdout(&compiled));
    assert!(stdout(&compiled).contains("\"offer\":\"debian-12\""), "{}", stdout(&compiled));
    sandbox.write("fails", "");
    let failed = run("debian-12");
    assert_eq!(failed.status.code(), Some(3), "{}", stdout(&failed));
    assert!(stdout(&failed).contains("BCP018"), "{}", stdout(&failed));
}
