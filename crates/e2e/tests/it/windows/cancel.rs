//! Ctrl-C and kill -9 in each phase of a build of Windows.

use std::time::Duration;

use e2e::{Lab, Running, fresh, rig, running_machines, wait_for};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::{elevated, power_shell, windows, write};

const SOON: Duration = Duration::from_secs(10);
const SLEEP: [&str; 2] = ["Write-Output asleep", "Start-Sleep 600"];

fn start(lab: &Lab, body: &Value) -> Running {
    lab.start(&["build", &write(lab, body)])
}

fn ends_clean(lab: &Lab, phase: &str, running: Running) {
    running.signal(Signal::INT);
    let done = running.end_within(SOON);
    assert_eq!(done.code, 130, "{phase}: {}", done.stderr);
    assert_eq!(done.event("error")["code"], "Canceled", "{phase}");
    lab.assert_clean();
}

#[test]
fn first_boot_of_windows_is_canceled_within_10_s() {
    let lab = rig::lab();
    // Another size needs another machine, which boots instead of resuming.
    let mut body = windows(&json!([]));
    body["properties"]["vmProfile"]["vmSize"] = json!("Standard_B1ms");
    let mut running = start(&lab, &body);
    running.wait_for_step("boot");
    wait_for("the machine", Duration::from_secs(60), || !running_machines(lab.cache()).is_empty());
    ends_clean(&lab, "boot", running);
}

#[test]
fn scripts_of_windows_are_canceled_within_10_s() {
    let lab = rig::lab();
    for script in [power_shell, elevated] {
        let mut running = start(&lab, &windows(&json!([script(&[&fresh(), SLEEP[0], SLEEP[1]])])));
        running.wait_for_output("asleep");
        ends_clean(&lab, "script", running);
    }
}

#[test]
fn resume_and_generalization_of_windows_are_canceled_within_10_s() {
    let lab = rig::lab();
    for step in ["start", "generalize"] {
        let mut running = start(&lab, &windows(&json!([power_shell(&[&fresh()])])));
        running.wait_for_step(step);
        ends_clean(&lab, step, running);
    }
}

#[test]
fn restart_and_updates_of_windows_are_canceled_within_10_s() {
    let lab = rig::lab();
    let restart = json!([power_shell(&[&fresh()]), { "type": "WindowsRestart" }]);
    let mut running = start(&lab, &windows(&restart));
    let run = running.wait_for("the run", |event| event["kind"] == "runStarted");
    let run = e2e::text(&run["runId"]);
    running.wait_for_step("customize[1]");
    // The firmware writes to the console when the machine has been reset.
    let folder = lab.cache().join("runs");
    wait_for("the reset", Duration::from_secs(120), || {
        console_of(&folder, &run).contains("BdsDxe")
    });
    ends_clean(&lab, "restart", running);

    let rounds = "Set-Content C:\\rig-updates.txt 'KB5000003 slow'";
    let update = json!([power_shell(&[&fresh(), rounds]), { "type": "WindowsUpdate" }]);
    let mut running = start(&lab, &windows(&update));
    running.wait_for("the update", |event| {
        event["kind"] == "stepOutput" && e2e::text(&event["text"]).contains("KB5000003")
    });
    ends_clean(&lab, "update", running);
}

/// What a run's machine has written to its consoles.
fn console_of(folder: &std::path::Path, run: &str) -> String {
    let mut written = String::new();
    for entry in std::fs::read_dir(folder.join(run)).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().ends_with(".log") {
            written += &String::from_utf8_lossy(&std::fs::read(entry.path()).unwrap_or_default());
        }
    }
    written
}

#[test]
fn uploads_to_windows_are_canceled_within_10_s() {
    let lab = rig::lab();
    // Over the connection, and by a CD.
    for mib in [30, 400] {
        let file = std::fs::File::create(lab.path().join("large")).unwrap();
        file.set_len(mib << 20).unwrap();
        let upload = json!([power_shell(&[&fresh()]),
            { "type": "File", "sourceUri": "large", "destination": "C:\\large" }]);
        let mut running = start(&lab, &windows(&upload));
        running.wait_for_step("customize[1]");
        ends_clean(&lab, "upload", running);
    }
}

#[test]
fn next_command_cleans_up_after_kill_9_in_an_elevated_script() {
    let lab = rig::lab();
    let mut running = start(&lab, &windows(&json!([elevated(&[&fresh(), SLEEP[0], SLEEP[1]])])));
    running.wait_for_output("asleep");
    running.signal(Signal::KILL);
    running.end();
    assert!(!running_machines(lab.cache()).is_empty(), "the machine outlives goldsmith");
    let held = std::fs::read_dir(lab.data().join("ledger")).unwrap().count();
    assert_eq!(held, 1, "and it is in the ledger");

    lab.run(&["doctor"]);
    lab.assert_clean();
}
