//! `goldsmith validate`: all mistakes of a template, and what this installation lacks to build it.

use engine::{Host, build};
use images::error::Error;
use serde_json::json;

use super::{Result, Session, template};
use crate::cli;

pub(super) async fn run(args: &cli::Validate, session: Session<'_>) -> Result {
    let input = template::read(&args.template, session.output).await?;
    let template = &input.template;
    // An unknown VM size is also an error in Azure.
    build::check_sizes(template)?;
    let has_size = template.properties.vm_profile.as_ref().is_some_and(|p| p.vm_size.is_some());
    // Missing QEMU is not a note about the template: `goldsmith doctor` reports it.
    let host = if has_size { Host::probe(None).await.ok() } else { None };
    let notes = build::lacks(&session.cx(), template, host.as_ref());

    let customizers = template.properties.customize.len();
    let distributors = template.properties.distribute.len();
    let value = json!({
        "valid": true,
        "customizers": customizers,
        "distributors": distributors,
        "notes": notes.iter().map(note).collect::<Vec<_>>(),
    });
    session.output.result("result", &value, || {
        let file = args.template.file.display();
        let valid =
            format!("{file} is valid: {customizers} customizers, {distributors} distributors");
        let lines = notes.iter().map(line);
        std::iter::once(valid).chain(lines).collect::<Vec<_>>().join("\n")
    });
    Ok(0)
}

fn note(error: &Error) -> serde_json::Value {
    json!({
        "message": error.message,
        "target": error.target,
        "hint": error.hint,
        "details": error.details,
    })
}

/// A note as text: the problem, its location, and the remedy.
fn line(error: &Error) -> String {
    let at = error.target.as_ref().map_or_else(String::new, |target| format!(" ({target})"));
    let hint = error.hint.as_ref().map_or_else(String::new, |hint| format!("\n  help: {hint}"));
    format!("note: here, {}{at}{hint}", error.message)
}
