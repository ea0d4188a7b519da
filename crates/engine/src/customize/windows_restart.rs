//! `WindowsRestart`: a restart of the guest, seen from outside and inside.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use api::{
    ErrorCode,
    template::{Field, Fields, Kind, Named, Reader},
};
use async_trait::async_trait;
use guests::{
    StepOutput,
    windows::restart::{self, Restart},
};
use images::{error::Result, run_context::RunContext};
use serde::Serialize;
use serde_json::{Map, Value};
use sources::fetch::Fetched;
use vm::OsType;

use super::{Action, Customizer, Place};

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
        if duration(&text).is_none() {
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

/// The time of one or more pairs of a number and a unit, as Go reads it: `90s`, `1h30m`, `1.5h`.
fn duration(text: &str) -> Option<Duration> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let unit = rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        let number: f64 = rest[..rest.len() - unit.len()].parse().ok()?;
        rest = unit.trim_start_matches(|c: char| c.is_alphabetic());
        seconds += number
            * match &unit[..unit.len() - rest.len()] {
                "ns" => 1e-9,
                "us" | "µs" | "μs" => 1e-6,
                "ms" => 1e-3,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                _ => return None,
            };
    }
    if text.is_empty() { None } else { Duration::try_from_secs_f64(seconds).ok() }
}

impl Named for WindowsRestart {
    const NAME: &'static str = "WindowsRestart";
}

#[async_trait]
impl Customizer for WindowsRestart {
    fn respond(&self, fields: &mut Map<String, Value>) {
        fields.entry("restartCommand").or_insert_with(|| "".into());
        fields.entry("restartTimeout").or_insert_with(|| "5m".into());
    }

    fn needs(&self) -> Option<OsType> {
        Some(OsType::Windows)
    }

    async fn action(
        &self,
        _: &RunContext,
        _: Option<Fetched>,
        _: ErrorCode,
    ) -> Result<Box<dyn Action>> {
        // Empty and zero are AIB's words for the default.
        let given = |text: &Option<String>| text.clone().filter(|text| !text.trim().is_empty());
        let timeout = self.restart_timeout.as_deref().and_then(duration);
        Ok(Box::new(RestartGuest {
            command: given(&self.restart_command),
            check_command: given(&self.restart_check_command),
            timeout: timeout.filter(|timeout| !timeout.is_zero()).unwrap_or(restart::TIMEOUT),
        }))
    }
}

/// A restart with its defaults.
struct RestartGuest {
    command: Option<String>,
    check_command: Option<String>,
    timeout: Duration,
}

#[async_trait]
impl Action for RestartGuest {
    fn kind(&self) -> &'static str {
        WindowsRestart::NAME
    }

    /// The time-out decides only whether there is a result.
    fn inputs(&self) -> BTreeMap<String, String> {
        let command = self.command.as_deref().unwrap_or(restart::COMMAND);
        BTreeMap::from([
            ("restartCommand".to_owned(), command.to_owned()),
            ("restartCheckCommand".to_owned(), self.check_command.clone().unwrap_or_default()),
            ("runs by".to_owned(), restart::version()),
        ])
    }

    async fn apply(&self, place: &Place<'_>, out: &mut StepOutput) -> Result<()> {
        let (command, check_command) = (self.command.as_deref(), self.check_command.as_deref());
        Restart { command, check_command, timeout: self.timeout }.run(place.at, out).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        for (text, seconds) in [
            ("5m", Some(300.0)),
            ("90s", Some(90.0)),
            ("1h30m", Some(5400.0)),
            ("1.5h", Some(5400.0)),
            ("500ms", Some(0.5)),
            ("+2m", Some(120.0)),
            ("0", Some(0.0)),
            ("", None),
            ("5", None),
            ("m", None),
            ("5 m", None),
            ("-5m", None),
            ("5d", None),
            ("1..5h", None),
            ("99999999999999999999h", None),
        ] {
            assert_eq!(duration(text).map(|time| time.as_secs_f64()), seconds, "{text:?}");
        }
    }
}
