//! `WindowsUpdate`: updates in rounds, with restarts between them, until none is left.

use std::{collections::BTreeMap, sync::Arc};

use api::{
    ErrorCode,
    template::{Field, Fields, Kind, Named, Reader},
};
use async_trait::async_trait;
use guests::{
    StepOutput,
    windows::update::{self, Update},
};
use images::{error::Result, run_context::RunContext};
use serde::Serialize;
use sources::fetch::Fetched;
use vm::OsType;

use super::{Action, Customizer, Place};

pub(super) const KIND: Kind<Arc<dyn Customizer>> = Kind::new(WindowsUpdate::NAME, FIELDS, read);

const FIELDS: &[Field] =
    &[Field::new("searchCriteria"), Field::new("filters"), Field::new("updateLimit")];

/// An installation of Windows updates.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct WindowsUpdate {
    /// The search criteria for updates.
    #[serde(skip_serializing_if = "Option::is_none")]
    search_criteria: Option<String>,
    /// Each is `include:` or `exclude:` and an expression.
    filters: Vec<String>,
    /// The maximum number of updates per round; 0 means 1000.
    update_limit: u32,
}

fn read(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Option<Arc<dyn Customizer>> {
    let nodes = reader.list(fields, "filters");
    let mut filters = Vec::new();
    for node in &nodes {
        let Some(filter) = reader.string(node) else {
            continue;
        };
        if !filter.starts_with("include:") && !filter.starts_with("exclude:") {
            let hint = Some("for example `exclude:$_.Title -like '*Preview*'`".to_owned());
            reader.bad_value_hint(node, "A filter must begin with `include:` or `exclude:`.", hint);
        }
        filters.push(filter);
    }
    let most = i64::from(i32::MAX);
    Some(Arc::new(WindowsUpdate {
        search_criteria: reader.optional(fields, "searchCriteria"),
        filters,
        update_limit: reader.optional_integer(fields, "updateLimit", 0..=most).unwrap_or(0),
    }))
}

impl Named for WindowsUpdate {
    const NAME: &'static str = "WindowsUpdate";
}

#[async_trait]
impl Customizer for WindowsUpdate {
    fn needs(&self) -> Option<OsType> {
        Some(OsType::Windows)
    }

    async fn action(
        &self,
        _: &RunContext,
        _: Option<Fetched>,
        _: ErrorCode,
    ) -> Result<Box<dyn Action>> {
        let criteria = self.search_criteria.clone().filter(|text| !text.trim().is_empty());
        Ok(Box::new(InstallUpdates {
            criteria: criteria.unwrap_or_else(|| update::CRITERIA.to_owned()),
            filters: self.filters.clone(),
            limit: if self.update_limit == 0 { update::LIMIT } else { self.update_limit },
        }))
    }
}

/// Updates to install, with AIB's defaults.
struct InstallUpdates {
    criteria: String,
    filters: Vec<String>,
    limit: u32,
}

#[async_trait]
impl Action for InstallUpdates {
    fn kind(&self) -> &'static str {
        WindowsUpdate::NAME
    }

    /// What there is to install changes with time, which no key covers: `--max-age` is for that.
    fn inputs(&self) -> BTreeMap<String, String> {
        BTreeMap::from([
            ("searchCriteria".to_owned(), self.criteria.clone()),
            ("filters".to_owned(), format!("{:?}", self.filters)),
            ("updateLimit".to_owned(), self.limit.to_string()),
            ("runs by".to_owned(), update::version()),
        ])
    }

    async fn apply(&self, place: &Place<'_>, out: &mut StepOutput) -> Result<()> {
        let Self { criteria, filters, limit } = self;
        Update { criteria: Some(criteria), filters, limit: *limit }.run(place.at, out).await
    }
}
