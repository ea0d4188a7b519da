//! Faults of Windows that take a restart or a time-out to be seen: `make test-windows`.

use e2e::{fresh, rig};
use serde_json::json;

use super::windows::{elevated, failed, power_shell, told};

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
