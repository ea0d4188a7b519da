//! Mistakes of templates, with excerpts of the text that has them.

use api::template::{Diagnostic, Severity};
use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteDiagnostic, NamedSource};
use serde_json::json;

use super::Output;

impl Output {
    /// Prints the mistakes of a text. `title` is the name of its file. Without `text` there are no excerpts.
    pub(crate) fn diagnostics(&self, title: &str, text: Option<&str>, diagnostics: &[Diagnostic]) {
        if self.is_json() {
            for diagnostic in diagnostics {
                let kind = match diagnostic.severity {
                    Severity::Error => "error",
                    Severity::Warning => "warning",
                };
                let value = json!({
                    "code": diagnostic.code.name(),
                    "message": diagnostic.message,
                    "target": diagnostic.path,
                    "line": diagnostic.line,
                    "column": diagnostic.column,
                    "hint": diagnostic.hint,
                });
                self.result(kind, &value, String::new);
            }
            return;
        }
        let plain = !std::io::IsTerminal::is_terminal(&std::io::stderr());
        let theme = if plain { GraphicalTheme::none() } else { GraphicalTheme::unicode() };
        let handler = GraphicalReportHandler::new_themed(theme);
        for diagnostic in diagnostics {
            self.text(render(&handler, title, text, diagnostic).trim_end());
        }
    }
}

fn render(
    handler: &GraphicalReportHandler,
    title: &str,
    text: Option<&str>,
    d: &Diagnostic,
) -> String {
    let severity = match d.severity {
        Severity::Error => miette::Severity::Error,
        Severity::Warning => miette::Severity::Warning,
    };
    let at = if d.path.is_empty() { String::new() } else { format!(" at {}", d.path) };
    let mut shown = MietteDiagnostic::new(d.message.clone())
        .with_code(format!("{}{at}", d.code.name()))
        .with_severity(severity);
    if text.is_some() {
        shown = shown.with_label(LabeledSpan::underline(d.span.clone()));
    }
    if let Some(hint) = &d.hint {
        shown = shown.with_help(hint.clone());
    }
    let source = text.map(|text| NamedSource::new(title, text.to_owned()));
    let report = miette::Report::new(shown);
    let report = match source {
        Some(source) => report.with_source_code(source),
        None => report,
    };
    let mut rendered = String::new();
    match handler.render_report(&mut rendered, report.as_ref()) {
        Ok(()) => rendered,
        Err(_) => format!("{title}:{}:{}: {}", d.line, d.column, d.message),
    }
}
