//! `--on-error keep` and `goldsmith shell`.

use e2e::{Lab, fresh, running_machines, template, text};
use serde_json::json;

#[test]
fn a_failed_build_can_be_entered_and_let_go() {
    let lab = Lab::new();
    let customize =
        json!([{ "type": "Shell", "inline": [fresh(), "echo found > ~/evidence", "exit 1"] }]);
    let file = lab.write("a.json", template(&customize));
    let done = lab.run(&["build", file.to_str().unwrap(), "--on-error", "keep"]);
    assert_eq!(done.code, 5, "{}", done.stderr);
    let run = text(&done.event("runStarted")["runId"]);
    assert!(text(&done.event("error")["hint"]).contains(&format!("goldsmith shell {run}")));

    // Any further command leaves it alone.
    let held = lab.run(&["ledger", "ls"]).ok().event("ledger");
    assert!(
        held["rows"].as_array().unwrap().iter().all(|row| row["keepUntil"].is_string()),
        "{held}"
    );
    let inside = lab.run(&["shell", &run[..20], "--", "cat", "evidence"]).ok();
    assert_eq!(inside.stdout.trim(), "found");
    assert_eq!(running_machines(lab.data().parent().unwrap()).len(), 0);

    lab.run(&["ledger", "release", &run]).ok();
    lab.assert_clean();
    let gone = lab.run(&["shell"]);
    assert_eq!(gone.code, 3);
    assert_eq!(gone.event("error")["code"], "NotFound");
}

#[test]
fn a_kept_machine_ends_when_its_time_is_over() {
    let lab = Lab::new();
    let customize = json!([{ "type": "Shell", "inline": [fresh(), "exit 1"] }]);
    let file = lab.write("a.json", template(&customize));
    let arguments = ["build", file.to_str().unwrap(), "--on-error", "keep", "--keep-for", "0s"];
    assert_eq!(lab.run(&arguments).code, 5);
    lab.run(&["cache", "ls"]).ok();
    lab.assert_clean();
}
