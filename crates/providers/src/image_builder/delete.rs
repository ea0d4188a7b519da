//! Deletion of a template: its children, the staging group that was made for it, then itself. Images
//! that it made stay.

use arm::{ApiError, Call, Reply};
use db::{Operation, ResourceKey, Write};
use service::{App, tombstones};

use super::{
    DELETE_TEMPLATE, advance, ended, load,
    record::TemplateRecord,
    staging, start,
    state::{self, Event, State},
};

pub(super) async fn delete(app: &App, call: &Call, key: &ResourceKey) -> Result<Reply, ApiError> {
    let Some((mut template, run)) = load(app, call, key).await? else {
        return Ok(Reply::empty(http::StatusCode::NO_CONTENT));
    };
    advance(&mut template, run.as_ref(), Event::Delete)?;
    let region = template.location().to_owned();
    let writes = vec![template.replace()];
    let started = start(app, call, (DELETE_TEMPLATE, &region), key, writes).await?;
    Ok(started.accepted())
}

/// Removes everything in one commit.
pub(super) async fn finish(app: &App, operation: &Operation) -> Result<(), db::Error> {
    let (mut writes, mut account) = (Vec::new(), None);
    let found = TemplateRecord::find(app.store(), &operation.target).await?;
    // One that is not being deleted is a new one of that name.
    let deleting =
        found.filter(|template| state::next(State::of(template, None), Event::Deleted).is_ok());
    if let Some(template) = deleting {
        account.clone_from(&template.hidden.staging_account);
        writes.extend(staging::release(app, &template).await?);
        writes.push(Write::RemoveBelow(operation.target.clone()));
        writes.push(Write::Remove(operation.target.clone(), template.row.revision));
    }
    writes.push(ended(operation, Ok(())));
    app.store().commit(writes).await?;
    if let Some(account) = account {
        tombstones::remove_account_files(app, &account).await;
    }
    app.wake_sweeper();
    // Machines that its failed runs left for inspection go with it.
    app.wake_janitor();
    Ok(())
}
