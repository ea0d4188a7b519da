//! Builds by the executable in a separate cache, measured from its JSON events.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};

use super::super::{VM_SIZE, fresh, write};
use crate::Result;

/// The environment of the builds of all scenarios. The source image is reused between runs.
pub(super) struct Lab {
    goldsmith: PathBuf,
    dir: PathBuf,
    accel: String,
}

/// One build.
pub(super) struct Built {
    pub(super) seconds: f64,
    events: Vec<Value>,
    /// What `--timings` wrote.
    trace: Value,
}

impl Built {
    /// The report at the end.
    pub(super) fn result(&self) -> Option<&Value> {
        self.events.iter().find(|event| event["kind"] == "result")
    }

    /// Seconds of a step or activity in the trace, the first of its name.
    pub(super) fn span(&self, name: &str) -> Result<f64> {
        let spans = self.trace["traceEvents"].as_array();
        let span = spans.into_iter().flatten().find(|event| event["name"] == name);
        let microseconds = span.and_then(|event| event["dur"].as_f64());
        microseconds.map(|us| us / 1e6).ok_or_else(|| format!("the trace has no `{name}`"))
    }

    /// Seconds of an executed step.
    pub(super) fn step(&self, name: &str) -> Result<f64> {
        let done = |event: &&Value| {
            event["kind"] == "stepFinished"
                && event["step"] == name
                && event["outcome"]["how"] == "done"
        };
        let found = self.events.iter().find(done).and_then(|event| event["seconds"].as_f64());
        found.ok_or_else(|| format!("step {name} was not executed"))
    }
}

impl Lab {
    pub(super) fn new(goldsmith: PathBuf, dir: &Path, accel: &str) -> Result<Self> {
        if !goldsmith.exists() {
            return Err(format!("{} is missing: make build", goldsmith.display()));
        }
        std::fs::create_dir_all(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
        Ok(Self { goldsmith, dir: dir.to_owned(), accel: accel.to_owned() })
    }

    /// Creates the source image if it is missing, outside of any measurement.
    pub(super) fn make_source(&self) -> Result<()> {
        let sources = std::fs::read_dir(self.dir.join("cache/sources"));
        let is_there = sources.is_ok_and(|mut all| {
            all.any(|e| e.is_ok_and(|e| e.path().join("disk.qcow2").exists()))
        });
        if is_there {
            return Ok(());
        }
        self.build("source", &self.template(&json!({}))).map(drop)
    }

    /// Removes all cached steps, and keeps the source image.
    pub(super) fn forget_steps(&self) -> Result<()> {
        fresh(&self.dir.join("cache/nodes")).map(drop)
    }

    /// A template with one unique customizer and further properties.
    pub(super) fn template(&self, also: &Value) -> Value {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
        let image =
            "/subscriptions/s/resourceGroups/bench/providers/Microsoft.Compute/images/bench";
        let mut template = json!({
            "location": "local",
            "identity": { "type": "None" },
            "properties": {
                "vmProfile": { "vmSize": VM_SIZE },
                "source": { "type": "PlatformImage", "publisher": "Debian", "offer": "debian-12",
                    "sku": "12-gen2", "version": "latest" },
                "customize": [{ "type": "Shell", "inline": [format!("echo {now} | sudo tee /etc/motd")] }],
                "distribute": [{ "type": "ManagedImage", "runOutputName": "image", "location": "local",
                    "imageId": image }]
            }
        });
        for (name, value) in also.as_object().into_iter().flatten() {
            template["properties"][name] = value.clone();
        }
        template
    }

    /// The same, with cloud-init in the build machine.
    pub(super) fn with_cloud_init(&self) -> Value {
        let mut template = self.template(&json!({}));
        template["tags"] = json!({ "goldsmith.cloudInit": "true" });
        template
    }

    /// Runs a build. Messages and files use the name `case`.
    pub(super) fn build(&self, case: &str, template: &Value) -> Result<Built> {
        let file = self.dir.join(format!("{case}.json"));
        write(&file, &format!("{template:#}\n"))?;
        let trace = self.dir.join(format!("{case}-trace.json"));
        let mut command = Command::new(&self.goldsmith);
        command
            .args(["--output", "json", "--accel", &self.accel, "--cache-dir"])
            .arg(self.dir.join("cache"))
            .arg("--data-dir")
            .arg(self.dir.join("data"))
            .arg("build")
            .arg(&file)
            .arg(format!("--timings={}", trace.display()))
            .stdin(Stdio::null());
        let started = Instant::now();
        let done = command.output().map_err(|error| format!("cannot run goldsmith: {error}"))?;
        let seconds = started.elapsed().as_secs_f64();
        let text = String::from_utf8_lossy(&done.stdout);
        if !done.status.success() {
            let last = text.lines().last().unwrap_or_default();
            return Err(format!("goldsmith, {case}: {}: {last}", done.status));
        }
        println!("goldsmith: {case} {seconds:.1} s");
        let events = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let trace = std::fs::read_to_string(&trace)
            .map_err(|error| format!("{}: {error}", trace.display()))?;
        let trace = serde_json::from_str(&trace).map_err(|error| format!("the trace: {error}"))?;
        Ok(Built { seconds, events, trace })
    }
}
