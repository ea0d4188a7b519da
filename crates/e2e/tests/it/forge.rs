//! The results of a build, and the steps that the next build skips.

use std::{io::Write, path::Path, process::Command};

use e2e::{Done, InImage, Lab, executable, fresh, template, text, wait_for};
use serde_json::{Value, json};

/// Installs a page with a unit that serves it, and prints properties of the guest.
fn customizers(marker: &str, last: &str) -> Value {
    json!([
        { "type": "Shell", "name": "who", "inline": [
            marker, "whoami", "test \"$(id -u)\" != 0", "sudo id -u", "cd /tmp", "x=carried", "echo $x in $PWD",
            // The compiled AppArmor policy of the image has served at its first boot.
            "sudo find /var/cache/apparmor -name lsb_release | grep .",
            "test -z \"$(sudo find /var/cache/apparmor -cnewer /etc/machine-id)\"",
            // The key of the build was enough.
            "test -z \"$(ls /etc/ssh | grep ^ssh_host_.*_key$)\""
        ]},
        { "type": "File", "name": "page", "sourceUri": "page.html", "destination": "page.html" },
        { "type": "Shell", "name": "serve", "scriptUri": "serve.sh" },
        { "type": "Shell", "name": "last", "inline": [last] }
    ])
}

const SERVE: &str = "#!/bin/sh -e
sudo mkdir /srv/www
sudo mv page.html /srv/www/index.html
sudo tee /etc/systemd/system/page.service > /dev/null <<UNIT
[Service]
ExecStart=/usr/bin/python3 -m http.server --directory /srv/www 80
[Install]
WantedBy=multi-user.target
UNIT
sudo systemctl enable page.service
";

fn outcome(steps: &[(String, String)], step: &str) -> String {
    steps.iter().find(|(name, _)| name == step).map(|(_, how)| how.clone()).unwrap_or_default()
}

/// The waterfall does not disturb the events, and the trace has the steps and their waits.
fn assert_is_timed(built: &Done, trace: &Path) {
    assert!(built.stderr.contains("TIMINGS"), "{}", built.stderr);
    assert_eq!(built.events().len(), built.stdout.lines().count(), "{}", built.stdout);
    let trace: Value = serde_json::from_slice(&std::fs::read(trace).unwrap()).unwrap();
    let spans = trace["traceEvents"].as_array().unwrap().iter().filter(|event| event["ph"] == "X");
    let names: Vec<_> = spans.map(|span| text(&span["name"])).collect();
    for name in ["customize[0] who", "sync in the guest", "power off", "convert to one disk"] {
        assert!(names.iter().any(|found| found == name), "{name} in {names:?}");
    }
}

// conformance: 50, 53, 60, 67
#[test]
fn built_images_boot_without_traces_of_the_build() {
    let lab = Lab::new();
    // 3 MiB of text, to prove that a file arrives complete.
    let page: String = (0..100_000).map(|n| format!("golden {n:024}\n")).collect();
    lab.write("page.html", &page);
    lab.write("serve.sh", SERVE);
    let marker = fresh();
    let file = lab.write("web.json", template(&customizers(&marker, "echo one")));
    let file = file.to_str().unwrap();

    let exports = ["--export", "vhd=web.vhd", "--export", "qcow2=web.qcow2"];
    let built = lab.run(&[&["build", file, "--timings=trace.json"][..], &exports].concat()).ok();
    assert_is_timed(&built, &lab.path().join("trace.json"));
    lab.assert_clean();
    let printed: Vec<String> = built
        .events()
        .iter()
        .filter(|event| event["kind"] == "stepOutput")
        .map(|event| text(&event["text"]))
        .collect();
    for line in ["goldsmith", "0", "carried in /tmp"] {
        assert!(printed.iter().any(|text| text == line), "{line} in {printed:?}");
    }
    let result = built.event("result");
    assert!(text(&result["source"]).starts_with("Debian:debian-12:12-gen2:12."), "{result}");

    for (path, format) in [("web.vhd", "vpc"), ("web.qcow2", "qcow2")] {
        let path = lab.path().join(path);
        if format == "qcow2" {
            assert!(Command::new("qemu-img").arg("check").arg(&path).status().unwrap().success());
        }
        assert_no_traces_of_the_build(&InImage::open(&path, format));
    }
    assert_page_is_served(&lab, "web.vhd", &page);
    assert_page_is_served(&lab, "web", &page);

    // Without a change, no machine starts. With a changed last step, only that step runs.
    let again = lab.run(&["build", file]).ok().steps();
    assert!(again.iter().all(|(step, how)| how == "cached" || !step.starts_with("customize")));
    assert_eq!(outcome(&again, "generalize"), "cached");
    assert_eq!(outcome(&again, "start"), "", "no machine: {again:?}");

    lab.write("web.json", template(&customizers(&marker, "echo two")));
    let plan = lab.run(&["plan", file]).ok().event("plan");
    assert_eq!(plan["steps"][3]["hit"]["cache"], "hit", "{plan}");
    assert_eq!(plan["steps"][4]["hit"]["cache"], "miss", "{plan}");
    assert!(text(&plan["steps"][4]["hit"]["why"]).starts_with("script changed"), "{plan}");
    let edited = lab.run(&["build", file]).ok().steps();
    assert_eq!(outcome(&edited, "customize[2]"), "cached");
    assert_eq!(outcome(&edited, "customize[3]"), "done");
    lab.assert_clean();
}

fn assert_no_traces_of_the_build(image: &InImage) {
    let users = image.read("/etc/passwd");
    assert!(users.contains("root:"), "this is the root file system");
    assert!(!users.contains("goldsmith"), "{users}");
    assert!(!image.list("/home").contains(&"goldsmith".to_owned()));
    assert_eq!(image.read("/etc/machine-id").trim(), "");
    let ssh = image.list("/etc/ssh");
    assert!(ssh.contains(&"sshd_config".to_owned()), "{ssh:?}");
    assert!(!ssh.iter().any(|name| name.starts_with("ssh_host_")), "{ssh:?}");
    assert!(!image.read("/etc/hostname").contains("goldsmith"));
    assert!(!image.list("/var/lib/systemd").contains(&"random-seed".to_owned()));
    for folder in ["/etc/systemd/network", "/etc/ssh/sshd_config.d", "/etc/tmpfiles.d"] {
        let left = image.list(folder);
        assert!(
            !left.iter().any(|name| name.contains("cloud-init") || name == "tmp.conf"),
            "{left:?}"
        );
    }
    assert_eq!(image.list("/var/lib/cloud"), Vec::<String>::new());
    assert!(!image.list("/etc/sudoers.d").iter().any(|name| name.contains("cloud-init")));
    assert!(!image.list("/root/.ssh").contains(&"authorized_keys".to_owned()));
    assert!(!image.list("/tmp").iter().any(|name| name.starts_with("goldsmith")));
}

fn assert_page_is_served(lab: &Lab, image: &str, page: &str) {
    let mut boot = lab.start(&["image", "boot", image, "--publish", "0:80"]);
    let ready = boot.wait_for("the port", |event| event["kind"] == "booting");
    let port = ready["published"][0]["host"].as_u64().unwrap();
    let url = format!("http://127.0.0.1:{port}/");
    let mut fetched = String::new();
    wait_for("the page", std::time::Duration::from_secs(300), || {
        let output = Command::new("curl").args(["-s", "-m", "20", &url]).output().unwrap();
        fetched = String::from_utf8_lossy(&output.stdout).into_owned();
        output.status.success()
    });
    assert!(fetched == page, "the fetched page differs ({} bytes)", fetched.len());
    boot.signal(rustix::process::Signal::INT);
    boot.end_within(std::time::Duration::from_secs(10));
    lab.assert_clean();
}

// conformance: 66
#[test]
fn template_with_its_own_generalization_builds_on_a_built_image() {
    let lab = Lab::new();
    let customize = json!([{ "type": "Shell", "inline": [
        fresh(),
        "printf '#!/bin/sh\\r\\necho the template generalizes\\r\\nsudo /usr/sbin/waagent -force -deprovision+user && export HISTSIZE=0 && sync\\r\\ntouch /generalized\\r\\n' > /tmp/DeprovisioningScript.sh"
    ]}]);
    let file = lab.write("base.json", template(&customize));
    let built = lab.run(&["build", file.to_str().unwrap()]).ok();
    assert!(built.stdout.contains("the template generalizes"));

    let mut child: Value = serde_json::from_str(&template(&json!([{ "type": "Shell", "inline": [
        "ls /generalized", "test ! -e /tmp/DeprovisioningScript.sh", "test ! -e /usr/sbin/waagent",
        "sudo /usr/sbin/sshd -t", "test -s /etc/machine-id"
    ]}])))
    .unwrap();
    let id = child["properties"]["distribute"][0]["imageId"].clone();
    child["properties"]["source"] = json!({ "type": "ManagedImage", "imageId": id });
    child["properties"]["vmProfile"]["osDiskSizeGB"] = json!(8);
    child["properties"]["customize"].as_array_mut().unwrap().push(json!(
        { "type": "Shell", "name": "grown", "inline": ["test $(df --output=size -BM / | tail -1 | tr -dc 0-9) -gt 6000"] }
    ));
    child["properties"]["distribute"] = json!([{
        "type": "SharedImage", "runOutputName": "child", "targetRegions": [{ "name": "local" }],
        "galleryImageId": "/subscriptions/s/resourceGroups/forge/providers/Microsoft.Compute/galleries/g/images/child"
    }]);
    let file = lab.write("child.json", child.to_string());
    let built = lab.run(&["build", file.to_str().unwrap()]).ok().event("result");
    assert!(text(&built["outputs"][0]["artifactId"]).ends_with("/versions/0.0.1"), "{built}");
    let again = lab.run(&["build", file.to_str().unwrap()]).ok().event("result");
    assert!(text(&again["outputs"][0]["artifactId"]).ends_with("/versions/0.0.2"), "{again}");
    lab.assert_clean();
}

#[test]
fn text_output_lists_artifacts_steps_and_time() {
    let lab = Lab::new();
    let file = lab.write("a.json", template(&json!([])));
    let output = Command::new(executable())
        .arg("--cache-dir")
        .arg(lab.cache())
        .arg("--data-dir")
        .arg(lab.data())
        .arg("build")
        .arg(&file)
        .output()
        .unwrap();
    let (stdout, stderr) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stdout}\n{stderr}");
    for part in
        ["STEP", "ARTIFACT", "SHA-256", "generalize", "Microsoft.Compute/images/web", "forged in"]
    {
        assert!(stdout.contains(part), "{part} in\n{stdout}");
    }
    std::io::stderr().write_all(&output.stderr).unwrap();
}
