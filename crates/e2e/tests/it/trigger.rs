//! A trigger on real machines: a new version of the source starts a run.

use std::time::Duration;

use e2e::{Lab, Service, fresh, text, wait_for};
use serde_json::{Value, json};

const BUILD: Duration = Duration::from_secs(600);

/// A template whose source is the newest version of the tests' definition.
fn follower(service: &Service) -> Value {
    let definition = service.id("/providers/Microsoft.Compute/galleries/gallery/images/web");
    let identity =
        service.id("/providers/Microsoft.ManagedIdentity/userAssignedIdentities/builder");
    json!({
        "location": "westus2",
        "identity": { "type": "UserAssigned", "userAssignedIdentities": { identity: {} } },
        "properties": {
            "vmProfile": { "vmSize": "Standard_B2ts_v2" },
            "source": {
                "type": "SharedImageVersion", "imageVersionId": format!("{definition}/versions/latest"),
            },
            "customize": [],
            "validate": {
                "continueDistributeOnFailure": true,
                "inVMValidations": [{ "type": "Shell", "name": "picky", "inline": [
                    "echo made by run $(cat /etc/made-by-run)", "exit 4"
                ] }],
            },
            "distribute": [{
                "type": "ManagedImage", "runOutputName": "image", "location": "westus2",
                "imageId": service.id("/providers/Microsoft.Compute/images/follower"),
            }],
        },
    })
}

// conformance: 68, 121, 125
#[test]
fn new_source_version_starts_a_run_that_builds_on_it() {
    let service = Service::start(Lab::new());
    let mark = |number: u32| {
        json!([{ "type": "Shell", "inline": [
            fresh(), format!("echo {number} | sudo tee /etc/made-by-run")
        ] }])
    };
    service.put_template("first", &mark(1));
    service.run(&["run", "start", "forge/first"]).ok();

    let id = service.template_id("follower");
    service.put(&id, &follower(&service));
    let trigger = format!("{id}/triggers/source");
    service.put(&trigger, &json!({ "properties": { "kind": "SourceImage" } }));
    let status = || service.get(&id)["properties"]["lastRunStatus"].clone();
    assert_eq!(status(), Value::Null, "an existing version is not new");

    service.put_template("second", &mark(2));
    service.run(&["run", "start", "forge/second"]).ok();
    wait_for("the end of the run that the trigger begins", BUILD, || {
        !matches!(text(&status()["runState"]).as_str(), "" | "Running")
    });

    // The validator's failure fails the run, but the image is still distributed.
    let ended = status();
    assert_eq!(ended["runState"], "Failed", "{ended}");
    assert!(text(&ended["message"]).contains("picky"), "{ended}");
    let output = service.get(&format!("{id}/runOutputs/image"));
    assert_eq!(output["properties"]["provisioningState"], "Succeeded", "{output}");
    service.get(&text(&output["properties"]["artifactId"]));
    let log = service.run(&["run", "logs", "forge/follower", "--validation"]).ok();
    assert!(log.stdout.contains("made by run 2"), "{}", log.stdout);

    let runs = service.run(&["run", "ls", "forge/follower"]).ok().event("runs")["value"].clone();
    assert_eq!(runs.as_array().map(Vec::len), Some(1), "one run for one version: {runs}");
    let status = service.get(&trigger)["properties"]["status"].clone();
    assert!(text(&status["message"]).contains("Failed"), "{status}");
    service.delete(&id);
    service.lab().assert_clean();
}
