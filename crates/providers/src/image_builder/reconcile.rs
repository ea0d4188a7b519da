//! Reconciles triggers, those that a change concerns or all of them, with their sources, and begins runs.
//!
//! A full reconciliation reads triggers by the page, and every source once for all of its followers. It reads
//! a trigger's template and runs only if the trigger would change.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use arm::rows;
use db::{Cause, Operation, Resource, ResourceKey, Run, Select};
use futures_util::FutureExt;
use images::error::Error;
use jiff::Timestamp;
use service::{
    App,
    app::changes::{Change, Scope},
    quotas,
};

use super::{
    TRIGGERS_KIND, own,
    record::{RunInput, TemplateRecord},
    run, side_by_side, source,
    state::{self, Event, State},
    stays, template_key,
    watch::{Index, Newest, Problem, TriggerRecord, Watch, short},
    while_stale,
};

/// The newest runs to account for. They are enough: each run's end reconciles, and a template has one at a time.
const UNSEEN_RUNS: u32 = 5;
/// Triggers that are read at once.
const PAGE: u32 = 500;
/// Sources and triggers that are reconciled side by side: a region that does not answer delays few others,
/// and requests get their turn at the database.
const AT_ONCE: usize = 8;

/// Reports the end of a run to the triggers of its template, and to those that follow its targets.
pub fn run_ended(app: &App, template: &ResourceKey, input: Option<&RunInput>) {
    app.changes().add(Change::Template(template.clone()));
    let targets = input.into_iter().flat_map(|input| &input.template.properties.distribute);
    for target in targets {
        if let Some(version) = target.kind.version() {
            let definition = ResourceKey::of(&version.definition.to_string());
            app.changes().add(Change::Definition(definition));
        }
    }
}

/// A trigger of that template is found by its source and its region.
pub(super) fn index(template: &TemplateRecord) -> Index {
    Index {
        follows: template.template().ok().and_then(|typed| typed.properties.source.versions_of()),
        region: Some(template.location().to_owned()),
    }
}

/// What the template's source stands for now; no version is known of an image that is yet to be
/// bootstrapped.
pub(super) async fn newest(app: &App, template: &TemplateRecord) -> Result<Newest, db::Error> {
    let typed = match template.template() {
        Ok(typed) => typed,
        Err(failure) => {
            return Ok(Err(Error::new(api::ErrorCode::ValidationFailed, failure.message)));
        }
    };
    let exact = source::resolve(app, typed).await?;
    Ok(exact.map(|exact| {
        let dated = exact.version.filter(|_| exact.is_dated);
        dated.map(|version| short(&version).to_owned())
    }))
}

/// A source that triggers follow, the region of their templates, and the subscription: another one may not see it.
type SourceKey = (String, String, String);

/// The source of a trigger that is indexed.
fn source_of(trigger: &TriggerRecord) -> Option<SourceKey> {
    let indexed = trigger.hidden.indexed.as_ref()?;
    let (follows, region) = (indexed.follows.as_ref()?, indexed.region.as_ref()?);
    Some((follows.to_lowercase(), region.to_lowercase(), trigger.row.subscription.to_lowercase()))
}

/// One reconciliation.
struct Reconciliation<'a> {
    app: &'a App,
    /// What sources stand for, each looked up once.
    known: Mutex<HashMap<SourceKey, Arc<Newest>>>,
    /// After so many failed runs in a row a trigger is deactivated.
    failures: u32,
    now: Timestamp,
}

/// Reconciles triggers, and begins the runs that are due.
pub async fn reconcile_sources(
    app: &App,
    scope: &Scope,
    failures: u32,
    now: Timestamp,
) -> Result<(), db::Error> {
    let pass = Reconciliation { app, known: Mutex::default(), failures, now };
    let changes = match scope {
        Scope::Start => return pass.at_all(false).await,
        Scope::All => return pass.at_all(true).await,
        Scope::Only(changes) => changes,
    };
    for change in changes {
        match change {
            Change::Template(template) => pass.at(below(app, template).await?, false).await?,
            Change::Definition(definition) => pass.at_followers(definition).await?,
        }
    }
    Ok(())
}

impl Reconciliation<'_> {
    async fn at_all(&self, only_changed: bool) -> Result<(), db::Error> {
        for subscription in self.app.subscriptions().await?.iter() {
            self.at_all_of(&subscription.id, only_changed).await?;
        }
        Ok(())
    }

    async fn at_all_of(&self, subscription: &str, only_changed: bool) -> Result<(), db::Error> {
        let mut select = Select {
            subscription: subscription.to_lowercase(),
            kind: Some(TRIGGERS_KIND.to_owned()),
            limit: PAGE,
            ..Select::default()
        };
        loop {
            let page = self.app.store().list(&select).await?;
            self.at(page.resources, only_changed).await?;
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
            self.at(page, true).await?;
        }
    }

    /// Reconciles triggers: all of them, or those that would change.
    async fn at(&self, triggers: Vec<Resource>, only_changed: bool) -> Result<(), db::Error> {
        let triggers = TriggerRecord::of_all(triggers);
        // One trigger of each source looks it up.
        let unknown = triggers.iter().filter(|trigger| self.known(trigger).is_none());
        let unknown = unknown.filter_map(|trigger| Some((source_of(trigger)?, trigger)));
        let looks = unknown.collect::<BTreeMap<_, _>>().into_iter();
        let looks = looks.map(|(source, trigger)| self.find_newest(source, trigger).boxed());
        side_by_side(AT_ONCE, looks.collect()).await?;
        let chosen = triggers.iter().filter(|trigger| !only_changed || self.would_change(trigger));
        let looks = chosen.map(|trigger| self.until_done(trigger.key()).boxed());
        side_by_side(AT_ONCE, looks.collect()).await
    }

    fn known(&self, trigger: &TriggerRecord) -> Option<Arc<Newest>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&source_of(trigger)?).cloned()
    }

    async fn find_newest(
        &self,
        source: SourceKey,
        trigger: &TriggerRecord,
    ) -> Result<(), db::Error> {
        let template = template_key(&trigger.key());
        if let Some(template) = TemplateRecord::find(self.app.store(), &template).await? {
            let app = self.app.within(&template.row.subscription);
            let found = Arc::new(newest(&app, &template).await?);
            self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(source, found);
        }
        Ok(())
    }

    /// True if its source is not known.
    fn would_change(&self, trigger: &TriggerRecord) -> bool {
        self.known(trigger).is_none_or(|newest| Watch::would_change(trigger, &newest))
    }

    async fn until_done(&self, key: ResourceKey) -> Result<(), db::Error> {
        while_stale(|| self.at_one(&key)).await
    }

    async fn at_one(&self, key: &ResourceKey) -> Result<(), db::Error> {
        let app = self.app;
        // The template before the run: a run changes its template too, whose revision guards both.
        let template = TemplateRecord::find(app.store(), &template_key(key)).await?;
        let Some(template) = template else { return Ok(()) };
        let app = &app.within(&template.row.subscription);
        let Some(mut trigger) = TriggerRecord::find(app.store(), key).await? else { return Ok(()) };
        if trigger.provisioning_state() != "Succeeded" {
            return Ok(());
        }
        let is_indexed = trigger.hidden.indexed.is_some();
        trigger.hidden.indexed.get_or_insert_with(|| index(&template));
        let runs = app.store().recent_runs(&template.key(), UNSEEN_RUNS).await?;
        let mut watch = trigger.hidden.watch.clone();
        watch.account_all(&trigger.row, &runs, self.failures);
        let newest = match self.known(&trigger) {
            Some(known) => known,
            None => Arc::new(newest(app, &template).await?),
        };
        watch.begin(&newest, &template);
        let (mut begun, mut problem) = (None, Problem::unknown_source(&newest));
        if let Ok(Some(version)) = newest.as_ref()
            && watch.is_news(&newest)
            && is_free(app, &template, &runs).await?
        {
            let name = trigger.row.name.clone();
            let begun_now = match quotas::waiting_run(app).await? {
                Ok(()) if watch.is_off() => Ok(None),
                Ok(()) => {
                    let cause = Cause::Trigger { name, version: version.clone() };
                    run::new(&template, cause).map(Some)
                }
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

/// Whether the template can have another run.
async fn is_free(app: &App, template: &TemplateRecord, runs: &[Run]) -> Result<bool, db::Error> {
    let state = State::of(template, own(template, runs));
    Ok(state::next(state, Event::Run).is_ok() && stays(app, template).await?)
}

async fn write(
    app: &App,
    template: TemplateRecord,
    trigger: TriggerRecord,
    begun: Option<(Operation, Run)>,
) -> Result<(), db::Error> {
    let id = trigger.row.id.clone();
    let mut writes = vec![trigger.replace()];
    let run = begun.as_ref().map(|(_, run)| run.id.clone());
    if let Some((operation, run)) = begun {
        writes.extend(run::begin(template, operation, run));
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
    rows::below(app.context(), TRIGGERS_KIND, Some(template.clone())).await
}
