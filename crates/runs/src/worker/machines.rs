//! The machines that runs hold, as resources of their staging groups.
//!
//! ```text
//! the engine tells that a machine started ─→ rows: VM, disks, NIC, network ─→ it ended, or the run did: gone
//! ```
//!
//! A row is there because a machine is. After `kill -9` the rows of runs that hold nothing any more go
//! before any run is taken up; what is kept for its user (`errorHandling`) stays until it is released.

use db::{Error, Resource, ResourceKey, Run, Select, Write};
use engine::may_wait;
use images::ledger::{self, Held};
use providers::machine::{self, KINDS, Machine};
use service::{App, held::RUN};

/// How often to try again when another write was faster.
const TRIES: usize = 10;

/// Shows a machine. It is for people; a run goes on without it.
pub(super) async fn show(app: &App, run: &Run, machine: &Machine) {
    if let Err(error) = written(app, run, machine).await {
        tracing::warn!(run = %run.id, error = %images::error::chain(&error), "a machine of the run cannot be shown");
    }
}

async fn written(app: &App, run: &Run, machine: &Machine) -> Result<(), Error> {
    let Some(template) = app.store().resource(&run.template).await? else { return Ok(()) };
    let group = template.hidden["staging"].as_str().unwrap_or_default();
    let Some(group) = app.store().resource(&ResourceKey::of(group)).await? else { return Ok(()) };
    let mut writes = Vec::new();
    for mut resource in machine::resources(&template, &group, run, machine) {
        writes.push(match app.store().resource(&resource.key()).await? {
            None => Write::Insert(resource),
            Some(before) => {
                resource.revision = before.revision;
                Write::Replace(resource)
            }
        });
    }
    app.store().commit(writes).await
}

/// The machine is gone.
pub(super) async fn hide(app: &App, run: &Run, number: u32) {
    let of_machine = |row: &Resource| row.hidden[machine::NUMBER] == number;
    let group = match staging_group(app, run).await {
        Ok(Some(group)) => remove(app, &run.id, Some(group), of_machine).await,
        Ok(None) => Ok(()),
        Err(error) => Err(error),
    };
    if let Err(error) = group {
        // The run's end removes what is left.
        tracing::warn!(run = %run.id, error = %images::error::chain(&error), "a machine of the run is still shown");
    }
}

/// What is to be written when a run ends, so that nothing is shown that it does not hold.
pub(super) async fn removal(app: &App, run: &Run) -> Result<Vec<Write>, Error> {
    if holds(app, &run.id) {
        return Ok(Vec::new());
    }
    let Some(group) = staging_group(app, run).await? else { return Ok(Vec::new()) };
    let rows = rows(app, Some(group)).await?;
    let own = rows.iter().filter(|row| row.hidden[RUN] == run.id);
    Ok(own.map(|row| Write::Remove(row.key(), row.revision)).collect())
}

async fn remove(
    app: &App,
    run_id: &str,
    group: Option<String>,
    is_meant: impl Fn(&Resource) -> bool,
) -> Result<(), Error> {
    for _ in 0..TRIES {
        let rows = rows(app, group.clone()).await?;
        let own = rows.iter().filter(|row| row.hidden[RUN] == run_id && is_meant(row));
        let writes = own.map(|row| Write::Remove(row.key(), row.revision)).collect();
        match app.store().commit(writes).await {
            Err(Error::Stale { .. }) => {}
            result => return result,
        }
    }
    Ok(())
}

/// The name of the staging group of the run's template.
async fn staging_group(app: &App, run: &Run) -> Result<Option<String>, Error> {
    let template = app.store().resource(&run.template).await?;
    let id = template.as_ref().and_then(|template| template.hidden["staging"].as_str());
    Ok(id.and_then(|id| id.rsplit('/').next()).map(str::to_lowercase))
}

/// Removes every row whose run holds no machine any more: after a restart, and when the time of a kept
/// machine is over.
pub(crate) async fn forget_ended(app: &App) -> Result<(), Error> {
    let rows = rows(app, None).await?;
    let runs = rows.iter().filter_map(|row| row.hidden[RUN].as_str().map(str::to_owned));
    let mut runs: Vec<String> = runs.collect();
    runs.sort();
    runs.dedup();
    for run in runs {
        if !holds(app, &run) {
            remove(app, &run, None, |_| true).await?;
        }
    }
    Ok(())
}

/// Whether the run still holds a machine, which the ledger knows. A ledger that cannot be read does not say that it
/// holds none.
fn holds(app: &App, run_id: &str) -> bool {
    may_wait(|| match ledger::rows_of(&app.settings().layout, run_id) {
        Ok(rows) => rows.iter().any(|row| matches!(row.held, Held::Machine { .. })),
        Err(error) => {
            tracing::warn!(run = run_id, %error, "the ledger cannot be read: machines stay listed");
            true
        }
    })
}

/// The rows of machines, of whatever run: in one group or everywhere.
async fn rows(app: &App, group: Option<String>) -> Result<Vec<Resource>, Error> {
    let kinds: Vec<Option<String>> = match group {
        Some(_) => vec![None],
        None => KINDS.iter().map(|kind| Some(kind.to_lowercase())).collect(),
    };
    let mut found = Vec::new();
    for kind in kinds {
        let subscription = app.settings().subscription.to_lowercase();
        let select = Select { subscription, group: group.clone(), kind, ..Select::default() };
        let rows = app.store().list_all(select).await?;
        found.extend(rows.into_iter().filter(|row| row.hidden[RUN].is_string()));
    }
    Ok(found)
}
