//! The RAM of nodes: when and how it is saved, and the end of a save.
//!
//! The RAM is usually written while the next step runs. Its node is published after that, so that a
//! node is complete from the start. A save that fails, or that a crash or a cancel cuts off, costs
//! only the RAM.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use images::{
    digest::digest, event::Event, image_file::artifact::write_json, layout::Layout,
    ledger::Releasable, run_context::RunContext,
};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use vm::{Host, OsType, RamLost, RamSave, SaveRam, SavedRam, may_wait};

use super::Run;
use crate::node::{NodeMeta, RamMeta, Shape};

/// Whether to save RAM with a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ram {
    Always,
    /// If the steps since the last RAM took several times longer than saving costs.
    IfWorthwhile,
    /// Later steps are hardly ever edited, so no build would resume this node.
    Never,
}

/// RAM is saved if repeating the steps since the last one costs this many times more than saving.
const WORTHWHILE: f64 = 2.0;
/// How long a canceled run waits for RAM that is being written. Most saves end sooner, and without
/// its RAM the node has to boot.
const PATIENCE: Duration = Duration::from_secs(3);

/// The time that a machine's steps took, and how much of it saved RAM covers. A save is often still
/// in progress when the next node is sealed.
#[derive(Debug, Clone)]
pub(super) struct Tally(Arc<Mutex<Times>>);

/// All in seconds.
#[derive(Debug)]
struct Times {
    /// All steps.
    total: f64,
    /// The steps up to the last node with RAM.
    saved: f64,
    /// The save in progress.
    saving: Option<InProgress>,
    /// The last cost of saving RAM on this host.
    cost: f64,
}

#[derive(Debug)]
struct InProgress {
    /// The steps up to its node.
    at: f64,
    /// Abandons it, if a later node may take precedence.
    dispensable: Option<CancellationToken>,
}

/// The place of a node in its machine's steps: the seconds of all steps up to it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Mark(f64);

impl Tally {
    /// `since_ram`: the steps that were executed earlier, since the last RAM.
    pub(super) fn new(since_ram: f64, cost: f64) -> Self {
        let times = Times { total: since_ram, saved: 0.0, saving: None, cost };
        Self(Arc::new(Mutex::new(times)))
    }

    fn times(&self) -> MutexGuard<'_, Times> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a step.
    pub(super) fn add(&self, seconds: f64) -> Mark {
        let mut times = self.times();
        times.total += seconds;
        Mark(times.total)
    }

    /// Whether to save RAM after the last step. QEMU saves one state at a time, and the guest would
    /// have to wait for the end of an earlier save. So a node that is only worthwhile does without,
    /// and one that is not abandons an earlier save that was.
    pub(super) fn wants(&self, ram: Ram) -> bool {
        let times = self.times();
        match (ram, &times.saving) {
            (Ram::Never, _) | (Ram::IfWorthwhile, Some(_)) => false,
            (Ram::IfWorthwhile, None) => times.total - times.saved > WORTHWHILE * times.cost,
            (Ram::Always, saving) => {
                let dispensable = saving.as_ref().and_then(|save| save.dispensable.as_ref());
                dispensable.inspect(|save| save.cancel());
                true
            }
        }
    }

    /// A save begins. `give_up` abandons it.
    pub(super) fn begin(&self, at: Mark, ram: Ram, give_up: CancellationToken) {
        let dispensable = (ram == Ram::IfWorthwhile).then_some(give_up);
        self.times().saving = Some(InProgress { at: at.0, dispensable });
    }

    /// Completes the description of a node, once all nodes below it are complete.
    fn complete(&self, at: Mark, ram: Option<RamMeta>, meta: NodeMeta) -> NodeMeta {
        let mut times = self.times();
        if times.saving.as_ref().is_some_and(|save| save.at == at.0) {
            times.saving = None;
        }
        if let Some(ram) = &ram {
            times.saved = at.0;
            times.cost = ram.seconds;
        }
        NodeMeta { ram, since_ram_seconds: at.0 - times.saved, ..meta }
    }
}

/// A sealed node whose description is incomplete until the end of its save.
pub(super) struct Unfinished {
    pub(super) save: Option<RamSave>,
    pub(super) at: Mark,
    pub(super) tally: Tally,
    pub(super) meta: NodeMeta,
}

impl Unfinished {
    /// Waits for the RAM, if it is being saved.
    pub(super) async fn finish(self, cx: &RunContext, host: &Host) -> NodeMeta {
        let Self { save, at, tally, meta } = self;
        let ram = match save {
            Some(save) => outcome(save, &meta, cx, host).await,
            None => None,
        };
        tally.complete(at, ram, meta)
    }
}

async fn outcome(save: RamSave, meta: &NodeMeta, cx: &RunContext, host: &Host) -> Option<RamMeta> {
    let title = &meta.title;
    match patiently(save, cx).await {
        Ok(saved) => {
            if saved.is_tested {
                remember(&cx.layout, host, meta.shape.os, None);
            }
            cx.events.send(Event::RamSaved {
                title: title.clone(),
                key: meta.key.to_string(),
                ram_bytes: saved.bytes,
                seconds: saved.seconds,
            });
            Some(described(host, meta.shape.os, &saved))
        }
        Err(lost @ RamLost::NotSaved(_)) => {
            tracing::warn!(error = %lost, node = title, "the node has no RAM; its disks are sealed");
            None
        }
        Err(lost @ RamLost::DoesNotLoad(_)) => {
            let file = remember(&cx.layout, host, meta.shape.os, Some(&lost));
            cx.events.warn(format!(
                "QEMU {} cannot load RAM that was saved in the background ({lost}). {title:?} has no RAM, \
                 and from now on the next step waits until the RAM is saved. Remove {} to test it again",
                host.version,
                file.display()
            ));
            None
        }
    }
}

/// Waits for the end of the save, and for a while after a cancel.
async fn patiently(save: RamSave, cx: &RunContext) -> Result<SavedRam, RamLost> {
    let give_up = CancellationToken::new();
    let patience = async {
        cx.cancel.cancelled().await;
        tokio::time::sleep(PATIENCE).await;
        give_up.cancel();
        std::future::pending().await
    };
    tokio::select! {
        biased;
        end = save.finish(&give_up) => end,
        end = patience => end,
    }
}

fn described(host: &Host, os: OsType, saved: &SavedRam) -> RamMeta {
    RamMeta {
        identity: host.ram_identity(os),
        machine_type: host.machine_type.clone(),
        cpu_model: host.cpu_model.clone(),
        format: Some(saved.format),
        bytes: saved.bytes,
        seconds: saved.seconds,
    }
}

impl Run<'_> {
    /// How to save the RAM of the node in `work`. RAM that was written in the background is loaded
    /// once for each kind of machine (see [`kind`]), because a QEMU may write a file that it cannot
    /// load. A machine on a bridge cannot be tested, so its RAM is not saved in the background until
    /// another one has been.
    ///
    /// A save in the background takes a processor of the host for seconds. A guest that has them all
    /// would lose more time by it than by waiting for another kind of save.
    pub(super) fn save_ram(&self, work: &Path, shape: &Shape) -> io::Result<SaveRam> {
        let path = work.join("ram");
        if self.host.cpus <= shape.vcpus {
            return Ok(SaveRam { path, background: false, load_test: None });
        }
        let tested = recall(&self.cx.layout, self.host, shape.os);
        let needs_test = tested.is_none() && self.bridge().is_none();
        let load_test = needs_test.then(|| self.load_test_folder()).transpose()?;
        let background = tested == Some(true) || needs_test;
        Ok(SaveRam { path, background, load_test })
    }

    /// The ledger records the test's machine before it exists. The folder belongs to the run's.
    fn load_test_folder(&self) -> io::Result<PathBuf> {
        let dir = self.run_dir.join(format!("load-test-{}", self.next_work_number()));
        self.ledger.hold(Releasable::Machine { run_dir: dir.clone() })?;
        fs::create_dir_all(&dir)?;
        Ok(dir)
    }
}

/// The result of the load test of a kind of machine.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct LoadTest {
    kind: String,
    loads: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// QEMU's version, acceleration, processor, and its machine.
fn kind(host: &Host, os: OsType) -> String {
    format!("{} {} {}", host.ram_identity(os), host.machine_type, host.cpu_model)
}

fn record(layout: &Layout, host: &Host, os: OsType) -> PathBuf {
    layout.ram_tests().join(format!("{}.json", digest(kind(host, os).as_bytes())))
}

/// Whether RAM that was saved in the background loads. An unreadable record counts as missing.
fn recall(layout: &Layout, host: &Host, os: OsType) -> Option<bool> {
    let text = may_wait(|| fs::read(record(layout, host, os))).ok()?;
    serde_json::from_slice::<LoadTest>(&text).ok().map(|test| test.loads)
}

/// Without a record, the next save is tested again.
fn remember(layout: &Layout, host: &Host, os: OsType, lost: Option<&RamLost>) -> PathBuf {
    let file = record(layout, host, os);
    let error = lost.map(ToString::to_string);
    let test = LoadTest { kind: kind(host, os), loads: lost.is_none(), error };
    let made = may_wait(|| fs::create_dir_all(layout.ram_tests()));
    if let Err(error) = made.and_then(|()| write_json(&file, &test)) {
        tracing::warn!(%error, file = %file.display(), "the load test of saved RAM is not recorded");
    }
    file
}

#[cfg(test)]
mod tests;
