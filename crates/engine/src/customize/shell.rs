//! `Shell`: a script, run in the guest as the unprivileged build user.

use std::collections::BTreeMap;

use api::ErrorCode;
use async_trait::async_trait;
use vm::{Guest, Stdin};

use super::Customizer;
use crate::{
    cx::Cx,
    error::{Coded, Error, Result},
    fetch::{self, Fetched},
    output::StepOutput,
};

/// A shell script with its digest.
pub(super) struct Shell {
    script: Fetched,
    failure: ErrorCode,
}

/// Takes the script from standard input, so that one round trip carries it over and runs it.
///
/// The script's own standard input is empty. It is removed afterwards, whatever it did.
const RUN: &str = r#"f=$(mktemp /tmp/goldsmith-XXXXXXXX) && cat > "$f" && chmod 700 "$f" && "$f" < /dev/null; r=$?; rm -f "$f"; exit $r"#;

/// The template's `inline` lines make one script, so that `cd` and variables carry from line
/// to line; it ends at the first command that fails, as with AIB.
pub(super) async fn inline(cx: &Cx, lines: &[String]) -> Result<Fetched> {
    let text = format!("#!/bin/sh -e\n{}\n", lines.join("\n"));
    fetch::keep(cx, text.as_bytes())
        .await
        .code(ErrorCode::InternalError, || "cannot write the inline script down".to_owned())
}

impl Shell {
    pub(super) fn new(script: Fetched, failure: ErrorCode) -> Self {
        Self { script, failure }
    }
}

#[async_trait]
impl Customizer for Shell {
    fn kind(&self) -> &'static str {
        "Shell"
    }

    fn inputs(&self) -> BTreeMap<String, String> {
        BTreeMap::from([("script".to_owned(), self.script.sha256.clone())])
    }

    async fn apply(&self, guest: &dyn Guest, out: &mut StepOutput) -> Result<()> {
        let mut file = tokio::fs::File::open(&self.script.path)
            .await
            .code(ErrorCode::InternalError, || "a fetched script is gone".to_owned())?;
        let exit = guest
            .run(RUN, Stdin::Reader(&mut file), &mut |stream, bytes| out.write(stream, bytes))
            .await
            .map_err(crate::build::guest_error)?;
        out.flush();
        if exit.success() {
            return Ok(());
        }
        Err(Error::new(self.failure, format!("the script {exit}"))
            .details(out.tail())
            .hint("goldsmith build --on-error keep … leaves the machine running for a look inside"))
    }
}
