//! The machines that runs hold, as resources of their staging groups.
//!
//! ```text
//! the engine starts a machine ─→ rows: VM, disks, NIC, network ─→ it ended, or the run did: gone
//! ```
//!
//! A row exists while its machine does. After `kill -9` the rows of runs that hold nothing any more are
//! removed before any run is recovered; a machine that `errorHandling` retains stays until it is released.

use db::{Error, Resource, ResourceKey, Run, Select, Write};
use engine::may_wait;
use images::ledger::{self, Releasable};
use providers::{
    image_builder::record::{RunInput, TemplateRecord},
    machine::{self, KINDS, Machine, Shown},
};
use service::{App, read_only::RUN};

/// How often to try again when another write was faster.
const TRIES: usize = 10;

/// Shows a machine. The rows are for people; a run continues without them.
pub(super) async fn show(app: &App, run: &Run, input: &RunInput, machine: &Machine) {
    if let Err(error) = written(app, run, input, machine).await {
        tracing::warn!(run = %run.id, error = %images::error::chain(&error), "a machine of the run cannot be shown");
    }
}

async fn written(app: &App, run: &Run, input: &RunInput, machine: &Machine) -> Result<(), Error> {
    let store = app.store();
    let Some(template) = TemplateRecord::find(store, &run.template).await? else { return Ok(()) };
    let group = ResourceKey::of(&input.staging_group);
    let Some(group) = store.resource(&group).await? else { return Ok(()) };
    let shown = Shown { run_id: &run.id, input, template: &template, group: &group, machine };
    let mut writes = Vec::new();
    for mut resource in shown.resources() {
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

/// Removes the rows of a machine that has ended.
pub(super) async fn hide(app: &App, run: &Run, input: &RunInput, number: u32) {
    let of_machine = |row: &Resource| row.hidden[machine::NUMBER] == number;
    if let Err(error) = remove(app, &run.id, Some(group_name(input)), of_machine).await {
        // The run's end removes what is left.
        tracing::warn!(run = %run.id, error = %images::error::chain(&error), "a machine of the run is still shown");
    }
}

/// The writes of a run's end, which remove the rows of machines that it no longer holds.
pub(super) async fn removal(
    app: &App,
    run_id: &str,
    input: &RunInput,
) -> Result<Vec<Write>, Error> {
    match holds(app, run_id) {
        true => Ok(Vec::new()),
        false => removals(app, run_id, Some(group_name(input)), |_| true).await,
    }
}

fn group_name(input: &RunInput) -> String {
    input.staging_group.rsplit('/').next().unwrap_or_default().to_lowercase()
}

async fn removals(
    app: &App,
    run_id: &str,
    group: Option<String>,
    is_meant: impl Fn(&Resource) -> bool,
) -> Result<Vec<Write>, Error> {
    let rows = match group {
        Some(group) => select(app, Some(group), None).await?,
        None => everywhere(app).await?,
    };
    let own = rows.iter().filter(|row| row.hidden[RUN] == run_id && is_meant(row));
    Ok(own.map(|row| Write::Remove(row.key(), row.revision)).collect())
}

async fn remove(
    app: &App,
    run_id: &str,
    group: Option<String>,
    is_meant: impl Fn(&Resource) -> bool,
) -> Result<(), Error> {
    for _ in 0..TRIES {
        let writes = removals(app, run_id, group.clone(), &is_meant).await?;
        match app.store().commit(writes).await {
            Err(Error::Stale { .. }) => {}
            result => return result,
        }
    }
    Ok(())
}

/// Removes every row whose run holds no machine any more: after a restart, and when the time of a
/// retained machine is over.
pub(crate) async fn forget_ended(app: &App) -> Result<(), Error> {
    let rows = everywhere(app).await?;
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

/// Whether the run still holds a machine by its ledger. An unreadable ledger counts as yes, since it may hold one.
fn holds(app: &App, run_id: &str) -> bool {
    may_wait(|| match ledger::rows_of(&app.settings().layout, run_id) {
        Ok(rows) => rows.iter().any(|row| matches!(row.held, Releasable::Machine { .. })),
        Err(error) => {
            tracing::warn!(run = run_id, %error, "the ledger cannot be read: machines stay listed");
            true
        }
    })
}

/// The rows of the machines of all runs of all subscriptions.
async fn everywhere(app: &App) -> Result<Vec<Resource>, Error> {
    let mut found = Vec::new();
    for app in app.in_each().await? {
        for kind in KINDS {
            found.extend(select(&app, None, Some(kind.to_lowercase())).await?);
        }
    }
    Ok(found)
}

/// The rows of machines in the subscription.
async fn select(
    app: &App,
    group: Option<String>,
    kind: Option<String>,
) -> Result<Vec<Resource>, Error> {
    let subscription = app.subscription().to_lowercase();
    let select = Select { subscription, group, kind, ..Select::default() };
    let rows = app.store().list_all(select).await?;
    Ok(rows.into_iter().filter(|row| row.hidden[RUN].is_string()).collect())
}
