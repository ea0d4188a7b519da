//! Goldsmith's side: four builds by the executable, measured from its JSON events.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use serde_json::{Value, json};

use super::{
    Bench, SMALL_VM_SIZE, VM_SIZE, check_standalone, fresh,
    workload::{self, Workload},
    write,
};
use crate::Result;

/// The times of the four builds.
pub(super) struct Goldsmith {
    pub(super) cold: Run,
    pub(super) warm: Run,
    pub(super) edit_last: Run,
    pub(super) unchanged: Run,
    /// Pauses of the seals with RAM of all these builds, in seconds.
    pub(super) pauses: Vec<f64>,
    /// The same of a build on a machine with 2 GiB.
    pub(super) small_pauses: Vec<f64>,
}

/// One build.
pub(super) struct Run {
    pub(super) seconds: f64,
    steps: Vec<StepTime>,
    /// How long each seal with RAM paused the guest, in seconds.
    pauses: Vec<f64>,
}

#[derive(Debug, PartialEq)]
struct StepTime {
    step: String,
    seconds: f64,
    cached: bool,
    /// RAM was saved with the node, which does not count as overhead of the step.
    ram: bool,
}

#[cfg(test)]
impl Run {
    /// A build without any step.
    pub(super) fn of(seconds: f64) -> Self {
        Self { seconds, steps: Vec::new(), pauses: Vec::new() }
    }
}

impl Run {
    /// Seconds of each customizer that was executed; `None` for a cached one.
    pub(super) fn customizers(&self) -> Vec<Option<f64>> {
        let customizers = self.steps.iter().filter(|step| step.step.starts_with("customize"));
        customizers.map(|step| (!step.cached).then_some(step.seconds)).collect()
    }

    /// Whether RAM was saved with each customizer.
    pub(super) fn saved_ram(&self) -> Vec<bool> {
        let customizers = self.steps.iter().filter(|step| step.step.starts_with("customize"));
        customizers.map(|step| step.ram).collect()
    }

    /// Whether a step was executed that needs a machine.
    pub(super) fn started_a_machine(&self) -> bool {
        let needs_one = ["boot", "start", "customize", "generalize"];
        self.steps
            .iter()
            .any(|step| !step.cached && needs_one.iter().any(|name| step.step.starts_with(name)))
    }

    /// Every step with its time, for the result file.
    pub(super) fn json(&self) -> Value {
        let step = |step: &StepTime| json!({ "step": step.step, "s": step.seconds, "cached": step.cached, "ram": step.ram });
        Value::Array(self.steps.iter().map(step).collect())
    }
}

/// The source image of all measurements, made if need be: the disk that goldsmith itself boots.
pub(super) fn source_image(bench: &Bench<'_>) -> Result<PathBuf> {
    if let Some(image) = find_source(&cache(bench)) {
        return Ok(image);
    }
    println!("goldsmith: creating the source image (not measured)");
    let dir = fresh(&bench.dir.join("source"))?;
    let template = dir.join("template.json");
    write(&template, &format!("{:#}\n", workload::template(&json!([]), VM_SIZE)))?;
    build(bench, "source", &template)?;
    find_source(&cache(bench))
        .ok_or_else(|| format!("no source image in {}", cache(bench).display()))
}

fn find_source(cache: &Path) -> Option<PathBuf> {
    let sources = fs::read_dir(cache.join("sources")).ok()?;
    sources.flatten().map(|entry| entry.path().join("disk.qcow2")).find(|disk| disk.exists())
}

pub(super) fn measure(bench: &Bench<'_>, workload: &Workload) -> Result<Goldsmith> {
    let dir = fresh(&bench.dir.join("goldsmith"))?;
    let template = dir.join("template.json");
    // Removes the booted node of earlier runs, and keeps the source image.
    fresh(&cache(bench).join("nodes"))?;

    workload.write_template(&template)?;
    let cold = build(bench, "cold", &template)?;
    let mut workload = workload.clone();
    workload.touch(0, 1);
    workload.write_template(&template)?;
    let warm = build(bench, "warm", &template)?;
    workload.touch(4, 1);
    workload.write_template(&template)?;
    let edit_last = build(bench, "edit_last", &template)?;
    let unchanged = build(bench, "unchanged", &template)?;

    expect("cold", &cold, 5)?;
    expect("warm", &warm, 5)?;
    expect("edit_last", &edit_last, 1)?;
    expect("unchanged", &unchanged, 0)?;
    let pauses = [&cold, &warm, &edit_last].iter().flat_map(|run| run.pauses.clone()).collect();
    let small_pauses = small(bench, &template)?.pauses;
    Ok(Goldsmith { cold, warm, edit_last, unchanged, pauses, small_pauses })
}

/// A build on the machine with 2 GiB: RAM is saved after the first boot and before the last step.
fn small(bench: &Bench<'_>, template: &Path) -> Result<Run> {
    let step = json!({ "type": "Shell", "inline": ["date | sudo tee -a /etc/motd"] });
    let small = workload::template(&json!([step, step]), SMALL_VM_SIZE);
    write(template, &format!("{small:#}\n"))?;
    build(bench, "small", template)
}

/// Fails if a build did not execute the expected steps, because its time would be meaningless.
fn expect(case: &str, run: &Run, executed: usize) -> Result<()> {
    let count = run.customizers().iter().flatten().count();
    if count == executed {
        return Ok(());
    }
    Err(format!("{case}: {count} customizers were executed, expected {executed}"))
}

fn build(bench: &Bench<'_>, case: &str, template: &Path) -> Result<Run> {
    let log = bench.dir.join(format!("goldsmith-{case}.jsonl"));
    let errors = bench.dir.join(format!("goldsmith-{case}.log"));
    let create = |path: &Path| File::create(path).map_err(|e| format!("{}: {e}", path.display()));
    let mut command = Command::new(bench.goldsmith());
    command
        .args(["--output", "json", "--cache-dir"])
        .arg(cache(bench))
        .arg("--data-dir")
        .arg(bench.dir.join("data"))
        .arg("build")
        .arg(template)
        .args(["--accel", &bench.guests.accel])
        .stdin(Stdio::null())
        .stdout(create(&log)?)
        .stderr(create(&errors)?);
    let started = Instant::now();
    let status = command.status().map_err(|error| format!("cannot run goldsmith: {error}"))?;
    let seconds = started.elapsed().as_secs_f64();
    let events = fs::read_to_string(&log).map_err(|error| format!("{}: {error}", log.display()))?;
    if !status.success() {
        let last = events.lines().last().unwrap_or_default();
        return Err(format!("goldsmith, {case}: {status}: {last} (log: {})", errors.display()));
    }
    check_standalone(&image(&events)?)?;
    println!("goldsmith: {case} {seconds:.1} s");
    Ok(Run { seconds, steps: read_steps(&events), pauses: read_pauses(&events) })
}

/// The managed image in the store: like Packer's, a standalone, uncompressed qcow2.
fn image(events: &str) -> Result<PathBuf> {
    let result = events
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find(|event| event["kind"] == "result");
    let path = result.as_ref().and_then(|result| result["outputs"][0]["path"].as_str());
    path.map(PathBuf::from).ok_or_else(|| "the build printed no output with a path".to_owned())
}

fn cache(bench: &Bench<'_>) -> PathBuf {
    bench.dir.join("cache")
}

fn read_pauses(events: &str) -> Vec<f64> {
    let events = events.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let sealed = events.filter(|event| event["kind"] == "sealed" && event["ram"] == true);
    sealed.filter_map(|event| event["seconds"].as_f64()).collect()
}

/// The event of the seal precedes that of the step's end.
fn read_steps(events: &str) -> Vec<StepTime> {
    let mut ram = false;
    let mut steps = Vec::new();
    for event in events.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        match event["kind"].as_str() {
            Some("sealed") => ram = event["ram"] == true,
            Some("stepFinished") => steps.push(StepTime {
                step: event["step"].as_str().unwrap_or_default().to_owned(),
                seconds: event["seconds"].as_f64().unwrap_or_default(),
                cached: event["outcome"]["how"] == "cached",
                ram: std::mem::take(&mut ram),
            }),
            _ => {}
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENTS: &str = r#"{"kind":"runStarted","runId":"r","template":"t"}
{"kind":"stepFinished","step":"start","title":"Start","seconds":3.5,"outcome":{"how":"done"}}
{"kind":"stepOutput","step":"customize[0]","stream":"stdout","text":"x"}
{"kind":"stepFinished","step":"customize[0]","title":"a","seconds":0.0,"outcome":{"how":"cached","ageSeconds":4}}
{"kind":"sealed","title":"b","key":"k","ram":true,"seconds":0.25}
{"kind":"sealed","title":"b","key":"k","ram":false,"seconds":0.5}
{"kind":"stepFinished","step":"customize[1]","title":"b","seconds":2.25,"outcome":{"how":"done"}}
{"kind":"result"}"#;

    #[test]
    fn steps_are_read_from_events() {
        let (steps, pauses) = (read_steps(EVENTS), read_pauses(EVENTS));
        let run = Run { seconds: 9.0, steps, pauses };
        assert_eq!(run.pauses, [0.25], "only those with RAM");
        assert_eq!(run.steps.len(), 3);
        assert_eq!(run.customizers(), [None, Some(2.25)]);
        assert!(run.started_a_machine());
        assert!(expect("edit_last", &run, 1).is_ok());
        assert!(expect("warm", &run, 5).unwrap_err().contains("1 customizers"));
    }

    #[test]
    fn a_run_of_cached_steps_started_nothing() {
        let cached =
            EVENTS.lines().filter(|line| !line.contains("done")).collect::<Vec<_>>().join("\n");
        let run = Run { seconds: 1.0, steps: read_steps(&cached), pauses: Vec::new() };
        assert!(!run.started_a_machine());
    }
}
