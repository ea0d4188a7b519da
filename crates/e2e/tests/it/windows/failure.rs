//! Steps that fail in Windows say why.

use e2e::{fresh, rig};
use serde_json::json;

use super::{elevated, failed, power_shell, told};

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
