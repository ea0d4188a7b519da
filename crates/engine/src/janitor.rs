//! Finishes the cleaning that a killed goldsmith left. Every command runs it first.

use std::{fs, io, path::Path, time::Duration};

use jiff::Timestamp;
use vm::Backend;

use crate::{
    layout::Layout,
    ledger::{self, Held, Ledger},
    node::NodeStore,
    source, store,
};

/// A thing that takes longer to release stays in the ledger for the next time.
const RELEASE_LIMIT: Duration = Duration::from_secs(10);

/// Releases what runs whose owner is gone still hold, except what is kept for its user. Returns
/// what could not be released.
pub async fn sweep(layout: &Layout, backend: &dyn Backend) -> io::Result<Vec<String>> {
    let mut problems = Vec::new();
    for run_id in ledger::runs(layout)? {
        let Some(ledger) = Ledger::adopt(layout, &run_id)? else {
            continue;
        };
        problems.extend(release(layout, &ledger, backend).await);
        ledger.close()?;
    }
    source::sweep(layout).await?;
    store::sweep(layout)?;
    Ok(problems)
}

/// Releases a kept machine before its time. `None` if the run's own process still lives.
pub async fn release_kept(
    layout: &Layout,
    run_id: &str,
    backend: &dyn Backend,
) -> io::Result<Option<Vec<String>>> {
    let Some(ledger) = Ledger::adopt(layout, run_id)? else {
        return Ok(None);
    };
    ledger.keep_until(Timestamp::MIN)?;
    let problems = release(layout, &ledger, backend).await;
    ledger.close()?;
    Ok(Some(problems))
}

/// Releases every row whose time has come, newest first. One that fails does not stop the others.
pub(crate) async fn release(
    layout: &Layout,
    ledger: &Ledger,
    backend: &dyn Backend,
) -> Vec<String> {
    let rows = match ledger.rows() {
        Ok(rows) => rows,
        Err(e) => return vec![format!("the ledger cannot be read: {e}")],
    };
    let mut problems = Vec::new();
    for (number, row) in rows {
        if row.keep_until.is_some_and(|until| until > Timestamp::now()) {
            continue;
        }
        let released = tokio::time::timeout(RELEASE_LIMIT, release_one(layout, &row.held, backend));
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

/// Releases one thing. "Not there" is success.
async fn release_one(
    layout: &Layout,
    held: &Held,
    backend: &dyn Backend,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    match held {
        Held::Machine { run_dir } => backend.end(run_dir).await?,
        Held::WorkNodes { run_id } => NodeStore::new(layout).remove_work(run_id)?,
        Held::RunFolder { path } => remove_folder(layout, path)?,
        Held::PartialFile { path } => absent_is_fine(fs::remove_file(path))?,
    }
    Ok(())
}

/// Removes a run's folder, and nothing that is not one, whatever a damaged ledger says.
fn remove_folder(layout: &Layout, path: &Path) -> io::Result<()> {
    if path.parent() != Some(layout.runs().as_path()) {
        return Err(io::Error::other(format!("{} is not a run's folder", path.display())));
    }
    absent_is_fine(fs::remove_dir_all(path))
}

fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
