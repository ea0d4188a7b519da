//! Creates, inspects and converts disk images through `qemu-img`.
//!
//! Callers name the format. Only [`info`] may detect it; for an image from outside, check its
//! result before anything else opens the image. Holes stay holes.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::{
    Host,
    proc::{Command, Error},
};

/// The deadline for commands that do not copy data.
const QUICK: Duration = Duration::from_secs(60);

/// The deadline for finding the used parts of an image.
pub const MAPPING: Duration = Duration::from_secs(600);

/// The metadata of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// QEMU's name of the format: `qcow2`, `raw`, `vpc`, `vhdx`, `vmdk`.
    pub format: String,
    /// Size that a machine sees, in bytes.
    pub virtual_size: u64,
    /// Bytes that the file takes on the disk.
    pub actual_size: u64,
    /// The backing file as written in the header.
    pub backing: Option<String>,
    /// The external data file (qcow2).
    pub data_file: Option<String>,
    /// The files that hold the data (vmdk).
    pub extents: Vec<String>,
    /// Whether the image is encrypted.
    pub encrypted: bool,
    /// Whether the image is marked as corrupt.
    pub corrupt: bool,
    /// Number of snapshots within the image.
    pub snapshots: usize,
}

impl Info {
    /// Whether the image consists of this one file.
    pub fn is_self_contained(&self, path: &Path) -> bool {
        let is_this_file = |extent: &String| Path::new(extent).file_name() == path.file_name();
        self.backing.is_none() && self.data_file.is_none() && self.extents.iter().all(is_this_file)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct WireInfo {
    format: String,
    virtual_size: u64,
    #[serde(default)]
    actual_size: u64,
    backing_filename: Option<String>,
    #[serde(default)]
    encrypted: bool,
    #[serde(default)]
    snapshots: Vec<Value>,
    format_specific: Option<Value>,
}

fn parse_info(json: &str) -> Result<Info, serde_json::Error> {
    let wire: WireInfo = serde_json::from_str(json)?;
    let data = wire.format_specific.as_ref().map_or(&Value::Null, |s| &s["data"]);
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let extents = data["extents"].as_array().into_iter().flatten();
    Ok(Info {
        backing: wire.backing_filename,
        data_file: text(&data["data-file"]),
        extents: extents.filter_map(|extent| text(&extent["filename"])).collect(),
        encrypted: wire.encrypted,
        corrupt: data["corrupt"].as_bool().unwrap_or(false),
        snapshots: wire.snapshots.len(),
        format: wire.format,
        virtual_size: wire.virtual_size,
        actual_size: wire.actual_size,
    })
}

fn quick() -> CancellationToken {
    CancellationToken::new()
}

fn img(host: &Host, verb: &str) -> Command {
    Command::new(&host.qemu_img).arg(verb)
}

/// `qemu-img` would read a relative path that begins with a dash as an option, and one with a colon
/// as a protocol.
fn plain(path: &Path) -> PathBuf {
    if path.is_absolute() { path.to_owned() } else { Path::new("./").join(path) }
}

/// Reads an image's header. Without a format, `qemu-img` guesses: do not trust the result. The
/// backing file is not opened, and the image may be in use by a machine.
pub async fn info(host: &Host, path: &Path, format: Option<&str>) -> Result<Info, Error> {
    let mut command = img(host, "info").args(["--output=json", "--force-share"]);
    if let Some(format) = format {
        command = command.args(["-f", format]);
    }
    let output = command.arg("--").arg(plain(path)).run(&quick(), Some(QUICK)).await?;
    parse_info(&output.stdout)
        .map_err(|error| Error::Io { program: "qemu-img info".to_owned(), source: error.into() })
}

/// Creates an empty overlay on a qcow2 file. The backing path is stored unchanged (a relative path
/// is relative to the overlay's folder) and need not exist yet.
pub async fn create_overlay(
    host: &Host,
    path: &Path,
    backing: &Path,
    virtual_size: u64,
) -> Result<(), Error> {
    create_overlay_on(host, path, backing, "qcow2", virtual_size).await
}

/// Creates an empty overlay on a file of any format.
pub async fn create_overlay_on(
    host: &Host,
    path: &Path,
    backing: &Path,
    backing_format: &str,
    virtual_size: u64,
) -> Result<(), Error> {
    let command = img(host, "create").args(["-q", "-u", "-f", "qcow2", "-F", backing_format]);
    let command = command.arg("-b").arg(backing).arg("--").arg(plain(path));
    command.arg(virtual_size.to_string()).run(&quick(), Some(QUICK)).await.map(drop)
}

/// Creates the UEFI variables of a new machine: an overlay on those that the firmware brings.
///
/// # Errors
/// The host has no such firmware, or `qemu-img` fails.
pub async fn create_vars(host: &Host, path: &Path, secure_boot: bool) -> Result<(), crate::Error> {
    let firmware = host.firmware(secure_boot)?;
    Ok(create_overlay_on(host, path, &firmware.vars, "raw", firmware.vars_bytes()).await?)
}

/// Creates an empty image.
pub async fn create(
    host: &Host,
    path: &Path,
    format: &str,
    virtual_size: u64,
) -> Result<(), Error> {
    let command = img(host, "create").args(["-q", "-f", format, "--"]).arg(plain(path));
    command.arg(virtual_size.to_string()).run(&quick(), Some(QUICK)).await.map(drop)
}

/// The conversion of an image into another format.
#[derive(Debug, Clone, Copy)]
pub struct Convert<'a> {
    /// The image to read, with all its backing files.
    pub src: &'a Path,
    /// The format of `src`.
    pub src_format: &'a str,
    /// The image to write; replaced if it exists.
    pub dst: &'a Path,
    /// The format of `dst`.
    pub dst_format: &'a str,
}

/// Copies an image into another format. `on_progress` receives fractions between 0 and 1. The
/// result has no backing file and is sparse.
pub async fn convert(
    host: &Host,
    job: Convert<'_>,
    mut on_progress: impl FnMut(f64) + Send,
    cancel: &CancellationToken,
) -> Result<(), Error> {
    // Parallel, out-of-order writes, as far as the format supports them.
    let command = img(host, "convert").args([
        "-p",
        "-f",
        job.src_format,
        "-O",
        job.dst_format,
        "-W",
        "-m",
        "8",
    ]);
    let command = command.arg("--").arg(plain(job.src)).arg(plain(job.dst));
    let report = |line: &str| {
        if let Some(fraction) = progress(line) {
            on_progress(fraction);
        }
    };
    command.run_streaming(cancel, None, report).await.map(drop)
}

/// Parses a line such as `    (12.34/100%)`.
fn progress(line: &str) -> Option<f64> {
    let number = line.trim().strip_prefix('(')?.split_once("/100%)")?.0;
    number.parse::<f64>().ok().map(|percent| percent / 100.0)
}

/// The size in bytes of a standalone qcow2 of this image with all its backing files.
pub async fn measure(
    host: &Host,
    path: &Path,
    format: &str,
    cancel: &CancellationToken,
    limit: Option<Duration>,
) -> Result<u64, Error> {
    #[derive(Deserialize)]
    struct Measured {
        required: u64,
    }
    let command = img(host, "measure").args(["--output=json", "--force-share", "-O", "qcow2"]);
    let output = command.args(["-f", format]).arg(plain(path)).run(cancel, limit).await?;
    let measured: Measured = serde_json::from_str(&output.stdout)
        .map_err(|e| Error::Io { program: "qemu-img measure".to_owned(), source: e.into() })?;
    Ok(measured.required)
}

#[cfg(test)]
mod tests;
