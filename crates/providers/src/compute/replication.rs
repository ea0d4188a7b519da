//! `replicationStatus` of a version: which of its regions really have a copy.

use api::ErrorCode;
use arm::{region, rows};
use db::{Resource, ResourceKey, Write};
use engine::Host;
use images::{
    config::Config,
    error::{Coded, Error},
    event::Events,
    run_context::RunContext,
    store::{Store, StoredImage, address::Address},
};
use regions::{
    Request,
    status::{self, State},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use service::{App, tasks};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// The `replicationStatus` of a version, and the version, which is `Failed` until all of its regions have a copy, made
/// by any process. This is for readers and writes nothing; see [`catch_up`].
pub(super) async fn observe(app: &App, mut version: Resource) -> Result<(Resource, Value), Error> {
    let properties = &version.body["properties"];
    let names = names(&properties["publishingProfile"]["targetRegions"]);
    let layout = &app.settings().layout;
    let mut states = status::of(layout, &Config::load(layout)?, &version.id, &names).await;
    if properties["publishingProfile"]["replicationMode"] == "Shallow" {
        for state in &mut states {
            if let State::Unknown { details } = state {
                "replicationMode is Shallow: it is only where it was built".clone_into(details);
            }
        }
    }
    let status = body_of(&names, &states);
    if is_failed(&version) && status["aggregatedState"] == "Completed" {
        version.body["properties"]["provisioningState"] = json!("Succeeded");
    }
    Ok((version, status))
}

/// Records which of the failed versions are in all of their regions by now, for lists. If another write is faster, the
/// next sweep records it.
///
/// # Errors
/// The database fails, or the configuration cannot be read.
pub async fn catch_up(app: &App) -> Result<(), Error> {
    let unreadable = || "the versions cannot be read".to_owned();
    for app in app.in_each().await.code(ErrorCode::InternalError, unreadable)? {
        let versions = rows::of_kind(app.context(), super::VERSIONS_KIND).await;
        for version in versions.code(ErrorCode::InternalError, unreadable)? {
            if is_failed(&version) {
                catch_up_with(&app, version).await?;
            }
        }
    }
    Ok(())
}

async fn catch_up_with(app: &App, version: Resource) -> Result<(), Error> {
    let (now, _) = observe(app, version).await?;
    if is_failed(&now) {
        return Ok(());
    }
    let id = now.id.clone();
    match app.store().commit(vec![Write::Replace(now)]).await {
        Ok(()) | Err(db::Error::Stale { .. }) => Ok(()),
        Err(error) => {
            Err(error).code(ErrorCode::InternalError, || format!("{id} cannot be written"))
        }
    }
}

/// Whether the stored version says that a region did not get it.
pub(super) fn is_failed(version: &Resource) -> bool {
    version.body["properties"]["provisioningState"] == "Failed"
}

/// In the hidden part of a version: the replication that a PUT promised, until it is done. The PUT commits it, so that
/// the next start resumes it.
const PROMISE: &str = "regions";

/// A pending change of a version's regions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Promise {
    /// Differs for each PUT: the end of an older replication leaves a newer promise alone.
    id: Uuid,
    /// Former target regions, which may have a copy.
    leaving: Vec<String>,
}

impl Promise {
    fn of(hidden: &Value) -> Option<Self> {
        serde_json::from_value(hidden[PROMISE].clone()).ok()
    }
}

/// Records in `hidden` that the version's targets change from `before` to `after`.
pub(super) fn promise(app: &App, hidden: &mut Value, before: &Value, after: &Value) {
    // Without a storage place there is nothing to do. The copy reports a faulty configuration.
    if Config::load(&app.settings().layout).is_ok_and(|config| config.regions.is_empty()) {
        return;
    }
    hidden[PROMISE] = json!(promised(hidden, before, after));
}

fn promised(hidden: &Value, before: &Value, after: &Value) -> Promise {
    let mut leaving = names(before);
    leaving.extend(Promise::of(hidden).into_iter().flat_map(|open| open.leaving));
    let after: Vec<String> = names(after).iter().map(|name| region::normalise(name)).collect();
    leaving.retain(|name| !after.contains(&region::normalise(name)));
    leaving.sort();
    leaving.dedup();
    Promise { id: Uuid::now_v7(), leaving }
}

/// Fulfils, in the background, what [`promise`] recorded: copies the version to the target regions that lack it, and
/// removes it from former ones. It first stops the replication of an older promise.
pub(super) fn keep_promise(app: &App, version: &Resource) {
    let Some(promise) = Promise::of(&version.hidden) else { return };
    let (own, key) = (app.clone(), version.key());
    let (keeper, older) = app.replications().begin(&key, app.shutdown());
    tasks::spawn(app, "copy a gallery version", async move {
        if let Some(older) = older {
            older.stop().await;
        }
        if let Err(error) = keep(&own, &key, &promise, keeper.stop()).await {
            tracing::error!(version = %key, error = %images::error::chain(&error), "the replication to its regions is not finished");
        }
    });
}

/// Resumes the replications that an earlier process did not finish.
pub async fn resume(app: &App) -> Result<(), db::Error> {
    for app in app.in_each().await? {
        for version in rows::of_kind(app.context(), super::VERSIONS_KIND).await? {
            keep_promise(&app, &version);
        }
    }
    Ok(())
}

async fn keep(
    app: &App,
    key: &ResourceKey,
    promise: &Promise,
    stop: &CancellationToken,
) -> Result<(), Error> {
    let Some(turn) = stop.run_until_cancelled(app.replications().permit()).await else {
        return Ok(());
    };
    // The version may have changed since: its present state decides.
    let Some(version) = promised_still(app, key, promise).await? else { return Ok(()) };
    let outcome = fulfil(app, &version, promise, stop).await;
    drop(turn);
    if stop.is_cancelled() {
        return Ok(());
    }
    if let Err(error) = &outcome {
        tracing::warn!(version = %version.id, error = %images::error::chain(&error), "the version is not in all of its regions");
    }
    record_result(app, &version, promise, outcome.is_ok()).await
}

/// The version, unless it is gone or has a newer promise.
async fn promised_still(
    app: &App,
    key: &ResourceKey,
    promise: &Promise,
) -> Result<Option<Resource>, Error> {
    let version = app.store().resource(key).await;
    let version =
        version.code(ErrorCode::InternalError, || "the version cannot be read".to_owned())?;
    let is_ours =
        |version: &Resource| Promise::of(&version.hidden).is_some_and(|p| p.id == promise.id);
    Ok(version.filter(is_ours))
}

fn names(targets: &Value) -> Vec<String> {
    let targets = targets.as_array().into_iter().flatten();
    targets.filter_map(|target| target["name"].as_str().map(str::to_owned)).collect()
}

async fn fulfil(
    app: &App,
    version: &Resource,
    promise: &Promise,
    stop: &CancellationToken,
) -> Result<(), Error> {
    let copied = copy(app, version, stop).await;
    if stop.is_cancelled() {
        return copied;
    }
    let layout = &app.settings().layout;
    let left = async {
        let config = Config::load(layout)?;
        app.confirm_ownership().await?;
        regions::forget_in(layout, &config, &version.id, &promise.leaving).await
    };
    Error::all([copied, left.await.map(|_| ())].into_iter().filter_map(Result::err).collect())
}

async fn copy(app: &App, version: &Resource, stop: &CancellationToken) -> Result<(), Error> {
    let layout = &app.settings().layout;
    let config = Config::load(layout)?;
    let profile = &version.body["properties"]["publishingProfile"];
    let mut regions = names(&profile["targetRegions"]);
    regions.retain(|name| config.region(name).is_some());
    // A record that a client made has no disk to copy.
    let Some(image) = stored(app, version)?.filter(|_| !regions.is_empty()) else {
        return Ok(());
    };
    if profile["replicationMode"] == "Shallow" {
        return Ok(());
    }
    let host = match app.host() {
        Some(host) => host.clone(),
        None => Host::probe(None)
            .await
            .code(ErrorCode::HostNotReady, || "qemu-img cannot be used".to_owned())?,
    };
    let mut cx = RunContext::new(layout.clone(), Events::none(), stop.clone());
    cx.ownership = app.ownership();
    let request = Request { image: &image, regions: &regions };
    let outcome = regions::replicate(&cx, &host, &config, request).await?;
    Error::all(outcome.regions.into_iter().filter_map(|(_, result)| result.err()).collect())
}

/// Records the result. A failed copy stays promised: the next PUT and the next start retry it. Conflicts with other
/// writes to the version are retried a few times.
async fn record_result(
    app: &App,
    version: &Resource,
    promise: &Promise,
    is_done: bool,
) -> Result<(), Error> {
    for _ in 0..5 {
        let Some(mut now) = promised_still(app, &version.key(), promise).await? else {
            return Ok(());
        };
        if is_done {
            if is_failed(&now) {
                now = observe(app, now).await?.0;
            }
            if let Some(hidden) = now.hidden.as_object_mut() {
                hidden.remove(PROMISE);
            }
        } else {
            now.body["properties"]["provisioningState"] = json!("Failed");
        }
        match app.store().commit(vec![Write::Replace(now)]).await {
            Err(db::Error::Stale { .. }) => {}
            other => {
                return other.code(ErrorCode::InternalError, || {
                    format!("what became of the regions of {} cannot be written", version.id)
                });
            }
        }
    }
    Ok(())
}

/// What the image store has under the version's id.
fn stored(app: &App, version: &Resource) -> Result<Option<StoredImage>, Error> {
    match Address::parse(&version.id) {
        Ok(address) => Store::open(&app.settings().layout).at(&address),
        Err(_) => Ok(None),
    }
}

fn body_of(names: &[String], states: &[State]) -> Value {
    let summary: Vec<Value> = names
        .iter()
        .zip(states)
        .map(|(name, state)| {
            json!({
                "region": region::display(name),
                "state": state.name(),
                "details": state.details(),
                "progress": state.progress(),
            })
        })
        .collect();
    json!({ "aggregatedState": status::aggregated(states), "summary": summary })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn former_region_is_recorded_until_it_is_a_target_again() {
        let targets = |names: &[&str]| -> Value {
            names.iter().map(|name| json!({ "name": name })).collect()
        };
        let mut open: Option<Promise> = None;
        let mut put = |before: Value, after: &[&str]| {
            let hidden = json!({ "other": 1, PROMISE: open });
            let new = promised(&hidden, &before, &targets(after));
            assert!(open.as_ref().is_none_or(|old| old.id != new.id));
            open.insert(new).leaving.clone()
        };
        assert_eq!(put(Value::Null, &["East US"]), Vec::<String>::new());
        assert_eq!(put(targets(&["East US", "West US"]), &["westus"]), ["East US"]);
        assert_eq!(put(targets(&["westus"]), &["japaneast"]), ["East US", "westus"]);
        assert_eq!(put(targets(&["japaneast"]), &["eastus"]), ["japaneast", "westus"]);
    }

    #[test]
    fn every_region_is_reported_with_its_reason() {
        let names = ["West US 2".to_owned(), "eastus".to_owned()];
        let states = [State::Completed, State::Failed { details: "no room".into() }];
        let status = body_of(&names, &states);
        assert_eq!(status["aggregatedState"], "Failed");
        assert_eq!(
            status["summary"],
            json!([
                { "region": "West US 2", "state": "Completed", "details": "", "progress": 100 },
                { "region": "East US", "state": "Failed", "details": "no room", "progress": 0 },
            ])
        );
    }
}
