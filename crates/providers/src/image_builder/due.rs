//! Schedules at work: the runs that begin because their time has come.
//!
//! A run that is due begins once, in one commit with the schedule's next time. Times that passed while
//! the service did not run are one run, at its start. One that comes due while the template has a run,
//! or cannot have any, is left out, and told.

use db::{Cause, Resource, ResourceKey, Run, Select, Write};
use futures_util::{FutureExt, StreamExt, TryStreamExt, future, stream};
use jiff::Timestamp;
use serde_json::json;
use service::{App, quotas};

use super::{
    SCHEDULES_KIND, run,
    schedules::{Plan, tell},
    stays, template_key,
};
use crate::image_builder::{
    cron::Schedule,
    state::{self, Event, State},
};

/// How often a schedule is looked at again at once when a request was faster.
const ATTEMPTS: usize = 8;

/// Schedules that are read at once.
const PAGE: u32 = 500;
/// Runs that are begun side by side: few, as requests write to the same database.
const AT_ONCE: usize = 4;

/// Begins the runs that are due. Returns when the next one is.
///
/// # Errors
/// The database fails.
pub async fn look_at_schedules(app: &App, now: Timestamp) -> Result<Option<Timestamp>, db::Error> {
    let mut last = None;
    loop {
        let page = app.store().due(now, last, PAGE).await?;
        let Some(end) = page.last() else { break };
        last = Plan::of(end).map(|plan| (plan.next, end.key()));
        let acts: Vec<_> = page.iter().map(|row| act(app, row.key(), now).boxed()).collect();
        let acts = stream::iter(acts).buffer_unordered(AT_ONCE);
        acts.try_for_each(|()| future::ready(Ok(()))).await?;
        if last.is_none() {
            break;
        }
    }
    app.store().next_due(now).await
}

/// Makes schedules of earlier releases found by the time that they are due, and those found in time whose
/// next run was computed by a clock that was ahead. At start, and when the clock was set back.
///
/// # Errors
/// The database fails.
pub async fn check_schedules(app: &App, now: Timestamp) -> Result<(), db::Error> {
    let mut select = Select {
        subscription: app.settings().subscription.to_lowercase(),
        kind: Some(SCHEDULES_KIND.to_owned()),
        limit: PAGE,
        ..Select::default()
    };
    loop {
        let page = app.store().list(&select).await?;
        for mut row in page.resources {
            let Some(plan) = Plan::of(&row) else { continue };
            let (changed, is_indexed) = (row.changed, !row.hidden["indexed"]["due"].is_null());
            match sooner(&plan, now) {
                Some(next) => {
                    tracing::warn!(schedule = %row.id, too_late = %plan.next, %next, "the clock was set back: the schedule is due sooner");
                    Plan { next, ..plan }.put_into(&mut row, now);
                }
                None if is_indexed => continue,
                None => plan.put_into(&mut row, changed),
            }
            match app.store().commit(vec![Write::Replace(row)]).await {
                // Whoever wrote it has indexed it.
                Err(db::Error::Stale { .. }) => {}
                result => result?,
            }
        }
        select.after = page.next;
        if select.after.is_none() {
            return Ok(());
        }
    }
}

/// When a schedule is due that lies further ahead than it can. The next time but one is still possible: the
/// clock was set back by little after a run had begun, which must not begin again.
fn sooner(plan: &Plan, now: Timestamp) -> Option<Timestamp> {
    let schedule = Schedule::parse(&plan.tag, now).ok()?;
    let next = schedule.after(now)?;
    let last_possible = schedule.after(next)?;
    (plan.next > last_possible).then_some(next)
}

async fn act(app: &App, key: ResourceKey, now: Timestamp) -> Result<(), db::Error> {
    for _ in 0..ATTEMPTS {
        match attempt(app, &key, now).await {
            Err(db::Error::Stale { .. }) => {}
            result => return result,
        }
    }
    Ok(())
}

/// Acts upon a schedule that is due, as it is now.
async fn attempt(app: &App, key: &ResourceKey, now: Timestamp) -> Result<(), db::Error> {
    // In this order: a run changes its template too, so that the template's revision guards it.
    let Some(template) = app.store().resource(&template_key(key)).await? else { return Ok(()) };
    let Some(mut row) = app.store().resource(key).await? else { return Ok(()) };
    let Some(plan) = Plan::of(&row).filter(|plan| plan.next <= now) else {
        return Ok(());
    };
    let latest = app.store().recent_runs(&template.key(), 1).await?.pop();
    let latest = latest.filter(|run| run.queued >= template.created);
    let state = State::of(&template, latest.as_ref());
    // It is settled in a moment, which wakes us.
    if matches!(state.template, state::Template::Creating | state::Template::Updating)
        || !stays(app, &template).await?
    {
        return Ok(());
    }
    // Of the times that were missed, the last one counts.
    let parsed = Schedule::parse(&plan.tag, now).map(|schedule| {
        let due = schedule.until(now).unwrap_or(plan.next).max(plan.next);
        (due, schedule.after(now))
    });
    let (due, next) = match parsed {
        Ok((due, Some(next))) => (due, next),
        Ok((_, None)) => return stop(app, row, "it does not come again", now).await,
        Err(text) => return stop(app, row, &text, now).await,
    };
    let begun = match state::next(state, Event::Run) {
        Ok(_) => match quotas::waiting_run(app).await? {
            Ok(()) => run::by_itself(&template, Cause::Schedule { due }).map_err(|e| e.message),
            Err(error) => Err(error.message),
        },
        Err(illegal) => Err(why_not(latest.as_ref(), &illegal)),
    };
    Plan { next, ..plan }.put_into(&mut row, now);
    let mut writes = Vec::new();
    match begun {
        Ok((operation, run)) => {
            row.body["properties"]["lastRun"] =
                json!({ "due": due.to_string(), "time": now.to_string(), "runId": run.id });
            tell(&mut row, "Healthy", &began(&run, plan.next, due), now);
            writes.push(Write::Replace(run::with_run(template, &run)));
            writes.extend([Write::Operation(operation), Write::InsertRun(run)]);
        }
        Err(why) => {
            let text = format!("The run that was due at {due} was left out: {why}");
            tracing::warn!(schedule = %row.id, "{text}");
            tell(&mut row, "Skipped", &text, now);
        }
    }
    writes.push(Write::Replace(row));
    app.store().commit(writes).await?;
    app.wake_worker();
    Ok(())
}

fn began(run: &Run, first: Timestamp, due: Timestamp) -> String {
    let missed = match first < due {
        true => format!(" Times from {first} on were missed and are not made up for."),
        false => String::new(),
    };
    format!("Schedule is active. Run {} has begun, which was due at {due}.{missed}", run.id)
}

fn why_not(latest: Option<&Run>, illegal: &state::Illegal) -> String {
    match latest.filter(|run| run.ended.is_none()) {
        Some(run) => format!("run {} was still active.", run.id),
        None => format!("{illegal}."),
    }
}

/// A schedule that cannot be followed any more, as when a time zone is gone from this machine. Its time
/// stays, so that it goes on when it can.
async fn stop(app: &App, mut row: Resource, why: &str, now: Timestamp) -> Result<(), db::Error> {
    let old = &row.body["properties"]["status"];
    if old["code"] != "BadSchedule" || old["message"] != json!(why) {
        tell(&mut row, "BadSchedule", why, now);
        app.store().commit(vec![Write::Replace(row)]).await?;
    }
    Ok(())
}
