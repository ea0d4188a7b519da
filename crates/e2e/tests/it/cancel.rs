//! Ctrl-C, SIGTERM and kill -9 in each phase of a build.

use std::time::Duration;

use e2e::{Lab, fresh, running_machines, template, wait_for};
use rustix::process::Signal;
use serde_json::json;

const SOON: Duration = Duration::from_secs(10);

fn sleeper(lab: &Lab) -> String {
    let customize = json!([{ "type": "Shell", "inline": [fresh(), "echo asleep", "sleep 600"] }]);
    lab.write("a.json", template(&customize)).to_str().unwrap().to_owned()
}

fn ends_clean(lab: &Lab, running: e2e::Running, signal: Signal) {
    running.signal(signal);
    let done = running.end_within(SOON);
    assert_eq!(done.code, 130, "{}", done.stderr);
    assert_eq!(done.event("error")["code"], "Canceled");
    lab.assert_clean();
}

// conformance: 138
#[test]
fn ctrl_c_in_a_customizer_ends_the_build_within_10_s() {
    let lab = Lab::new();
    let mut running = lab.start(&["build", &sleeper(&lab)]);
    running.wait_for_output("asleep");
    ends_clean(&lab, running, Signal::INT);
}

#[test]
fn closed_terminal_and_sigquit_end_the_build_within_10_s() {
    for signal in [Signal::HUP, Signal::QUIT] {
        let lab = Lab::new();
        let mut running = lab.start(&["build", &sleeper(&lab)]);
        running.wait_for_output("asleep");
        ends_clean(&lab, running, signal);
    }
}

#[test]
fn sigterm_during_boot_or_resume_ends_the_build_within_10_s() {
    let lab = Lab::new();
    let file = sleeper(&lab);
    // Another size needs another machine, which boots instead of resuming.
    let booting = std::fs::read_to_string(&file).unwrap().replace("B2ts_v2", "B1ms");
    let mut running = lab.start(&["build", lab.write("b.json", booting).to_str().unwrap()]);
    running.wait_for_step("boot");
    wait_for("the machine", Duration::from_secs(30), || !running_machines(lab.cache()).is_empty());
    ends_clean(&lab, running, Signal::TERM);

    let mut running = lab.start(&["build", &file]);
    running.wait_for_step("start");
    ends_clean(&lab, running, Signal::TERM);
}

#[test]
fn sigint_during_generalize_convert_or_export_leaves_nothing() {
    let lab = Lab::new();
    let customize = json!([{ "type": "Shell", "inline": [fresh()] }]);
    let file = lab.write("a.json", template(&customize)).to_str().unwrap().to_owned();
    for step in ["generalize", "power off", "convert", "export"] {
        let mut running = lab.start(&["build", &file, "--export", "qcow2=out.qcow2"]);
        running.wait_for_step(step);
        running.signal(Signal::INT);
        let done = running.end_within(SOON);
        assert_eq!(done.code, 130, "{step}: {}", done.stderr);
        lab.assert_clean();
        let left = std::fs::read_dir(lab.path()).unwrap().map(|e| e.unwrap().file_name());
        let left: Vec<_> =
            left.filter(|name| name.to_string_lossy().contains("out.qcow2")).collect();
        assert!(left.is_empty(), "{step} left {left:?}");
    }
}

#[test]
fn next_command_cleans_up_after_kill_9() {
    let lab = Lab::new();
    let mut running = lab.start(&["build", &sleeper(&lab)]);
    running.wait_for_output("asleep");
    running.signal(Signal::KILL);
    running.end();
    assert!(!running_machines(lab.cache()).is_empty(), "the machine outlives goldsmith");
    let held = std::fs::read_dir(lab.data().join("ledger")).unwrap().count();
    assert_eq!(held, 1, "and it is in the ledger");

    lab.run(&["doctor"]);
    lab.assert_clean();
}

/// Processes and mounts of a bootstrap below the lab's folder.
fn leftovers(lab: &Lab) -> Vec<String> {
    let folder = lab.path().to_string_lossy().into_owned();
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    let mut remaining: Vec<String> =
        mounts.lines().filter(|line| line.contains(&folder)).map(str::to_owned).collect();
    for entry in std::fs::read_dir("/proc").unwrap().map_while(Result::ok) {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        let there = std::fs::read_link(entry.path().join("cwd"))
            .is_ok_and(|cwd| cwd.starts_with(lab.cache()));
        if there || (line.contains("mmdebstrap") && line.contains(&folder)) {
            remaining.push(line);
        }
    }
    remaining
}

#[test]
fn ended_or_killed_bootstrap_leaves_no_process_mount_or_folder() {
    for signal in [Signal::INT, Signal::KILL] {
        let lab = Lab::with_own_cache();
        let file = lab.write("a.json", template(&json!([])));
        let mut running = lab.start(&["build", file.to_str().unwrap()]);
        running.wait_for("some bytes of the bootstrap", |event| {
            event["kind"] == "progress" && event["done"].as_u64() > Some(50 << 20)
        });
        running.signal(signal);
        let done = running.end_within(SOON);
        if signal == Signal::KILL {
            lab.run(&["cache", "ls"]).ok();
        } else {
            assert_eq!(done.code, 130, "{}", done.stderr);
        }
        assert_eq!(leftovers(&lab), Vec::<String>::new());
        let sources = std::fs::read_dir(lab.cache().join("sources")).unwrap();
        let left: Vec<_> = sources
            .map(|entry| entry.unwrap().file_name())
            .filter(|name| name.to_string_lossy().starts_with(".work"))
            .collect();
        assert!(left.is_empty(), "{left:?}");
        lab.assert_clean();
    }
}
