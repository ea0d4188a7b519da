//! `PowerShell`: a script for Windows, which does not run here yet.

use std::sync::Arc;

use api::template::{Field, Fields, Kind, Named, Reader, Script};
use serde::Serialize;
use serde_json::{Map, Value};

use super::{Customizer, NamedFile};

pub(super) const KIND: Kind<Arc<dyn Customizer>> = Kind::new(PowerShell::NAME, FIELDS, read);

const FIELDS: &[Field] = &[
    Field::new("scriptUri"),
    Field::new("sha256Checksum"),
    Field::new("inline"),
    Field::new("runElevated"),
    Field::new("runAsSystem"),
    Field::new("validExitCodes"),
];

/// A PowerShell script.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PowerShell {
    /// The script to run.
    #[serde(flatten)]
    script: Script,
    /// Whether it runs with full administrator rights.
    run_elevated: bool,
    /// Whether it runs as Local System; requires `run_elevated`.
    run_as_system: bool,
    /// Exit codes that count as success; empty means only 0.
    valid_exit_codes: Vec<i64>,
}

fn read(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Option<Arc<dyn Customizer>> {
    let script = reader.script(fields);
    let run_elevated = reader.switch(fields, "runElevated");
    let run_as_system = reader.switch(fields, "runAsSystem");
    let unreadable = fields.get("runElevated").is_some_and(|node| !node.is_switch());
    if let Some(node) =
        fields.get("runAsSystem").filter(|_| run_as_system && !run_elevated && !unreadable)
    {
        let hint = Some("add `\"runElevated\": true`".to_owned());
        reader.bad_value_hint(&node, "It requires 'runElevated'.", hint);
    }
    let codes = reader.list(fields, "validExitCodes");
    let limits = i64::from(i32::MIN)..=i64::from(u32::MAX);
    let valid_exit_codes =
        codes.iter().filter_map(|node| reader.integer(node, limits.clone())).collect();
    let script = script?;
    Some(Arc::new(PowerShell { script, run_elevated, run_as_system, valid_exit_codes }))
}

impl Named for PowerShell {
    const NAME: &'static str = "PowerShell";
}

impl Customizer for PowerShell {
    fn file(&self) -> Option<NamedFile<'_>> {
        NamedFile::of(&self.script, "powershell")
    }

    fn respond(&self, fields: &mut Map<String, Value>) {
        if self.valid_exit_codes.is_empty() {
            fields.remove("validExitCodes");
        }
    }

    fn needs_windows(&self) -> bool {
        true
    }
}
