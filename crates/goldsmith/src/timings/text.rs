//! A waterfall of a run for people.

use std::time::Duration;

use super::{End, Span, Timings, What};
use crate::{
    duration::{bytes, human},
    output::Table,
};

/// Width of the bars, in characters.
const WIDTH: usize = 40;
/// Longer names are cut.
const NAME: usize = 48;
/// Shorter activities are left out.
const SHORT: Duration = Duration::from_millis(50);

pub(super) fn render(timings: &Timings) -> String {
    let shown = |span: &&Span| match span.what {
        What::Step => true,
        What::Activity(_) | What::Pause => span.took() >= SHORT,
        What::Machine => false,
    };
    let total = human(timings.total.as_secs_f64());
    let mut table = Table::new(&["timings", "what", "took", &format!("of {total}")]);
    for span in timings.spans.iter().filter(shown) {
        table.row([name(span), span.what.name().to_owned(), took(span), bar(span, timings.total)]);
    }
    table.or("")
}

/// Steps stand at the left; what happens in them, or beside them, is indented.
fn name(span: &Span) -> String {
    let indent = if span.what == What::Step { "" } else { "  " };
    let size = span.bytes.map_or_else(String::new, |size| format!(" ({})", bytes(size)));
    let room = NAME - indent.len() - size.len();
    let mut name = span.name.clone();
    if name.chars().count() > room {
        name = name.chars().take(room - 1).chain(['…']).collect();
    }
    format!("{indent}{name}{size}")
}

fn took(span: &Span) -> String {
    let took = human(span.took().as_secs_f64());
    match span.how {
        End::Done => took,
        End::Cached => "cached".to_owned(),
        End::Failed => format!("{took}, failed"),
        End::Unknown => format!("{took}, not ended"),
    }
}

fn bar(span: &Span, total: Duration) -> String {
    if span.how == End::Cached || total.is_zero() {
        return String::new();
    }
    let mark = match span.what {
        What::Step | What::Machine => '█',
        What::Activity(images::event::ActivityKind::Wait) => '░',
        What::Activity(_) | What::Pause => '▒',
    };
    let column = |at: Duration| (at.as_secs_f64() / total.as_secs_f64() * WIDTH as f64) as usize;
    let start = column(span.start).min(WIDTH - 1);
    // A short span is visible too.
    let end = column(span.end).max(start + 1);
    " ".repeat(start) + &mark.to_string().repeat(end - start)
}
