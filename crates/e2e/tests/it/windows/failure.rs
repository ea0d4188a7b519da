//! Steps that fail in Windows say why.

use e2e::{fresh, rig, text};
use serde_json::json;

use super::{elevated, failed, power_shell, told, windows, write};

#[test]
fn scripts_that_fail_show_their_exit_code_and_last_lines() {
    let lab = rig::lab();
    let denied =
        failed(&lab, &json!([power_shell(&[&fresh(), "Write-Output almost", "exit 2147942405"])]));
    assert_eq!(denied["code"], "CustomizerFailed", "{denied}");
    assert!(told(&denied).contains("0x80070005"), "{denied}");
    assert!(told(&denied).contains("almost"), "{denied}");

    let thrown = failed(&lab, &json!([elevated(&[&fresh(), "throw 'it went wrong'"])]));
    assert!(told(&thrown).contains("it went wrong"), "{thrown}");

    let script =
        json!({ "type": "PowerShell", "inline": [fresh(), "exit 0"], "validExitCodes": [3010] });
    let valid = failed(&lab, &json!([script]));
    assert!(told(&valid).contains("validExitCodes"), "{valid}");

    let unreadable = failed(&lab, &json!([power_shell(&[&fresh(), "if ($true) {"])]));
    assert!(told(&unreadable).contains("Missing closing"), "{unreadable}");
}

#[test]
fn file_into_missing_folder_of_windows_fails() {
    let lab = rig::lab();
    lab.write("f", "content");
    let file = json!({ "type": "File", "sourceUri": "f", "destination": "C:\\nowhere\\f" });
    let error = failed(&lab, &json!([power_shell(&[&fresh()]), file]));
    assert_eq!(error["target"], "properties.customize[1]");
    assert!(told(&error).contains("C:\\nowhere\\f"), "{error}");
}

#[test]
fn retained_windows_takes_commands_until_released() {
    let lab = rig::lab();
    let file = write(&lab, &windows(&json!([power_shell(&[&fresh(), "exit 1"])])));
    let done = lab.run(&["build", &file, "--on-error", "keep"]);
    assert_eq!(done.code, 5, "{}", done.stderr);
    let run = text(&done.event("runStarted")["runId"]);
    let said = lab.run(&["shell", &run, "--", "echo", "still", "here"]).ok();
    assert_eq!(said.stdout.trim(), "still here");
    assert_eq!(lab.run(&["shell", &run, "--", "exit 7"]).code, 7);
    lab.run(&["ledger", "release", &run]).ok();
    lab.assert_clean();
}
