//! Builds through the executable, in a cache of their own, read from their JSON events.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};

use super::super::{VM_SIZE, fresh, write};
use crate::Result;

/// Where the builds of all scenarios are made. The source image is kept from run to run.
pub(super) struct Lab {
    goldsmith: PathBuf,
    dir: PathBuf,
    accel: String,
}

/// One build.
pub(super) struct Built {
    pub(super) seconds: f64,
    events: Vec<Value>,
}

impl Built {
    /// Seconds of a step that was carried out.
    pub(super) fn step(&self, name: &str) -> Result<f64> {
        let done = |event: &&Value| {
            event["kind"] == "stepFinished"
                && event["step"] == name
                && event["outcome"]["how"] == "done"
        };
        let found = self.events.iter().find(done).and_then(|event| event["seconds"].as_f64());
        found.ok_or_else(|| format!("step {name} was not carried out"))
    }
}

impl Lab {
    pub(super) fn new(goldsmith: PathBuf, dir: &Path, accel: &str) -> Result<Self> {
        if !goldsmith.exists() {
            return Err(format!("{} is not there: make build", goldsmith.display()));
        }
        std::fs::create_dir_all(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
        Ok(Self { goldsmith, dir: dir.to_owned(), accel: accel.to_owned() })
    }

    /// From now on no build finds a step of an earlier one; the source image stays.
    pub(super) fn forget_steps(&self) -> Result<()> {
        fresh(&self.dir.join("cache/nodes")).map(drop)
    }

    /// A template with one customizer that no build has had before, and these properties beside.
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

    /// Builds it; `case` names it in messages and files.
    pub(super) fn build(&self, case: &str, template: &Value) -> Result<Built> {
        let file = self.dir.join(format!("{case}.json"));
        write(&file, &format!("{template:#}\n"))?;
        let mut command = Command::new(&self.goldsmith);
        command
            .args(["--output", "json", "--accel", &self.accel, "--cache-dir"])
            .arg(self.dir.join("cache"))
            .arg("--data-dir")
            .arg(self.dir.join("data"))
            .arg("build")
            .arg(&file)
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
        Ok(Built { seconds, events })
    }
}
