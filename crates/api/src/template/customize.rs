//! `properties.customize`: the steps that change the machine, in order.

use serde::Serialize;

use super::kind::{Kind, Union, read_kind};
use super::read::fields::{Field, Fields};
use super::read::{Node, Reader};
use super::script::{self, Location, Owner, Script};
use crate::ErrorCode;

/// A step that changes the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Customizer {
    /// Its path in the template, such as `properties.customize[2]`.
    #[serde(skip)]
    pub path: String,
    /// Free text; neither required nor unique.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The type with its settings.
    #[serde(flatten)]
    pub kind: CustomizerKind,
}

/// The types of customizers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type")]
pub enum CustomizerKind {
    /// Runs a shell script (Linux).
    Shell(Shell),
    /// Runs a PowerShell script (Windows).
    PowerShell(PowerShell),
    /// Copies a file into the machine.
    File(FileCopy),
    /// Restarts the machine (Windows).
    WindowsRestart(WindowsRestart),
    /// Installs updates (Windows).
    WindowsUpdate(WindowsUpdate),
}

impl CustomizerKind {
    /// The value of `type`.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Shell(_) => "Shell",
            Self::PowerShell(_) => "PowerShell",
            Self::File(_) => "File",
            Self::WindowsRestart(_) => "WindowsRestart",
            Self::WindowsUpdate(_) => "WindowsUpdate",
        }
    }
}

/// A shell script, as customizer or validator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shell {
    /// The script to run.
    #[serde(flatten)]
    pub script: Script,
}

/// A PowerShell script, as customizer or validator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PowerShell {
    /// The script to run.
    #[serde(flatten)]
    pub script: Script,
    /// Whether it runs with full administrator rights.
    pub run_elevated: bool,
    /// Whether it runs as Local System; requires `run_elevated`.
    pub run_as_system: bool,
    /// Exit codes that count as success; empty means only 0.
    pub valid_exit_codes: Vec<i64>,
}

/// A file, as customizer or validator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FileCopy {
    /// The address as written; see [`Location`](super::Location).
    pub source_uri: String,
    /// The path in the machine.
    pub destination: String,
    /// SHA-256 as 64 lower-case hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256_checksum: Option<String>,
}

impl FileCopy {
    /// The path of the file in the machine. A destination that ends in a slash is a folder, and the
    /// file name comes from the address. `None` if the address has no file name, or if the
    /// destination ends in `.` or `..`.
    pub fn target(&self) -> Option<String> {
        let last = self.destination.rsplit('/').next().unwrap_or_default();
        if matches!(last, "." | "..") {
            return None;
        }
        if !last.is_empty() {
            return Some(self.destination.clone());
        }
        let path = match Location::of(&self.source_uri) {
            Ok(Location::Web(uri)) => {
                let path = uri.split(['?', '#']).next().unwrap_or_default();
                path.split_once("://").and_then(|(_, rest)| rest.split_once('/'))?.1
            }
            Ok(Location::Path(path)) => path,
            Err(_) => return None,
        };
        let name = path.rsplit('/').next().unwrap_or_default();
        let is_name = !matches!(name, "" | "." | "..");
        is_name.then(|| format!("{}{name}", self.destination))
    }
}

/// A restart of Windows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WindowsRestart {
    /// The command; by default `shutdown /r /f /t 0 /c "packer restart"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restart_command: Option<String>,
    /// A command that succeeds once the machine has restarted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restart_check_command: Option<String>,
    /// A number and a unit; by default `5m`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restart_timeout: Option<String>,
}

/// An installation of Windows updates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WindowsUpdate {
    /// The search criteria for updates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub search_criteria: Option<String>,
    /// Each is `include:` or `exclude:` and an expression.
    pub filters: Vec<String>,
    /// The maximum number of updates per round; 0 means 1000.
    pub update_limit: u32,
}

pub(super) const SHELL: &[Field] = &[
    Field::new("type"),
    Field::new("name"),
    Field::new("scriptUri"),
    Field::new("sha256Checksum"),
    Field::new("inline"),
];

pub(super) const POWER_SHELL: &[Field] = &[
    Field::new("type"),
    Field::new("name"),
    Field::new("scriptUri"),
    Field::new("sha256Checksum"),
    Field::new("inline"),
    Field::new("runElevated"),
    Field::new("runAsSystem"),
    Field::new("validExitCodes"),
];

pub(super) const FILE: &[Field] = &[
    Field::new("type"),
    Field::new("name"),
    Field::new("sourceUri"),
    Field::new("sha256Checksum"),
    Field::new("destination"),
];

const WINDOWS_RESTART: &[Field] = &[
    Field::new("type"),
    Field::new("name"),
    Field::new("restartCommand"),
    Field::new("restartCheckCommand"),
    Field::new("restartTimeout"),
];

const WINDOWS_UPDATE: &[Field] = &[
    Field::new("type"),
    Field::new("name"),
    Field::new("searchCriteria"),
    Field::new("filters"),
    Field::new("updateLimit"),
];

const KINDS: &[Kind<CustomizerKind>] = &[
    Kind::new("Shell", SHELL, shell),
    Kind::new("PowerShell", POWER_SHELL, power_shell),
    Kind::new("File", FILE, file),
    Kind::new("WindowsRestart", WINDOWS_RESTART, windows_restart),
    Kind::new("WindowsUpdate", WINDOWS_UPDATE, windows_update),
];

pub(super) fn read(reader: &mut Reader<'_>, node: &Node<'_>) -> Option<Customizer> {
    let union = Union { what: "customizer", code: ErrorCode::BadCustomizerType };
    let (kind, fields) = read_kind(reader, node, KINDS, union)?;
    Some(Customizer { path: node.path(), name: reader.optional(&fields, "name"), kind })
}

fn shell(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Option<CustomizerKind> {
    read_shell(reader, fields, Owner::Customizer).map(CustomizerKind::Shell)
}

fn power_shell(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Option<CustomizerKind> {
    read_power_shell(reader, fields, Owner::Customizer).map(CustomizerKind::PowerShell)
}

fn file(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Option<CustomizerKind> {
    read_file(reader, fields, Owner::Customizer).map(CustomizerKind::File)
}

pub(super) fn read_shell(
    reader: &mut Reader<'_>,
    fields: &Fields<'_>,
    owner: Owner,
) -> Option<Shell> {
    script::read(reader, fields, owner).map(|script| Shell { script })
}

pub(super) fn read_power_shell(
    reader: &mut Reader<'_>,
    fields: &Fields<'_>,
    owner: Owner,
) -> Option<PowerShell> {
    let script = script::read(reader, fields, owner);
    let run_elevated = reader.switch(fields, "runElevated");
    let run_as_system = reader.switch(fields, "runAsSystem");
    let elevated = fields.get("runElevated");
    let unreadable = elevated.is_some_and(|node| node.value.as_boolean_lit().is_none());
    if let Some(node) =
        fields.get("runAsSystem").filter(|_| run_as_system && !run_elevated && !unreadable)
    {
        reader.bad_value_hint(
            &node,
            "It requires 'runElevated'.",
            Some("add `\"runElevated\": true`".to_owned()),
        );
    }
    let codes = reader.list(fields, "validExitCodes");
    let limits = i64::from(i32::MIN)..=i64::from(u32::MAX);
    let valid_exit_codes =
        codes.iter().filter_map(|node| reader.integer(node, limits.clone())).collect();
    Some(PowerShell { script: script?, run_elevated, run_as_system, valid_exit_codes })
}

pub(super) fn read_file(
    reader: &mut Reader<'_>,
    fields: &Fields<'_>,
    owner: Owner,
) -> Option<FileCopy> {
    let source = reader.present(fields, "sourceUri");
    match &source {
        Some((node, uri)) => script::location(reader, node, uri),
        None => reader.missing(fields, "sourceUri", owner.no_script(), None),
    }
    let destination = reader.required_text(fields, "destination");
    let sha256_checksum = script::checksum(reader, fields);
    let copy = FileCopy { source_uri: source?.1, destination: destination?, sha256_checksum };
    if let (None, Some(node)) = (copy.target(), fields.get("destination")) {
        let hint = "append the file's name to the folder, such as `/tmp/settings.ini`".to_owned();
        reader.bad_value_hint(
            &node,
            "It is a folder, and 'sourceUri' contains no file name.",
            Some(hint),
        );
    }
    Some(copy)
}

fn windows_restart(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Option<CustomizerKind> {
    let restart_timeout = reader.present(fields, "restartTimeout").map(|(node, text)| {
        if !is_duration(&text) {
            let hint = Some("a number and a unit, such as `5m`, `90s` or `1h30m`".to_owned());
            reader.bad_value_hint(&node, "Expected a duration.", hint);
        }
        text
    });
    Some(CustomizerKind::WindowsRestart(WindowsRestart {
        restart_command: reader.optional(fields, "restartCommand"),
        restart_check_command: reader.optional(fields, "restartCheckCommand"),
        restart_timeout,
    }))
}

fn windows_update(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Option<CustomizerKind> {
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
    Some(CustomizerKind::WindowsUpdate(WindowsUpdate {
        search_criteria: reader.optional(fields, "searchCriteria"),
        filters,
        update_limit: reader.optional_integer(fields, "updateLimit", 0..=most).unwrap_or(0),
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
