//! `--on-error keep` and `goldsmith shell`.

use e2e::{Lab, fresh, running_machines, template, text};
use serde_json::json;

#[test]
fn retained_machine_accepts_logins_until_released() {
    let lab = Lab::new();
    let customize =
        json!([{ "type": "Shell", "inline": [fresh(), "echo found > ~/evidence", "exit 1"] }]);
    let file = lab.write("a.json", template(&customize));
    let done = lab.run(&["build", file.to_str().unwrap(), "--on-error", "keep"]);
    assert_eq!(done.code, 5, "{}", done.stderr);
    let run = text(&done.event("runStarted")["runId"]);
    assert!(text(&done.event("error")["hint"]).contains(&format!("goldsmith shell {run}")));

    // Other commands do not touch the retained machine.
    let ledger = lab.run(&["ledger", "ls"]).ok().event("ledger");
    assert!(
        ledger["rows"].as_array().unwrap().iter().all(|row| row["keepUntil"].is_string()),
        "{ledger}"
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
fn retained_machine_ends_after_its_time() {
    let lab = Lab::new();
    let customize = json!([{ "type": "Shell", "inline": [fresh(), "exit 1"] }]);
    let file = lab.write("a.json", template(&customize));
    let arguments = ["build", file.to_str().unwrap(), "--on-error", "keep", "--keep-for", "0s"];
    assert_eq!(lab.run(&arguments).code, 5);
    lab.run(&["cache", "ls"]).ok();
    lab.assert_clean();
}
