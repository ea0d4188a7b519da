//! Templates for Windows on machines as Windows gets them. Their guest is the rig (`e2e::rig`), a Linux
//! that plays Windows: machines, restarts, memory, disks and connections are real, PowerShell is not.

use e2e::{Done, Lab, rig, template, text};
use serde_json::{Value, json};

mod cancel;
mod failure;
mod forge;
mod transfer;

/// A template on the rig.
fn windows(customize: &Value) -> Value {
    let mut body: Value = serde_json::from_str(&template(customize)).unwrap();
    body["properties"]["source"] = rig::source();
    body
}

fn write(lab: &Lab, body: &Value) -> String {
    lab.write("windows.json", body.to_string()).to_str().unwrap().to_owned()
}

/// Builds a template on the rig. What the build has made is released afterwards.
fn build(lab: &Lab, body: &Value) -> Done {
    let done = lab.run(&["build", &write(lab, body)]);
    lab.assert_clean();
    done
}

/// The error of a build that fails in the guest.
pub(crate) fn failed(lab: &Lab, customize: &Value) -> Value {
    let done = build(lab, &windows(customize));
    assert_eq!(done.code, 5, "{}\n{}", done.stdout, done.stderr);
    done.event("error")
}

/// All that an error says.
pub(crate) fn told(error: &Value) -> String {
    let details = error["details"].as_array().cloned().unwrap_or_default();
    let parts = [&error["message"], &error["hint"]].into_iter().chain(&details);
    parts.map(text).collect::<Vec<_>>().join("\n")
}

pub(crate) fn power_shell(lines: &[&str]) -> Value {
    json!({ "type": "PowerShell", "inline": lines })
}

pub(crate) fn elevated(lines: &[&str]) -> Value {
    json!({ "type": "PowerShell", "runElevated": true, "inline": lines })
}

/// How a step of that name ended: `done` or `cached`.
fn how(done: &Done, step: &str) -> String {
    let steps = done.steps();
    let found = steps.iter().find(|(name, _)| name == step);
    found.map_or_else(String::new, |(_, how)| how.clone())
}
