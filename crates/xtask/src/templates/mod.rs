//! `cargo xtask templates`: evaluates every deployment file of a folder and prints which are refused, and
//! why. Nothing is deployed, and what only a deployed resource knows stays open.

mod evaluate;
mod files;
#[cfg(test)]
mod tests;

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use arm_template::{Error, Rendered};

pub(crate) use evaluate::{Counts, Place, evaluate};
use files::Case;

use crate::Result;

/// What to evaluate, and with what.
#[derive(Debug)]
pub(crate) struct Options {
    folder: PathBuf,
    /// A JSON file with parameters for each file.
    parameters: Option<PathBuf>,
    place: Place,
    /// Whether parameters without a value are unknown rather than missing.
    unknown: bool,
    /// Whether the resources are listed.
    list: bool,
}

impl Options {
    pub(crate) fn parse(words: &[&str]) -> Result<Self> {
        let mut options = Self {
            folder: PathBuf::new(),
            parameters: None,
            place: Place::default(),
            unknown: false,
            list: false,
        };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value =
                || words.next().map(|value| (*value).to_owned()).ok_or(format!("{word}: no value"));
            match *word {
                "--parameters" => options.parameters = Some(value()?.into()),
                "--group" => options.place.group = value()?,
                "--deployment" => options.place.deployment = value()?,
                "--location" => options.place.location = value()?,
                "--unknown" => options.unknown = true,
                "--list" => options.list = true,
                folder if !folder.starts_with('-') && options.folder.as_os_str().is_empty() => {
                    options.folder = folder.into();
                }
                other => return Err(format!("templates: unknown argument {other}")),
            }
        }
        if options.folder.as_os_str().is_empty() {
            return Err("templates: which folder?".to_owned());
        }
        Ok(options)
    }
}

/// Prints the table. Refusals are results, not failures.
pub(crate) fn run(options: &Options) -> Result<()> {
    let given = options.parameters.as_deref().map(read).transpose()?;
    let (cases, others) = files::cases(&options.folder, given.as_ref())?;
    if cases.is_empty() {
        return Err(format!("{}: no deployment files", options.folder.display()));
    }
    let width = cases.iter().map(|case| case.title.chars().count()).max().unwrap_or_default();
    let mut refused = 0;
    for case in &cases {
        let outcome = outcome(case, options);
        refused += usize::from(outcome.is_err());
        println!("{:width$}  {}", case.title, line(&outcome));
        if let (true, Ok(rendered)) = (options.list, &outcome) {
            print!("{}", list(rendered));
        }
    }
    println!("{} evaluated, {refused} refused, {others} other JSON files", cases.len() - refused);
    Ok(())
}

fn read(path: &Path) -> Result<serde_json::Value> {
    let fail = |error: String| format!("{}: {error}", path.display());
    let text = fs::read_to_string(path).map_err(|error| fail(error.to_string()))?;
    serde_json::from_str(&text).map_err(|error| fail(error.to_string()))
}

fn outcome(case: &Case, options: &Options) -> std::result::Result<Rendered, Error> {
    let folder = case.path.parent().unwrap_or(&options.folder);
    evaluate(&case.text, case.parameters.clone(), options.unknown, &options.place, folder)
}

/// `evaluated  3 resources, ...`, or `refused    Parameter 12:5 ...`.
fn line(outcome: &std::result::Result<Rendered, Error>) -> String {
    match outcome {
        Ok(rendered) => {
            let Counts { resources, nested, outputs, absent, undetermined } = Counts::of(rendered);
            let mut line = format!(
                "evaluated  {resources} resources, {nested} nested deployments, {outputs} outputs"
            );
            for (count, what) in
                [(absent, "without their template"), (undetermined, "undetermined")]
            {
                if count > 0 {
                    // Writing to a `String` cannot fail.
                    let _ = write!(line, ", {count} {what}");
                }
            }
            line
        }
        Err(error) => {
            let place =
                error.position.map_or("-".to_owned(), |at| format!("{}:{}", at.line, at.column));
            let message = error.message.replace('\n', " ");
            let path = match error.path.as_str() {
                "" => String::new(),
                path => format!(" ({path})"),
            };
            format!("refused    {:?} {place} {message}{path}", error.kind)
        }
    }
}

/// The resources and outputs, those of nested deployments after the deployment.
fn list(rendered: &Rendered) -> String {
    let mut lines = String::new();
    for deployment in rendered.deployments() {
        let facts = deployment.plan.facts();
        // Writing to a `String` cannot fail.
        let _ = writeln!(lines, "    {} in {}/", facts.name, facts.scope);
        for one in &deployment.resources {
            let resource = deployment.resource(one);
            let pending = if one.preview.pending { "  (partly pending)" } else { "" };
            let _ = writeln!(
                lines,
                "        {} {} {}{pending}",
                resource.resource_type, resource.api_version, resource.name
            );
        }
        for resource in deployment.plan.undetermined() {
            let _ = writeln!(
                lines,
                "        {} undetermined: {}",
                resource.resource_type, resource.reason
            );
        }
        for output in &deployment.outputs {
            let value = match &output.value {
                _ if output.secure => "(secure)".to_owned(),
                Some(value) => serde_json::Value::from(value).to_string(),
                None => "(pending)".to_owned(),
            };
            let _ = writeln!(lines, "        output {} = {value}", output.name);
        }
    }
    lines
}
