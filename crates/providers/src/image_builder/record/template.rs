//! The row of an image template.

use std::{
    ops::{Deref, DerefMut},
    sync::OnceLock,
};

use api::template::ApiVersion;
use db::{Resource, ResourceKey, Run, RunState, Store, Write};
use engine::template::Template;
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value, json};

use super::{Record, parse};
use crate::image_builder::failure::Failure;

/// What Azure shows of a run that is not over.
const NOT_ENDED: &str = "0001-01-01T00:00:00Z";

/// The hidden document of an image template.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Hidden {
    /// The version under which the body is read.
    #[serde(deserialize_with = "supported")]
    pub api_version: Option<ApiVersion>,
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
}

/// What the database sums up over all templates.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Indexed {
    /// How much the pinned scripts and files take.
    pub script_bytes: i64,
}

/// An unknown version is that of a later release.
fn supported<'de, D: Deserializer<'de>>(from: D) -> Result<Option<ApiVersion>, D::Error> {
    Ok(Option::<String>::deserialize(from)?.and_then(|name| name.parse().ok()))
}

impl Hidden {
    /// The key of the staging group.
    pub fn staging_group(&self) -> Option<ResourceKey> {
        self.staging.as_deref().map(ResourceKey::of)
    }
}

/// An image template.
#[derive(Debug, Clone)]
pub struct TemplateRecord {
    record: Record<Hidden>,
    parsed: OnceLock<Result<Template, Failure>>,
}

impl Deref for TemplateRecord {
    type Target = Record<Hidden>;

    fn deref(&self) -> &Record<Hidden> {
        &self.record
    }
}

impl DerefMut for TemplateRecord {
    fn deref_mut(&mut self) -> &mut Record<Hidden> {
        &mut self.record
    }
}

impl From<Record<Hidden>> for TemplateRecord {
    fn from(record: Record<Hidden>) -> Self {
        Self { record, parsed: OnceLock::new() }
    }
}

impl TemplateRecord {
    /// # Errors
    /// The hidden document cannot be decoded.
    pub fn of(row: Resource) -> Result<Self, db::Error> {
        Record::of(row).map(Self::from)
    }

    /// The image template with this key.
    ///
    /// # Errors
    /// The database fails.
    pub async fn find(store: &Store, key: &ResourceKey) -> Result<Option<Self>, db::Error> {
        store.resource(key).await?.map(Self::of).transpose()
    }

    /// The row to write.
    pub fn into_row(self) -> Resource {
        self.record.into_row()
    }

    /// The write that replaces the row.
    pub fn replace(self) -> Write {
        Write::Replace(self.into_row())
    }

    /// The stored template, parsed once.
    pub(crate) fn template(&self) -> Result<&Template, Failure> {
        let parsed = self
            .parsed
            .get_or_init(|| parse(&self.body, self.hidden.api_version).map_err(Failure::from));
        parsed.as_ref().map_err(Clone::clone)
    }

    /// Changes the body to that of `template`, which was read under `version`.
    pub(crate) fn change(
        &mut self,
        template: Template,
        version: ApiVersion,
        change: impl FnOnce(&mut Value, &Template),
    ) {
        change(&mut self.record.body, &template);
        self.hidden.api_version = Some(version);
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
        &mut self.record.body["properties"]
    }

    pub(crate) fn exact_version(&self) -> Option<&str> {
        super::exact_version(&self.body)
    }

    /// Shows which version of the source stands for `latest`.
    pub fn set_exact_version(&mut self, version: &str) {
        self.record.body["properties"]["source"]["exactVersion"] = json!(version);
    }

    pub(crate) fn show_staging_group(&mut self) {
        let id = json!(self.hidden.staging);
        self.record.body["properties"]["exactStagingResourceGroup"] = id;
    }

    pub(crate) fn show_failure(&mut self, failure: &Failure) {
        self.record.body["properties"]["provisioningError"] = json!({
            "provisioningErrorCode": failure.provisioning_code(),
            "message": failure.message,
        });
    }

    /// Writes beside the template's identity which principal it stands for.
    pub(crate) fn show_principal(&mut self, principal: &Value) {
        let ids = self.record.body["identity"]["userAssignedIdentities"].as_object_mut();
        for value in ids.into_iter().flat_map(Map::values_mut) {
            value.clone_from(principal);
        }
    }

    /// Shows a run that is written in the same commit. A run that waits is one that runs, and only
    /// such a run shows what it is at.
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
        self.record.body["properties"]["lastRunStatus"] = status;
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
