//! Passed validations, so that an unchanged build need not repeat them.
//!
//! ```text
//! validated/<node>/<key>.json     removed with the node
//! ```

use std::{fs, io, path::PathBuf, time::Duration};

use images::{absent, digest::Key, layout::Layout};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::node::{Node, NodeStore};

/// All validators passed on a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Passed {
    created: Timestamp,
    run_id: String,
    /// The duration of each of them.
    pub(crate) seconds: Vec<f64>,
}

impl Passed {
    pub(crate) fn now(run_id: &str, seconds: Vec<f64>) -> Self {
        Self { created: Timestamp::now(), run_id: run_id.to_owned(), seconds }
    }

    /// The record of that validation. An unreadable record counts as missing.
    pub(crate) fn recall(layout: &Layout, node: &Node, key: &Key) -> Option<Self> {
        serde_json::from_slice(&fs::read(file(layout, node, key)).ok()?).ok()
    }

    pub(crate) fn remember(&self, layout: &Layout, node: &Node, key: &Key) -> io::Result<()> {
        let file = file(layout, node, key);
        fs::create_dir_all(file.parent().unwrap_or(&file))?;
        let temp = file.with_extension(&self.run_id);
        fs::write(&temp, serde_json::to_vec(self).map_err(io::Error::other)?)?;
        fs::rename(temp, file)
    }

    pub(crate) fn age(&self) -> Duration {
        Duration::try_from(Timestamp::now().duration_since(self.created)).unwrap_or_default()
    }

    /// Whether that run made the record.
    pub(crate) fn is_of(&self, run_id: &str) -> bool {
        self.run_id == run_id
    }
}

fn file(layout: &Layout, node: &Node, key: &Key) -> PathBuf {
    layout.validated().join(node.meta.key.as_str()).join(format!("{key}.json"))
}

/// Removes the records of removed nodes.
pub(crate) fn forget_gone(layout: &Layout, store: &NodeStore) -> io::Result<()> {
    for path in absent::entries(&layout.validated())? {
        let key = path.file_name().and_then(|name| name.to_str()).and_then(Key::parse);
        if key.is_none_or(|key| matches!(store.get(&key), Ok(None))) {
            absent::remove_tree(&path)?;
        }
    }
    Ok(())
}
