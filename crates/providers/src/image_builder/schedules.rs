//! `imageTemplates/schedules`: an extension, not in Azure. A template with the tag `goldsmith.schedule`
//! has one, named `default`, which shows when the next run is due. It is written with the template's
//! tags, and by the runs that it begins; it can only be read.

use arm::{Actions, ApiError, Call, ResourceType};
use async_trait::async_trait;
use db::{Resource, ResourceKey, Write};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use service::App;

use super::{
    API_VERSIONS, SCHEDULE_ACTIONS, SCHEDULES, SCHEDULES_KIND,
    check::invalid,
    cron::{Schedule, TAG},
    effective_tags,
    record::{Plan, ScheduleHidden, ScheduleRecord, TemplateRecord},
    state::{self, Event, State},
    view,
};

/// The resource type `imageTemplates/schedules`.
#[derive(Debug)]
pub(crate) struct Schedules;

#[async_trait]
impl ResourceType<App> for Schedules {
    fn actions(&self) -> &'static Actions {
        &SCHEDULE_ACTIONS
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn api_versions(&self) -> &'static [&'static str] {
        API_VERSIONS
    }

    fn read_only(&self) -> Option<&'static str> {
        Some("the image template's tag 'goldsmith.schedule' says when it is run")
    }

    fn view(&self, _app: &App, _call: &Call, resource: &Resource) -> Value {
        view::envelope(SCHEDULES, resource)
    }
}

/// Checks the tags of a body, which may have a schedule.
///
/// # Errors
/// `ValidationFailed` at `tags`.
pub(super) fn check(tags: &Value) -> Result<(), ApiError> {
    let Some(tag) = tag(tags) else { return Ok(()) };
    match Schedule::parse(tag, Timestamp::now()) {
        Ok(_) => Ok(()),
        Err(text) => Err(invalid("tags", format_args!("'ImageTemplate.tags': {text}"))),
    }
}

/// The tag's text. Names of tags are compared without case; an empty one does not count.
fn tag(tags: &Value) -> Option<&str> {
    let mut tags = tags.as_object()?.iter();
    let (_, value) = tags.find(|(name, _)| name.eq_ignore_ascii_case(TAG))?;
    value.as_str().map(str::trim).filter(|text| !text.is_empty())
}

/// The writes that bring a template's schedule in line with its tags. A schedule whose tag did not change
/// keeps its next time.
pub(crate) async fn follow_tags(
    app: &App,
    template: &TemplateRecord,
    now: Timestamp,
) -> Result<Option<Write>, db::Error> {
    let id = format!("{}/schedules/default", template.row.id);
    let old = ScheduleRecord::find(app.store(), &ResourceKey::of(&id)).await?;
    let Some(tag) = tag(template.tags()) else {
        return Ok(old.map(|old| Write::Remove(old.key(), old.row.revision)));
    };
    let plan = old.as_ref().and_then(|old| old.hidden.plan.as_ref());
    if plan.is_some_and(|plan| plan.tag == tag) {
        return Ok(None);
    }
    // The tag was checked before it got here.
    let Ok(schedule) = Schedule::parse(tag, now) else { return Ok(None) };
    let Some(next) = schedule.after(now) else { return Ok(None) };
    let body = json!({ "properties": {
        "expression": schedule.expression(),
        "timeZone": schedule.zone(),
        "provisioningState": "Succeeded",
    } });
    let mut record = ScheduleRecord::new(id, SCHEDULES_KIND, body, ScheduleHidden::default());
    record.set_plan(Plan { tag: tag.to_owned(), next }, now);
    record.set_status("Healthy", "Schedule is active", now);
    Ok(Some(match old {
        Some(old) => {
            (record.row.revision, record.row.created) = (old.row.revision, old.row.created);
            record.replace()
        }
        None => Write::Insert(record.into_row()),
    }))
}

/// The same where a request changes nothing but tags: those of the resource, from these.
///
/// # Errors
/// The caller may not change what the tags do, the tag cannot be read, the template is being created, updated or deleted, or
/// the database fails.
pub(crate) async fn retagged(
    app: &App,
    call: &Call,
    before: &Map<String, Value>,
    resource: &Resource,
) -> Result<Option<Write>, ApiError> {
    if resource.kind != service::quotas::TEMPLATES_KIND {
        return Ok(None);
    }
    effective_tags::check_caller(call, before, resource)?;
    let template = TemplateRecord::of(resource.clone())?;
    state::next(State::of(&template, None), Event::Retag)?;
    check(template.tags())?;
    Ok(follow_tags(app, &template, Timestamp::now()).await?)
}
