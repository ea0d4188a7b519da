//! `WindowsRestart`: a restart of Windows, which does not run here yet.

use std::sync::Arc;

use api::template::{Field, Fields, Kind, Named, Reader};
use serde::Serialize;
use serde_json::{Map, Value};

use super::Customizer;

pub(super) const KIND: Kind<Arc<dyn Customizer>> = Kind::new(WindowsRestart::NAME, FIELDS, read);

const FIELDS: &[Field] = &[
    Field::new("restartCommand"),
    Field::new("restartCheckCommand"),
    Field::new("restartTimeout"),
];

/// A restart of Windows.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct WindowsRestart {
    /// The command; by default `shutdown /r /f /t 0 /c "packer restart"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    restart_command: Option<String>,
    /// A command that succeeds once the machine has restarted.
    #[serde(skip_serializing_if = "Option::is_none")]
    restart_check_command: Option<String>,
    /// A number and a unit; by default `5m`.
    #[serde(skip_serializing_if = "Option::is_none")]
    restart_timeout: Option<String>,
}

fn read(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Option<Arc<dyn Customizer>> {
    let restart_timeout = reader.present(fields, "restartTimeout").map(|(node, text)| {
        if !is_duration(&text) {
            let hint = Some("a number and a unit, such as `5m`, `90s` or `1h30m`".to_owned());
            reader.bad_value_hint(&node, "Expected a duration.", hint);
        }
        text
    });
    Some(Arc::new(WindowsRestart {
        restart_command: reader.optional(fields, "restartCommand"),
        restart_check_command: reader.optional(fields, "restartCheckCommand"),
        restart_timeout,
    }))
}

/// One or more pairs of a number and a unit.
fn is_duration(text: &str) -> bool {
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        if digits.len() == rest.len() {
            return false;
        }
        let unit = digits.trim_start_matches(|c: char| c.is_ascii_alphabetic());
        if !matches!(&digits[..digits.len() - unit.len()], "ms" | "s" | "m" | "h") {
            return false;
        }
        rest = unit;
    }
    !text.is_empty()
}

impl Named for WindowsRestart {
    const NAME: &'static str = "WindowsRestart";
}

impl Customizer for WindowsRestart {
    fn respond(&self, fields: &mut Map<String, Value>) {
        fields.entry("restartCommand").or_insert_with(|| "".into());
        fields.entry("restartTimeout").or_insert_with(|| "5m".into());
    }

    fn needs_windows(&self) -> bool {
        true
    }
}
