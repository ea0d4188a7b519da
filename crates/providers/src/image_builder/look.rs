//! Looks at triggers: those that a change concerns, or all of them; and the runs that come of it.
//!
//! A look at all reads triggers by the page, and every source once however many follow it. All that
//! belongs to a trigger is read only where something happens to it.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use api::template::{Source, Template};
use db::{Cause, Operation, Resource, ResourceKey, Run, Select, Write};
use futures_util::{
    FutureExt, StreamExt, TryStreamExt,
    future::{self, BoxFuture},
    stream,
};
use images::error::Error;
use jiff::Timestamp;
use serde_json::{Value, json};
use service::{
    App,
    app::changes::{Change, Scope},
    quotas,
};
use tokio::sync::OnceCell;

use super::{
    TRIGGERS_KIND, run,
    settle::typed,
    source, stays, template_key,
    watch::{Newest, Problem, Watch, short},
};
use crate::image_builder::state::{self, Event, State};

/// How often a trigger is looked at again at once when a request was faster.
const ATTEMPTS: usize = 8;
/// So many runs are taken into account at most: each end wakes us, and a template has one at a time.
const UNSEEN_RUNS: u32 = 5;
/// Triggers that are read at once.
const PAGE: u32 = 500;
/// Sources and triggers that are looked at side by side: a region that does not answer keeps few others
/// waiting, and requests get their turn at the database.
const AT_ONCE: usize = 8;

/// A run is over: tells the triggers of its template, and those that follow what it was to make.
pub fn run_ended(app: &App, run: &Run) {
    app.changes().add(Change::Template(run.template.clone()));
    let targets = run.input["properties"]["distribute"].as_array().into_iter().flatten();
    for id in targets.filter_map(|target| target["galleryImageId"].as_str()) {
        let id = id.to_lowercase();
        let definition = id.split_once("/versions/").map_or(id.as_str(), |(id, _)| id);
        app.changes().add(Change::Definition(ResourceKey::of(definition)));
    }
}

/// What a trigger of that template is found by: its source and its region.
pub(super) fn index(template: &Resource) -> Value {
    let typed = typed(template).ok();
    json!({
        "follows": typed.as_ref().and_then(followed),
        "region": template.body["location"],
    })
}

fn followed(template: &Template) -> Option<String> {
    match &template.properties.source {
        Source::PlatformImage(image) => Some(format!(
            "{}:{}:{}:{}",
            image.publisher,
            image.offer,
            image.sku,
            json!(image.plan_info)
        )),
        Source::SharedImageVersion { image_version_id } => {
            image_version_id.parent().map(|definition| definition.to_string())
        }
        Source::ManagedImage { .. } => None,
    }
}

/// What the template's source stands for now; no version is known of an image that is yet to be
/// bootstrapped.
pub(super) async fn newest(app: &App, template: &Resource) -> Result<Newest, db::Error> {
    let typed = match typed(template) {
        Ok(typed) => typed,
        Err(failure) => {
            return Ok(Err(Error::new(api::ErrorCode::ValidationFailed, failure.message)));
        }
    };
    let exact = source::resolve(app, &typed).await?;
    Ok(exact.map(|exact| {
        let dated = exact.version.filter(|_| exact.is_dated);
        dated.map(|version| short(&version).to_owned())
    }))
}

/// What sources stand for, each looked up once a look.
#[derive(Default)]
struct Sources {
    known: Mutex<HashMap<SourceKey, Cell>>,
}

/// What is followed, and the region it is wanted in.
type SourceKey = (String, String);
type Cell = Arc<OnceCell<Arc<Newest>>>;

impl Sources {
    /// That of a trigger that is indexed.
    fn key(trigger: &Resource) -> Option<SourceKey> {
        let indexed = &trigger.hidden["indexed"];
        let text = |name: &str| indexed[name].as_str().map(str::to_lowercase);
        Some((text("follows")?, text("region")?))
    }

    fn cell(&self, key: SourceKey) -> Cell {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.entry(key).or_default().clone()
    }

    async fn newest(
        &self,
        app: &App,
        trigger: &Resource,
        template: &Resource,
    ) -> Result<Arc<Newest>, db::Error> {
        let look = || async { newest(app, template).await.map(Arc::new) };
        match Self::key(trigger) {
            Some(key) => self.cell(key).get_or_try_init(look).await.cloned(),
            None => look().await,
        }
    }
}

/// One look.
struct Look<'a> {
    app: &'a App,
    sources: Sources,
    /// After so many failed runs in a row a trigger is deactivated.
    failures: u32,
    now: Timestamp,
}

/// Looks at triggers, and begins the runs that are due.
///
/// # Errors
/// The database fails.
pub async fn look_at_sources(
    app: &App,
    scope: &Scope,
    failures: u32,
    now: Timestamp,
) -> Result<(), db::Error> {
    let look = Look { app, sources: Sources::default(), failures, now };
    let changes = match scope {
        Scope::Start => return look.at_all(false).await,
        Scope::All => return look.at_all(true).await,
        Scope::Only(changes) => changes,
    };
    for change in changes {
        match change {
            Change::Template(template) => look.at_each(&below(app, template).await?).await?,
            Change::Definition(definition) => look.at_followers(definition).await?,
        }
    }
    Ok(())
}

impl Look<'_> {
    async fn at_all(&self, only_changed: bool) -> Result<(), db::Error> {
        let mut select = Select {
            subscription: self.app.settings().subscription.to_lowercase(),
            kind: Some(TRIGGERS_KIND.to_owned()),
            limit: PAGE,
            ..Select::default()
        };
        loop {
            let page = self.app.store().list(&select).await?;
            match only_changed {
                true => self.at_changed(&page.resources).await?,
                false => self.at_each(&page.resources).await?,
            }
            select.after = page.next;
            if select.after.is_none() {
                return Ok(());
            }
        }
    }

    async fn at_followers(&self, definition: &ResourceKey) -> Result<(), db::Error> {
        let mut last = None;
        loop {
            let store = self.app.store();
            let page = store.followers(definition.as_str(), last.as_ref(), PAGE).await?;
            let Some(end) = page.last() else { return Ok(()) };
            last = Some(end.key());
            self.at_changed(&page).await?;
        }
    }

    /// At those to which something happens, by what their sources stand for.
    async fn at_changed(&self, triggers: &[Resource]) -> Result<(), db::Error> {
        let mut sources = BTreeMap::new();
        for trigger in triggers {
            if let Some(key) = Sources::key(trigger) {
                sources.entry(key).or_insert(trigger);
            }
        }
        // One trigger of each source finds out what it stands for.
        let looks = sources.into_values().map(|trigger| self.find_newest(trigger).boxed());
        side_by_side(looks.collect()).await?;
        let changed = triggers.iter().filter(|trigger| self.would_change(trigger));
        let looks = changed.map(|trigger| self.until_done(trigger.key()).boxed());
        side_by_side(looks.collect()).await
    }

    async fn at_each(&self, triggers: &[Resource]) -> Result<(), db::Error> {
        let looks = triggers.iter().map(|trigger| self.until_done(trigger.key()).boxed());
        side_by_side(looks.collect()).await
    }

    async fn find_newest(&self, trigger: &Resource) -> Result<(), db::Error> {
        let key = Sources::key(trigger);
        if key.is_some_and(|key| self.sources.cell(key).initialized()) {
            return Ok(());
        }
        let template = self.app.store().resource(&template_key(&trigger.key())).await?;
        let Some(template) = template else { return Ok(()) };
        self.sources.newest(self.app, trigger, &template).await.map(drop)
    }

    /// What is not known is looked at.
    fn would_change(&self, trigger: &Resource) -> bool {
        let cell = Sources::key(trigger).map(|key| self.sources.cell(key));
        let newest = cell.as_ref().and_then(|cell| cell.get());
        newest.is_none_or(|newest| Watch::would_change(trigger, newest, self.now))
    }

    async fn until_done(&self, key: ResourceKey) -> Result<(), db::Error> {
        for _ in 0..ATTEMPTS {
            match self.at(&key).await {
                Err(db::Error::Stale { .. }) => {}
                looked => return looked,
            }
        }
        Ok(())
    }

    async fn at(&self, key: &ResourceKey) -> Result<(), db::Error> {
        let app = self.app;
        // In this order: a run changes its template too, so that the template's revision guards it.
        let Some(template) = app.store().resource(&template_key(key)).await? else { return Ok(()) };
        let Some(mut trigger) = app.store().resource(key).await? else { return Ok(()) };
        if trigger.body["properties"]["provisioningState"] != "Succeeded" {
            return Ok(());
        }
        let is_indexed = !trigger.hidden["indexed"].is_null();
        if !is_indexed {
            trigger.hidden["indexed"] = index(&template);
        }
        let runs = app.store().recent_runs(&template.key(), UNSEEN_RUNS).await?;
        let mut watch = Watch::of(&trigger);
        watch.account_all(&trigger, &runs, self.failures);
        let newest = self.sources.newest(app, &trigger, &template).await?;
        watch.begin(&newest, &template);
        let (mut begun, mut problem) = (None, Problem::unknown_source(&newest));
        if let Ok(Some(version)) = newest.as_ref()
            && watch.is_news(&newest)
            && is_free(app, &template, &runs).await?
        {
            let begun_now = match quotas::waiting_run(app).await? {
                Ok(()) => begin(&watch, &template, &trigger, version),
                Err(error) => Err(error),
            };
            match begun_now {
                Ok(run) => {
                    watch.act_upon(version, run.as_ref().map(|(_, run)| run));
                    begun = run;
                }
                Err(error) => problem = Some(Problem::no_run(&error)),
            }
        }
        if watch.put_into(&mut trigger, problem.as_ref(), self.now) || !is_indexed {
            write(app, template, trigger, begun).await?;
        }
        Ok(())
    }
}

/// A page of looks; a few at once.
async fn side_by_side(looks: Vec<BoxFuture<'_, Result<(), db::Error>>>) -> Result<(), db::Error> {
    let looks = stream::iter(looks).buffer_unordered(AT_ONCE);
    looks.try_for_each(|()| future::ready(Ok(()))).await
}

/// Whether the template can have another run.
async fn is_free(app: &App, template: &Resource, runs: &[Run]) -> Result<bool, db::Error> {
    let latest = runs.first().filter(|run| run.queued >= template.created);
    Ok(state::next(State::of(template, latest), Event::Run).is_ok() && stays(app, template).await?)
}

/// A run for that version, if the trigger is active.
fn begin(
    watch: &Watch,
    template: &Resource,
    trigger: &Resource,
    version: &str,
) -> Result<Option<(Operation, Run)>, Error> {
    if watch.is_off() {
        return Ok(None);
    }
    let cause = Cause::Trigger { name: trigger.name.clone(), version: version.to_owned() };
    run::by_itself(template, cause).map(Some)
}

async fn write(
    app: &App,
    template: Resource,
    trigger: Resource,
    begun: Option<(Operation, Run)>,
) -> Result<(), db::Error> {
    let id = trigger.id.clone();
    let mut writes = vec![Write::Replace(trigger)];
    let run = begun.as_ref().map(|(_, run)| run.id.clone());
    if let Some((operation, run)) = begun {
        writes.push(Write::Replace(run::with_run(template, &run)));
        writes.extend([Write::Operation(operation), Write::InsertRun(run)]);
    }
    app.store().commit(writes).await?;
    if let Some(run) = run {
        tracing::info!(trigger = %id, run, "the source has a new version: a run begins");
        app.wake_worker();
    }
    Ok(())
}

/// The triggers of a template: one at most.
pub(super) async fn below(app: &App, template: &ResourceKey) -> Result<Vec<Resource>, db::Error> {
    let select = Select {
        subscription: app.settings().subscription.to_lowercase(),
        kind: Some(TRIGGERS_KIND.to_owned()),
        below: Some(template.clone()),
        limit: 2,
        ..Select::default()
    };
    Ok(app.store().list(&select).await?.resources)
}
