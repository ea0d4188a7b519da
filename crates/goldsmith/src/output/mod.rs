//! All printing. Results go to standard output, everything else to standard error, so that
//! `goldsmith … --output json | jq` works.

mod diagnostics;
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

/// The first error while writing results.
static LOST: OnceLock<io::Error> = OnceLock::new();

/// Prints a line to standard output. A write error does not stop the command halfway:
/// [`Output::lost`] reports it at the end.
fn print(text: impl fmt::Display) {
    let Err(error) = writeln!(io::stdout(), "{text}") else { return };
    // Not an error: the reader has stopped (`| head`), or the terminal was closed.
    let is_gone = error.kind() == io::ErrorKind::BrokenPipe || error.raw_os_error() == Some(EIO);
    if !is_gone {
        let _ = LOST.set(error);
    }
}

/// Linux's error for writing to a closed terminal.
const EIO: i32 = 5;

/// Prints a line to standard error. A write error cannot be reported anywhere.
fn remark(text: impl fmt::Display) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Prints in the chosen format.
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

    /// Prints a result: a JSON object with a field `kind`, or the text.
    pub(crate) fn result<T: Serialize>(
        &self,
        kind: &str,
        value: &T,
        text: impl FnOnce() -> String,
    ) {
        match self.format {
            Format::Json => print_json(kind, value),
            Format::Text => print(text().trim_end()),
        }
    }

    /// Prints a remark that is not part of the result.
    pub(crate) fn note(&self, text: &str) {
        match self.format {
            Format::Json => print_json("note", &json!({ "text": text })),
            Format::Text => remark(text),
        }
    }

    /// Prints text in the text format only.
    pub(crate) fn text(&self, text: &str) {
        if !self.is_json() {
            remark(text);
        }
    }

    /// Prints text to standard error in either format.
    pub(crate) fn aside(&self, text: &str) {
        remark(text);
    }

    /// Prints an error.
    pub(crate) fn error(&self, error: &Error) {
        match self.format {
            Format::Json => print_json("error", &error_json(error)),
            Format::Text => remark(error_text(error).trim_end()),
        }
    }

    /// Reports an error while writing results and returns its exit code. Returns `None` if all results
    /// were written.
    pub(crate) fn lost() -> Option<u8> {
        let cause = LOST.get()?;
        let text = format!("cannot write the result to standard output: {cause}");
        let error = Error::new(ErrorCode::HostNotReady, text)
            .hint("the command has completed; free disk space, or redirect the output elsewhere");
        remark(error_text(&error).trim_end());
        Some(error.code.exit_code())
    }

    /// Prints the errors of a command.
    pub(crate) fn failure(&self, failure: &Failure) {
        for error in failure.errors() {
            self.error(error);
        }
    }

    /// Displays events until the last sender is dropped.
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
        Ok(line) => print(line),
        Err(e) => tracing::error!(error = %e, "cannot serialize an event"),
    }
}

fn print_json<T: Serialize>(kind: &str, value: &T) {
    let mut object = serde_json::Map::from_iter([("kind".to_owned(), json!(kind))]);
    match serde_json::to_value(value) {
        Ok(serde_json::Value::Object(fields)) => {
            debug_assert!(!fields.contains_key("kind"), "{kind}: a field would replace the kind");
            object.extend(fields);
        }
        Ok(other) => {
            object.insert("value".to_owned(), other);
        }
        Err(e) => tracing::error!(error = %e, "cannot serialize a result"),
    }
    print(serde_json::Value::Object(object));
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
