//! Deployment files in a folder, and the parameters for them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use arm_template::{Limits, Parameters};
use serde_json::Value;

use crate::Result;

/// A deployment file with one set of parameters.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) path: PathBuf,
    /// The path relative to the folder, and the number of the set if there are several.
    pub(crate) title: String,
    pub(crate) text: String,
    pub(crate) parameters: Parameters,
}

/// The cases of a folder and of the folders in it, by name, and how many other JSON files there are.
///
/// Parameters come from `given`, an object from a file's relative path (with or without `.json`) to its
/// parameters or to an array of several sets; otherwise from a file beside it.
pub(crate) fn cases(folder: &Path, given: Option<&Value>) -> Result<(Vec<Case>, usize)> {
    let (mut cases, mut others) = (Vec::new(), 0);
    let mut paths = Vec::new();
    json_files(folder, &mut paths)?;
    paths.sort();
    for path in paths {
        let Ok(text) = fs::read_to_string(&path) else {
            others += 1;
            continue;
        };
        if !is_deployment(&text) {
            others += 1;
            continue;
        }
        let name = path.strip_prefix(folder).unwrap_or(&path).to_string_lossy().into_owned();
        let sets = match given.and_then(|given| sets_of(given, &name)) {
            Some(sets) => sets,
            None => vec![beside(&path)?.unwrap_or_else(|| "{}".to_owned())],
        };
        for (number, set) in sets.iter().enumerate() {
            let title = match sets.len() {
                1 => name.clone(),
                _ => format!("{name} ({})", number + 1),
            };
            let parameters = Parameters::parse(set, &Limits::default())
                .map_err(|error| format!("parameters of {title}: {error}"))?;
            cases.push(Case { path: path.clone(), title, text: text.clone(), parameters });
        }
    }
    Ok((cases, others))
}

fn json_files(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    let fail = |error| format!("{}: {error}", folder.display());
    for entry in fs::read_dir(folder).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let (path, kind) = (entry.path(), entry.file_type().map_err(fail)?);
        if kind.is_dir() {
            json_files(&path, found)?;
        } else if path.extension().is_some_and(|end| end == "json" || end == "jsonc") {
            found.push(path);
        }
    }
    Ok(())
}

/// Whether a text has the schema of deployment templates, even if it is not JSON.
fn is_deployment(text: &str) -> bool {
    text.to_ascii_lowercase().contains("deploymenttemplate.json")
}

fn sets_of(given: &Value, name: &str) -> Option<Vec<String>> {
    let stem = name.trim_end_matches(".json");
    let found = given.get(name).or_else(|| given.get(stem))?;
    Some(match found {
        Value::Array(sets) => sets.iter().map(Value::to_string).collect(),
        set => vec![set.to_string()],
    })
}

/// The text of the file that has the parameters by convention.
fn beside(path: &Path) -> Result<Option<String>> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let names = [
        format!("{stem}.parameters.json"),
        format!("{stem}-parameters.json"),
        format!("{stem}.param.json"),
        "parameters.json".to_owned(),
    ];
    let paths = names.iter().map(|name| path.with_file_name(name));
    let Some(path) = paths.into_iter().find(|path| path.is_file()) else { return Ok(None) };
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(Some(text))
}
