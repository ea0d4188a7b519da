//! `properties.optimize` on the scripted machine: the nodes it adds, when its boots are measured,
//! and what a failure leaves behind.

use std::time::Duration;

use api::{
    ErrorCode,
    template::{Face, ParseOptions},
};
use engine::build::{self, Input, Report};
use images::{
    error::{Error, Result},
    event::{Event, Events},
    run_context::RunContext,
    step::{Fault, Faults, Step},
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use vm::{
    MachineSpec,
    fake::{Call, Mishap, Point, Reaction},
};

use crate::matrix::{Bench, check, names};

const SCRIPT: &str = "#!/bin/sh\necho warming\n";

/// With a template that requests both optimizations.
async fn bench() -> Bench {
    let mut bench = Bench::new().await;
    std::fs::write(bench.dir.path().join("warm.sh"), SCRIPT).unwrap();
    bench.also = both();
    bench
}

fn both() -> Value {
    json!({ "optimize": {
        "vmBoot": { "state": "Enabled" },
        "workload": { "state": "Enabled", "scriptUri": "warm.sh" }
    }})
}

fn starts(bench: &Bench) -> Vec<MachineSpec> {
    let start = |call| if let Call::Start(spec) = call { Some(spec) } else { None };
    bench.fake.calls().into_iter().filter_map(start).collect()
}

/// The commands of the optimization, identified by text that only they contain.
fn work(bench: &Bench) -> Vec<String> {
    let word = |call| match call {
        Call::Run { command, .. } if command.contains("$(cat)") => {
            Some(command.rsplit("\" ").next().unwrap_or_default().to_owned())
        }
        Call::Run { stdin, .. } if stdin.ends_with(b"echo warming\n") => Some("script".to_owned()),
        _ => None,
    };
    bench.fake.calls().into_iter().filter_map(word).collect()
}

/// Builds, and collects the events.
async fn build_with_events(bench: &Bench) -> (Result<Report>, Vec<Event>) {
    let (events, mut receiver) = Events::channel();
    let cx = RunContext::new(bench.layout.clone(), events, CancellationToken::new());
    let result = bench.build(&cx).await;
    drop(cx);
    let mut all = Vec::new();
    while let Some(event) = receiver.try_recv() {
        all.push(event);
    }
    (result, all)
}

fn again(bench: &Bench) {
    std::fs::remove_file(bench.dir.path().join("out.raw")).unwrap();
}

const STEPS: [Step; 3] = [Step::Workload, Step::Optimize, Step::Measure];

#[tokio::test]
async fn every_step_of_the_optimization_releases_everything_after_an_error_and_a_panic() {
    for step in STEPS {
        for fault in [Fault::Error, Fault::Panic] {
            let bench = bench().await;
            let cx = RunContext { faults: Faults::at(step, fault), ..bench.cx() };
            let error = bench.build(&cx).await.unwrap_err();
            let what = format!("{step} {fault:?}");
            check(&error, step, ErrorCode::InternalError, &what);
            bench.assert_clean(&what);
            bench.build(&bench.cx()).await.unwrap_or_else(|e| panic!("{what}, again: {e}"));
        }
    }
}

#[tokio::test]
async fn every_step_of_the_optimization_releases_everything_after_cancel_and_at_the_deadline() {
    for step in STEPS {
        for by_deadline in [false, true] {
            let bench = bench().await;
            let cx = RunContext { faults: Faults::at(step, Fault::Hang), ..bench.cx() };
            let (result, ()) = tokio::join!(bench.build(&cx), async {
                cx.faults.hanging().await;
                if by_deadline {
                    tokio::time::pause();
                    tokio::time::advance(Duration::from_secs(241 * 60)).await;
                    tokio::time::resume();
                } else {
                    cx.cancel.cancel();
                }
            });
            let code = if by_deadline { ErrorCode::BuildTimeout } else { ErrorCode::Canceled };
            let what = format!("{step} {code}");
            check(&result.unwrap_err(), step, code, &what);
            bench.assert_clean(&what);
        }
    }
}

#[tokio::test]
async fn optimization_changes_only_the_end_of_the_chain() {
    let mut bench = bench().await;
    bench.also = json!({});
    let plain = bench.build(&bench.cx()).await.unwrap();
    again(&bench);
    let scripts = || bench.fake.commands().iter().filter(|c| c.contains("mktemp")).count();
    assert_eq!((plain.nodes.len(), scripts(), plain.optimization), (4, 2, None));

    bench.also = both();
    let all = bench.build(&bench.cx()).await.unwrap();
    again(&bench);
    assert_eq!(all.nodes[..3], plain.nodes[..3], "boot and customizers are the same");
    assert_eq!(all.nodes.len(), 6);
    assert!(!all.nodes.contains(&plain.nodes[3]), "what is generalized is another disk");
    let order = ["generalize", "warm before", "script", "warm after", "optimize", "generalize"];
    let work: Vec<String> = work(&bench)
        .into_iter()
        .map(|word| word.split(" goldsmith").next().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(work, order);

    // Another script changes the nodes of the workload and of later steps.
    let path = bench.dir.path().join("warm.sh");
    std::fs::write(path, format!("{SCRIPT}echo more\n")).unwrap();
    let other = bench.build(&bench.cx()).await.unwrap();
    assert_eq!(other.nodes[..3], plain.nodes[..3]);
    assert!(other.nodes[3..].iter().all(|node| !all.nodes.contains(node)), "{other:?}");
}

#[tokio::test]
async fn boots_are_measured_once_per_node() {
    let bench = bench().await;
    let (report, events) = build_with_events(&bench).await;
    let report = report.unwrap();
    let figures = report.optimization.clone().unwrap();
    assert!(figures.boot_seconds_before.is_some() && figures.boot_seconds_after.is_some());
    assert!(figures.answer_seconds_after <= figures.boot_seconds_after, "{figures:?}");
    assert!(figures.bytes_before > 0 && figures.bytes_after > 0, "{figures:?}");
    assert!(
        events
            .iter()
            .any(|e| matches!(e, Event::Optimized { optimization } if *optimization == figures)),
        "{events:?}"
    );

    // The build's own machine, then one fork from before and one from after, on the nodes' disks
    // and with the seed of the first boot, each with a folder of its own.
    let starts = starts(&bench);
    assert_eq!(starts.len(), 3, "{starts:?}");
    for (spec, name) in starts[1..].iter().zip(["fork-before", "fork-after"]) {
        assert!(spec.run_dir.ends_with(name) && spec.resume_from.is_none(), "{spec:?}");
        assert!(spec.seed.as_ref().unwrap().ends_with(format!("{}/seed.img", report.nodes[0])));
    }
    again(&bench);
    bench.assert_clean("measured");
    let (second, events) = build_with_events(&bench).await;
    assert_eq!(second.unwrap().optimization, Some(figures), "remembered");
    assert_eq!(self::starts(&bench).len(), 3, "no machine was started");
    assert!(events.iter().any(|e| matches!(e, Event::Optimized { .. })), "reported again");

    // Only if the figures are lost are they measured again.
    std::fs::remove_dir_all(bench.layout.measured()).unwrap();
    again(&bench);
    assert!(bench.build(&bench.cx()).await.unwrap().optimization.is_some());
    assert_eq!(self::starts(&bench).len(), 5);
    assert_eq!(names(&bench.layout.measured()).len(), 1);
}

#[tokio::test]
async fn unreachable_guest_is_built_without_times() {
    let mut bench = bench().await;
    bench.also = json!({});
    bench.build(&bench.cx()).await.unwrap();
    again(&bench);
    bench.also = both();
    // Built once without its measurement; then no machine answers.
    let cx = RunContext { faults: Faults::at(Step::Measure, Fault::Error), ..bench.cx() };
    bench.build(&cx).await.unwrap_err();
    bench.fake.at(Point::Connect, Mishap::Gone(vm::Ended::GuestPanic));
    let (report, events) = build_with_events(&bench).await;
    let figures = report.unwrap().optimization.unwrap();
    assert_eq!((figures.boot_seconds_before, figures.boot_seconds_after), (None, None));
    assert!(figures.bytes_after > 0);
    let warned = |e: &Event| matches!(e, Event::Warning { text } if text.contains("not measured"));
    assert!(events.iter().any(warned), "{events:?}");
    again(&bench);
    bench.assert_clean("not measured");
}

#[tokio::test]
async fn machine_that_fails_to_start_is_not_distributed() {
    let bench = bench().await;
    // The optimized machine ends while the run waits for its start-up.
    let boots = std::sync::atomic::AtomicUsize::new(0);
    bench.fake.on_call("is-system-running --wait", move |_, _| {
        match boots.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
            0 | 1 => Reaction::exit(0),
            _ => Reaction::then(vm::fake::Then::Gone(vm::Ended::GuestPanic)),
        }
    });
    let error = bench.build(&bench.cx()).await.unwrap_err();
    check(&error, Step::Measure, ErrorCode::OptimizationFailed, "broken");
    assert_eq!(error.target.as_deref(), Some("properties.optimize.vmBoot"));
    assert!(!bench.layout.images().join("managed/s/g/made").exists());
    bench.assert_clean("broken");
}

#[tokio::test]
async fn failed_workload_is_reported_with_its_output() {
    let bench = bench().await;
    bench.fake.on_call("mktemp", |_, script| {
        let is_it = String::from_utf8_lossy(script).contains("warming");
        if is_it { Reaction::exit(7).err("no database\n") } else { Reaction::exit(0) }
    });
    let error = bench.build(&bench.cx()).await.unwrap_err();
    check(&error, Step::Workload, ErrorCode::OptimizationFailed, "workload");
    assert_eq!(error.target.as_deref(), Some("properties.optimize.workload"));
    assert!(error.message.contains("the workload failed"), "{error}");
    assert!(error.details.iter().any(|line| line == "no database"), "{:?}", error.details);
    bench.assert_clean("workload");
}

#[tokio::test]
async fn failed_optimize_script_is_reported_with_its_output() {
    let bench = bench().await;
    bench.fake.on("optimize", Reaction::exit(1).err("no room\n"));
    let error = bench.build(&bench.cx()).await.unwrap_err();
    check(&error, Step::Optimize, ErrorCode::OptimizationFailed, "optimize");
    assert!(error.details.iter().any(|line| line == "no room"), "{:?}", error.details);
    bench.assert_clean("optimize");
}

async fn resolve(bench: &Bench, workload: Value) -> Vec<Error> {
    let source = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/images/base";
    let text = json!({
        "location": "here", "identity": { "type": "None" },
        "properties": {
            "source": { "type": "ManagedImage", "imageId": source },
            "optimize": { "workload": workload },
            "distribute": [{ "type": "VHD", "runOutputName": "disk" }]
        }
    });
    let options = ParseOptions { api_version: None, face: Face::File };
    let parsed = engine::template::parse(&text.to_string(), &options);
    let template = parsed.template.unwrap_or_else(|| panic!("{:?}", parsed.diagnostics));
    let base_dir = bench.dir.path().to_owned();
    let input = Input {
        name: "t".into(),
        template,
        base_dir,
        metadata: None,
        fetch: sources::fetch::Limits::default(),
    };
    build::resolve(&bench.cx(), input).await.err().unwrap_or_default()
}

#[tokio::test]
async fn workload_script_is_checked_before_the_build() {
    let bench = bench().await;
    let workload = |script: &str, sum: &str, state: &str| json!({ "state": state, "scriptUri": script, "sha256Checksum": sum });
    let right = images::digest::digest(SCRIPT.as_bytes());
    let cases = [
        (workload("warm.sh", &right, "Enabled"), None),
        (workload("gone.sh", "", "Disabled"), None),
        (workload("gone.sh", "", "Enabled"), Some(ErrorCode::ScriptUnreachable)),
        (workload("warm.sh", &"0".repeat(64), "Enabled"), Some(ErrorCode::ChecksumMismatch)),
    ];
    for (given, code) in cases {
        let errors = resolve(&bench, given.clone()).await;
        assert_eq!(errors.first().map(|e| e.code), code, "{given} {errors:?}");
        let target = errors.first().and_then(|e| e.target.clone());
        let field = code.map(|_| "properties.optimize.workload.scriptUri".to_owned());
        assert_eq!(target, field, "{given}");
    }
}

/// Runs a part of the script on test files in place of the machine's.
#[allow(clippy::disallowed_methods, reason = "the guest's shell is played by this host's")]
fn run_part(part: &str, root: &std::path::Path) -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../guests/src/linux/optimize.sh");
    let script = std::fs::read_to_string(script).unwrap();
    let (functions, _) = script.split_once("\nboot_loader\n").unwrap();
    let mut text = functions.to_owned();
    for place in ["/boot/", "/efi/", "/etc/"] {
        text = text.replace(&format!(" {place}"), &format!(" {}{place}", root.display()));
    }
    let mut shell = std::process::Command::new("sh");
    let output = shell.args(["-c", &format!("{text}\n{part}")]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn boot_loader_does_not_wait_unless_set_to_wait_forever() {
    let grub = "set default=0\nif [ \"${recordfail}\" = 1 ] ; then\n  set timeout=30\nelse\n  \
                set timeout_style=menu\n  set timeout=5\nfi\nset timeout=-1\n";
    let cases = [
        ("boot/grub/grub.cfg", grub, grub.replace("=30", "=0").replace("timeout=5", "timeout=0")),
        ("boot/efi/EFI/debian/grub.cfg", "configfile x\n", "configfile x\n".into()),
        ("boot/efi/loader/loader.conf", "timeout 5\neditor no\n", "timeout 0\neditor no\n".into()),
        ("efi/loader/loader.conf", "timeout menu-force\n", "timeout menu-force\n".into()),
        ("boot/extlinux/extlinux.conf", "TIMEOUT 50\n", "TIMEOUT 1\n".into()),
        ("boot/syslinux/syslinux.cfg", "timeout 0\n", "timeout 0\n".into()),
        ("etc/default/grub", "GRUB_TIMEOUT=\"5\"\nGRUB_X=5\n", "GRUB_TIMEOUT=0\nGRUB_X=5\n".into()),
    ];
    let root = tempfile::tempdir().unwrap();
    for (path, before, _) in &cases {
        let path = root.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, before).unwrap();
    }
    let said = run_part("boot_loader", root.path());
    for (path, _, after) in &cases {
        assert_eq!(std::fs::read_to_string(root.path().join(path)).unwrap(), *after, "{path}");
    }
    assert_eq!(said.lines().count(), 3, "{said}");
    // A second run changes nothing.
    assert_eq!(run_part("boot_loader", root.path()), "");
    let left: Vec<_> = names(&root.path().join("boot/grub"));
    assert_eq!(left, ["grub.cfg"]);
}
