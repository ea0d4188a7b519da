//! Unwritable standard output or standard error: no panic, and an exit code for lost results.

use std::{
    fs::{File, OpenOptions},
    io::pipe,
    process::{ExitStatus, Stdio},
};

use crate::Sandbox;

/// Commands whose exit code does not depend on standard error. Code 4 also means that the host lacks
/// KVM or tools.
const COMMANDS: &[&[&str]] = &[
    &["doctor"],
    &["doctor", "--output", "json"],
    &["validate", "good.json"],
    &["validate", "bad.json"],
    &["build", "bad.json"],
    &["build", "bad.json", "--output", "json"],
    &["catalogue", "ls"],
    &["ledger", "ls"],
    &["no-such-command"],
    &["--help"],
];

const GOOD: &str = r#"{
  "type": "Microsoft.VirtualMachineImages/imageTemplates", "apiVersion": "2024-02-01", "location": "westus2",
  "properties": {
    "source": {"type": "PlatformImage", "publisher": "Debian", "offer": "debian-12", "sku": "12-gen2", "version": "latest"},
    "customize": [{"type": "Shell", "inline": ["true"]}],
    "distribute": [{"type": "VHD", "runOutputName": "v"}]
  }
}"#;

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("good.json", GOOD);
    sandbox.write("bad.json", r#"{"properties": {"source": {"type": "Nowhere"}}}"#);
    sandbox
}

fn full() -> File {
    OpenOptions::new().write(true).open("/dev/full").unwrap()
}

/// A pipe without a reader.
fn closed() -> Stdio {
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    writer.into()
}

fn run(sandbox: &Sandbox, arguments: &[&str], stdout: Stdio, stderr: Stdio) -> ExitStatus {
    let mut command = sandbox.command();
    command.args(arguments).stdout(stdout).stderr(stderr).status().unwrap()
}

#[test]
fn unwritable_standard_error_does_not_change_the_exit_code() {
    let sandbox = sandbox();
    for arguments in COMMANDS {
        let wanted = run(&sandbox, arguments, Stdio::null(), Stdio::null()).code();
        for stderr in [full().into(), closed()] {
            let found = run(&sandbox, arguments, Stdio::null(), stderr).code();
            assert_eq!(found, wanted, "{arguments:?}");
        }
    }
}

#[test]
fn lost_result_fails_and_closed_reader_succeeds() {
    let sandbox = sandbox();
    for arguments in [&["catalogue", "ls"][..], &["catalogue", "ls", "--output", "json"]] {
        assert_eq!(run(&sandbox, arguments, closed(), Stdio::null()).code(), Some(0));
        let output = sandbox.command().args(arguments).stdout(full()).output().unwrap();
        let output_text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(4), "{output_text}");
        assert!(output_text.contains("No space left on device"), "{output_text}");
    }
    for arguments in COMMANDS {
        let output = sandbox.command().args(*arguments).stdout(full()).output().unwrap();
        let output_text = String::from_utf8_lossy(&output.stderr);
        assert!(!output_text.contains("panicked"), "{arguments:?}: {output_text}");
        let both = run(&sandbox, arguments, full().into(), full().into());
        assert!(both.code().is_some_and(|code| code < 100), "{arguments:?}: {both}");
    }
}
