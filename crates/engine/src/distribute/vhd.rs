//! `VHD`: a fixed VHD in the local blob folder, or at an address of the template's choice
//! ([`blob`]).
//!
//! ```text
//! blobs/vhds/<run output>_<yyyymmddhhmmss>_<end of run id>.vhd   + .json: digest, tags, origin
//!            <the same>_dataDisk_<lun>.vhd                       for each data disk
//! ```
//!
//! The same run always uses the same name, so a repetition finds the existing file. The file is a
//! read-only link to the cached artifact, or a copy if a link is not possible.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use api::{
    ErrorCode,
    template::{ApiVersion, Delivery, Destination, Field, Fields, Kind, Location, Named, Reader},
};
use async_trait::async_trait;
use images::{
    absent::entries,
    config::Config,
    digest::Digest,
    error::{Error, Result, io_fault},
    event::{DataOutput, RunOutput},
    export::{allocated, copy_out},
    files::{
        partial::{Existing, Partial},
        sync_parent,
    },
    image_file::{
        artifact::{self, Artifact, Form, delivered, write_json},
        data, footer,
        verified::{self, Verified},
    },
    layout::Layout,
    run_context::RunContext,
    store::{Labels, Origin},
};
use serde::Serialize;
use vm::may_wait;

use super::{DeliveryContext, DiskLimit, Distributor, Work, blob, labels};

pub(super) const KIND: Kind<Arc<dyn Distributor>> = Kind::new(Vhd::NAME, FIELDS, read);

const FIELDS: &[Field] = &[Field::since("uri", ApiVersion::V2022_07_01)];

/// A VHD file to create.
#[derive(Debug, Serialize)]
struct Vhd {
    /// The blob to write; by default one in the staging storage account.
    #[serde(skip_serializing_if = "Option::is_none")]
    uri: Option<String>,
}

fn read(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Option<Arc<dyn Distributor>> {
    let uri = reader.present(fields, "uri").map(|(node, uri)| {
        match Location::of(&uri) {
            Ok(Location::Web(_)) if uri.contains('?') => {
                let hint = Some("give the identity write access instead of a token".to_owned());
                reader.bad_value_hint(
                    &node,
                    "A blob's address must not have a query or token.",
                    hint,
                );
            }
            Ok(Location::Web(_)) => {}
            Ok(Location::Path(_)) => {
                let hint = Some("to write a local file, use `--export vhd=PATH`".to_owned());
                reader.bad_value_hint(&node, "Expected the http or https address of a blob.", hint);
            }
            Err(reason) => reader.bad_value(&node, &reason),
        }
        uri
    });
    Some(Arc::new(Vhd { uri }))
}

impl Named for Vhd {
    const NAME: &'static str = "VHD";
}

impl Delivery for Vhd {
    fn destination(&self) -> Option<Destination> {
        Some(Destination { what: "blob", field: "uri", key: blob_key(self.uri.as_ref()?) })
    }
}

/// A blob's address as a comparable key: case matters in the names of blobs, but not in host names.
fn blob_key(uri: &str) -> String {
    let rest = uri.split_once("://").map_or(uri, |(_, rest)| rest);
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    format!("{}/{path}", host.to_lowercase())
}

#[async_trait]
impl Distributor for Vhd {
    /// An address must be that of a blob in an account with a place.
    fn faults(&self, _cx: &RunContext, config: &Config) -> Vec<Error> {
        let found = self.uri.as_ref().map(|uri| regions::find_blob(config, uri));
        found.and_then(Result::err).into_iter().collect()
    }

    fn disk_limit(&self) -> Option<DiskLimit> {
        Some(DiskLimit { bytes: footer::MOST, of: "a VHD" })
    }

    async fn publish(&self, work: Work<'_>) -> Result<RunOutput> {
        let cx = work.cx;
        let vhd = artifact::get(cx, work.host, work.image, Form::Vhd).await?;
        if let Some(uri) = &self.uri {
            return to_account(work, vhd, uri).await;
        }
        let path = vhd_path(&cx.layout, work.facts, &work.target.run_output_name);
        store_at(cx, &vhd, &path, &work.facts.run_id).await?;
        let data_disks = store_data(work, &path).await?;
        describe(work, &vhd, &path)?;
        footer::verify(&path, vhd.virtual_size)?;
        output(work, vhd, file_uri(&path), path, data_disks)
    }
}

/// The run output of a VHD at that address; `path` is its file.
fn output(
    work: Work<'_>,
    vhd: Artifact,
    uri: String,
    path: PathBuf,
    data_disks: Vec<DataOutput>,
) -> Result<RunOutput> {
    let metadata = may_wait(|| fs::metadata(&path)).map_err(|e| fault(e, &path))?;
    Ok(RunOutput {
        run_output_name: work.target.run_output_name.clone(),
        kind: Vhd::NAME.to_owned(),
        artifact_id: None,
        artifact_uri: Some(uri),
        bytes: metadata.len(),
        allocated_bytes: allocated(&metadata),
        path,
        digest: vhd.digest,
        virtual_size: vhd.virtual_size,
        data_disks,
    })
}

/// Stores each data disk as a VHD of its own, `<name>_dataDisk_<lun>.vhd`.
async fn store_data(work: Work<'_>, path: &Path) -> Result<Vec<DataOutput>> {
    let mut outputs = Vec::new();
    for lun in 0..work.image.data.len() {
        let vhd = work.image.data_as(work.cx, work.host, lun, Form::Vhd).await?;
        let path = data::beside(path, lun);
        store_at(work.cx, &vhd, &path, &work.facts.run_id).await?;
        footer::verify(&path, vhd.virtual_size)?;
        let Artifact { digest, virtual_size, .. } = vhd;
        outputs.push(DataOutput { lun, path, digest, virtual_size });
    }
    Ok(outputs)
}

/// Writes to the blob in the template, instead of the local blob folder.
async fn to_account(work: Work<'_>, vhd: Artifact, uri: &str) -> Result<RunOutput> {
    let config = Config::load(&work.cx.layout)?;
    let blob = regions::find_blob(&config, uri)?;
    let description = serde_json::to_vec_pretty(&Description::of(work, &vhd))
        .map_err(|e| fault(e.into(), &vhd.path))?;
    let written = blob::write(work, &blob, &vhd, Some(description)).await?;
    let data_disks = data_to_account(work, &config, uri).await?;
    let path = written.unwrap_or_else(|| vhd.path.clone());
    output(work, vhd, uri.to_owned(), path, data_disks)
}

/// Writes each data disk to a blob of its own beside the OS disk's.
async fn data_to_account(work: Work<'_>, config: &Config, uri: &str) -> Result<Vec<DataOutput>> {
    let mut outputs = Vec::new();
    for lun in 0..work.image.data.len() {
        let vhd = work.image.data_as(work.cx, work.host, lun, Form::Vhd).await?;
        let uri = data::beside(Path::new(uri), lun).to_string_lossy().into_owned();
        let blob = regions::find_blob(config, &uri)?;
        let written = blob::write(work, &blob, &vhd, None).await?;
        let path = written.unwrap_or_else(|| vhd.path.clone());
        let Artifact { digest, virtual_size, .. } = vhd;
        outputs.push(DataOutput { lun, path, digest, virtual_size });
    }
    Ok(outputs)
}

fn fault(error: io::Error, path: &Path) -> Error {
    io_fault(error, ErrorCode::DistributeFailed, format!("write {}", path.display()))
}

/// The name of the run's VHD in the blob folder.
fn vhd_path(layout: &Layout, facts: &DeliveryContext, run_output_name: &str) -> PathBuf {
    let time = facts.started.strftime("%Y%m%d%H%M%S");
    let run: Vec<char> = facts.run_id.chars().filter(char::is_ascii_alphanumeric).collect();
    let run: String = run[run.len().saturating_sub(8)..].iter().collect();
    layout.vhds().join(format!("{}_{time}_{run}.vhd", file_name(run_output_name)))
}

/// A run output's name in the form of a file name (or part of one).
fn file_name(run_output_name: &str) -> String {
    let plain = |c: char| {
        if c.is_alphanumeric() || "-_.".contains(c) { c } else { '-' }
    };
    run_output_name.chars().map(plain).take(60).collect()
}

/// Links (or copies) the artifact to its name in the blob folder. An existing file comes from the
/// same run. If it was modified since, the new one replaces it.
async fn store_at(cx: &RunContext, vhd: &Artifact, path: &Path, run_id: &str) -> Result<()> {
    cx.confirm_ownership().await?;
    may_wait(|| fs::create_dir_all(path.parent().unwrap_or(path))).map_err(|e| fault(e, path))?;
    if verified::check(cx, path, &vhd.digest, "verify the VHD").await? {
        return Ok(());
    }
    let link = || match fs::hard_link(&vhd.path, path) {
        Ok(()) => sync_parent(path).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(error),
        Err(_) => Ok(false),
    };
    let verified = Verified::new(&cx.layout);
    if may_wait(|| verified.keep(&vhd.path, path, link)).map_err(|e| fault(e, path))? {
        return delivered(cx, path, &vhd.digest).await;
    }
    let partial = Partial::create(path, run_id).map_err(|e| fault(e, path))?;
    copy_out(cx, &vhd.path, &partial).await?;
    delivered(cx, partial.path(), &vhd.digest).await?;
    cx.confirm_ownership().await?;
    partial.finish(Existing::Replace).map_err(|e| fault(e, path))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Description<'a> {
    #[serde(flatten)]
    digest: &'a Digest,
    virtual_size: u64,
    #[serde(flatten)]
    origin: &'a Origin,
    #[serde(flatten)]
    labels: Labels,
}

impl<'a> Description<'a> {
    fn of(work: Work<'a>, vhd: &'a Artifact) -> Self {
        Self {
            digest: &vhd.digest,
            virtual_size: vhd.virtual_size,
            origin: &work.facts.origin,
            labels: labels(work.target),
        }
    }
}

fn describe(work: Work<'_>, vhd: &Artifact, path: &Path) -> Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".json");
    write_json(Path::new(&name), &Description::of(work, vhd)).map_err(|e| fault(e, path))
}

/// The VHDs in the blob folder whose description has a digest.
pub(crate) fn all(layout: &Layout) -> io::Result<Vec<(PathBuf, Digest)>> {
    #[derive(serde::Deserialize)]
    struct Described {
        #[serde(flatten)]
        digest: Digest,
    }
    let mut found = Vec::new();
    for path in entries(&layout.vhds())? {
        if path.extension().is_none_or(|extension| extension != "vhd") {
            continue;
        }
        // A data disk has no description of its own.
        let described = fs::read(format!("{}.json", path.display())).ok();
        let described = described.and_then(|text| serde_json::from_slice(&text).ok());
        found.extend(described.map(|Described { digest }| (path, digest)));
    }
    Ok(found)
}

fn file_uri(path: &Path) -> String {
    use std::{fmt::Write, os::unix::ffi::OsStrExt};
    let mut uri = "file://".to_owned();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' | b'~' => {
                uri.push(char::from(*byte));
            }
            other => {
                let _ = write!(uri, "%{other:02X}");
            }
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_address_is_escaped() {
        assert_eq!(file_uri(Path::new("/var/a b%.vhd")), "file:///var/a%20b%25.vhd");
    }

    #[test]
    fn run_output_name_cannot_leave_the_folder() {
        assert_eq!(file_name("web-1.0_a"), "web-1.0_a");
        assert_eq!(file_name("../../x y"), "..-..-x-y");
        assert_eq!(file_name(&"a".repeat(300)).len(), 60);
    }
}
