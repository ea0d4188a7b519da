use serde_json::Value;

use super::*;

fn started(step: &str) -> Event {
    Event::StepStarted { step: step.to_owned(), title: step.to_owned() }
}

fn finished(step: &str, outcome: StepOutcome) -> Event {
    Event::StepFinished { step: step.to_owned(), title: step.to_owned(), seconds: 0.0, outcome }
}

fn begun(activity: &str, does: ActivityKind) -> Event {
    Event::ActivityStarted { activity: activity.to_owned(), does }
}

fn ended(activity: &str) -> Event {
    ended_after(activity, None)
}

fn ended_after(activity: &str, bytes: Option<u64>) -> Event {
    Event::ActivityEnded { activity: activity.to_owned(), bytes }
}

/// The timings of events, each with its time in milliseconds.
fn record(events: &[(u64, Event)], end: u64) -> Timings {
    let mut recorder = Recorder::default();
    for (at, event) in events {
        recorder.add(Duration::from_millis(*at), event);
    }
    recorder.finish(Duration::from_millis(end))
}

/// A boot with a seal, and a conversion beside a validation that fails.
fn run() -> Timings {
    let machine = Event::MachineStarted {
        machine: 1,
        os_type: vm::OsType::Linux,
        vcpus: 2,
        memory_mib: 4096,
        generation: 2,
        disks: Vec::new(),
    };
    let sealed = Event::Sealed {
        title: "first boot".to_owned(),
        key: "k".to_owned(),
        ram: true,
        seconds: 0.5,
    };
    let saved = Event::RamSaved {
        title: "first boot".to_owned(),
        key: "k".to_owned(),
        ram_bytes: 300 << 20,
        seconds: 1.5,
    };
    let failed = |step: &str| Event::StepFailed {
        step: step.to_owned(),
        title: step.to_owned(),
        seconds: 0.0,
    };
    record(
        &[
            (0, finished("source", StepOutcome::Cached { age_seconds: 4 })),
            (0, started("boot")),
            (100, machine),
            (100, begun("the guest's first answer", ActivityKind::Wait)),
            (5_000, ended("the guest's first answer")),
            (5_990, begun("sync in the guest", ActivityKind::Wait)),
            (6_000, ended("sync in the guest")),
            (6_500, sealed),
            (6_500, finished("boot", StepOutcome::Done)),
            (6_600, begun("publish first boot", ActivityKind::Work)),
            (6_700, started("convert")),
            (6_700, started("fork")),
            (6_800, begun("convert", ActivityKind::Transfer)),
            (7_000, ended("publish first boot")),
            (8_500, saved),
            (9_000, failed("fork")),
            (9_000, ended_after("convert", Some(3 << 20))),
            (9_000, failed("convert")),
        ],
        10_000,
    )
}

#[test]
fn waterfall_shows_overlaps_and_failures_and_leaves_out_short_activities() {
    insta::assert_snapshot!(run().text());
}

#[test]
fn open_span_ends_with_the_recording() {
    let canceled = record(&[(0, started("boot")), (500, begun("x", ActivityKind::Wait))], 2_000);
    let ends: Vec<_> = canceled.spans.iter().map(|span| (span.end.as_millis(), span.how)).collect();
    assert_eq!(ends, [(2_000, End::Unknown), (2_000, End::Unknown)]);
    assert!(canceled.text().contains("2.0 s, not ended"), "{}", canceled.text());
}

#[test]
fn recording_without_events_prints_nothing() {
    assert_eq!(record(&[], 10).text(), "");
    assert_eq!(record(&[(1, ended("never begun"))], 10).text(), "");
}

#[test]
fn long_name_is_cut_and_keeps_its_size() {
    let name = "x".repeat(80);
    let done = ended_after(&name, Some(2048));
    let text = record(&[(0, begun(&name, ActivityKind::Transfer)), (900, done)], 1_000).text();
    assert!(text.contains("x… (2.0 KiB)  transfer"), "{text}");
}

#[test]
fn trace_has_every_span_and_no_overlap_within_a_thread() {
    let trace = run().trace();
    let events = trace["traceEvents"].as_array().unwrap();
    let spans: Vec<&Value> = events.iter().filter(|event| event["ph"] == "X").collect();
    assert_eq!(spans.len(), run().spans.len());
    let time = |event: &Value, field: &str| event[field].as_u64().unwrap();
    for (index, one) in spans.iter().enumerate() {
        for other in spans.iter().skip(index + 1).filter(|other| other["tid"] == one["tid"]) {
            let (first, second) =
                if time(one, "ts") <= time(other, "ts") { (one, other) } else { (other, one) };
            let end = time(first, "ts") + time(first, "dur");
            assert!(end <= time(second, "ts"), "{first} and {second}");
        }
    }
    let thread =
        |name: &str| spans.iter().find(|span| span["name"] == name).unwrap()["tid"].clone();
    assert_ne!(thread("convert"), thread("fork"), "they overlap");
    assert_eq!(thread("boot"), thread("source"));
}

#[test]
fn trace_event_has_microseconds_and_details() {
    let trace = run().trace();
    let events = trace["traceEvents"].as_array().unwrap();
    let save = events.iter().find(|event| event["name"] == "save RAM of first boot").unwrap();
    insta::assert_snapshot!(save);
    let named = |event: &&Value| event["name"] == "thread_name";
    let names: Vec<_> = events.iter().filter(named).map(|event| &event["args"]["name"]).collect();
    let activities = ["activities"; 3];
    assert_eq!(names, [&["steps", "steps"][..], &activities, &["machines"]].concat());
}
