//! `goldsmith trial windows` on the rig: every step that a Linux can play passes, and nothing secret
//! leaves.

use std::{collections::BTreeMap, path::Path, process::Command, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use e2e::{Done, Lab, Running, rig, text, wait_for};
use rustix::process::Signal;
use serde_json::Value;

const IMAGE: &str = "Goldsmith:rig:windows:latest";
const PASSED: [&str; 18] = [
    "start",
    "medium",
    "answers",
    "guest",
    "upload",
    "exit-codes",
    "text",
    "job-user",
    "job-system",
    "job-restart",
    "restart",
    "network",
    "resume",
    "cold-boot",
    "update-search",
    "updates",
    "generalize",
    "fork",
];

fn start(lab: &Lab) -> Running {
    let shape = ["--memory", "1024", "--cpus", "1", "--boot-timeout", "15m", "--updates"];
    lab.start(&[&["trial", "windows", IMAGE, "--report", "report.tar.gz"], &shape[..]].concat())
}

/// The files of the archive, without their folder.
fn unpacked(lab: &Lab) -> BTreeMap<String, Vec<u8>> {
    let to = lab.path().join("unpacked");
    std::fs::create_dir_all(&to).unwrap();
    let mut tar = Command::new("tar");
    tar.arg("xzf").arg(lab.path().join("report.tar.gz")).arg("-C").arg(&to);
    assert!(tar.status().unwrap().success());
    let folder = std::fs::read_dir(&to).unwrap().next().unwrap().unwrap().path();
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap());
    files
        .map(|file| {
            let name = file.file_name().into_string().unwrap();
            (name, std::fs::read(file.path()).unwrap())
        })
        .collect()
}

/// The passwords on the media of trials that run in this cache.
fn passwords(cache: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for run in std::fs::read_dir(cache.join("runs")).unwrap().map(|run| run.unwrap().path()) {
        for file in std::fs::read_dir(run).into_iter().flatten().map(|file| file.unwrap()) {
            if file.file_name().to_string_lossy().starts_with("medium") {
                let content = std::fs::read(file.path()).unwrap_or_default();
                let content = String::from_utf8_lossy(&content).into_owned();
                let rest = content.split_once("\"password\":").map(|(_, rest)| rest.trim_start());
                found.extend(rest.and_then(|rest| rest.split('"').nth(1)).map(str::to_owned));
            }
        }
    }
    found
}

/// Whether a text is in a content: as it is, in UTF-16, or in whatever Base64 there is, to any depth.
fn holds(content: &[u8], secret: &str) -> bool {
    let wide: Vec<u8> = secret.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let has = |needle: &[u8]| content.windows(needle.len()).any(|window| window == needle);
    if has(secret.as_bytes()) || has(&wide) {
        return true;
    }
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=".contains(byte);
    content.split(|byte| !is_base64(byte)).filter(|run| run.len() >= 16).any(|run| {
        (0..4).any(|skipped| {
            let run = &run[skipped..];
            let decoded = STANDARD.decode(&run[..run.len() / 4 * 4]).unwrap_or_default();
            !decoded.is_empty() && holds(&decoded, secret)
        })
    })
}

fn results(done: &Done) -> BTreeMap<String, String> {
    let trial = done.event("trial");
    let steps = trial["steps"].as_array().unwrap().iter();
    steps.map(|step| (text(&step["step"]), text(&step["result"]))).collect()
}

#[test]
fn trial_of_the_rig_passes_and_its_archive_has_no_password() {
    let lab = rig::lab();
    let mut trial = start(&lab);
    for step in PASSED {
        trial.wait_for_step(step);
    }
    // The second machine, of the last step, is a new one with a password of its own.
    let mut known = Vec::new();
    wait_for("the second medium", Duration::from_secs(60), || {
        known = passwords(lab.cache());
        known.len() == 2
    });
    let done = trial.end();
    let results = results(&done);
    for step in PASSED {
        assert_eq!(results[step], "pass", "{step}:\n{}\n{}", done.stdout, done.stderr);
    }
    assert_eq!(results["trusted"], "skipped");
    assert_eq!(done.code, 0);

    let files = unpacked(&lab);
    let report: Value = serde_json::from_slice(&files["report.json"]).unwrap();
    assert_eq!(report["guest"]["product"], "The rig, which is no Windows");
    assert!(files.keys().any(|name| name.ends_with("serial.log")), "{:?}", files.keys());
    let exchange: Value = serde_json::from_slice(&files["winrm.json"]).unwrap();
    assert!(exchange["messages"].as_array().unwrap().len() > 100);
    assert!(known.iter().all(|password| password.len() > 10), "{known:?}");
    for (name, content) in &files {
        let is_text = !name.ends_with(".png");
        for password in known.iter().filter(|_| is_text) {
            assert!(!holds(content, password), "{name} has a password");
        }
        assert!(!String::from_utf8_lossy(content).contains("Authorization"), "{name}");
    }
    lab.assert_clean();
}

#[test]
fn interrupted_trial_releases_everything_and_leaves_an_archive() {
    let lab = rig::lab();
    let mut trial = start(&lab);
    trial.wait_for_step("medium");
    trial.signal(Signal::INT);
    let done = trial.end_within(Duration::from_secs(20));
    assert_eq!(done.code, 130, "{}\n{}", done.stdout, done.stderr);
    let results = results(&done);
    assert_eq!((results["start"].as_str(), results["medium"].as_str()), ("pass", "skipped"));
    assert!(unpacked(&lab).contains_key("report.txt"));
    lab.assert_clean();
}
