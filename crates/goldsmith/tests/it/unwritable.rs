//! Standard output and standard error that cannot be written: no panic, and an exit code that tells.

use std::{
    fs::{File, OpenOptions},
    io::pipe,
    process::{ExitStatus, Stdio},
};

use crate::Place;

/// Its commands fail in these ways, whatever they print: 4 is also that of a host without KVM or tools.
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

fn place() -> Place {
    let place = Place::new();
    place.write("good.json", GOOD);
    place.write("bad.json", r#"{"properties": {"source": {"type": "Nowhere"}}}"#);
    place
}

fn full() -> File {
    OpenOptions::new().write(true).open("/dev/full").unwrap()
}

/// A pipe whose reader is gone.
fn closed() -> Stdio {
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    writer.into()
}

fn run(place: &Place, arguments: &[&str], stdout: Stdio, stderr: Stdio) -> ExitStatus {
    let mut command = place.command();
    command.args(arguments).stdout(stdout).stderr(stderr).status().unwrap()
}

#[test]
fn standard_error_that_cannot_be_written_changes_no_exit_code() {
    let place = place();
    for arguments in COMMANDS {
        let wanted = run(&place, arguments, Stdio::null(), Stdio::null()).code();
        for stderr in [full().into(), closed()] {
            let found = run(&place, arguments, Stdio::null(), stderr).code();
            assert_eq!(found, wanted, "{arguments:?}");
        }
    }
}

#[test]
fn results_that_are_lost_are_told_by_the_exit_code_and_a_reader_that_is_gone_is_not() {
    let place = place();
    for arguments in [&["catalogue", "ls"][..], &["catalogue", "ls", "--output", "json"]] {
        assert_eq!(run(&place, arguments, closed(), Stdio::null()).code(), Some(0));
        let output = place.command().args(arguments).stdout(full()).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(4), "{told}");
        assert!(told.contains("No space left on device"), "{told}");
    }
    for arguments in COMMANDS {
        let output = place.command().args(*arguments).stdout(full()).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(!told.contains("panicked"), "{arguments:?}: {told}");
        let both = run(&place, arguments, full().into(), full().into());
        assert!(both.code().is_some_and(|code| code < 100), "{arguments:?}: {both}");
    }
}
