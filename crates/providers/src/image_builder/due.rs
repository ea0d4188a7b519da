//! Due schedules, and the runs that they begin.
//!
//! A run that is due begins once, in one commit with the schedule's next time. Times that passed while
//! the service did not run are one run, at its start. A schedule skips, and reports, a run that comes due
//! while the template has another run or cannot have one.

use arm::rows;
use db::{Cause, ResourceKey, Run};
use futures_util::FutureExt;
use jiff::Timestamp;
use service::{App, quotas};

use super::{
    SCHEDULES_KIND,
    cron::Schedule,
    own,
    record::{Plan, ScheduleRecord, TemplateRecord},
    run, side_by_side,
    state::{self, Event, State},
    stays, template_key, while_stale,
};

/// Schedules that are read at once.
const PAGE: u32 = 500;
/// Runs that are begun side by side: few, as requests write to the same database.
const AT_ONCE: usize = 4;

/// Begins the runs that are due. Returns when the next one is.
pub async fn reconcile_schedules(
    app: &App,
    now: Timestamp,
) -> Result<Option<Timestamp>, db::Error> {
    let mut last = None;
    loop {
        let page = app.store().due(now, last, PAGE).await?;
        let records = ScheduleRecord::of_all(page);
        let Some(end) = records.last() else { break };
        last = end.hidden.plan.as_ref().map(|plan| (plan.next, end.key()));
        let acts = records.iter().map(|record| act(app, record.key(), now).boxed()).collect();
        side_by_side(AT_ONCE, acts).await?;
        if last.is_none() {
            break;
        }
    }
    app.store().next_due(now).await
}

/// Indexes schedules of earlier releases by the time that they are due, and corrects those whose next run
/// was computed by a clock that was ahead. At start, and when the clock was set back.
pub async fn check_schedules(app: &App, now: Timestamp) -> Result<(), db::Error> {
    for app in app.in_each().await? {
        check_all(&app, now).await?;
    }
    Ok(())
}

/// Those of one subscription.
async fn check_all(app: &App, now: Timestamp) -> Result<(), db::Error> {
    let rows = rows::of_kind(app.context(), SCHEDULES_KIND).await?;
    for mut record in ScheduleRecord::of_all(rows) {
        let Some(plan) = record.hidden.plan.clone() else { continue };
        match sooner(&plan, now) {
            Some(next) => {
                tracing::warn!(schedule = %record.row.id, too_late = %plan.next, %next, "the clock was set back: the schedule is due sooner");
                record.set_plan(Plan { next, ..plan }, now);
            }
            None if record.hidden.indexed.is_some() => continue,
            None => record.set_plan(plan, record.row.changed),
        }
        // If another writer was faster, it has indexed it.
        match app.store().commit(vec![record.replace()]).await {
            Ok(()) | Err(db::Error::Stale { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// When a schedule is really due whose next time lies too far ahead. The next time but one is valid: if the
/// clock was set back by little after a run had begun, that run must not begin again.
fn sooner(plan: &Plan, now: Timestamp) -> Option<Timestamp> {
    let schedule = Schedule::parse(&plan.tag, now).ok()?;
    let next = schedule.after(now)?;
    let last_possible = schedule.after(next)?;
    (plan.next > last_possible).then_some(next)
}

async fn act(app: &App, key: ResourceKey, now: Timestamp) -> Result<(), db::Error> {
    while_stale(|| attempt(app, &key, now)).await
}

/// Reads a due schedule again and begins or skips its run.
async fn attempt(app: &App, key: &ResourceKey, now: Timestamp) -> Result<(), db::Error> {
    // The template before the run: a run changes its template too, whose revision guards both.
    let Some(template) = TemplateRecord::find(app.store(), &template_key(key)).await? else {
        return Ok(());
    };
    let app = &app.within(&template.row.subscription);
    let Some(mut record) = ScheduleRecord::find(app.store(), key).await? else { return Ok(()) };
    let Some(plan) = record.hidden.plan.clone().filter(|plan| plan.next <= now) else {
        return Ok(());
    };
    let latest = app.store().recent_runs(&template.key(), 1).await?;
    let latest = own(&template, &latest);
    let state = State::of(&template, latest);
    // The end of the creation or update wakes this task.
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
        Ok((_, None)) => return stop(app, record, "it does not come again", now).await,
        Err(text) => return stop(app, record, &text, now).await,
    };
    let begun = match state::next(state, Event::Run) {
        Ok(_) => match quotas::waiting_run(app).await? {
            Ok(()) => run::new(&template, Cause::Schedule { due }).map_err(|e| e.message),
            Err(error) => Err(error.message),
        },
        Err(illegal) => Err(why_not(latest, &illegal)),
    };
    let first = plan.next;
    record.set_plan(Plan { next, ..plan }, now);
    let mut writes = Vec::new();
    match begun {
        Ok((operation, run)) => {
            record.set_last_run(&run.id, due, now);
            record.set_status("Healthy", &began(&run, first, due), now);
            writes.extend(run::begin(template, operation, run));
        }
        Err(why) => {
            let text = format!("The run that was due at {due} was left out: {why}");
            tracing::warn!(schedule = %record.row.id, "{text}");
            record.set_status("Skipped", &text, now);
        }
    }
    writes.push(record.replace());
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

/// Reports a schedule that has become invalid, as when this machine no longer knows its time zone. Its
/// time stays, so that it continues once it is valid.
async fn stop(
    app: &App,
    mut record: ScheduleRecord,
    why: &str,
    now: Timestamp,
) -> Result<(), db::Error> {
    if record.has_status("BadSchedule", why) {
        return Ok(());
    }
    record.set_status("BadSchedule", why, now);
    app.store().commit(vec![record.replace()]).await
}
