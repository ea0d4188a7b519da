//! Bad input causes an error with field, value and remedy, and a documented exit code, and leaves
//! nothing behind.

use std::{
    io::{Read, Write},
    net::TcpListener,
};

use serde_json::{Value, json};

use crate::{Sandbox, stderr, stdout};

fn template(customize: &Value) -> Value {
    json!({
        "location": "here", "identity": { "type": "None" },
        "properties": {
            "source": {
                "type": "PlatformImage", "publisher": "Debian", "offer": "debian-12",
                "sku": "12-gen2", "version": "latest"
            },
            "customize": customize,
            "distribute": [{ "type": "VHD", "runOutputName": "out" }]
        }
    })
}

/// Builds the template and returns the exit code and the error object.
fn build_error(sandbox: &Sandbox, text: &str) -> (i32, Value) {
    sandbox.write("t.json", text);
    let output = sandbox.run(&["--output", "json", "build", "t.json"]);
    sandbox.assert_nothing_created();
    let printed = stdout(&output);
    let error = printed
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find(|value| value["kind"] == "error");
    let error = error.unwrap_or_else(|| panic!("no error in {printed}\n{}", stderr(&output)));
    (output.status.code().unwrap(), error)
}

fn text<'a>(error: &'a Value, field: &str) -> &'a str {
    error[field].as_str().unwrap_or_default()
}

#[test]
fn malformed_json_is_reported_with_position() {
    let (code, error) = build_error(&Sandbox::new(), "{\n  \"properties\": {,}\n}");
    assert_eq!((code, text(&error, "code")), (3, "InvalidRequestContent"));
    assert_eq!((error["line"].as_u64(), error["column"].as_u64()), (Some(2), Some(18)), "{error}");
}

#[test]
fn unknown_region_or_account_is_rejected_before_the_build() {
    let mut value = template(&json!([]));
    let gallery =
        "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/galleries/g/images/d";
    value["properties"]["distribute"] = json!([{
        "type": "SharedImage", "runOutputName": "a", "galleryImageId": gallery,
        "targetRegions": [{ "name": "here" }, { "name": "mars" }],
    }]);
    let (code, error) = build_error(&Sandbox::new(), &value.to_string());
    assert_eq!((code, text(&error, "code")), (3, "BadSharedImageDistribute"));
    assert_eq!(text(&error, "target"), "properties.distribute[0].targetRegions[1].name");
    assert!(text(&error, "message").ends_with("the regions are here"), "{error}");

    value["properties"]["distribute"] = json!([{
        "type": "VHD", "runOutputName": "a",
        "uri": "https://images.blob.core.windows.net/vhds/x.vhd",
    }]);
    let (code, error) = build_error(&Sandbox::new(), &value.to_string());
    assert_eq!((code, text(&error, "code")), (3, "ValidationFailed"));
    assert_eq!(text(&error, "target"), "properties.distribute[0].uri");
    assert!(text(&error, "hint").contains("[[account]]"), "{error}");
}

#[test]
fn unknown_customizer_is_rejected_with_a_suggestion() {
    let value = template(&json!([{ "type": "Shel", "inline": ["true"] }]));
    let (code, error) = build_error(&Sandbox::new(), &value.to_string());
    assert_eq!((code, text(&error, "code")), (3, "BadCustomizerType"));
    assert_eq!(text(&error, "target"), "properties.customize[0].type");
    assert!(text(&error, "hint").contains("Shell"), "{error}");
}

// conformance: 58
#[test]
fn windows_customizer_on_linux_is_rejected() {
    let value = template(&json!([{ "type": "PowerShell", "inline": ["dir"] }]));
    let (code, error) = build_error(&Sandbox::new(), &value.to_string());
    assert_eq!((code, text(&error, "code")), (3, "UnsupportedCustomizerType"));
    assert_eq!(text(&error, "target"), "properties.customize[0]");
}

#[test]
fn windows_validator_on_linux_is_rejected_with_its_path() {
    let mut value = template(&json!([]));
    value["properties"]["validate"] = json!({ "inVMValidations": [
        { "type": "Shell", "inline": ["true"] },
        { "type": "PowerShell", "inline": ["exit 0"] }
    ]});
    let (code, error) = build_error(&Sandbox::new(), &value.to_string());
    assert_eq!((code, text(&error, "code")), (3, "UnsupportedValidatorType"));
    assert_eq!(text(&error, "target"), "properties.validate.inVMValidations[1]");
}

#[test]
fn unknown_vm_size_lists_the_nearest_ones() {
    let mut value = template(&json!([]));
    value["properties"]["vmProfile"] = json!({ "vmSize": "Standard_D2s_v33" });
    let (code, error) = build_error(&Sandbox::new(), &value.to_string());
    assert_eq!((code, text(&error, "code")), (3, "ValidationFailed"));
    assert!(text(&error, "hint").contains("Standard_D2s_v3"), "{error}");
}

#[test]
fn unknown_source_explains_how_to_add_it() {
    let mut value = template(&json!([]));
    value["properties"]["source"]["offer"] = json!("debian-99");
    let (code, error) = build_error(&Sandbox::new(), &value.to_string());
    assert_eq!((code, text(&error, "code")), (3, "BadPIRSource"));
    assert!(text(&error, "message").contains("debian-99"), "{error}");
}

/// Serves one answer after another on loopback until the test ends.
fn serve(status: &'static str, body: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let length = body.len();
            let _ = write!(
                stream,
                "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
            );
        }
    });
    format!("http://{address}/script.sh")
}

#[test]
fn wrong_checksum_reports_both_digests() {
    let uri = serve("200 OK", "echo hello\n");
    let expected = "0".repeat(64);
    let value =
        template(&json!([{ "type": "Shell", "scriptUri": uri, "sha256Checksum": expected }]));
    let (code, error) = build_error(&Sandbox::new(), &value.to_string());
    assert_eq!((code, text(&error, "code")), (3, "ChecksumMismatch"), "{error}");
    assert_eq!(text(&error, "target"), "properties.customize[0].scriptUri");
    let details = error["details"].to_string();
    assert!(details.contains(&expected), "{error}");
    assert!(details.contains("5dbad7dd0b9b122dcd9956884390f4aac4738caba8ff53498a7ab6718b176c30"));
}

#[test]
fn unreachable_script_is_reported_with_its_reason() {
    let missing = serve("404 Not Found", "");
    // A port without a listener, free a moment ago.
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for uri in [missing, format!("http://{gone}/x"), "no/such/file.sh".to_owned()] {
        let value = template(&json!([{ "type": "Shell", "scriptUri": uri }]));
        let (code, error) = build_error(&Sandbox::new(), &value.to_string());
        assert_eq!((code, text(&error, "code")), (3, "ScriptUnreachable"), "{error}");
        assert!(text(&error, "message").contains(&uri), "{error}");
    }
}

#[test]
fn validate_reports_all_mistakes() {
    let sandbox = Sandbox::new();
    let value = template(&json!([{ "type": "Shel" }, { "type": "File", "destinaton": "/tmp/x" }]));
    sandbox.write("t.json", &value.to_string());
    let output = sandbox.run(&["validate", "t.json"]);
    assert_eq!(output.status.code(), Some(3));
    let output_text = stderr(&output);
    for part in ["Shel", "sourceUri", "destinaton", "destination"] {
        assert!(output_text.contains(part), "{part} in\n{output_text}");
    }
}

#[test]
fn missing_template_file_is_an_error() {
    let output = Sandbox::new().run(&["build", "nowhere.json"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(stderr(&output).contains("nowhere.json"), "{}", stderr(&output));
}
