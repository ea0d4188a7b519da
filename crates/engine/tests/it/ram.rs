//! Saves of RAM that end while later steps run, that fail, and that are cut off.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use api::ErrorCode;
use engine::{
    build::{self, Report, Request},
    node::{Node, NodeStore},
};
use images::{
    error::Result,
    event::{Event, Events},
    run_context::RunContext,
};
use vm::{
    Ended, RamFormat, SaveRam,
    fake::{Call, Mishap, Point, Reaction, Then},
};

use crate::matrix::{Bench, names};

/// Part of every customizer's script.
const SCRIPT: &str = "mktemp";

async fn build(bench: &Bench, cx: &RunContext) -> Result<Report> {
    let plan = bench.plan(cx).await;
    let request = Request { exports: Vec::new(), ..bench.request() };
    build::build(cx, &bench.host, &bench.fake, &plan, &request).await
}

fn nodes(bench: &Bench) -> Vec<Node> {
    NodeStore::new(&bench.layout).all().unwrap()
}

fn node(bench: &Bench, kind: &str) -> Node {
    nodes(bench).into_iter().find(|node| node.meta.kind == kind).unwrap()
}

fn saves(bench: &Bench) -> Vec<SaveRam> {
    let calls = bench.fake.calls().into_iter();
    calls.filter_map(|call| if let Call::Seal(seal) = call { seal.ram } else { None }).collect()
}

fn resumes(bench: &Bench) -> Vec<bool> {
    let calls = bench.fake.calls().into_iter();
    let started = |call| match call {
        Call::Start(spec) => Some(spec.resume_from.is_some()),
        _ => None,
    };
    calls.filter_map(started).collect()
}

#[tokio::test]
async fn node_is_published_once_its_ram_is_written_while_the_next_step_runs() {
    let bench = Bench::new().await;
    let written = bench.fake.delay_ram();
    let during_step = Arc::new(AtomicUsize::new(usize::MAX));
    let (store, seen) = (NodeStore::new(&bench.layout), during_step.clone());
    bench.fake.on_call(SCRIPT, move |_, _| {
        seen.fetch_min(store.all().unwrap().len(), Ordering::Relaxed);
        written.cancel();
        Reaction::exit(0)
    });
    let (events, mut received) = Events::channel();
    build(&bench, &RunContext { events, ..bench.cx() }).await.unwrap();
    assert_eq!(during_step.load(Ordering::Relaxed), 0, "the first step ran, no node was complete");
    let boot = node(&bench, "Boot");
    assert_eq!(boot.meta.ram.as_ref().unwrap().format, Some(RamFormat::Stream));
    assert!(boot.file("ram").exists() && boot.meta.files.contains_key("ram"));
    let (mut begun, mut saved) = (0, 0);
    while let Some(event) = received.recv().await {
        match event {
            Event::Sealed { ram: true, .. } => begun += 1,
            Event::RamSaved { ram_bytes, .. } => {
                assert_eq!(ram_bytes, 3);
                saved += 1;
            }
            _ => {}
        }
    }
    assert!(begun >= 2, "{begun}");
    assert_eq!(begun, saved);
    bench.assert_clean("a late save");
}

#[tokio::test]
async fn failed_saves_cost_only_the_ram() {
    let bench = Bench::new().await;
    bench.fake.at(Point::SaveRam, Mishap::Fail("no space".into()));
    build(&bench, &bench.cx()).await.unwrap();
    for node in nodes(&bench) {
        assert!(node.meta.ram.is_none() && !node.file("ram").exists(), "{}", node.meta.title);
    }
    let seconds: f64 = nodes(&bench).iter().map(|node| node.meta.seconds).sum();
    let since = node(&bench, "Generalize").meta.since_ram_seconds;
    assert!((since - seconds).abs() < 1e-6, "{since} of {seconds}");
    bench.assert_clean("failed saves");
}

#[tokio::test]
async fn machine_that_ends_during_a_save_leaves_a_node_without_ram() {
    let bench = Bench::new().await;
    bench.fake.delay_ram();
    bench
        .fake
        .on(SCRIPT, Reaction::then(Then::Gone(Ended::Exited { code: None, output: "".into() })));
    let error = build(&bench, &bench.cx()).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::GuestStopped, "{error}");
    let boot = node(&bench, "Boot");
    assert!(boot.meta.ram.is_none() && !boot.file("ram").exists());
    bench.assert_clean("a machine that ended");

    bench.fake.delay_ram().cancel();
    bench.fake.on(SCRIPT, Reaction::exit(0));
    build(&bench, &bench.cx()).await.unwrap();
    assert_eq!(resumes(&bench), [false, false], "the second build boots the disk");
}

#[tokio::test]
async fn cancel_does_not_wait_for_a_save_that_hangs() {
    let bench = Bench::new().await;
    bench.fake.delay_ram();
    let cx = bench.cx();
    let cancel = cx.cancel.clone();
    bench.fake.on_call(SCRIPT, move |_, _| {
        cancel.cancel();
        Reaction::then(Then::Hang)
    });
    let error = build(&bench, &cx).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Canceled);
    assert!(node(&bench, "Boot").meta.ram.is_none());
    bench.assert_clean("a canceled save");
}

#[tokio::test]
async fn save_that_ends_soon_after_a_cancel_is_kept() {
    let bench = Bench::new().await;
    let (written, cx) = (bench.fake.delay_ram(), bench.cx());
    let cancel = cx.cancel.clone();
    bench.fake.on_call(SCRIPT, move |_, _| {
        cancel.cancel();
        written.cancel();
        Reaction::then(Then::Hang)
    });
    assert_eq!(build(&bench, &cx).await.unwrap_err().code, ErrorCode::Canceled);
    assert!(node(&bench, "Boot").meta.ram.is_some());
    bench.assert_clean("a canceled build");
}

#[tokio::test]
async fn ram_is_tested_once() {
    let bench = Bench::new().await;
    build(&bench, &bench.cx()).await.unwrap();
    let before = saves(&bench);
    let first = &before[0];
    assert!(first.background && first.load_test.is_some(), "{first:?}");
    assert_eq!(names(&bench.layout.ram_tests()).len(), 1);

    std::fs::remove_dir_all(bench.layout.nodes()).unwrap();
    build(&bench, &bench.cx()).await.unwrap();
    let after = saves(&bench).split_off(before.len());
    assert!(!after.is_empty());
    assert!(after.iter().all(|save| save.background && save.load_test.is_none()), "{after:?}");
}

#[tokio::test]
async fn ram_that_does_not_load_ends_background_saves() {
    let bench = Bench::new().await;
    bench.fake.at(Point::LoadRam, Mishap::Fail("bad section".into()));
    let (events, mut received) = Events::channel();
    build(&bench, &RunContext { events, ..bench.cx() }).await.unwrap();
    let boot = node(&bench, "Boot");
    assert!(boot.meta.ram.is_none() && !boot.file("ram").exists());
    let mut warnings = Vec::new();
    while let Some(event) = received.recv().await {
        if let Event::Warning { text } = event {
            warnings.push(text);
        }
    }
    assert!(warnings.iter().any(|text| text.contains("bad section")), "{warnings:?}");
    let before = saves(&bench).len();

    std::fs::remove_dir_all(bench.layout.nodes()).unwrap();
    build(&bench, &bench.cx()).await.unwrap();
    let after = saves(&bench).split_off(before);
    assert!(after.iter().all(|save| !save.background), "{after:?}");
    let ram = node(&bench, "Boot").meta.ram.unwrap();
    assert_eq!(ram.format, Some(RamFormat::Mapped));
    bench.assert_clean("RAM that does not load");
}

#[tokio::test]
async fn guest_with_all_processors_of_the_host_is_not_slowed_by_a_save_in_the_background() {
    let mut bench = Bench::new().await;
    bench.host.cpus = 1;
    build(&bench, &bench.cx()).await.unwrap();
    let saves = saves(&bench);
    assert!(!saves.is_empty());
    assert!(saves.iter().all(|save| !save.background && save.load_test.is_none()), "{saves:?}");
    assert_eq!(names(&bench.layout.ram_tests()), Vec::<String>::new());
}
