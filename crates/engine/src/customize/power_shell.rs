//! `PowerShell`: a script for Windows PowerShell, run over the connection, or as a scheduled task with
//! all rights.

use std::{collections::BTreeMap, sync::Arc};

use api::{
    ErrorCode,
    template::{Field, Fields, Kind, Named, Reader, Script},
};
use async_trait::async_trait;
use guests::{
    StepOutput,
    windows::script::{self, Rights},
};
use images::{
    error::{Coded, Error, Result},
    run_context::RunContext,
};
use serde::Serialize;
use serde_json::{Map, Value};
use sources::fetch::{self, Fetched};
use vm::OsType;

use super::{Action, Customizer, NamedFile, Place, required};

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

#[async_trait]
impl Customizer for PowerShell {
    fn file(&self) -> Option<NamedFile<'_>> {
        NamedFile::of(&self.script, "powershell")
    }

    fn respond(&self, fields: &mut Map<String, Value>) {
        if self.valid_exit_codes.is_empty() {
            fields.remove("validExitCodes");
        }
    }

    fn needs(&self) -> Option<OsType> {
        Some(OsType::Windows)
    }

    async fn action(
        &self,
        cx: &RunContext,
        file: Option<Fetched>,
        failure: ErrorCode,
    ) -> Result<Box<dyn Action>> {
        let script = match &self.script {
            Script::Inline(lines) => fetch::keep(cx, script::inline(lines).as_bytes())
                .await
                .code(ErrorCode::InternalError, || {
                    "cannot write the inline script down".to_owned()
                })?,
            // As it is: Windows PowerShell takes any line ends, and its code page is the author's matter.
            Script::Uri { .. } => required(file)?,
        };
        let rights = match (self.run_elevated, self.run_as_system) {
            (false, _) => Rights::Plain,
            (true, false) => Rights::Elevated,
            (true, true) => Rights::System,
        };
        let valid_exit_codes = match self.valid_exit_codes.as_slice() {
            [] => vec![0],
            codes => codes.to_vec(),
        };
        Ok(Box::new(RunScript { script, rights, valid_exit_codes, failure }))
    }
}

/// A script with its digest.
struct RunScript {
    script: Fetched,
    rights: Rights,
    valid_exit_codes: Vec<i64>,
    failure: ErrorCode,
}

impl RunScript {
    /// Whether that exit code counts as success. Templates write large ones with or without sign.
    fn is_valid(&self, code: u32) -> bool {
        let signed = i64::from(code.cast_signed());
        self.valid_exit_codes.iter().any(|valid| *valid == i64::from(code) || *valid == signed)
    }
}

#[async_trait]
impl Action for RunScript {
    fn kind(&self) -> &'static str {
        PowerShell::NAME
    }

    fn inputs(&self) -> BTreeMap<String, String> {
        BTreeMap::from([
            ("script".to_owned(), self.script.sha256.clone()),
            ("rights".to_owned(), format!("{:?}", self.rights)),
            ("validExitCodes".to_owned(), format!("{:?}", self.valid_exit_codes)),
            ("runs by".to_owned(), script::version(self.rights)),
        ])
    }

    async fn apply(&self, place: &Place<'_>, out: &mut StepOutput) -> Result<()> {
        let mut file = tokio::fs::File::open(&self.script.path)
            .await
            .code(ErrorCode::InternalError, || "a fetched script is gone".to_owned())?;
        let script =
            script::Script { content: &mut file, rights: self.rights, failure: self.failure };
        let exit = script.run(place.at, out).await?;
        if exit.code.is_some_and(|code| self.is_valid(code)) {
            return Ok(());
        }
        let text = match exit.code {
            // As Windows' documents write such a code.
            Some(code) if code > 0xFFFF => format!("the script {exit} (0x{code:08X})"),
            _ => format!("the script {exit}"),
        };
        Err(Error::new(self.failure, text).details(out.tail()).hint(
            "exit codes that mean success go into `validExitCodes`; goldsmith build --on-error keep … leaves \
             the machine running for a look inside",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_above_31_bits_are_compared_with_and_without_sign() {
        let script = |valid: &[i64]| RunScript {
            script: Fetched {
                path: std::path::PathBuf::new(),
                sha256: String::new(),
                bytes: 0,
                hold: images::in_use::Hold::default(),
            },
            rights: Rights::Plain,
            valid_exit_codes: valid.to_vec(),
            failure: ErrorCode::CustomizerFailed,
        };
        assert!(script(&[0, 3010]).is_valid(3010));
        assert!(!script(&[0, 3010]).is_valid(1));
        assert!(!script(&[3010]).is_valid(0), "the template's list replaces the default");
        assert!(script(&[3_221_225_786]).is_valid(0xC000_013A));
        assert!(script(&[-1_073_741_510]).is_valid(0xC000_013A));
        assert!(script(&[-1]).is_valid(u32::MAX));
    }
}
