//! `File`: one file of any size, streamed into the guest and verified there.

use std::collections::BTreeMap;

use api::ErrorCode;
use async_trait::async_trait;
use vm::{Guest, Stdin, StreamKind};

use super::{Customizer, quote};
use crate::{
    error::{Coded, Error, Result},
    fetch::Fetched,
    output::StepOutput,
};

/// A file with its digest, and where it goes. A relative destination is in the build user's home.
pub(super) struct File {
    source: Fetched,
    destination: String,
    failure: ErrorCode,
}

impl File {
    pub(super) fn new(source: Fetched, destination: &str, failure: ErrorCode) -> Self {
        Self { source, destination: destination.to_owned(), failure }
    }

    fn failed(&self, what: &str) -> Error {
        Error::new(
            self.failure,
            format!("cannot write {:?} in the guest: {what}", self.destination),
        )
        .hint(
            "the parent folder must exist and the build user must be able to write there; \
             put it below /tmp and move it with sudo in a Shell customizer",
        )
    }
}

#[async_trait]
impl Customizer for File {
    fn kind(&self) -> &'static str {
        "File"
    }

    fn inputs(&self) -> BTreeMap<String, String> {
        BTreeMap::from([
            ("destination".to_owned(), self.destination.clone()),
            ("source".to_owned(), self.source.sha256.clone()),
        ])
    }

    async fn apply(&self, guest: &dyn Guest, out: &mut StepOutput) -> Result<()> {
        let mut file = tokio::fs::File::open(&self.source.path)
            .await
            .code(ErrorCode::InternalError, || "a fetched file is gone".to_owned())?;
        let target = quote(&self.destination);
        // `--` and not a path prefix: the destination may begin with a dash and may be relative.
        let command = format!("cat > {target} && sha256sum -- {target}");
        let mut printed = Vec::new();
        let exit = guest
            .run(&command, Stdin::Reader(&mut file), &mut |stream, bytes| match stream {
                StreamKind::Out => printed.extend_from_slice(bytes),
                StreamKind::Err => out.write(stream, bytes),
            })
            .await
            .map_err(crate::build::guest_error)?;
        out.flush();
        if !exit.success() {
            return Err(self.failed(&exit.to_string()).details(out.tail()));
        }
        let printed = String::from_utf8_lossy(&printed);
        // sha256sum marks an escaped file name by a backslash before the digest.
        let arrived = printed.trim_start_matches('\\').split_whitespace().next().unwrap_or("");
        if arrived == self.source.sha256 {
            return Ok(());
        }
        Err(self.failed(&format!(
            "it arrived with SHA-256 {arrived} where {} was sent",
            self.source.sha256
        )))
    }
}
