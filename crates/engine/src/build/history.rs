//! The forecast of a build: hits, misses, the input that changed, the expected time.

use std::{collections::BTreeMap, fs};

use images::{digest::digest, layout::Layout};
use serde::{Deserialize, Serialize};

use super::{
    chain::{Chain, Link},
    freshness::age,
    plan::{Plan, PlannedStep},
    validate,
};
use crate::{node::NodeStore, passed::Passed};

/// The forecast for one step.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Forecast {
    pub title: String,
    pub kind: String,
    pub hit: Hit,
    /// Its last duration in seconds, if it ever ran here.
    pub expected_seconds: Option<f64>,
}

/// Whether a step's node exists.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "cache", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Hit {
    /// The node exists.
    Hit { age_seconds: u64, ram: bool },
    /// The node is missing, for this reason.
    Miss { why: String },
}

/// The steps of a template's last run.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Remembered {
    links: Vec<RecordedStep>,
    #[serde(default)]
    validators: Vec<RecordedStep>,
}

/// The recorded or present inputs of a step.
#[derive(Debug, Serialize, Deserialize)]
struct RecordedStep {
    kind: String,
    title: String,
    inputs: BTreeMap<String, String>,
    /// The key of its node; a validator has no node.
    key: String,
}

impl RecordedStep {
    fn link(link: &Link) -> Self {
        Self {
            kind: link.kind.clone(),
            title: link.title.clone(),
            inputs: link.inputs.clone(),
            key: link.key.to_string(),
        }
    }

    fn validator(step: &PlannedStep, plan: &Plan) -> Self {
        Self {
            kind: step.action.kind().to_owned(),
            title: step.title.clone(),
            inputs: plan.with_identities(step.action.inputs()),
            key: String::new(),
        }
    }
}

/// Records the steps of this run, so that the next plan can explain what changed since. The record
/// only serves explanations and estimates, so a failure to write it does not fail the run.
pub(super) fn remember(layout: &Layout, plan: &Plan, chain: &Chain) {
    let links = chain.links.iter().map(RecordedStep::link).collect();
    let validators =
        plan.validators.iter().map(|step| RecordedStep::validator(step, plan)).collect();
    let write = || -> std::io::Result<()> {
        fs::create_dir_all(layout.history())?;
        let text = serde_json::to_vec_pretty(&Remembered { links, validators })?;
        fs::write(file(layout, plan), text)
    };
    if let Err(e) = write() {
        tracing::warn!(error = %e, "the run's history could not be written");
    }
}

/// The forecast for each link and each validator.
pub fn forecast(layout: &Layout, plan: &Plan, chain: &Chain) -> Vec<Forecast> {
    let store = NodeStore::new(layout);
    let last = recall(layout, plan);
    let is_first = last.links.is_empty();
    let mut parent_missed = None;
    let mut all = Vec::new();
    for (index, link) in chain.links.iter().enumerate() {
        let before = last.links.get(index);
        let hit = match store.get(&link.key).ok().flatten() {
            Some(node) => {
                Hit::Hit { age_seconds: age(&node).as_secs(), ram: node.meta.ram.is_some() }
            }
            None => Hit::Miss {
                why: why(&RecordedStep::link(link), before, is_first, parent_missed.as_deref()),
            },
        };
        if matches!(hit, Hit::Miss { .. }) && parent_missed.is_none() {
            parent_missed = Some(link.title.clone());
        }
        all.push(Forecast {
            title: link.title.clone(),
            kind: link.kind.clone(),
            expected_seconds: expected(&store, link, before),
            hit,
        });
    }
    all.extend(validations(layout, plan, chain, &last, parent_missed.as_deref()));
    all
}

/// All validators pass together or none does: they share one machine.
fn validations(
    layout: &Layout,
    plan: &Plan,
    chain: &Chain,
    last: &Remembered,
    parent_missed: Option<&str>,
) -> Vec<Forecast> {
    let node = chain.last(&NodeStore::new(layout)).ok().flatten();
    let passed = node.as_ref().and_then(|node| {
        let key = validate::key(node, plan)?;
        Passed::recall(layout, node, &key)
    });
    let counts = passed.as_ref().is_some_and(|passed| chain.freshness.allows_age(passed.age()));
    let forecast = |(index, step): (usize, &PlannedStep)| {
        let before = last.validators.get(index);
        let hit = match &passed {
            Some(passed) if counts => Hit::Hit { age_seconds: passed.age().as_secs(), ram: false },
            Some(_) => Hit::Miss { why: "is to be done afresh".to_owned() },
            None => {
                let now = RecordedStep::validator(step, plan);
                Hit::Miss { why: why(&now, before, last.links.is_empty(), parent_missed) }
            }
        };
        Forecast {
            title: step.title.clone(),
            kind: format!("{} validator", step.action.kind()),
            expected_seconds: passed.as_ref().and_then(|p| p.seconds.get(index).copied()),
            hit,
        }
    };
    plan.validators.iter().enumerate().map(forecast).collect()
}

fn why(
    now: &RecordedStep,
    before: Option<&RecordedStep>,
    is_first: bool,
    parent_missed: Option<&str>,
) -> String {
    let Some(before) = before else {
        return if is_first { "never built here".to_owned() } else { "a new step".to_owned() };
    };
    if before.kind != now.kind {
        return format!("was a {} step, is a {} step", before.kind, now.kind);
    }
    let changed: Vec<String> = now
        .inputs
        .iter()
        .filter(|(name, value)| before.inputs.get(*name) != Some(value))
        .map(|(name, value)| {
            let old = before.inputs.get(name).map_or("nothing", String::as_str);
            format!("{name} changed ({} → {})", short(old), short(value))
        })
        .collect();
    if !changed.is_empty() {
        return changed.join(", ");
    }
    if let Some(parent) = parent_missed {
        return format!("comes after {parent:?}, which is a miss");
    }
    if now.key.is_empty() {
        return "has not passed, or another validator changed".to_owned();
    }
    if before.key == now.key {
        return "its node is gone: evicted, or its build did not get this far".to_owned();
    }
    "the source image or the machine (size, memory, disk) changed".to_owned()
}

fn short(value: &str) -> &str {
    let is_digest = value.len() == 64 && value.bytes().all(|b| b.is_ascii_hexdigit());
    if is_digest { &value[..12] } else { value }
}

fn expected(store: &NodeStore, link: &Link, before: Option<&RecordedStep>) -> Option<f64> {
    let of = |key: &str| Some(store.get(&images::digest::Key::parse(key)?).ok()??.meta.seconds);
    of(link.key.as_str()).or_else(|| of(&before?.key))
}

fn recall(layout: &Layout, plan: &Plan) -> Remembered {
    let text = fs::read(file(layout, plan)).ok();
    text.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
}

fn file(layout: &Layout, plan: &Plan) -> std::path::PathBuf {
    layout.history().join(format!("{}.json", digest(plan.name.as_bytes())))
}
