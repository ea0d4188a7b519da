//! `Shell`: a script, run in the guest as the unprivileged build user.

mod text;

use std::{collections::BTreeMap, sync::Arc};

use api::{
    ErrorCode,
    template::{Field, Kind, Named, Script},
};
use async_trait::async_trait;
use guests::StepOutput;
use images::{
    error::{Coded, Error, Result},
    run_context::RunContext,
};
use serde::Serialize;
use sources::fetch::{self, Fetched};
use vm::OsType;

use self::text::text;
use super::{Action, Customizer, NamedFile, Place, required};

pub(super) const KIND: Kind<Arc<dyn Customizer>> =
    Kind::new(Shell::NAME, FIELDS, |reader, fields| {
        Some(Arc::new(Shell { script: reader.script(fields)? }))
    });

const FIELDS: &[Field] =
    &[Field::new("scriptUri"), Field::new("sha256Checksum"), Field::new("inline")];

/// A shell script.
#[derive(Debug, Serialize)]
pub(crate) struct Shell {
    #[serde(flatten)]
    pub(crate) script: Script,
}

impl Named for Shell {
    const NAME: &'static str = "Shell";
}

#[async_trait]
impl Customizer for Shell {
    fn file(&self) -> Option<NamedFile<'_>> {
        NamedFile::of(&self.script, "shell")
    }

    fn needs(&self) -> Option<OsType> {
        Some(OsType::Linux)
    }

    async fn action(
        &self,
        cx: &RunContext,
        file: Option<Fetched>,
        failure: ErrorCode,
    ) -> Result<Box<dyn Action>> {
        let script = match &self.script {
            Script::Inline(lines) => inline(cx, lines).await?,
            Script::Uri { .. } => {
                let script = text(cx, required(file)?, failure).await;
                script.map_err(|error| error.target("scriptUri"))?
            }
        };
        Ok(Box::new(RunScript { script, failure }))
    }
}

/// A shell script with its digest.
struct RunScript {
    script: Fetched,
    failure: ErrorCode,
}

/// The template's `inline` lines make one script, so that `cd` and variables carry over from line
/// to line. It ends at the first command that fails, as with AIB.
async fn inline(cx: &RunContext, lines: &[String]) -> Result<Fetched> {
    let text = format!("#!/bin/sh -e\n{}\n", lines.join("\n")).replace("\r\n", "\n");
    fetch::keep(cx, text.as_bytes())
        .await
        .code(ErrorCode::InternalError, || "cannot write the inline script down".to_owned())
}

#[async_trait]
impl Action for RunScript {
    fn kind(&self) -> &'static str {
        Shell::NAME
    }

    fn inputs(&self) -> BTreeMap<String, String> {
        BTreeMap::from([("script".to_owned(), self.script.sha256.clone())])
    }

    async fn apply(&self, place: &Place<'_>, out: &mut StepOutput) -> Result<()> {
        let mut file = tokio::fs::File::open(&self.script.path)
            .await
            .code(ErrorCode::InternalError, || "a fetched script is gone".to_owned())?;
        let exit = guests::linux::run_script(place.at.guest, &mut file, out).await?;
        if exit.success() {
            return Ok(());
        }
        let tail = out.tail();
        let hint = if is_about_agent(&tail) {
            NO_AGENT
        } else {
            "goldsmith build --on-error keep … leaves the machine running for a look inside"
        };
        Err(Error::new(self.failure, format!("the script {exit}")).details(tail).hint(hint))
    }
}

/// The hint about Azure's agent.
const NO_AGENT: &str = "this image has no waagent, Azure's Linux agent, and needs none: the image is \
                        generalized after the last customizer; leave the line out, or make it \
                        `if [ -x /usr/sbin/waagent ]; then …; fi`";

/// Whether a script failed because Azure's agent is missing.
fn is_about_agent(tail: &[String]) -> bool {
    let missing = |line: &String| {
        let line = line.to_lowercase();
        line.contains("waagent") && (line.contains("not found") || line.contains("no such file"))
    };
    tail.iter().any(missing)
}
