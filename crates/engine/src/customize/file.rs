//! `File`: one file of any size, streamed into the guest and verified there.

use std::{collections::BTreeMap, ops::ControlFlow, time::Duration};

use api::ErrorCode;
use async_trait::async_trait;
use images::error::{Coded, Error, Result};
use sources::fetch::Fetched;
use vm::{Bounded, Guest, Sink, Stdin, StreamKind};

use super::{Customizer, quote};
use crate::{command::within, output::StepOutput};

/// Longer than a digest and the longest path.
const DIGEST_LINE: usize = 16 * 1024;
/// The base time of every copy, and the minimum rate in bytes per second beyond it.
const SETTING_OUT: Duration = Duration::from_secs(15 * 60);
const SLOWEST: u64 = 128 * 1024;

/// A file with its digest and its destination. A relative destination is in the build user's home.
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
        let bytes = self.source.bytes;
        let target = quote(&self.destination);
        // `--` rather than a path prefix: the destination may begin with a dash and may be
        // relative.
        let command = format!("cat > {target} && sha256sum -- {target}");
        let mut answer = Digest { printed: Bounded::new(DIGEST_LINE), out };
        let limit = SETTING_OUT + Duration::from_secs(bytes / SLOWEST);
        let work = async {
            let stdin = Stdin::Reader(&mut file);
            match guest.run(&command, stdin, &mut answer).await {
                // With that much output, the digest cannot be right. The caller reports a mismatch.
                Err(vm::Error::TooMuchOutput) => Ok(None),
                ran => ran.map(Some).map_err(images::error::guest_error),
            }
        };
        let exit = within(limit, &format!("copying {bytes} bytes"), work).await?;
        let Digest { printed, out } = answer;
        out.flush().await;
        if let Some(exit) = exit.filter(|exit| !exit.success()) {
            let error = self.failed(&exit.to_string()).details(out.tail());
            let is_folder = out.tail().iter().any(|line| line.ends_with("Is a directory"));
            return Err(match is_folder {
                true => error.hint(
                    "the destination is a folder: end it with / to put the file there under its \
                     own name",
                ),
                false => error,
            });
        }
        if printed.cut() > 0 {
            return Err(self.failed(&format!(
                "sha256sum prints more than {DIGEST_LINE} bytes there, which begin with {:?}",
                printed.text().chars().take(80).collect::<String>()
            )));
        }
        let printed = printed.text();
        // sha256sum marks an escaped file name with a backslash before the digest.
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

/// Separates the digest from the log output.
struct Digest<'a> {
    printed: Bounded,
    out: &'a mut StepOutput,
}

#[async_trait]
impl Sink for Digest<'_> {
    async fn take(&mut self, stream: StreamKind, bytes: &[u8]) -> ControlFlow<()> {
        match stream {
            StreamKind::Out => self.printed.add(bytes),
            StreamKind::Err => self.out.take(stream, bytes).await,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use tokio_util::sync::CancellationToken;
    use vm::Exit;

    use super::*;
    use images::{cx::Cx, event::Events, layout::Layout};

    /// A guest in which no command ends.
    struct Stuck;

    #[async_trait]
    impl Guest for Stuck {
        async fn run(&self, _: &str, _: Stdin<'_>, _: &mut dyn Sink) -> Result<Exit, vm::Error> {
            std::future::pending().await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn copy_that_hangs_times_out() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notes");
        std::fs::write(&path, "notes").unwrap();
        let layout = Layout::new(dir.path().to_owned(), dir.path().to_owned());
        let cx = Cx::new(layout, Events::none(), CancellationToken::new());
        let source = Fetched {
            path,
            sha256: String::new(),
            bytes: 5,
            hold: images::in_use::Hold::default(),
        };
        let file = File::new(source, "/tmp/notes", ErrorCode::CustomizerFailed);
        let mut out = StepOutput::open("customize[0]", &cx, dir.path()).unwrap();
        let error = file.apply(&Stuck, &mut out).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::StepTimedOut);
        assert!(error.message.contains("copying 5 bytes"), "{error}");
    }
}
