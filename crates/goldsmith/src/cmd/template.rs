//! Reads a template file and displays its mistakes with excerpts.

use std::{
    io::Read,
    path::{Path, PathBuf},
};

use api::{
    ErrorCode,
    template::{ApiVersion, Diagnostic, Face, ParseOptions, Severity},
};
use engine::{
    build::{CLOUD_INIT_TAG, Input},
    template::Parsed,
};
use images::error::Error;
use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteDiagnostic, NamedSource};
use serde_json::json;

use super::{Failure, Result};
use crate::{cli, output::Output};

/// The file name that means standard input.
const STANDARD_INPUT: &str = "-";
const LARGEST: u64 = 16 << 20;

/// Reads the template and prints all its mistakes. Returns a template only if it has no errors.
pub(crate) fn read(args: &cli::Template, output: &Output) -> Result<Input> {
    let (text, parsed) = parse(args)?;
    print(&args.file, &text, &parsed.diagnostics, output);
    let Some(mut template) = parsed.template else {
        let first = parsed.diagnostics.iter().find(|d| d.severity == Severity::Error);
        return Err(Failure::printed(first.map_or(ErrorCode::ValidationFailed, |d| d.code)));
    };
    if args.cloud_init {
        template.tags.retain(|name, _| !name.eq_ignore_ascii_case(CLOUD_INIT_TAG));
        template.tags.insert(CLOUD_INIT_TAG.to_owned(), "true".to_owned());
    }
    // For a template from standard input, paths of scripts are relative to the current folder.
    let file = match args.file == Path::new(STANDARD_INPUT) {
        true => Path::new("template.json"),
        false => &args.file,
    };
    let path = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    Ok(Input {
        fetch: sources::fetch::Limits::default(),
        metadata: None,
        name: name(&path),
        template,
        base_dir: path.parent().map_or_else(PathBuf::new, Path::to_owned),
    })
}

fn parse(args: &cli::Template) -> Result<(String, Parsed)> {
    let file = args.file.display();
    let bytes = bytes(&args.file).map_err(|e| {
        Error::new(ErrorCode::NotFound, format!("cannot read the template {file}: {e}"))
            .hint("specify the path of an image template in JSON, or - for standard input")
    })?;
    let text = String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        Error::new(ErrorCode::InvalidRequestContent, format!("{file} is not UTF-8 at byte {at}"))
            .hint("save it as UTF-8")
    })?;
    let api_version = match &args.api_version {
        None => None,
        Some(version) => Some(version.parse::<ApiVersion>().map_err(|e| {
            Error::new(ErrorCode::InvalidArgument, e.to_string()).target("--api-version")
        })?),
    };
    let parsed = engine::template::parse(&text, &ParseOptions { api_version, face: Face::File });
    Ok((text, parsed))
}

/// The content of the file, or of standard input for `-`. A content above [`LARGEST`] is an error.
fn bytes(file: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if file == Path::new(STANDARD_INPUT) {
        std::io::stdin().lock().take(LARGEST + 1).read_to_end(&mut bytes)?;
    } else {
        std::fs::File::open(file)?.take(LARGEST + 1).read_to_end(&mut bytes)?;
    }
    if bytes.len() as u64 > LARGEST {
        let text = format!("it is larger than {} MiB", LARGEST >> 20);
        return Err(std::io::Error::other(text));
    }
    Ok(bytes)
}

/// The template's name: the file's name without its extension.
fn name(path: &Path) -> String {
    path.file_stem().map_or_else(|| "template".to_owned(), |name| name.to_string_lossy().into())
}

fn print(file: &Path, text: &str, diagnostics: &[Diagnostic], output: &Output) {
    if output.is_json() {
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
            output.result(kind, &value, String::new);
        }
        return;
    }
    let plain = !std::io::IsTerminal::is_terminal(&std::io::stderr());
    let theme = if plain { GraphicalTheme::none() } else { GraphicalTheme::unicode() };
    let handler = GraphicalReportHandler::new_themed(theme);
    for diagnostic in diagnostics {
        output.text(render(&handler, file, text, diagnostic).trim_end());
    }
}

fn render(handler: &GraphicalReportHandler, file: &Path, text: &str, d: &Diagnostic) -> String {
    let severity = match d.severity {
        Severity::Error => miette::Severity::Error,
        Severity::Warning => miette::Severity::Warning,
    };
    let at = if d.path.is_empty() { String::new() } else { format!(" at {}", d.path) };
    let mut shown = MietteDiagnostic::new(d.message.clone())
        .with_code(format!("{}{at}", d.code.name()))
        .with_severity(severity)
        .with_label(LabeledSpan::underline(d.span.clone()));
    if let Some(hint) = &d.hint {
        shown = shown.with_help(hint.clone());
    }
    let source = NamedSource::new(file.display().to_string(), text.to_owned());
    let report = miette::Report::new(shown).with_source_code(source);
    let mut rendered = String::new();
    match handler.render_report(&mut rendered, report.as_ref()) {
        Ok(()) => rendered,
        Err(_) => format!("{}:{}:{}: {}", file.display(), d.line, d.column, d.message),
    }
}
