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

#[test]
fn restart_that_does_not_come_fails_in_its_time() {
    let lab = rig::lab();
    let restart =
        json!({ "type": "WindowsRestart", "restartCommand": "echo no", "restartTimeout": "20s" });
    let error = failed(&lab, &json!([power_shell(&[&fresh()]), restart]));
    assert_eq!(error["code"], "StepTimedOut", "{error}");
    assert!(told(&error).contains("the machine has not been reset"), "{error}");
}

#[test]
fn machine_with_another_certificate_is_refused() {
    let lab = rig::lab();
    let other = power_shell(&[&fresh(), "#!rig sh rm -r /var/lib/rig/certificate"]);
    let restart = json!({ "type": "WindowsRestart", "restartTimeout": "2m" });
    let error = failed(&lab, &json!([other, restart]));
    assert!(told(&error).contains("certificate"), "{error}");
}

#[test]
fn script_that_restarts_the_machine_under_itself_fails() {
    let lab = rig::lab();
    for script in [power_shell, elevated] {
        let error =
            failed(&lab, &json!([script(&[&fresh(), "Restart-Computer", "Start-Sleep 600"])]));
        assert_eq!(error["code"], "CustomizerFailed", "{error}");
        assert!(told(&error).contains("WindowsRestart"), "{error}");
    }
}

#[test]
fn deprovisioning_script_without_sysprep_fails_the_build() {
    let lab = rig::lab();
    let gone = "Set-Content C:\\DeprovisioningScript.ps1 'Write-Output nothing'";
    let error = failed(&lab, &json!([elevated(&[&fresh(), gone])]));
    assert_eq!(error["step"], "generalize", "{error}");
    assert!(told(&error).contains("IMAGE_STATE_COMPLETE"), "{error}");
}
