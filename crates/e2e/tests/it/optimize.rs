//! `properties.optimize` on real machines: an image with an optimized boot and a warmed workload boots,
//! and reads ahead the data that the workload read during the build.

use std::{process::Command, time::Duration};

use e2e::{InImage, Lab, fresh, template, text, wait_for};
use serde_json::{Value, json};

const MIB: f64 = 1024.0 * 1024.0;

/// The files of the workload. It reads one completely, and 4 MiB in the middle of another.
const DATA: &[&str] = &[
    "sudo mkdir -p /srv/data /srv/www",
    "sudo dd if=/dev/urandom of=/srv/data/whole bs=1M count=12 status=none",
    "sudo dd if=/dev/urandom of=/srv/data/part bs=1M count=24 status=none",
    "sudo dd if=/dev/urandom of=/srv/data/idle bs=1M count=12 status=none",
    // Targets of the optimization: a boot loader that waits, and downloaded packages.
    "sudo sed -i 's/^timeout .*/timeout 4/' /boot/efi/loader/loader.conf",
    "sudo dd if=/dev/urandom of=/var/cache/apt/archives/left_1_all.deb bs=1M count=32 status=none",
];

const WARM: &str = "#!/bin/sh -e
cat /srv/data/whole > /dev/null
dd if=/srv/data/part of=/dev/null bs=1M skip=8 count=4 status=none
touch /srv/data/touched 2> /dev/null || sudo touch /srv/data/touched
";

/// A page with the cached bytes of each file, after the read-ahead has finished.
const PAGE: &str = "#!/bin/sh -e
sudo tee /etc/systemd/system/page.service > /dev/null <<'UNIT'
[Unit]
After=workload-readahead.service
[Service]
TimeoutStartSec=infinity
ExecStartPre=/bin/sh -c 'while systemctl is-active -q workload-readahead; do sleep 1; done'
ExecStartPre=/bin/sh -c 'fincore --bytes --noheadings -o RES,FILE /srv/data/* > /srv/www/index.html'
ExecStart=/usr/bin/python3 -m http.server --directory /srv/www 80
[Install]
WantedBy=multi-user.target
UNIT
sudo systemctl enable page.service
";

fn optimized() -> String {
    let mut lines = vec![fresh()];
    lines.extend(DATA.iter().map(|line| (*line).to_owned()));
    let customize = json!([
        { "type": "Shell", "name": "data", "inline": lines },
        { "type": "Shell", "name": "page", "scriptUri": "page.sh" }
    ]);
    let mut body: Value = serde_json::from_str(&template(&customize)).unwrap();
    body["apiVersion"] = json!("2025-10-01");
    body["properties"]["optimize"] = json!({
        "vmBoot": { "state": "Enabled" },
        "workload": { "state": "Enabled", "scriptUri": "warm.sh" }
    });
    body.to_string()
}

/// The cached part of a file in MiB.
fn in_memory(page: &str, file: &str) -> f64 {
    let line = page.lines().find(|line| line.ends_with(file)).expect("the file is listed");
    line.split_whitespace().next().unwrap().parse::<f64>().unwrap() / MIB
}

#[test]
fn optimized_image_boots_and_reads_ahead_workload_data() {
    let lab = Lab::new();
    lab.write("warm.sh", WARM);
    lab.write("page.sh", PAGE);
    let file = lab.write("fast.json", optimized());
    let file = file.to_str().unwrap();
    let built = lab.run(&["build", file, "--export", "qcow2=fast.qcow2"]).ok();
    lab.assert_clean();

    let figures = built.event("result")["optimization"].clone();
    for name in ["bootSecondsBefore", "bootSecondsAfter", "answerSecondsAfter"] {
        assert!(figures[name].as_f64().is_some_and(|seconds| seconds > 1.0), "{name}: {figures}");
    }
    let bytes = |name: &str| figures[name].as_f64().unwrap();
    let saved = bytes("bytesBefore") - bytes("bytesAfter");
    assert!(saved > 24.0 * MIB, "the deleted package takes no space: {figures}");
    let printed: Vec<String> = built
        .events()
        .iter()
        .filter(|e| e["kind"] == "stepOutput")
        .map(|e| text(&e["text"]))
        .collect();
    let did = |what: &str| printed.iter().any(|line| line.contains(what));
    assert!(did("systemd-boot does not wait"), "{printed:?}");

    let image = InImage::open(&lab.path().join("fast.qcow2"), "qcow2");
    let folder = "/usr/local/lib/workload-readahead";
    let files = image.read(&format!("{folder}/files"));
    assert!(files.lines().any(|line| line == "/srv/data/whole"), "{files}");
    assert!(!files.contains("/srv/data/idle") && !files.contains("/home/goldsmith"), "{files}");
    assert!(image.read(&format!("{folder}/parts")).contains(" /srv/data/part"));
    assert!(!image.list("/var/cache/apt/archives").iter().any(|name| name.ends_with(".deb")));
    assert!(image.list("/srv/data").contains(&"touched".to_owned()), "the workload's file stays");
    drop(image);

    let page = page_of(&lab, "web");
    assert!(in_memory(&page, "/whole") > 11.9, "{page}");
    let part = in_memory(&page, "/part");
    assert!((3.9..8.0).contains(&part), "{page}");
    assert!(in_memory(&page, "/idle") < 0.1, "nothing else is read: {page}");

    // A second build measures nothing and starts no machine.
    let again = lab.run(&["build", file]).ok();
    assert_eq!(again.event("result")["optimization"], figures);
    assert!(again.steps().iter().any(|(step, how)| step == "measure" && how == "cached"));
}

fn page_of(lab: &Lab, image: &str) -> String {
    let mut boot = lab.start(&["image", "boot", image, "--publish", "0:80"]);
    let ready = boot.wait_for("the port", |event| event["kind"] == "booting");
    let url = format!("http://127.0.0.1:{}/", ready["published"][0]["host"].as_u64().unwrap());
    let mut page = String::new();
    wait_for("the page", Duration::from_secs(420), || {
        let output = Command::new("curl").args(["-s", "-m", "20", &url]).output().unwrap();
        page = String::from_utf8_lossy(&output.stdout).into_owned();
        output.status.success()
    });
    boot.signal(rustix::process::Signal::INT);
    boot.end_within(Duration::from_secs(10));
    lab.assert_clean();
    page
}
