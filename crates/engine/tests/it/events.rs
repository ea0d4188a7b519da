//! The events of a run: whatever begins also ends, however the run ends.

use std::collections::BTreeMap;

use images::{
    event::{Event, Events},
    run_context::RunContext,
    step::{Fault, Faults, Step},
};

use crate::matrix::{Bench, STEPS};

/// The events of a build with a fault, which is canceled if the fault hangs.
async fn events_of(step: Option<(Step, Fault)>) -> Vec<Event> {
    let bench = Bench::new().await;
    let (events, mut receiver) = Events::channel();
    let faults = step.map(|(step, fault)| Faults::at(step, fault)).unwrap_or_default();
    let cx = RunContext { events, faults, ..bench.cx() };
    let cancel = async {
        if matches!(step, Some((_, Fault::Hang))) {
            cx.faults.hanging().await;
            cx.cancel.cancel();
        }
    };
    let (result, ()) = tokio::join!(bench.build(&cx), cancel);
    assert_eq!(result.is_err(), step.is_some(), "{step:?}: {result:?}");
    drop(cx);
    let mut events = Vec::new();
    while let Some(event) = receiver.recv().await {
        events.push(event);
    }
    events
}

/// What is open at the end, and the steps that failed.
fn open_and_failed(events: &[Event]) -> (Vec<String>, Vec<String>) {
    let mut open: BTreeMap<String, i32> = BTreeMap::new();
    let mut failed = Vec::new();
    for event in events {
        let (name, change) = match event {
            Event::StepStarted { step, .. } => (step, 1),
            Event::StepFinished { step, .. } => (step, -1),
            Event::StepFailed { step, .. } => {
                failed.push(step.clone());
                (step, -1)
            }
            Event::ActivityStarted { activity, .. } => (activity, 1),
            Event::ActivityEnded { activity, .. } => (activity, -1),
            _ => continue,
        };
        *open.entry(name.clone()).or_default() += change;
    }
    let open = open.into_iter().filter(|(_, count)| *count != 0);
    (open.map(|(name, _)| name).collect(), failed)
}

#[tokio::test]
async fn every_step_and_activity_ends_however_the_run_ends() {
    for step in STEPS {
        for fault in [Fault::Error, Fault::Panic, Fault::Hang] {
            let (open, failed) = open_and_failed(&events_of(Some((step, fault))).await);
            assert!(open.is_empty(), "{step} {fault:?}: {open:?}");
            assert_eq!(failed, [step.to_string()], "{fault:?}");
        }
    }
}

#[tokio::test]
async fn run_reports_its_waits_and_transfers() {
    let events = events_of(None).await;
    assert_eq!(open_and_failed(&events), (Vec::new(), Vec::new()));
    for wanted in [
        "start the machine",
        "the guest's first answer",
        "the end of the boot",
        "sync in the guest",
        "publish first boot",
        "convert to one disk",
        "hash disk.qcow2",
        "distribute made",
    ] {
        let is_wanted = |event: &Event| matches!(event, Event::ActivityStarted { activity, .. } if activity == wanted);
        assert!(events.iter().any(is_wanted), "{wanted}: {events:?}");
    }
}
