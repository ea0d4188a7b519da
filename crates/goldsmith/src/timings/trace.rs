//! A run in the JSON of Chrome's Trace Event Format: one complete event (`"ph": "X"`) for each span,
//! with times in microseconds.
//!
//! The viewers nest the events of one thread (`tid`), so that spans that only overlap need threads
//! of their own. Each group of spans has as many lanes as overlap at some moment.

use serde_json::{Value, json};

use super::{End, Span, Timings, What};

/// The viewers show everything below one process.
const PROCESS: u32 = 1;

pub(super) fn document(timings: &Timings) -> Value {
    let mut events = vec![metadata("process_name", 0, &json!({ "name": "goldsmith build" }))];
    let mut lanes_before = 0;
    for (group, belongs) in GROUPS {
        let lanes = lanes(timings.spans.iter().filter(|span| belongs(span.what)));
        for (lane, spans) in lanes.iter().enumerate() {
            let thread = lanes_before + lane + 1;
            events.push(metadata("thread_name", thread, &json!({ "name": group })));
            events.push(metadata("thread_sort_index", thread, &json!({ "sort_index": thread })));
            events.extend(spans.iter().map(|span| complete(span, thread)));
        }
        lanes_before += lanes.len();
    }
    json!({ "traceEvents": events, "displayTimeUnit": "ms" })
}

type Group = (&'static str, fn(What) -> bool);

const GROUPS: [Group; 3] = [
    ("steps", |what| what == What::Step),
    ("activities", |what| matches!(what, What::Activity(_) | What::Pause)),
    ("machines", |what| what == What::Machine),
];

/// Distributes spans, which are sorted by their starts, so that none overlaps another one in its
/// lane.
fn lanes<'a>(spans: impl Iterator<Item = &'a Span>) -> Vec<Vec<&'a Span>> {
    let mut lanes: Vec<Vec<&Span>> = Vec::new();
    for span in spans {
        let is_free = |lane: &&mut Vec<&Span>| {
            lane.last().is_none_or(|last| last.end.as_micros() <= span.start.as_micros())
        };
        match lanes.iter_mut().find(is_free) {
            Some(lane) => lane.push(span),
            None => lanes.push(vec![span]),
        }
    }
    lanes
}

fn complete(span: &Span, thread: usize) -> Value {
    let (start, end) = (span.start.as_micros(), span.end.as_micros());
    let mut arguments = json!({ "end": match span.how {
        End::Done => "done",
        End::Cached => "cached",
        End::Failed => "failed",
        End::Unknown => "not ended",
    }});
    if let Some(bytes) = span.bytes {
        arguments["bytes"] = bytes.into();
    }
    json!({
        "name": span.name,
        "cat": span.what.name(),
        "ph": "X",
        "ts": u64::try_from(start).unwrap_or(u64::MAX),
        "dur": u64::try_from(end.saturating_sub(start)).unwrap_or(u64::MAX),
        "pid": PROCESS,
        "tid": thread,
        "args": arguments,
    })
}

fn metadata(name: &str, thread: usize, arguments: &Value) -> Value {
    json!({ "name": name, "ph": "M", "pid": PROCESS, "tid": thread, "args": arguments })
}
