//! A template with every customizer of Windows, from the first boot to the sealed image.

use e2e::{Done, InImage, fresh, rig, text};
use serde_json::{Value, json};

use super::{build, elevated, how, power_shell, windows};

const BOOT: &str = "/proc/sys/kernel/random/boot_id";

/// The steps up to the last one, each of which fails unless the ones before have worked.
fn steps() -> Vec<Value> {
    let other_boot = format!("#!rig sh ! cmp -s {BOOT} boot.txt");
    vec![
        power_shell(&[
            &fresh(),
            "Write-Output \"plain as $(whoami)\"",
            "Set-Content C:\\rig-updates.txt 'KB5000001|KB5000002 Preview'",
            &format!("#!rig sh cat {BOOT} > boot.txt"),
        ]),
        json!({ "type": "WindowsRestart", "restartCheckCommand": "echo it is back", "restartTimeout": "10m" }),
        elevated(&[&other_boot, "Write-Output \"elevated as $(whoami)\""]),
        json!({ "type": "PowerShell", "runElevated": true, "runAsSystem": true, "validExitCodes": [0, 3010],
            "inline": ["Write-Output \"system as $(whoami)\"", "exit 3010"] }),
        json!({ "type": "WindowsUpdate", "searchCriteria": "IsInstalled=0", "updateLimit": 20,
            "filters": ["exclude:$_.Title -like '*Preview*'", "include:$true"] }),
        json!({ "type": "File", "sourceUri": "made.txt", "destination": "C:\\made.txt" }),
    ]
}

/// The template with this line in its last step.
fn template(steps: &[Value], last: &str) -> Value {
    let last = power_shell(&["if (-not (Test-Path C:\\made.txt)) { exit 3 }", last]);
    windows(&json!([steps, &[last]].concat()))
}

fn validated(mut body: Value) -> Value {
    body["properties"]["validate"] = json!({ "inVMValidations": [
        { "type": "PowerShell", "inline": [
            "if ((Get-Content C:\\made.txt) -ne 'forged') { exit 4 }",
            "if (Test-Path C:\\DeprovisioningScript.ps1) { exit 5 }",
            "Write-Output valid" ] }
    ]});
    body
}

fn says(done: &Done, line: &str) -> bool {
    done.events().iter().any(|event| event["kind"] == "stepOutput" && event["text"] == line)
}

// conformance: 56, 62, 63
#[test]
fn template_with_every_customizer_builds_and_resumes_before_its_last_step() {
    let lab = rig::lab();
    lab.write("made.txt", "forged\r\n");
    let steps = steps();
    let built = build(&lab, &validated(template(&steps, "Write-Output first"))).ok();
    for line in [
        "plain as rig\\goldsmith",
        "it is back",
        "elevated as rig\\goldsmith",
        "system as nt authority\\system",
        "valid",
    ] {
        assert!(says(&built, line), "no {line:?} in {}", built.stdout);
    }
    assert!(built.stdout.contains("KB5000001"), "{}", built.stdout);
    assert!(!built.stdout.contains("KB5000002"), "it is excluded: {}", built.stdout);
    let result = built.event("result");
    let images = lab.run(&["image", "ls"]).ok().event("images");
    assert!(images.to_string().contains("\"osType\":\"Windows\""), "{images}");
    image_is_as_new(&text(&result["outputs"][0]["path"]));

    // Of an edited last step, nothing else runs again, and the guest goes on where it was.
    let edited = build(&lab, &template(&steps, "Write-Output second")).ok();
    let ran: Vec<_> = edited.steps().into_iter().filter(|(_, how)| how != "cached").collect();
    assert!(says(&edited, "second"), "{}", edited.stdout);
    for step in 0..6 {
        assert_eq!(how(&edited, &format!("customize[{step}]")), "cached", "{ran:?}");
    }
    assert_eq!(how(&edited, "customize[6]"), "done", "{ran:?}");
    assert!(resumed(&edited), "{}", edited.stdout);
}

/// Whether the machine was resumed from its RAM.
fn resumed(done: &Done) -> bool {
    let started = done
        .events()
        .into_iter()
        .find(|event| event["kind"] == "stepStarted" && event["step"] == "start");
    started.is_some_and(|event| event["title"] == "resume")
}

/// The image has what the steps made, and nothing of the build.
fn image_is_as_new(disk: &str) {
    let image = InImage::open(disk.as_ref(), "qcow2");
    assert_eq!(image.read("/c/made.txt"), "forged\r\n");
    let journal = image.read("/var/lib/rig/journal");
    let acts: Vec<Value> =
        journal.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let count = |what: &str| acts.iter().filter(|act| act["what"] == what).count();
    assert_eq!((count("specialize"), count("generalized")), (1, 1), "{journal}");
    // After setup, the template's restart, and the updates.
    assert_eq!((count("boot"), count("updates")), (3, 1), "{journal}");
    let names = [
        ("/var/lib/rig", "state.json"),
        ("/var/lib/rig", "certificate"),
        ("/c", "DeprovisioningScript.ps1"),
    ];
    for (folder, name) in names {
        assert!(!image.list(folder).contains(&name.to_owned()), "{folder}/{name} is left");
    }
    assert_eq!(image.list("/c/Windows/Temp"), Vec::<String>::new());
    assert_eq!(image.list("/c/Users"), Vec::<String>::new());
}
