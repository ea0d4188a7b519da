//! Rows of image templates, triggers and schedules as types, and what a run builds.
//!
//! A row is read into a record once and written back from it. The body stays JSON, since clients
//! read it as they sent it, but only this module and [`body`](super::body) and
//! [`view`](super::view), which author and render it, know its fields by name.

mod input;
mod schedule;
mod template;

use std::sync::OnceLock;

use api::template::{ApiVersion, Face, ParseOptions, Severity};
use db::{Resource, ResourceKey, Store, Write};
use engine::template::Template;
use images::error::Error;
use jiff::Timestamp;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::failure::Failure;

pub(super) use self::schedule::{Plan, ScheduleHidden, ScheduleRecord};
pub use self::{
    input::{RunInput, exact_version},
    template::{Hidden, Indexed, TemplateRecord},
};

/// A row whose hidden document is an `H`.
#[derive(Debug, Clone)]
pub struct Record<H> {
    /// The row; `body` and `hidden` are empty, as the record holds both.
    pub row: Resource,
    /// What clients never see.
    pub hidden: H,
    body: Value,
    /// The template of a row that is one.
    parsed: OnceLock<Result<Template, Failure>>,
}

impl<H: Serialize + DeserializeOwned> Record<H> {
    /// # Errors
    /// The hidden document cannot be decoded.
    pub fn of(mut row: Resource) -> Result<Self, db::Error> {
        let hidden = serde_json::from_value(row.hidden.take())?;
        let body = row.body.take();
        Ok(Self { row, hidden, body, parsed: OnceLock::new() })
    }

    /// The record of the row with this key.
    pub async fn find(store: &Store, key: &ResourceKey) -> Result<Option<Self>, db::Error> {
        store.resource(key).await?.map(Self::of).transpose()
    }

    /// The rows that can be decoded. One that cannot does not delay the others.
    pub(super) fn of_all(rows: Vec<Resource>) -> Vec<Self> {
        let decode = |row: Resource| {
            let id = row.id.clone();
            let report = |error: &db::Error| tracing::error!(%id, %error, "cannot decode the row");
            Self::of(row).inspect_err(report).ok()
        };
        rows.into_iter().filter_map(decode).collect()
    }

    /// The row to write.
    pub fn into_row(self) -> Resource {
        Resource { body: self.body, hidden: json!(self.hidden), ..self.row }
    }

    /// The write that replaces the row.
    pub fn replace(self) -> Write {
        Write::Replace(self.into_row())
    }
}

impl<H> Record<H> {
    /// A row that was not written yet.
    pub(super) fn new(id: String, kind: &str, body: Value, hidden: H) -> Self {
        let row = Resource::new(id, kind, Value::Null, Value::Null);
        Self { row, hidden, body, parsed: OnceLock::new() }
    }

    /// The key of the row.
    pub fn key(&self) -> ResourceKey {
        self.row.key()
    }

    pub(super) fn provisioning_state(&self) -> &str {
        self.body["properties"]["provisioningState"].as_str().unwrap_or_default()
    }

    pub(super) fn set_provisioning_state(&mut self, name: &str) {
        self.body["properties"]["provisioningState"] = json!(name);
    }

    /// Whether `status` has this code and this message.
    pub(super) fn has_status(&self, code: &str, message: &str) -> bool {
        let status = &self.body["properties"]["status"];
        status["code"] == code && status["message"] == message
    }

    pub(super) fn set_status(&mut self, code: &str, message: &str, now: Timestamp) {
        self.body["properties"]["status"] =
            json!({ "code": code, "message": message, "time": now.to_string() });
    }
}

/// The one parser of stored templates, which were checked when they were stored. A template of the
/// preview may lack an identity, and keeps that right when a newer client changes it.
fn parse(body: &Value, version: Option<ApiVersion>) -> Result<Template, Error> {
    let api_version = match body["identity"].is_null() {
        true => ApiVersion::V2019_05_01Preview,
        false => version.unwrap_or(ApiVersion::LATEST),
    };
    let options = ParseOptions { api_version: Some(api_version), face: Face::Service };
    let parsed = engine::template::parse(&body.to_string(), &options);
    parsed.template.ok_or_else(|| {
        let errors = parsed.diagnostics.into_iter().filter(|d| d.severity == Severity::Error);
        let errors = errors.map(|d| Error::new(d.code, d.message).target(d.path)).collect();
        let unknown =
            || Error::new(api::ErrorCode::ValidationFailed, "the template cannot be read");
        Error::all(errors).err().unwrap_or_else(unknown)
    })
}
