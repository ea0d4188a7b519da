//! What a trial has found.

use std::{collections::BTreeMap, fmt::Write as _};

use images::error::Error;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

/// The version of the report's format.
const FORMAT: u32 = 1;

/// The result of a trial.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    format: u32,
    /// When the trial began.
    pub started: Timestamp,
    /// Goldsmith's version.
    pub goldsmith: String,
    /// The image and the shape of its machine.
    pub image: Value,
    /// This host: QEMU, processor, and what `goldsmith doctor` finds.
    pub host: Value,
    /// What the guest says about itself: product, build, edition, PowerShell.
    pub guest: BTreeMap<String, Value>,
    /// The steps, in the order of their execution.
    pub steps: Vec<StepReport>,
    /// What could not be released.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub leftovers: Vec<String>,
}

/// The result of one step.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StepReport {
    /// Its name.
    pub step: &'static str,
    /// What it proves.
    pub proves: &'static str,
    /// How it ended.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// How long it took.
    pub seconds: f64,
    /// What it measured and saw.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub facts: BTreeMap<String, Value>,
    /// The screen afterwards: a file of the archive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub screen: Option<String>,
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "result", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Outcome {
    /// It is proven on this image.
    Pass,
    /// It does not hold on this image.
    Fail {
        /// The error's code.
        code: &'static str,
        /// What happened.
        message: String,
        /// The last lines of the console or of a script.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        details: Vec<String>,
    },
    /// It was not tried.
    Skipped {
        /// Why.
        reason: String,
    },
}

impl Outcome {
    pub(crate) fn failed(error: &Error) -> Self {
        let code = error.code.name();
        Self::Fail { code, message: error.message.clone(), details: error.details.clone() }
    }

    pub(crate) fn skipped(reason: impl Into<String>) -> Self {
        Self::Skipped { reason: reason.into() }
    }

    fn word(&self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail { .. } => "FAIL",
            Self::Skipped { .. } => "skipped",
        }
    }
}

impl Report {
    pub(crate) fn new(image: Value, host: Value) -> Self {
        Self {
            format: FORMAT,
            started: Timestamp::now(),
            goldsmith: env!("CARGO_PKG_VERSION").to_owned(),
            image,
            host,
            guest: BTreeMap::new(),
            steps: Vec::new(),
            leftovers: Vec::new(),
        }
    }

    /// The steps that failed.
    pub fn failures(&self) -> impl Iterator<Item = &StepReport> {
        self.steps.iter().filter(|step| matches!(step.outcome, Outcome::Fail { .. }))
    }

    /// How many steps passed, failed and were skipped.
    pub fn counts(&self) -> (usize, usize, usize) {
        let count = |wanted: fn(&Outcome) -> bool| {
            self.steps.iter().filter(|step| wanted(&step.outcome)).count()
        };
        (
            count(|outcome| matches!(outcome, Outcome::Pass)),
            count(|outcome| matches!(outcome, Outcome::Fail { .. })),
            count(|outcome| matches!(outcome, Outcome::Skipped { .. })),
        )
    }

    /// The report for people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for step in &self.steps {
            let StepReport { step: name, proves, outcome, seconds, .. } = step;
            let _ = writeln!(text, "{:<8} {name:<14} {seconds:>7.1} s  {proves}", outcome.word());
            match outcome {
                Outcome::Pass => {}
                Outcome::Fail { code, message, details } => {
                    let _ = writeln!(text, "         {code}: {message}");
                    for line in details {
                        let _ = writeln!(text, "         | {line}");
                    }
                }
                Outcome::Skipped { reason } => {
                    let _ = writeln!(text, "         {reason}");
                }
            }
            for (name, value) in &step.facts {
                let _ = writeln!(text, "         {name}: {}", plain(value));
            }
        }
        for (name, value) in &self.guest {
            let _ = writeln!(text, "guest {name}: {}", plain(value));
        }
        for leftover in &self.leftovers {
            let _ = writeln!(text, "not released: {leftover}");
        }
        let (passed, failed, skipped) = self.counts();
        let _ = writeln!(text, "{passed} passed, {failed} failed, {skipped} skipped");
        text
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn text_says_for_each_step_how_it_ended_and_why() {
        let mut report = Report::new(json!({}), json!({}));
        let step = |step, outcome| StepReport {
            step,
            proves: "something",
            outcome,
            seconds: 1.25,
            facts: BTreeMap::from([("rate".to_owned(), json!("4 MB/s"))]),
            screen: None,
        };
        let details = vec!["last words".to_owned()];
        let fail = Outcome::Fail { code: "BootTimeout", message: "no answer".into(), details };
        report.steps.push(step("start", Outcome::Pass));
        report.steps.push(step("answers", fail));
        report.steps.push(step("stdin", Outcome::skipped("it needs the step answers")));
        report.guest.insert("build".into(), json!("17763.1"));
        let text = report.text();
        let expected = "\
pass     start              1.2 s  something
         rate: 4 MB/s
FAIL     answers            1.2 s  something
         BootTimeout: no answer
         | last words
         rate: 4 MB/s
skipped  stdin              1.2 s  something
         it needs the step answers
         rate: 4 MB/s
guest build: 17763.1
1 passed, 1 failed, 1 skipped
";
        assert_eq!(text, expected);
        assert_eq!(report.failures().count(), 1);
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["steps"][1]["result"], "fail");
        assert_eq!(json["steps"][2]["reason"], "it needs the step answers");
    }
}
