//! `File`: one file of any size, streamed into the guest and verified there.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use api::{
    ErrorCode,
    template::{Field, Fields, Kind, Location, Named, Reader},
};
use async_trait::async_trait;
use guests::{Copied, Copying, StepOutput};
use images::{
    error::{Coded, Error, Result},
    run_context::RunContext,
};
use serde::Serialize;
use sources::fetch::Fetched;
use vm::OsType;

use super::{Action, Customizer, NamedFile, Place, required};

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
    /// The path of the file in the machine. A destination that ends in a slash, or with a drive's letter
    /// in a backslash, is a folder, and the file name comes from the address. `None` if the address has no file name, or if the
    /// destination ends in `.` or `..`.
    fn target(&self) -> Option<String> {
        let has_drive = self.destination.as_bytes().get(1) == Some(&b':');
        let ends = |c: char| c == '/' || has_drive && c == '\\';
        let last = self.destination.rsplit(ends).next().unwrap_or_default();
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
    fn failed(&self, os: OsType, what: &str) -> Error {
        let hint = match os {
            OsType::Linux => {
                "the parent folder must exist and the build user must be able to write there; \
                 put it below /tmp and move it with sudo in a Shell customizer"
            }
            OsType::Windows => {
                "the parent folder must exist: make it in a PowerShell customizer, and check the drive's letter"
            }
        };
        let text = format!("cannot write {:?} in the guest: {what}", self.destination);
        Error::new(self.failure, text).hint(hint)
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

    async fn apply(&self, place: &Place<'_>, out: &mut StepOutput) -> Result<()> {
        let mut file = tokio::fs::File::open(&self.source.path)
            .await
            .code(ErrorCode::InternalError, || "a fetched file is gone".to_owned())?;
        let bytes = self.source.bytes;
        let copying = Copying {
            content: &mut file,
            bytes,
            path: Some(&self.source.path),
            destination: &self.destination,
            limit: SETTING_OUT + Duration::from_secs(bytes / SLOWEST),
        };
        let failed = |what: &str| self.failed(place.system.os_type(), what);
        match place.system.copy(place.at, copying, out).await? {
            Copied::Arrived(sha256) if sha256 == self.source.sha256 => Ok(()),
            Copied::Arrived(sha256) => Err(failed(&format!(
                "it arrived with SHA-256 {sha256} where {} was sent",
                self.source.sha256
            ))),
            Copied::Failed(why) => Err(failed(&why).details(out.tail())),
            Copied::IsFolder => Err(failed("it is a folder").details(out.tail()).hint(
                "the destination is a folder: end it with / to put the file there under its \
                     own name",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            ("https://example.org/a/notes.txt", r"C:\Temp\", Some(r"C:\Temp\notes.txt")),
            ("https://example.org/a/notes.txt", "C:/Temp/", Some("C:/Temp/notes.txt")),
            ("https://example.org/a/notes.txt", r"C:\Temp\x", Some(r"C:\Temp\x")),
            ("https://example.org/a/notes.txt", r"C:\Temp\..", None),
            ("https://example.org/a/notes.txt", r"odd\", Some(r"odd\")),
        ] {
            assert_eq!(
                copy(source, destination).target().as_deref(),
                target,
                "{source} {destination}"
            );
        }
    }
}
