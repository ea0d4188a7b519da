//! `replicationStatus` of a version: what really is in the places of its regions.

use api::ErrorCode;
use engine::{
    Host,
    config::Config,
    cx::Cx,
    error::{Coded, Error},
    event::Events,
    replicate::{
        self, Request,
        status::{self, State},
    },
    store::{Store, address::Address},
};
use serde_json::{Value, json};

use crate::{
    App, region,
    store::{self, Resource, ResourceKey, Write},
    tasks,
};

/// Adds the status to a version's body. What the version itself is follows from it: one that was not copied to some region is
/// `Failed` until it is.
pub(super) async fn add(app: &App, version: &Resource, body: &mut Value) -> Result<(), Error> {
    let properties = &version.body["properties"];
    let targets = properties["publishingProfile"]["targetRegions"].as_array();
    let names: Vec<String> = targets
        .into_iter()
        .flatten()
        .filter_map(|target| target["name"].as_str().map(str::to_owned))
        .collect();
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
    if properties["provisioningState"] == "Failed" && status["aggregatedState"] == "Completed" {
        body["properties"]["provisioningState"] = json!("Succeeded");
    }
    body["properties"]["replicationStatus"] = status;
    Ok(())
}

/// Copies a version, in the background, to the regions that it is now to be in and is not. Nothing takes this up after
/// a restart: the status tells, and another PUT does what is missing.
pub(super) fn copy(app: &App, version: &Resource) {
    let (own, version) = (app.clone(), version.clone());
    tasks::spawn(app, "copy a gallery version", async move {
        let Err(error) = copy_now(&own, &version).await else { return };
        tracing::warn!(version = %version.id, %error, "the version is not in all of its regions");
        if let Err(error) = fail(&own, &version.key()).await {
            tracing::error!(%error, "that a version is not in all of its regions cannot be written");
        }
    });
}

async fn copy_now(app: &App, version: &Resource) -> Result<(), Error> {
    let layout = &app.settings().layout;
    let config = Config::load(layout)?;
    let profile = &version.body["properties"]["publishingProfile"];
    let targets = profile["targetRegions"].as_array();
    let names = targets.into_iter().flatten().filter_map(|target| target["name"].as_str());
    let regions: Vec<String> =
        names.filter(|name| config.region(name).is_some()).map(str::to_owned).collect();
    let address = Address::parse(&version.id).ok();
    let stored = match address {
        Some(address) => Store::open(layout).at(&address)?,
        None => None,
    };
    // A record that a client made has no disk to copy.
    let Some(image) = stored.filter(|_| !regions.is_empty()) else { return Ok(()) };
    if profile["replicationMode"] == "Shallow" {
        return Ok(());
    }
    let host = Host::probe(None).await;
    let host = host.code(ErrorCode::HostNotReady, || "qemu-img cannot be used".to_owned())?;
    let cx = Cx::new(layout.clone(), Events::none(), app.shutdown().child_token());
    let request = Request { image: &image, regions: &regions };
    let outcome = replicate::replicate(&cx, &host, &config, request).await?;
    Error::all(outcome.regions.into_iter().filter_map(|(_, result)| result.err()).collect())
}

/// Another write to the version may come between; after a few it is our turn.
async fn fail(app: &App, key: &ResourceKey) -> Result<(), store::Error> {
    for _ in 0..5 {
        let Some(mut version) = app.store().resource(key).await? else { return Ok(()) };
        version.body["properties"]["provisioningState"] = json!("Failed");
        match app.store().commit(vec![Write::Replace(version)]).await {
            Err(store::Error::Stale { .. }) => {}
            other => return other,
        }
    }
    Ok(())
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
    fn every_region_is_told_with_its_reason() {
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
