//! Validators on machines that boot the finished image or the source.

use std::time::Duration;

use e2e::{Done, InImage, Lab, fresh, running_machines, template, text};
use rustix::process::Signal;
use serde_json::{Value, json};

/// Writes a file to check, and the identity of the build machine.
fn customize() -> Value {
    json!([{ "type": "Shell", "inline": [
        fresh(),
        "echo forged | sudo tee /etc/made > /dev/null",
        "sudo cp /etc/machine-id /etc/made-by",
        "sudo ssh-keygen -y -f /run/goldsmith/host_key | sudo tee /etc/made-with",
        "echo mine > ~/leftover"
    ]}])
}

fn build(lab: &Lab, customize: &Value, validate: &Value, more: &[&str]) -> Done {
    let mut body: Value = serde_json::from_str(&template(customize)).unwrap();
    body["properties"]["validate"] = validate.clone();
    let file = lab.write("a.json", body.to_string());
    let arguments: Vec<&str> =
        ["build", file.to_str().unwrap()].into_iter().chain(more.to_vec()).collect();
    lab.run(&arguments)
}

fn images(lab: &Lab) -> usize {
    let listed = lab.run(&["image", "ls"]).ok().event("images");
    listed["images"].as_array().map_or(0, Vec::len)
}

fn how(done: &Done, step: &str) -> String {
    done.steps()
        .iter()
        .find(|(name, _)| name == step)
        .map(|(_, how)| how.clone())
        .unwrap_or_default()
}

// conformance: 68, 69, 70, 105
#[test]
fn validators_run_on_another_machine_with_the_same_image() {
    let lab = Lab::new();
    let customize = customize();
    lab.write("expected", "forged\n");
    let good = json!([
        { "type": "File", "sourceUri": "expected", "destination": "/tmp/expected" },
        { "type": "Shell", "name": "another machine", "inline": [
            "cmp /tmp/expected /etc/made",
            "test -s /etc/made-by",
            "if cmp -s /etc/machine-id /etc/made-by; then echo the same machine; exit 8; fi",
            "test -s /etc/made-with",
            "sudo ssh-keygen -y -f /run/goldsmith/host_key > ~/key",
            "test -s ~/key",
            "if cmp -s ~/key /etc/made-with; then echo the same key; exit 9; fi",
            // Cloud-init has run, as on any machine of the image.
            "test -s /etc/ssh/ssh_host_ed25519_key.pub",
            "test ! -e ~/leftover",
            "systemctl is-system-running > ~/state || true", "cat ~/state",
            "sudo touch /validated"
        ]},
        { "type": "Shell", "inline": ["test -e /validated && echo seen by the second"] }
    ]);

    let mut bad = good.clone();
    bad.as_array_mut().unwrap().push(
        json!({ "type": "Shell", "name": "never good", "inline": ["echo almost", "exit 3"] }),
    );
    let failed =
        build(&lab, &customize, &json!({ "inVMValidations": bad }), &["--on-error", "keep"]);
    assert_eq!(failed.code, 5, "{}\n{}", failed.stdout, failed.stderr);
    let error = failed.event("error");
    assert_eq!(
        (&error["code"], &error["step"]),
        (&json!("ValidatorFailed"), &json!("validate[3]"))
    );
    assert!(failed.stdout.contains("seen by the second"), "{}", failed.stdout);
    assert_eq!(images(&lab), 0, "nothing is distributed");
    let run = text(&failed.event("runStarted")["runId"]);
    let log =
        std::fs::read_to_string(lab.cache().join(format!("logs/{run}/validation.log"))).unwrap();
    assert!(log.contains("[validate[3]] OUT almost\n"), "{log}");
    // The retained machine accepts logins, and is not the build machine.
    let inside = lab.run(&["shell", &run, "--", "ls", "/validated", "/etc/made"]).ok();
    assert_eq!(inside.stdout.lines().count(), 2, "{}", inside.stdout);
    lab.run(&["ledger", "release", &run]).ok();
    lab.assert_clean();

    let passed = build(&lab, &customize, &json!({ "inVMValidations": good }), &[]).ok();
    assert_eq!(how(&passed, "customize[0]"), "cached", "the image is the same");
    assert_eq!(how(&passed, "validate[2]"), "done", "{}", passed.stdout);
    assert_eq!(images(&lab), 1);
    let disk = text(&passed.event("result")["outputs"][0]["path"]);
    let image = InImage::open(disk.as_ref(), "qcow2");
    assert!(image.list("/etc").contains(&"made".to_owned()));
    assert!(!image.list("/").contains(&"validated".to_owned()), "validators leave no trace");
    let again = build(&lab, &customize, &json!({ "inVMValidations": good }), &[]).ok();
    for step in ["validate[0]", "validate[1]", "validate[2]"] {
        assert_eq!(how(&again, step), "cached", "{}", again.stdout);
    }
    assert_eq!(how(&again, "fork"), "", "no machine was started: {}", again.stdout);
    lab.assert_clean();
}

// conformance: 71, 105
#[test]
fn source_only_validation_retains_the_machine_on_request() {
    let lab = Lab::new();
    let customize = json!([{ "type": "Shell", "inline": ["exit 1"] }]);
    let validate = |script: Value| {
        json!({ "sourceValidationOnly": true,
            "inVMValidations": [{ "type": "Shell", "inline": script }] })
    };
    let passed =
        build(&lab, &customize, &validate(json!([fresh(), ". /etc/os-release", "echo $ID"])), &[])
            .ok();
    assert!(passed.stdout.contains("\"debian\""), "{}", passed.stdout);
    let result = passed.event("result");
    assert_eq!((&result["sourceValidationOnly"], &result["outputs"]), (&json!(true), &json!([])));
    assert_eq!(images(&lab), 0);

    let mut body: Value = serde_json::from_str(&template(&customize)).unwrap();
    body["properties"]["validate"] = validate(json!([fresh(), "echo $$ > ~/evidence", "exit 3"]));
    body["properties"]["errorHandling"] = json!({ "onValidationError": "abort" });
    let file = lab.write("b.json", body.to_string());
    let failed = lab.run(&["build", file.to_str().unwrap(), "--keep-for", "5m"]);
    assert_eq!(failed.code, 5, "{}", failed.stderr);
    assert_eq!(running_machines(lab.cache()).len(), 1);
    lab.run(&["shell", "--", "test", "-s", "evidence"]).ok();
    let run = text(&failed.event("runStarted")["runId"]);
    lab.run(&["ledger", "release", &run]).ok();
    lab.assert_clean();
}

#[test]
fn hanging_validator_ends_with_ctrl_c_and_its_machine_after_kill_9() {
    let lab = Lab::new();
    let mut body: Value = serde_json::from_str(&template(&json!([]))).unwrap();
    body["properties"]["validate"] = json!({ "sourceValidationOnly": true,
        "inVMValidations": [{ "type": "Shell", "inline": [fresh(), "echo asleep", "sleep 600"] }] });
    let file = lab.write("a.json", body.to_string());
    for signal in [Signal::INT, Signal::KILL] {
        let mut running = lab.start(&["build", file.to_str().unwrap()]);
        running.wait_for_output("asleep");
        running.signal(signal);
        let done = running.end_within(Duration::from_secs(10));
        if signal == Signal::KILL {
            assert_eq!(running_machines(lab.cache()).len(), 1, "it outlives goldsmith");
            lab.run(&["cache", "ls"]).ok();
        } else {
            assert_eq!(done.code, 130, "{}", done.stderr);
        }
        lab.assert_clean();
    }
}
