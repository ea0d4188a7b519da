//! `cargo xtask bench-template`: the cost of parts of a template, each with a comparison, in one run on
//! one host. Writes `target/bench/template.json`.
//!
//! A scenario is a file with a measuring function, and a line in [`SCENARIOS`].

mod first_contact;
mod lab;
mod optimization;
mod validators;

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use super::{host::Guests, write};
use crate::Result;
use lab::Lab;

/// All scenarios, in the order of the report.
const SCENARIOS: &[Scenario] = &[
    Scenario { name: "first-contact", measure: first_contact::measure },
    Scenario { name: "validators", measure: validators::measure },
    Scenario { name: "optimization", measure: optimization::measure },
];

struct Scenario {
    name: &'static str,
    measure: fn(&Lab) -> Result<Vec<Row>>,
}

/// A figure and its limit.
struct Row {
    what: String,
    value: f64,
    unit: &'static str,
    /// The upper limit.
    limit: Option<f64>,
}

impl Row {
    fn seconds(what: impl Into<String>, value: f64) -> Self {
        Self { what: what.into(), value, unit: "s", limit: None }
    }

    fn mib(what: impl Into<String>, value: f64) -> Self {
        Self { what: what.into(), value, unit: "MiB", limit: None }
    }

    fn ratio(what: impl Into<String>, value: f64, limit: f64) -> Self {
        Self { what: what.into(), value, unit: "", limit: Some(limit) }
    }

    fn json(&self) -> Value {
        json!({ "what": self.what, "value": self.value, "unit": self.unit, "limit": self.limit })
    }
}

/// The middle of several measurements.
fn middle(all: Vec<Result<f64>>) -> Result<f64> {
    let mut all = all.into_iter().collect::<Result<Vec<f64>>>()?;
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().ok_or_else(|| "nothing was measured".to_owned())
}

/// The scenarios to measure, and the path of the executable.
pub(crate) struct Options {
    /// As goldsmith chooses by default.
    accel: Option<String>,
    only: Option<String>,
    goldsmith: Option<PathBuf>,
}

impl Options {
    pub(crate) fn parse(words: &[&str]) -> Result<Self> {
        let mut options = Self { accel: None, only: None, goldsmith: None };
        for pair in words.chunks(2) {
            match pair {
                ["--accel", accel @ ("tcg" | "kvm")] => options.accel = Some((*accel).to_owned()),
                ["--only", name] if SCENARIOS.iter().any(|s| s.name == *name) => {
                    options.only = Some((*name).to_owned());
                }
                ["--goldsmith", path] => options.goldsmith = Some(PathBuf::from(path)),
                other => {
                    return Err(format!(
                        "bench-template: cannot make sense of {}",
                        other.join(" ")
                    ));
                }
            }
        }
        Ok(options)
    }
}

pub(crate) fn run(repository: &Path, options: &Options) -> Result<()> {
    let goldsmith = options.goldsmith.clone();
    let goldsmith = goldsmith.unwrap_or_else(|| repository.join("target/release/goldsmith"));
    let dir = repository.join("target/bench/template");
    let accel = Guests::of(&goldsmith, options.accel.as_deref())?.accel;
    let lab = Lab::new(goldsmith, &dir, &accel)?;
    let mut results = serde_json::Map::new();
    for scenario in SCENARIOS {
        if options.only.as_deref().is_some_and(|only| only != scenario.name) {
            continue;
        }
        let rows = (scenario.measure)(&lab)?;
        println!("\n{}", table(scenario.name, &rows));
        let rows = rows.iter().map(Row::json).collect();
        results.insert(scenario.name.to_owned(), Value::Array(rows));
    }
    // A partial measurement does not replace a complete one.
    if options.only.is_none() {
        let path = repository.join("target/bench/template.json");
        write(&path, &format!("{:#}\n", Value::Object(results)))?;
        println!("written: {}", path.display());
    }
    Ok(())
}

fn table(name: &str, rows: &[Row]) -> String {
    let mut text = format!("{name}\n");
    let width = rows.iter().map(|row| row.what.chars().count()).max().unwrap_or(0);
    for row in rows {
        let Row { what, value, unit, limit } = row;
        let _ = write!(text, "  {what:<width$} {value:>9.2} {unit:<2}");
        if let Some(limit) = limit {
            let verdict = if value < limit { "ok" } else { "over" };
            let _ = write!(text, " limit {limit} {verdict}");
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_whether_it_is_within_its_limit() {
        let rows = [
            Row::seconds("a boot", 41.0),
            Row::ratio("added", 0.5, 1.0),
            Row::ratio("x", 1.0, 1.0),
        ];
        let text = table("validators", &rows);
        assert_eq!(
            text,
            "validators\n  a boot     41.00 s\n  added       0.50    limit 1 ok\n  x           1.00    limit 1 over\n"
        );
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(Options::parse(&["--only", "validators", "--accel", "kvm"]).is_ok());
        for words in [&["--only", "nothing"][..], &["--accel"], &["x", "y"]] {
            assert!(Options::parse(words).is_err(), "{words:?}");
        }
    }
}
