//! Commands that do not start machines.

use std::{io::Write, process::Stdio};

use serde_json::{Value, json};

use crate::{Sandbox, stderr, stdout};

#[test]
fn help_lists_every_command_and_usage_errors_exit_2() {
    let help = stdout(&Sandbox::new().run(&["--help"]));
    for command in
        ["build", "validate", "plan", "shell", "image", "catalogue", "cache", "ledger", "doctor"]
    {
        assert!(help.contains(command), "{command} in\n{help}");
    }
    let sandbox = Sandbox::new();
    for wrong in [
        &["build"][..],
        &["build", "t.json", "--max-age", "soon"],
        &["build", "t.json", "--export", "iso=x"],
        &["image", "boot", "x", "--publish", "80"],
        &["forge"],
    ] {
        assert_eq!(sandbox.run(wrong).status.code(), Some(2), "{wrong:?}");
    }
}

#[test]
fn empty_installation_lists_nothing_with_hints() {
    let sandbox = Sandbox::new();
    assert!(stdout(&sandbox.run(&["image", "ls"])).contains("goldsmith build"));
    assert!(stdout(&sandbox.run(&["ledger", "ls"])).contains("no resources are held"));
    assert!(stdout(&sandbox.run(&["cache", "ls"])).contains("no nodes"));
    assert_eq!(sandbox.run(&["cache", "prune", "--all"]).status.code(), Some(0));
    let gone = sandbox.run(&["image", "show", "web"]);
    assert_eq!(gone.status.code(), Some(3));
    assert!(stderr(&gone).contains("NotFound"), "{}", stderr(&gone));
}

#[test]
fn shipped_catalogue_has_the_image_of_the_readme() {
    let output = Sandbox::new().run(&["--output", "json", "catalogue", "ls"]);
    let listed: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let is_it = |urn: &Value| urn.as_str().unwrap().starts_with("Debian:debian-12:12-gen2:");
    let urns = listed["images"].as_array().unwrap();
    assert!(urns.iter().any(|image| is_it(&image["urn"])), "{listed}");
}

#[test]
fn mistake_in_user_catalogue_is_reported_with_file_and_line() {
    let sandbox = Sandbox::new();
    std::fs::create_dir_all(sandbox.dir.path().join("data")).unwrap();
    sandbox.write("data/catalogue.toml", "[[image]]\npublisher = 3\n");
    let output = sandbox.run(&["catalogue", "ls"]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    assert!(stderr(&output).contains("catalogue.toml"), "{}", stderr(&output));
    assert!(stderr(&output).contains("line 2"), "{}", stderr(&output));
}

#[test]
fn doctor_reports_every_check() {
    let output = Sandbox::new().run(&["--output", "json", "doctor"]);
    let findings: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let whats: Vec<_> = findings["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| f["what"].as_str().unwrap())
        .collect();
    for what in ["qemu", "qemu-img", "KVM", "UEFI firmware", "mmdebstrap", "guests' network"] {
        assert!(whats.contains(&what), "{what} in {whats:?}");
    }
    let code = if findings["ready"] == true { 0 } else { 4 };
    assert_eq!(output.status.code(), Some(code));
    let output = Sandbox::new().run(&["--output", "json", "--accel", "tcg", "doctor"]);
    let findings: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(findings["guests"]["accel"], "tcg", "it follows the options of builds");
    assert!(findings["guests"]["cpu"].as_str().unwrap().starts_with("max"));
}

#[test]
fn doctor_does_not_believe_a_request_for_kvm() {
    let doctor = |arguments: &[&str]| -> Value {
        let arguments = [&["--output", "json"][..], arguments, &["doctor"]].concat();
        serde_json::from_str(&stdout(&Sandbox::new().run(&arguments))).unwrap()
    };
    let works = doctor(&[])["guests"]["accel"] == "kvm";
    let requested = doctor(&["--accel", "kvm"]);
    let findings = requested["findings"].as_array().unwrap();
    let kvm = findings.iter().find(|finding| finding["what"] == "KVM").unwrap();
    assert_eq!((&kvm["ok"], kvm["remedy"].is_null()), (&json!(works), works), "{kvm}");
}

/// A valid Azure template with a source of that publisher and offer.
fn template(publisher: &str, offer: &str, size: &str, customize: &Value) -> String {
    json!({
        "location": "here", "identity": { "type": "None" },
        "properties": {
            "source": {
                "type": "PlatformImage", "publisher": publisher, "offer": offer,
                "sku": "8-lvm", "version": "latest"
            },
            "vmProfile": { "vmSize": size },
            "customize": customize,
            "distribute": [{ "type": "VHD", "runOutputName": "out" }]
        }
    })
    .to_string()
}

#[test]
fn validate_notes_what_the_installation_lacks() {
    let windows = json!([{ "type": "PowerShell", "inline": ["dir"] }]);
    let linux = json!([{ "type": "Shell", "inline": ["true"] }]);
    for (publisher, offer, size, customize, notes) in [
        (
            "MicrosoftWindowsServer",
            "WindowsServer",
            "Standard_D2s_v5",
            &windows,
            &[("properties.source", "it is Windows, whose images everybody gets for themselves")][..],
        ),
        (
            "RedHat",
            "RHEL",
            "Standard_E96bds_v5",
            &linux,
            &[
                ("properties.source", "almalinux:almalinux-x86_64:8-gen1 stands for it here"),
                ("properties.vmProfile.vmSize", "has 96 vCPUs and 786432 MiB; this host gives"),
            ],
        ),
        (
            "Debian",
            "debian-12",
            "Standard_D2s_v5",
            &windows,
            &[("properties.source", "the catalogue has no image Debian:debian-12:8-lvm:latest")],
        ),
        (
            "Nobody",
            "nothing",
            "Standard_D2ps_v5",
            &linux,
            &[
                ("properties.source", "the catalogue has no image Nobody:nothing:8-lvm:latest"),
                ("properties.vmProfile.vmSize", "Arm64"),
            ],
        ),
    ] {
        let sandbox = Sandbox::new();
        sandbox.write("t.json", &template(publisher, offer, size, customize));
        let output = sandbox.run(&["--output", "json", "validate", "t.json"]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let printed = stdout(&output);
        let result = printed.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let result = result.into_iter().find(|value| value["kind"] == "result").unwrap();
        let found = result["notes"].as_array().unwrap();
        for (target, says) in notes {
            let is_it = |note: &&Value| {
                note["target"] == *target && note["message"].as_str().unwrap().contains(says)
            };
            assert!(found.iter().any(|note| is_it(&note)), "{target}: {says} in {found:?}");
        }
        let plain = sandbox.run(&["validate", "t.json"]);
        assert_eq!(plain.status.code(), Some(0), "{}", stderr(&plain));
        assert!(stdout(&plain).contains("is valid"), "{}", stdout(&plain));
        for (_, says) in notes {
            assert!(stdout(&plain).contains(says), "{says} in {}", stdout(&plain));
        }
    }
}

#[test]
fn validate_rejects_a_size_unknown_to_azure() {
    let sandbox = Sandbox::new();
    let text = template("Debian", "debian-12", "Standard_D2s_v33", &json!([]));
    sandbox.write("t.json", &text);
    let output = sandbox.run(&["validate", "t.json"]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    assert!(stderr(&output).contains("not a VM size of Azure"), "{}", stderr(&output));
}

#[test]
fn timings_file_is_created_before_the_build() {
    let sandbox = Sandbox::new();
    sandbox.write("t.json", &template("Nobody", "nothing", "", &json!([])));
    let output = sandbox.run(&["build", "t.json", "--timings=missing/trace.json"]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    assert!(stderr(&output).contains("cannot create missing/trace.json"), "{}", stderr(&output));
    // A build that fails at once leaves an empty trace, and no waterfall.
    let output = sandbox.run(&["--output", "json", "build", "t.json", "--timings=trace.json"]);
    assert_ne!(output.status.code(), Some(0));
    for line in stdout(&output).lines() {
        serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    }
    let trace = std::fs::read_to_string(sandbox.dir.path().join("trace.json")).unwrap();
    let trace: Value = serde_json::from_str(&trace).unwrap();
    assert_eq!(trace["displayTimeUnit"], "ms");
    assert!(!stderr(&output).contains("TIMINGS"), "{}", stderr(&output));
}

#[test]
fn dash_means_standard_input() {
    let sandbox = Sandbox::new();
    let text = template("Debian", "debian-12", "", &json!([{ "type": "Shel" }]));
    let mut child = sandbox
        .command()
        .args(["--output", "json", "validate", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(stdout(&output).contains("BadCustomizerType"), "{}", stdout(&output));
}

const OWN_WINDOWS: &str = r#"
[[image]]
publisher = "MicrosoftWindowsServer"
offer = "WindowsServer"
sku = "2022-datacenter-g2"
generation = 2
os-type = "Windows"

[[image.file]]
version = "1.0.0"
path = "windows.vhd"
format = "vhd"
"#;

#[test]
fn own_windows_image_is_listed_with_its_system_and_steps_are_checked_against_it() {
    let sandbox = Sandbox::new();
    std::fs::create_dir_all(sandbox.dir.path().join("data")).unwrap();
    sandbox.write("data/catalogue.toml", OWN_WINDOWS);
    let listed = sandbox.run(&["catalogue", "ls"]);
    let line = "MicrosoftWindowsServer:WindowsServer:2022-datacenter-g2:1.0.0  Windows  2";
    assert!(stdout(&listed).contains(line), "{}", stdout(&listed));

    let customize = json!([
        { "type": "PowerShell", "inline": ["dir"], "runElevated": true },
        { "type": "WindowsRestart" },
        { "type": "WindowsUpdate" },
        { "type": "File", "sourceUri": "https://example.com/a.zip", "destination": "c:\\a.zip" },
        { "type": "Shell", "inline": ["true"] }
    ]);
    let mut value: Value = serde_json::from_str(&template(
        "MicrosoftWindowsServer",
        "WindowsServer",
        "Standard_D2s_v5",
        &customize,
    ))
    .unwrap();
    value["properties"]["source"]["sku"] = json!("2022-datacenter-g2");
    value["properties"]["optimize"] = json!({ "vmBoot": { "state": "Enabled" } });
    sandbox.write("t.json", &value.to_string());
    let output = sandbox.run(&["--output", "json", "validate", "t.json"]);
    let result = stdout(&output).lines().find_map(|line| {
        serde_json::from_str::<Value>(line).ok().filter(|value| value["kind"] == "result")
    });
    let notes = result.unwrap()["notes"].clone();
    let found = notes.as_array().unwrap();
    let misfits: Vec<_> = found
        .iter()
        .filter(|note| note["message"].as_str().unwrap().contains("the source is Windows"))
        .map(|note| note["target"].as_str().unwrap())
        .collect();
    assert_eq!(misfits, ["properties.customize[4]"], "{notes}");
}

#[test]
fn import_refuses_a_way_in_that_does_not_fit_the_system() {
    let sandbox = Sandbox::new();
    sandbox.write("disk.raw", "");
    for (words, says) in [
        (&["--first-contact", "unattend"][..], "is for images of Windows, not of Linux"),
        (&["--os", "windows", "--first-contact", "specialized"], "needs a login"),
        (&["--os", "Windows", "--first-contact", "telepathy"], "is not one of `credentials`"),
        (&["--login", "login.txt"], "is for images of Windows"),
    ] {
        let all = [&["image", "import", "mine", "disk.raw"][..], words].concat();
        let output = sandbox.run(&all);
        assert_eq!(output.status.code(), Some(3), "{words:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(says), "{says}: {}", stderr(&output));
    }
}
