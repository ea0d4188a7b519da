//! Completes the cleanup of a killed goldsmith. Every command runs it first.

use std::{io, path::Path, time::Duration};

use images::{
    absent,
    clock::Reading,
    layout::Layout,
    ledger::{self, Ledger, Releasable},
    store,
};
use vm::{Backend, may_wait};

use crate::{node::NodeStore, tap_name};

/// A resource that takes longer to release stays in the ledger for the next sweep.
const RELEASE_LIMIT: Duration = Duration::from_secs(10);

/// Releases the resources of runs whose owner is gone, except those retained for their user.
/// Returns what could not be released.
pub async fn sweep(layout: &Layout, backend: &dyn Backend) -> io::Result<Vec<String>> {
    let problems = release_due(layout, backend).await?;
    may_wait(|| NodeStore::new(layout).sweep())?;
    sources::sweep(layout).await?;
    may_wait(|| store::sweep(layout))?;
    Ok(problems)
}

/// As [`sweep`], but only resources in ledgers.
pub async fn release_due(layout: &Layout, backend: &dyn Backend) -> io::Result<Vec<String>> {
    let mut problems = Vec::new();
    for run_id in may_wait(|| ledger::runs(layout))? {
        let Some(ledger) = Ledger::recover(layout, &run_id)? else {
            continue;
        };
        problems.extend(release(&ledger, backend).await);
        if let Err(e) = ledger.close() {
            problems.push(format!("the ledger of run {run_id}: {e}"));
        }
    }
    Ok(problems)
}

/// Ends the retention of a machine: the next sweep removes it. Success if nothing is retained.
pub fn end_retention(layout: &Layout, run_id: &str) -> io::Result<()> {
    match Ledger::recover(layout, run_id)? {
        Some(ledger) => ledger.end_keeping(),
        None => Ok(()),
    }
}

/// Releases a retained machine early. `None` if the run's own process still lives.
pub async fn release_kept(
    layout: &Layout,
    run_id: &str,
    backend: &dyn Backend,
) -> io::Result<Option<Vec<String>>> {
    let Some(ledger) = Ledger::recover(layout, run_id)? else {
        return Ok(None);
    };
    ledger.end_keeping()?;
    let problems = release(&ledger, backend).await;
    ledger.close()?;
    Ok(Some(problems))
}

/// Releases every row that is due, newest first. A failure does not stop the others.
pub async fn release(ledger: &Ledger, backend: &dyn Backend) -> Vec<String> {
    let rows = match ledger.rows() {
        Ok(rows) => rows,
        Err(e) => return vec![format!("the ledger cannot be read: {e}")],
    };
    let mut problems: Vec<String> = rows.problems().collect();
    let (now, boot) = (Reading::now(), vm::boot_id().unwrap_or_default());
    for (number, row) in rows.read {
        if row.is_kept(&now, &boot) {
            continue;
        }
        let released = tokio::time::timeout(RELEASE_LIMIT, release_one(&row.held, backend));
        match released.await {
            Ok(Ok(())) => {
                if let Err(e) = ledger.forget(number) {
                    problems.push(format!("ledger row {number}: {e}"));
                }
            }
            Ok(Err(e)) => problems.push(format!("{:?}: {e}", row.held)),
            Err(_) => problems.push(format!("{:?}: it took too long", row.held)),
        }
    }
    problems
}

/// Releases one resource. "Not found" is success.
async fn release_one(
    held: &Releasable,
    backend: &dyn Backend,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    match held {
        Releasable::Machine { run_dir } => backend.end(run_dir).await?,
        Releasable::WorkNodes { nodes, run_id } => {
            may_wait(|| NodeStore::remove_work(nodes, run_id))?
        }
        Releasable::RunFolder { path } => may_wait(|| remove_folder(path))?,
        Releasable::PartialFile { path } => may_wait(|| absent::remove_file(path))?,
        Releasable::Tap { name } => remove_tap(name).await?,
    }
    Ok(())
}

/// Removes a run's folder, and nothing else, whatever a damaged ledger contains. The folder may
/// belong to another cache than this command's.
fn remove_folder(path: &Path) -> io::Result<()> {
    let is_run = path.file_name().and_then(|name| name.to_str()).is_some_and(is_run_id);
    let among_runs = path.parent().is_some_and(|parent| parent.ends_with("runs"));
    if !is_run || !among_runs {
        return Err(io::Error::other(format!("{} is not a run's folder", path.display())));
    }
    absent::remove_tree(path)
}

/// Removes a port on a bridge, and no other device, whatever a damaged ledger contains.
async fn remove_tap(name: &str) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    if !tap_name::is_ours(name) {
        return Err(format!("{name} is not a port of a build machine").into());
    }
    Ok(vm::tap::remove(name).await?)
}

fn is_run_id(name: &str) -> bool {
    uuid::Uuid::parse_str(name).is_ok()
}
