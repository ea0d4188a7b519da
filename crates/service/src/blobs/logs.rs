//! The container `packerlogs`: `<run id>/customization.log` and other logs of a run.

use std::{io, path::PathBuf};

use db::{Resource, Run};
use engine::off_runtime;
use images::absent;

use super::{Entry, Error, files};
use crate::{App, run_folder};

/// Azure's name of the container.
pub const LOGS: &str = "packerlogs";
/// The maximum number of runs in a list. Older ones are found by name.
const MOST: u32 = 1000;

/// The logs of a run, by file name.
pub async fn logs_of_run(app: &App, run_id: &str) -> io::Result<Vec<Entry>> {
    let folder = run_folder::of(&app.settings().layout, run_id);
    off_runtime(move || logs_in(folder)).await
}

fn logs_in(folder: PathBuf) -> io::Result<Vec<Entry>> {
    let mut logs = Vec::new();
    for path in absent::entries(&folder)? {
        let name = files::name_of(&path).unwrap_or_default().to_owned();
        if run_folder::is_log(&name) {
            logs.extend(files::entry(path, name)?);
        }
    }
    logs.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(logs)
}

/// The logs of a template's runs.
pub(super) async fn of_template(app: &App, template: &Resource) -> Result<Vec<Entry>, Error> {
    let mut all = Vec::new();
    for run in app.store().runs_of(&template.key(), MOST).await? {
        if is_of(template, &run) {
            let logs = logs_of_run(app, &run.id).await?.into_iter();
            all.extend(logs.map(|log| Entry { name: format!("{}/{}", run.id, log.name), ..log }));
        }
    }
    all.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(all)
}

/// One log.
pub(super) async fn find(
    app: &App,
    template: &Resource,
    blob: &str,
) -> Result<Option<Entry>, Error> {
    let Some((run, file)) = blob.split_once('/').filter(|(_, file)| run_folder::is_log(file))
    else {
        return Ok(None);
    };
    let found = app.store().run(run).await?.filter(|found| is_of(template, found));
    let Some(found) = found else { return Ok(None) };
    // The path comes from the row, never from the caller.
    let path = run_folder::of(&app.settings().layout, &found.id).join(file);
    let name = blob.to_owned();
    Ok(off_runtime(move || files::entry(path, name)).await?)
}

/// Excludes runs of an earlier template with the same name.
fn is_of(template: &Resource, run: &Run) -> bool {
    run.template == template.key() && run.queued >= template.created
}
