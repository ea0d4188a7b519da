//! `replicationStatus` of a version: what really is in the places of its regions.

use engine::{
    config::Config,
    error::Error,
    replicate::status::{self, State},
};
use serde_json::{Value, json};

use crate::{App, region, store::Resource};

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
