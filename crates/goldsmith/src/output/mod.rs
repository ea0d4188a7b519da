//! The only place that prints. Results go to standard output, everything else to standard error, so
//! that `goldsmith … --output json | jq` works.

mod live;
mod table;

use std::{
    fmt,
    io::{self, Write},
    sync::OnceLock,
};

use api::ErrorCode;
use images::{
    error::Error,
    event::{Event, Events},
};
use serde::Serialize;
use serde_json::json;
use tokio::task::JoinHandle;

pub(crate) use table::Table;

use crate::{cli::Format, failure::Failure};

/// Why a result could not be written, the first time.
static LOST: OnceLock<io::Error> = OnceLock::new();

/// A line on standard output. What cannot be written does not stop a command halfway: [`Output::lost`]
/// tells at its end.
fn say(text: impl fmt::Display) {
    let Err(error) = writeln!(io::stdout(), "{text}") else { return };
    // A reader that has had enough (`| head`) and a terminal that was closed miss nothing.
    let is_gone = error.kind() == io::ErrorKind::BrokenPipe || error.raw_os_error() == Some(EIO);
    if !is_gone {
        // The first one stays.
        let _ = LOST.set(error);
    }
}

/// What Linux says of a terminal that is no longer there.
const EIO: i32 = 5;

/// A line on standard error. There is nowhere to tell that it cannot be written.
fn remark(text: impl fmt::Display) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Where and how to print.
pub(crate) struct Output {
    format: Format,
}

impl Output {
    pub(crate) fn new(format: Format) -> Self {
        Self { format }
    }

    pub(crate) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// A result: a JSON object with that kind, or the text made from it.
    pub(crate) fn result<T: Serialize>(
        &self,
        kind: &str,
        value: &T,
        text: impl FnOnce() -> String,
    ) {
        match self.format {
            Format::Json => print_json(kind, value),
            Format::Text => say(text().trim_end()),
        }
    }

    /// A remark that is no part of the result.
    pub(crate) fn note(&self, text: &str) {
        match self.format {
            Format::Json => print_json("note", &json!({ "text": text })),
            Format::Text => remark(text),
        }
    }

    /// Text that belongs to a person's terminal only.
    pub(crate) fn text(&self, text: &str) {
        if !self.is_json() {
            remark(text);
        }
    }

    /// One coded error.
    pub(crate) fn error(&self, error: &Error) {
        match self.format {
            Format::Json => print_json("error", &error_json(error)),
            Format::Text => remark(error_text(error).trim_end()),
        }
    }

    /// Tells of results that standard output did not take, and returns the exit code for that; nothing if it
    /// took all of them.
    pub(crate) fn lost() -> Option<u8> {
        let cause = LOST.get()?;
        let text = format!("the result could not be written to standard output: {cause}");
        let error = Error::new(ErrorCode::HostNotReady, text)
            .hint("what the command did is done; make room, or send its output elsewhere");
        remark(error_text(&error).trim_end());
        Some(error.code.exit_code())
    }

    /// Everything that made a command fail.
    pub(crate) fn failure(&self, failure: &Failure) {
        for error in failure.errors() {
            self.error(error);
        }
    }

    /// Renders events until the last sender is gone.
    pub(crate) fn follow(&self) -> (Events, JoinHandle<()>) {
        let (events, mut receiver) = Events::channel();
        let format = self.format;
        let task = tokio::spawn(async move {
            let mut screen = live::Screen::new();
            while let Some(event) = receiver.recv().await {
                match format {
                    Format::Json => print_event(&event),
                    Format::Text => screen.show(&event),
                }
            }
            screen.close();
        });
        (events, task)
    }
}

fn print_event(event: &Event) {
    match serde_json::to_string(event) {
        Ok(line) => say(line),
        Err(e) => tracing::error!(error = %e, "an event could not be written"),
    }
}

fn print_json<T: Serialize>(kind: &str, value: &T) {
    let mut object = serde_json::Map::from_iter([("kind".to_owned(), json!(kind))]);
    match serde_json::to_value(value) {
        Ok(serde_json::Value::Object(fields)) => {
            debug_assert!(!fields.contains_key("kind"), "{kind}: a field would hide the kind");
            object.extend(fields);
        }
        Ok(other) => {
            object.insert("value".to_owned(), other);
        }
        Err(e) => tracing::error!(error = %e, "a result could not be written"),
    }
    say(serde_json::Value::Object(object));
}

fn error_json(error: &Error) -> serde_json::Value {
    json!({
        "code": error.code.name(),
        "message": error.message,
        "target": error.target,
        "step": error.step,
        "hint": error.hint,
        "details": error.details,
    })
}

fn error_text(error: &Error) -> String {
    use std::fmt::Write;
    let mut text = String::new();
    let at = error.target.as_ref().map_or_else(String::new, |target| format!(" ({target})"));
    let _ = writeln!(text, "error[{}]: {}{at}", error.code.name(), error.message);
    for line in &error.details {
        let _ = writeln!(text, "  | {line}");
    }
    let mut cause = std::error::Error::source(error);
    while let Some(source) = cause {
        let line = source.to_string();
        if !error.message.contains(&line) {
            let _ = writeln!(text, "  caused by: {line}");
        }
        cause = source.source();
    }
    if let Some(hint) = &error.hint {
        let _ = writeln!(text, "  help: {hint}");
    }
    text
}
