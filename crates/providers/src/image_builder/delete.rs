//! Deletion of a template: its children, the staging group that was made for it, then itself. Images
//! that it made stay.

use arm::{
    ApiError, Call, Reply,
    operation::{self, Started},
};
use db::{Operation, ResourceKey, Write};
use service::{App, tasks, tombstones};

use super::{DELETE_TEMPLATE, advance, load, run::busy, staging, until_done};
use crate::image_builder::{
    NAMESPACE,
    state::{self, Event, State},
};

pub(super) async fn delete(app: &App, call: &Call, key: ResourceKey) -> Result<Reply, ApiError> {
    for _ in 0..8 {
        let Some((mut template, run)) = load(app, call, &key).await? else {
            return Ok(Reply::empty(http::StatusCode::NO_CONTENT));
        };
        advance(&mut template, run.as_ref(), Event::Delete)?;
        let region = template.body["location"].as_str().unwrap_or_default().to_owned();
        let started = Started::in_region(call, NAMESPACE, DELETE_TEMPLATE, key.clone(), &region);
        let writes = vec![Write::Replace(template), Write::Operation(started.row.clone())];
        match app.store().commit(writes).await {
            Err(db::Error::Stale { .. }) => {}
            result => {
                result?;
                tasks::spawn(app, "delete", finish(app.clone(), started.row.clone()));
                return Ok(started.accepted());
            }
        }
    }
    Err(busy())
}

/// Removes everything in one commit; to be begun anew after a restart.
pub(super) async fn finish(app: App, operation: Operation) {
    until_done(&app, "delete an image template", || attempt(&app, &operation)).await;
}

async fn attempt(app: &App, operation: &Operation) -> Result<(), db::Error> {
    let (mut writes, mut account) = (Vec::new(), None);
    let found = app.store().resource(&operation.target).await?;
    // One that is not being deleted is a new one of that name.
    let deleting =
        found.filter(|template| state::next(State::of(template, None), Event::Deleted).is_ok());
    if let Some(template) = deleting {
        account = staging::account(&template).map(str::to_owned);
        writes.extend(staging::release(app, &template).await?);
        writes.push(Write::RemoveBelow(operation.target.clone()));
        writes.push(Write::Remove(operation.target.clone(), template.revision));
    }
    writes.push(Write::Operation(operation::ended(operation.clone(), Ok(()))));
    app.store().commit(writes).await?;
    if let Some(account) = account {
        tombstones::act_on_account(app, &account).await;
    }
    app.wake_sweeper();
    // Machines that its failed runs left for a look inside go with it.
    app.wake_janitor();
    Ok(())
}
