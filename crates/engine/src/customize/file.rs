//! `File`: one file of any size, streamed into the guest and verified there.

use std::{collections::BTreeMap, ops::ControlFlow, sync::Arc, time::Duration};

use api::{
    ErrorCode,
    template::{Field, Fields, Kind, Location, Named, Reader},
};
use async_trait::async_trait;
use images::{
    error::{Coded, Error, Result},
    run_context::RunContext,
};
use serde::Serialize;
use sources::fetch::Fetched;
use vm::{Bounded, Guest, Sink, Stdin, StreamKind};

use super::{Action, Customizer, NamedFile, quote, required};
use crate::{command::within, output::StepOutput};

/// Longer than a digest and the longest path.
const DIGEST_LINE: usize = 16 * 1024;
/// The base time of every copy, and the minimum rate in bytes per second beyond it.
const SETTING_OUT: Duration = Duration::from_secs(15 * 60);
const SLOWEST: u64 = 128 * 1024;

pub(super) const KIND: Kind<Arc<dyn Customizer>> = Kind::new(File::NAME, FIELDS, read);

const FIELDS: &[Field] =
    &[Field::new("sourceUri"), Field::new("sha256Checksum"), Field::new("destination")];

/// A file to copy into the machine.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct File {
    /// The address as written; see [`Location`].
    source_uri: String,
    /// The path in the machine.
    destination: String,
    /// SHA-256 as 64 lower-case hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256_checksum: Option<String>,
}

fn read(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Option<Arc<dyn Customizer>> {
    let source = reader.present(fields, "sourceUri");
    match &source {
        Some((node, uri)) => reader.location(node, uri),
        None => reader.missing(fields, "sourceUri", reader.no_script(), None),
    }
    let destination = reader.required_text(fields, "destination");
    let sha256_checksum = reader.checksum(fields);
    let file = File { source_uri: source?.1, destination: destination?, sha256_checksum };
    if let (None, Some(node)) = (file.target(), fields.get("destination")) {
        let hint = "append the file's name to the folder, such as `/tmp/settings.ini`".to_owned();
        let reason = "It is a folder, and 'sourceUri' contains no file name.";
        reader.bad_value_hint(&node, reason, Some(hint));
    }
    Some(Arc::new(file))
}

impl File {
    /// The path of the file in the machine. A destination that ends in a slash is a folder, and the
    /// file name comes from the address. `None` if the address has no file name, or if the
    /// destination ends in `.` or `..`.
    fn target(&self) -> Option<String> {
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

impl Named for File {
    const NAME: &'static str = "File";
}

#[async_trait]
impl Customizer for File {
    fn file(&self) -> Option<NamedFile<'_>> {
        let sha256 = self.sha256_checksum.as_deref();
        Some(NamedFile { field: "sourceUri", uri: &self.source_uri, sha256, container: "file" })
    }

    async fn action(
        &self,
        _cx: &RunContext,
        file: Option<Fetched>,
        failure: ErrorCode,
    ) -> Result<Box<dyn Action>> {
        let destination = self.target().unwrap_or_else(|| self.destination.clone());
        Ok(Box::new(CopyFile { source: required(file)?, destination, failure }))
    }
}

/// A file with its digest and its destination. A relative destination is in the build user's home.
struct CopyFile {
    source: Fetched,
    destination: String,
    failure: ErrorCode,
}

impl CopyFile {
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
impl Action for CopyFile {
    fn kind(&self) -> &'static str {
        File::NAME
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
    use images::{event::Events, layout::Layout};

    #[test]
    fn file_name_is_appended_to_a_destination_folder() {
        let copy = |source: &str, destination: &str| File {
            source_uri: source.to_owned(),
            destination: destination.to_owned(),
            sha256_checksum: None,
        };
        for (source, destination, target) in [
            ("https://example.org/a/notes.txt?sig=x/y", "/tmp/", Some("/tmp/notes.txt")),
            ("https://example.org/a/notes.txt#top", "/tmp/x", Some("/tmp/x")),
            ("files/notes.txt", "etc/", Some("etc/notes.txt")),
            ("file:///srv/notes.txt", "/", Some("/notes.txt")),
            ("https://example.org/", "/tmp/", None),
            ("https://example.org", "/tmp/", None),
            ("https://example.org/a/..", "/tmp/", None),
            ("https://example.org/a/notes.txt", "/tmp/.", None),
            ("https://example.org/a/notes.txt", "..", None),
        ] {
            assert_eq!(
                copy(source, destination).target().as_deref(),
                target,
                "{source} {destination}"
            );
        }
    }

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
        let cx = RunContext::new(layout, Events::none(), CancellationToken::new());
        let source = Fetched {
            path,
            sha256: String::new(),
            bytes: 5,
            hold: images::in_use::Hold::default(),
        };
        let (destination, failure) = ("/tmp/notes".to_owned(), ErrorCode::CustomizerFailed);
        let file = CopyFile { source, destination, failure };
        let mut out = StepOutput::open("customize[0]", &cx, dir.path()).unwrap();
        let error = file.apply(&Stuck, &mut out).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::StepTimedOut);
        assert!(error.message.contains("copying 5 bytes"), "{error}");
    }
}
