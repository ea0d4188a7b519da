//! `WindowsUpdate`: Windows updates; Windows does not run here yet.

use std::sync::Arc;

use api::template::{Field, Fields, Kind, Named, Reader};
use serde::Serialize;

use super::Customizer;

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

impl Customizer for WindowsUpdate {
    fn needs_windows(&self) -> bool {
        true
    }
}
