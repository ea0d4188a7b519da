//! The service on real machines: a complete run, a canceled run, and a run whose server is killed.

use std::time::{Duration, Instant};

use e2e::{Lab, Service, fresh, running_machines, text, wait_for};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(10);
const BUILD: Duration = Duration::from_secs(600);

fn outcome(steps: &[(String, String)], step: &str) -> String {
    steps.iter().find(|(name, _)| name == step).map(|(_, how)| how.clone()).unwrap_or_default()
}

fn staging_of(service: &Service, template: &str) -> String {
    let template = service.get(&service.template_id(template));
    text(&template["properties"]["exactStagingResourceGroup"])
}

/// The machines in a staging group.
fn machines(service: &Service, staging: &str) -> Vec<Value> {
    let list = service.get(&format!("{staging}/providers/Microsoft.Compute/virtualMachines"));
    list["value"].as_array().expect("a list").clone()
}

// conformance: 94, 103, 118
#[test]
fn run_creates_an_image_and_a_version() {
    let service = Service::start(Lab::new());
    let customize =
        json!([{ "type": "Shell", "name": "hello", "inline": [fresh(), "echo hello", "whoami"] }]);
    let template = service.put_template("web", &customize);
    let exact = text(&template["properties"]["source"]["exactVersion"]);
    assert!(exact.starts_with("12."), "{template}");

    let first = service.run(&["run", "start", "forge/web"]).ok();
    assert_eq!(outcome(&first.steps(), "customize[0]"), "done", "{}", first.stdout);
    let id = service.template_id("web");
    let status = service.get(&id)["properties"]["lastRunStatus"].clone();
    assert_eq!(status["runState"], "Succeeded", "{status}");
    let log = service.run(&["run", "logs", "forge/web"]).ok();
    for line in ["hello", "goldsmith"] {
        assert!(log.stdout.contains(line), "{line} in {}", log.stdout);
    }

    let outputs = service.get(&format!("{id}/runOutputs"))["value"].clone();
    let outputs = outputs.as_array().expect("a list").clone();
    assert_eq!(outputs.len(), 2, "{outputs:?}");
    for output in &outputs {
        let artifact = service.get(&text(&output["properties"]["artifactId"]));
        assert_eq!(artifact["properties"]["provisioningState"], "Succeeded", "{artifact}");
    }
    service.get(&service.id("/providers/Microsoft.Compute/images/web"));

    // Without the tag for the cache, customizers run again; only the first boot is cached.
    let second = service.run(&["run", "start", "forge/web"]).ok();
    assert_eq!(outcome(&second.steps(), "customize[0]"), "done", "{}", second.stdout);
    assert_eq!(outcome(&second.steps(), "boot"), "cached", "{}", second.stdout);
    let runs = service.run(&["run", "ls", "forge/web"]).ok();
    assert_eq!(runs.event("runs")["value"].as_array().map(Vec::len), Some(2), "{}", runs.stdout);
    let versions = service
        .get(&service.id("/providers/Microsoft.Compute/galleries/gallery/images/web/versions"));
    assert_eq!(versions["value"].as_array().map(Vec::len), Some(2), "{versions}");

    service.delete(&id);
    service.get(&service.id("/providers/Microsoft.Compute/images/web"));
    service.lab().assert_clean();
}

// conformance: 96, 136, 138
#[test]
fn canceled_run_ends_within_10_s_and_leaves_no_machine() {
    let service = Service::start(Lab::new());
    let customize = json!([{ "type": "Shell", "inline": [fresh(), "echo asleep", "sleep 600"] }]);
    service.put_template("sleeper", &customize);
    let staging = staging_of(&service, "sleeper");
    assert_eq!(machines(&service, &staging), Vec::<Value>::new());
    let mut run = service.follow(&["run", "start", "forge/sleeper"]);
    run.wait_for_output("asleep");
    let shown = machines(&service, &staging);
    assert_eq!(shown.len(), 1, "{shown:?}");
    let hardware = &shown[0]["properties"]["hardwareProfile"];
    assert_eq!(hardware["vmSize"], "Standard_B2ts_v2", "{hardware}");
    assert_eq!(hardware["vmSizeProperties"]["vCPUsAvailable"], 2, "{hardware}");
    let requested = Instant::now();
    service.run(&["run", "cancel", "forge/sleeper"]).ok();
    let done = run.end_within(SOON);
    assert_eq!(done.code, 130, "{}\n{}", done.stdout, done.stderr);
    assert_eq!(done.event("error")["code"], "Canceled");
    let id = service.template_id("sleeper");
    let status = service.get(&id)["properties"]["lastRunStatus"].clone();
    assert_eq!(status["runState"], "Canceled", "{status}");
    assert!(requested.elapsed() < SOON, "{:?}", requested.elapsed());
    assert_eq!(machines(&service, &staging), Vec::<Value>::new());
    service.lab().assert_clean();
    service.delete(&id);
}

// conformance: 137
#[test]
fn run_of_a_killed_server_is_recovered_and_no_machine_is_orphaned() {
    let mut service = Service::start(Lab::new());
    // Long enough to kill the server meanwhile, short enough to repeat.
    let customize = json!([{ "type": "Shell", "inline": [fresh(), "echo begun", "sleep 8"] }]);
    service.put_template("phoenix", &customize);
    let mut run = service.follow(&["run", "start", "forge/phoenix"]);
    run.wait_for_output("begun");
    let before = running_machines(service.lab().cache());
    assert_eq!(before.len(), 1, "{before:?}");
    service.kill();
    service.start_again();
    let now = running_machines(service.lab().cache());
    assert!(!now.contains(&before[0]), "the machine of the killed server still runs: {now:?}");

    let id = service.template_id("phoenix");
    let mut status = json!(null);
    wait_for("the end of the run", BUILD, || {
        status = service.get(&id)["properties"]["lastRunStatus"].clone();
        status["runState"] != "Running"
    });
    assert_eq!(status["runState"], "Succeeded", "{status}");
    assert_eq!(machines(&service, &staging_of(&service, "phoenix")), Vec::<Value>::new());
    // The client has resumed the stream.
    let done = run.end_within(SOON);
    assert_eq!(done.code, 0, "{}\n{}", done.stdout, done.stderr);
    service.delete(&id);
    service.lab().assert_clean();
}
