//! The row of an image template.

use std::sync::OnceLock;

use api::template::ApiVersion;
use db::{Run, RunState};
use engine::template::Template;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{Record, parse};
use crate::image_builder::failure::Failure;

/// The end time that Azure shows for an active run.
const NOT_ENDED: &str = "0001-01-01T00:00:00Z";

/// The hidden document of an image template.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Hidden {
    /// The name of the version under which the body is read.
    pub api_version: Option<String>,
    /// The source's: 1 boots by BIOS, 2 by UEFI. Known once the template is provisioned.
    pub generation: Option<u8>,
    /// The id of the staging group.
    pub staging: Option<String>,
    /// The name of the storage account in the staging group, which exists once the template is
    /// provisioned.
    pub staging_account: Option<String>,
    /// The group is the service's own. Its tags do not decide this, since clients can set them.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub staging_owned: bool,
    /// Tags of a client's group that the template's own tags have replaced.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub staging_tags: Map<String, Value>,
    /// Columns of the database.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub indexed: Option<Indexed>,
    /// What a later release has added.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// What the database sums up over all templates.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Indexed {
    /// How much the pinned scripts and files take.
    pub script_bytes: i64,
}

impl Hidden {
    /// The version under which the body is read; `None` for one that only a later release knows.
    pub fn version(&self) -> Option<ApiVersion> {
        self.api_version.as_deref()?.parse().ok()
    }
}

/// An image template.
pub type TemplateRecord = Record<Hidden>;

impl TemplateRecord {
    /// The stored template, parsed once.
    pub(crate) fn template(&self) -> Result<&Template, Failure> {
        let parsed = self
            .parsed
            .get_or_init(|| parse(&self.body, self.hidden.version()).map_err(Failure::from));
        parsed.as_ref().map_err(Clone::clone)
    }

    /// Changes the body to that of `template`, which was read under `version`.
    pub(crate) fn change(
        &mut self,
        template: Template,
        version: ApiVersion,
        change: impl FnOnce(&mut Value, &Template),
    ) {
        change(&mut self.body, &template);
        self.hidden.api_version = Some(version.name().to_owned());
        self.parsed = OnceLock::from(Ok(template));
    }

    /// The region's name.
    pub fn location(&self) -> &str {
        self.body["location"].as_str().unwrap_or_default()
    }

    pub(crate) fn tags(&self) -> &Value {
        &self.body["tags"]
    }

    /// The tags of everything that the service makes for the template.
    pub(crate) fn managed_tags(&self) -> Map<String, Value> {
        self.body["properties"]["managedResourceTags"].as_object().cloned().unwrap_or_default()
    }

    /// The properties, in which scripts are pinned.
    pub(crate) fn properties_mut(&mut self) -> &mut Value {
        self.parsed = OnceLock::new();
        &mut self.body["properties"]
    }

    pub(crate) fn exact_version(&self) -> Option<&str> {
        super::exact_version(&self.body)
    }

    /// Shows which version of the source stands for `latest`.
    pub fn set_exact_version(&mut self, version: &str) {
        self.body["properties"]["source"]["exactVersion"] = json!(version);
    }

    pub(crate) fn show_staging_group(&mut self) {
        self.body["properties"]["exactStagingResourceGroup"] = json!(self.hidden.staging);
    }

    pub(crate) fn show_failure(&mut self, failure: &Failure) {
        self.body["properties"]["provisioningError"] = json!({
            "provisioningErrorCode": failure.provisioning_code(),
            "message": failure.message,
        });
    }

    /// Writes beside the template's identity which principal it stands for.
    pub(crate) fn show_principal(&mut self, principal: &Value) {
        let ids = self.body["identity"]["userAssignedIdentities"].as_object_mut();
        for value in ids.into_iter().flat_map(Map::values_mut) {
            value.clone_from(principal);
        }
    }

    /// Shows a run that is written in the same commit. A queued run counts as running, and only a
    /// running one shows its phase.
    pub fn show_run(&mut self, run: &Run) {
        let (state, sub_state) = match run.state {
            RunState::Queued => (RunState::Running, "Queued"),
            RunState::Running => (RunState::Running, run.sub_state.as_str()),
            state => (state, ""),
        };
        let mut status = json!({
            "startTime": run.queued.to_string(),
            "endTime": run.ended.map_or_else(|| NOT_ENDED.to_owned(), |ended| ended.to_string()),
            "runState": state,
            "message": run.message,
        });
        if !sub_state.is_empty() {
            status["runSubState"] = json!(sub_state);
        }
        self.body["properties"]["lastRunStatus"] = status;
        self.row.changed = Timestamp::now();
    }

    /// The input of a run: the template as it is now, with the api-version under which it is read.
    pub(crate) fn run_input(&self) -> Value {
        let mut body = self.body.clone();
        body["apiVersion"] = json!(self.hidden.api_version);
        if let Some(properties) = body["properties"].as_object_mut() {
            properties.remove("lastRunStatus");
        }
        body
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use db::Resource;

    use super::*;

    #[test]
    fn row_of_an_earlier_or_later_release_is_written_back_unchanged() {
        let hidden = json!({
            "staging": "/subscriptions/s/resourceGroups/Given",
            "stagingAccount": "st1",
            "apiVersion": "2022-02-14",
            "stagingTags": { "cost": "1" },
            "indexed": { "scriptBytes": 7 },
            "generation": 1,
        });
        let body = json!({ "location": "westus", "properties": { "unknown": [1, null] } });
        let row = Resource::new("/subscriptions/s/t".to_owned(), "k", body, hidden);
        assert_eq!(TemplateRecord::of(row.clone()).unwrap().into_row(), row);
        let mut later = row.clone();
        later.hidden["apiVersion"] = json!("2031-01-01");
        later.hidden["feature"] = json!({ "is": "new" });
        let record = TemplateRecord::of(later.clone()).unwrap();
        assert_eq!(record.hidden.version(), None);
        assert_eq!(record.into_row(), later);
        let damaged = Resource { hidden: json!({ "generation": "two" }), ..row.clone() };
        assert!(TemplateRecord::of(damaged.clone()).is_err());
        assert_eq!(TemplateRecord::of_all(vec![damaged, row.clone()]).len(), 1);
        let bare = Resource { hidden: json!({}), ..row };
        let hidden = TemplateRecord::of(bare).unwrap().hidden;
        assert_eq!((hidden.staging, hidden.staging_owned), (None, false));
    }
}
