//! `imageTemplates/schedules`: an extension, not in Azure. A template with the tag `goldsmith.schedule`
//! has one, named `default`, which tells when the next run is due. It is written with the template's
//! tags, and by the runs that it begins; it can only be read.

use arm::{ApiError, Call, ResourceType};
use async_trait::async_trait;
use db::{Resource, ResourceKey, Write};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use service::App;

use super::{API_VERSIONS, SCHEDULES, SCHEDULES_KIND, check::invalid, view};
use crate::image_builder::{
    cron::{Schedule, TAG},
    state::{self, Event, State},
};

/// The resource type `imageTemplates/schedules`.
#[derive(Debug)]
pub(crate) struct Schedules;

#[async_trait]
impl ResourceType<App> for Schedules {
    fn name(&self) -> &'static str {
        SCHEDULES
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

/// What a schedule is due at, kept hidden with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Plan {
    /// The tag it was made from.
    pub(super) tag: String,
    /// The first time that has not been acted upon.
    pub(super) next: Timestamp,
}

impl Plan {
    pub(super) fn of(row: &Resource) -> Option<Self> {
        serde_json::from_value(row.hidden["plan"].clone()).ok()
    }

    /// Puts itself into the schedule's row.
    pub(super) fn put_into(&self, row: &mut Resource, now: Timestamp) {
        row.hidden["plan"] = json!(self);
        row.hidden["indexed"]["due"] = json!(self.next);
        row.body["properties"]["nextRunTime"] = json!(self.next.to_string());
        row.changed = now;
    }
}

/// What a schedule tells of itself.
pub(super) fn tell(row: &mut Resource, code: &str, message: &str, now: Timestamp) {
    row.body["properties"]["status"] =
        json!({ "code": code, "message": message, "time": now.to_string() });
}

/// The tags of a body say when it is to be run, or nothing.
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

/// The tag's text. Names of tags are compared without case; an empty one is none.
fn tag(tags: &Value) -> Option<&str> {
    let mut tags = tags.as_object()?.iter();
    let (_, value) = tags.find(|(name, _)| name.eq_ignore_ascii_case(TAG))?;
    value.as_str().map(str::trim).filter(|text| !text.is_empty())
}

/// What is to be written beside a template for the tags it has now. A schedule that stays as it is goes
/// on, also with what is due.
///
/// # Errors
/// The database fails.
pub(crate) async fn follow_tags(
    app: &App,
    template: &Resource,
    now: Timestamp,
) -> Result<Option<Write>, db::Error> {
    let id = format!("{}/schedules/default", template.id);
    let old = app.store().resource(&ResourceKey::of(&id)).await?;
    let Some(tag) = tag(&template.body["tags"]) else {
        return Ok(old.map(|old| Write::Remove(old.key(), old.revision)));
    };
    if old.as_ref().and_then(Plan::of).is_some_and(|plan| plan.tag == tag) {
        return Ok(None);
    }
    // The tag was checked before it got here.
    let Ok(schedule) = Schedule::parse(tag, now) else { return Ok(None) };
    let Some(next) = schedule.after(now) else { return Ok(None) };
    let revision = old.as_ref().map(|old| old.revision);
    let mut row = Resource {
        id,
        subscription: template.subscription.clone(),
        group: template.group.clone(),
        kind: SCHEDULES_KIND.to_owned(),
        name: "default".to_owned(),
        revision: revision.unwrap_or(0),
        created: old.map_or(now, |old| old.created),
        changed: now,
        body: json!({ "properties": {
            "expression": schedule.expression(),
            "timeZone": schedule.zone(),
            "provisioningState": "Succeeded",
        } }),
        hidden: json!({}),
    };
    Plan { tag: tag.to_owned(), next }.put_into(&mut row, now);
    tell(&mut row, "Healthy", "Schedule is active", now);
    Ok(Some(if revision.is_some() { Write::Replace(row) } else { Write::Insert(row) }))
}

/// The same where tags are changed by themselves.
///
/// # Errors
/// The tag cannot be read, the template is being created, updated or deleted, or the database fails.
pub(crate) async fn retagged(app: &App, resource: &Resource) -> Result<Option<Write>, ApiError> {
    if resource.kind != service::quotas::TEMPLATES_KIND {
        return Ok(None);
    }
    state::next(State::of(resource, None), Event::Retag)?;
    check(&resource.body["tags"])?;
    Ok(follow_tags(app, resource, Timestamp::now()).await?)
}
