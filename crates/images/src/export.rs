//! `--export fmt=PATH`: an image as a file for other tools.
//!
//! ```text
//! web.qcow2.goldsmith-<run id>.partial  →  hashed and synced  →  web.qcow2   by one rename
//! ```
//!
//! A qcow2 is compressed with zstd, a VHD is fixed and a whole number of MiB. qcow2 and VHD are
//! copies of [artifacts](crate::image_file::artifact), so that a second export of the same image is
//! fast. They are never links, because the user may write to an exported file.
//!
//! Each data disk of the image becomes a file of its own beside it: `web_dataDisk_0.qcow2`.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    str::FromStr,
};

use api::ErrorCode;
use futures_util::future::join_all;
use serde::Serialize;
use vm::{Host, may_wait, off_runtime};

use crate::{
    absent::or_none,
    digest::{Digest, Kind},
    error::{Error, Result, io_fault},
    files::partial::{Existing, Partial, partial_path},
    format::Format,
    image_file::{
        Image,
        artifact::{self, Form, Standalone, delivered, finish_and_hash},
        convert::{self, Job, Target},
        data, footer, place, space,
    },
    ledger::{Ledger, Releasable},
    private,
    run_context::RunContext,
    step::Step,
    store::{StoredImage, stored},
};

/// One `--export`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportSpec {
    pub format: Format,
    /// Absolute.
    pub path: PathBuf,
    /// What happens to an existing file.
    pub existing: Existing,
}

/// An exported file.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Exported {
    /// The LUN of the data disk; `None` for the OS disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lun: Option<usize>,
    pub format: Format,
    pub path: PathBuf,
    /// Length of the file.
    pub bytes: u64,
    /// Bytes on the host: fewer than the length if the file has holes.
    pub allocated_bytes: u64,
    /// Digest of the file's content.
    #[serde(flatten)]
    pub digest: Digest,
    /// Size of the disk that the guest sees, in bytes.
    pub virtual_size: u64,
}

impl FromStr for ExportSpec {
    type Err = Error;

    /// Parses `qcow2=PATH`, `raw=PATH`, `vhd=PATH` or `vmdk=PATH`. A relative path starts at the
    /// working directory.
    fn from_str(text: &str) -> Result<Self> {
        let wrong = |what: String| {
            Error::new(ErrorCode::InvalidArgument, format!("--export {text}: {what}"))
                .target(text)
                .hint("one of qcow2=PATH, raw=PATH, vhd=PATH, vmdk=PATH")
        };
        let (name, path) =
            text.split_once('=').ok_or_else(|| wrong("there is no `=` in it".into()))?;
        let format =
            Format::from_name(name).ok_or_else(|| wrong(format!("`{name}` is not a format")))?;
        if path.is_empty() || path.ends_with('/') {
            return Err(wrong("the name of the file is missing".into()));
        }
        let path = std::path::absolute(path).map_err(|e| wrong(e.to_string()))?;
        if path.file_name().is_none() {
            return Err(wrong("the name of the file is missing".into()));
        }
        Ok(Self { format, path, existing: Existing::Keep })
    }
}

impl fmt::Display for ExportSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.format, self.path.display())
    }
}

impl ExportSpec {
    /// The same, but allowed to replace a file (`--force`).
    #[must_use]
    pub fn replacing(self, force: bool) -> Self {
        Self { existing: if force { Existing::Replace } else { self.existing }, ..self }
    }
}

/// Checks all that can be known about the exports before the build.
///
/// # Errors
/// The first mistake; the others are in its details.
pub fn check(exports: &[ExportSpec]) -> Result<()> {
    Error::all(problems(exports))
}

fn problems(exports: &[ExportSpec]) -> Vec<Error> {
    let mut errors: Vec<_> = exports.iter().filter_map(|export| check_one(export).err()).collect();
    for (index, export) in exports.iter().enumerate() {
        if exports[..index].iter().any(|other| other.path == export.path) {
            let text = format!("--export names {} twice", export.path.display());
            errors.push(Error::new(ErrorCode::InvalidArgument, text).target(export.to_string()));
        }
    }
    errors
}

fn check_one(export: &ExportSpec) -> Result<()> {
    let shown = export.path.display();
    let parent = export.path.parent().unwrap_or(Path::new("/"));
    if !parent.is_dir() {
        let text = format!("--export {export}: there is no folder {}", parent.display());
        return Err(Error::new(ErrorCode::InvalidArgument, text)
            .target(export.to_string())
            .hint(format!("mkdir -p {}", parent.display())));
    }
    let fail = |e| io_fault(e, ErrorCode::InvalidArgument, format!("--export {export}"));
    match or_none(fs::symlink_metadata(&export.path)).map_err(fail)? {
        None => Ok(()),
        Some(metadata) if !metadata.is_file() => {
            let text = format!("--export {export}: {shown} is there and is not a regular file");
            Err(Error::new(ErrorCode::InvalidArgument, text).target(export.to_string()))
        }
        Some(_) if export.existing == Existing::Keep => Err(taken(export)),
        Some(_) => Ok(()),
    }
}

fn taken(export: &ExportSpec) -> Error {
    let text = format!("--export {export}: {} exists already", export.path.display());
    Error::new(ErrorCode::Conflict, text)
        .target(export.to_string())
        .hint("give another name, or --force to replace it")
}

/// The same for the files of the image's data disks, once their number is known.
///
/// # Errors
/// As [`check`].
pub fn check_data(exports: &[ExportSpec], disks: usize) -> Result<()> {
    may_wait(|| {
        if disks == 0 {
            return Ok(());
        }
        let all: Vec<_> = files(exports, disks).into_iter().map(|(spec, _)| spec).collect();
        Error::all(problems(&all))
    })
}

/// Rejects a disk that is too large for a VHD, before the build spends hours on it.
fn check_vhd(exports: &[ExportSpec], image: &Standalone) -> Result<()> {
    let mut sizes =
        std::iter::once(image.virtual_size).chain(image.data.iter().map(|disk| disk.virtual_size));
    let vhd = exports.iter().find(|export| export.format == Format::Vhd);
    match (vhd, sizes.find(|bytes| *bytes > footer::MOST)) {
        (Some(export), Some(bytes)) => {
            let (has, most) = (space::human(bytes), space::human(footer::MOST));
            let text = format!(
                "--export {export}: the image has a disk of {has}, and a VHD holds at most {most}"
            );
            Err(Error::new(ErrorCode::InvalidArgument, text)
                .target(export.to_string())
                .hint("export it as qcow2, raw or vmdk"))
        }
        _ => Ok(()),
    }
}

/// Every file to write and its disk: `web.vhd` adds `web_dataDisk_0.vhd` and so on.
fn files(exports: &[ExportSpec], disks: usize) -> Vec<(ExportSpec, Option<usize>)> {
    let of = |spec: &ExportSpec, lun: usize| {
        (ExportSpec { path: data::beside(&spec.path, lun), ..spec.clone() }, Some(lun))
    };
    exports
        .iter()
        .flat_map(|spec| {
            std::iter::once((spec.clone(), None)).chain((0..disks).map(move |lun| of(spec, lun)))
        })
        .collect()
}

/// Writes all exports, side by side. The ledger records each unfinished file before it is created.
///
/// # Errors
/// The first error. The other exports run to their end; their files stay and are listed in the
/// details.
pub async fn write_all(
    cx: &RunContext,
    host: &Host,
    image: &Standalone,
    exports: &[ExportSpec],
    ledger: &Ledger,
    run_id: &str,
) -> Result<Vec<Exported>> {
    let files = files(exports, image.data.len());
    let written = files.iter().map(async |(export, lun)| {
        let held = Releasable::PartialFile { path: partial_path(&export.path, run_id) };
        let fail = |e| io_fault(e, ErrorCode::ExportFailed, format!("hold {export} in the ledger"));
        ledger.hold(held.clone()).map_err(fail)?;
        let exported = write_disk(cx, host, (image, *lun), export, run_id).await;
        ledger.forget_released(&held).map_err(fail)?;
        exported
    });
    let mut done = Vec::new();
    let mut failed = Vec::new();
    for result in join_all(written).await {
        match result {
            Ok(exported) => done.push(exported),
            Err(error) => failed.push(error),
        }
    }
    match Error::all(failed) {
        Ok(()) => Ok(done),
        Err(error) => {
            let written = done.iter().map(|file| format!("written: {}", file.path.display()));
            Err(error.details(written))
        }
    }
}

/// Exports an image of the store, as a run of its own with a ledger of its own.
///
/// # Errors
/// As [`write_all`]; no unfinished file remains.
pub async fn of_stored(
    cx: &RunContext,
    host: &Host,
    image: &StoredImage,
    exports: &[ExportSpec],
) -> Result<Vec<Exported>> {
    let run_id = crate::new_run_id();
    let fail = |e| io_fault(e, ErrorCode::ExportFailed, "use the ledger".to_owned());
    let ledger = Ledger::open(&cx.layout, &run_id).map_err(fail)?;
    let work = async {
        let image = stored(cx, image).await?;
        check_data(exports, image.data.len())?;
        check_vhd(exports, &image)?;
        write_all(cx, host, &image, exports, &ledger, &run_id).await
    };
    let written = cx.step(Step::Export, "export", work).await;
    // An export that ended early has removed its own file. The janitor releases the rows that
    // remain.
    for (number, row) in ledger.rows().map_err(fail)?.read {
        if matches!(&row.held, Releasable::PartialFile { path } if !path.exists()) {
            ledger.forget(number).map_err(fail)?;
        }
    }
    ledger.close().map_err(fail)?;
    written
}

/// Writes one export. If it ends early, no file remains under any name. `run_id` is part of the
/// [name of the unfinished file](partial_path).
///
/// # Errors
/// `ExportFailed`, `Conflict`, `DiskFull`, `Canceled`.
pub async fn write(
    cx: &RunContext,
    host: &Host,
    image: &Standalone,
    export: &ExportSpec,
    run_id: &str,
) -> Result<Exported> {
    write_disk(cx, host, (image, None), export, run_id).await
}

/// The same for one of the image's disks.
async fn write_disk(
    cx: &RunContext,
    host: &Host,
    (image, lun): (&Standalone, Option<usize>),
    export: &ExportSpec,
    run_id: &str,
) -> Result<Exported> {
    may_wait(|| check_one(export))?;
    let fail = |e| io_fault(e, ErrorCode::ExportFailed, format!("export {export}"));
    let partial = Partial::create(&export.path, run_id).map_err(fail)?;
    let digest = match Form::of_export(export.format) {
        Some(form) => {
            let artifact = match lun {
                None => artifact::get(cx, host, image, form).await?,
                Some(lun) => image.data_as(cx, host, lun, form).await?,
            };
            copy_out(cx, &artifact.path, &partial).await?;
            delivered(cx, partial.path(), &artifact.digest).await?;
            artifact.digest
        }
        None => {
            let disk = lun.map_or(&image.disk, |lun| &image.data[lun].disk);
            convert_out(cx, host, disk, export, &partial).await?
        }
    };
    may_wait(|| private::lend(partial.path())).map_err(fail)?;
    match partial.finish(export.existing) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(taken(export)),
        other => other.map_err(fail)?,
    }
    let metadata = may_wait(|| fs::metadata(&export.path)).map_err(fail)?;
    Ok(Exported {
        lun,
        format: export.format,
        path: export.path.clone(),
        bytes: metadata.len(),
        allocated_bytes: allocated(&metadata),
        digest,
        virtual_size: lun.map_or(image.virtual_size, |lun| image.data[lun].virtual_size),
    })
}

/// Bytes that a file takes on the host.
pub fn allocated(metadata: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::blocks(metadata) * 512
}

async fn convert_out(
    cx: &RunContext,
    host: &Host,
    disk: &Path,
    export: &ExportSpec,
    partial: &Partial,
) -> Result<Digest> {
    let name = export.path.file_name().unwrap_or_default().to_string_lossy();
    let from = Image { path: disk.to_owned(), format: Format::Qcow2 };
    let job = Job {
        from: &from,
        to: partial.path(),
        target: Target::of_export(export.format),
        name: &name,
        activity: &format!("export {}", export.format),
    };
    convert::convert(cx, host, job).await?;
    let kind = Kind::of(export.format);
    finish_and_hash(cx, partial, kind, &format!("hash {name}")).await
}

/// Copies a cached artifact, with its holes, into the file to be exported.
///
/// # Errors
/// `ExportFailed`, `DiskFull`, `Canceled`.
pub async fn copy_out(cx: &RunContext, from: &Path, partial: &Partial) -> Result<()> {
    let fail =
        |e| io_fault(e, ErrorCode::ExportFailed, format!("write {}", partial.path().display()));
    let dir = partial.path().parent().unwrap_or(Path::new("/"));
    let need = allocated(&may_wait(|| fs::metadata(from)).map_err(fail)?);
    space::check(need, space::free(dir)?, dir)?;
    let cancel = cx.cancel.child_token();
    let _on_drop = cancel.clone().drop_guard();
    let (from, to) = (from.to_owned(), partial.file().try_clone().map_err(fail)?);
    let copy = move || {
        place::copy(&from, &to, &cancel)?;
        to.sync_all()
    };
    off_runtime(copy).await.map_err(fail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specs_parse() {
        let export: ExportSpec = "vhd=/tmp/a=b.vhd".parse().unwrap();
        assert_eq!((export.format, export.path.to_str()), (Format::Vhd, Some("/tmp/a=b.vhd")));
        assert!("qcow2=web.qcow2".parse::<ExportSpec>().unwrap().path.is_absolute());
    }

    #[test]
    fn invalid_spec_error_lists_the_allowed_forms() {
        for (text, why) in [
            ("web.qcow2", "no `=`"),
            ("iso=x", "`iso` is not a format"),
            ("QCOW2=x", "`QCOW2` is not a format"),
            ("raw=", "name of the file is missing"),
            ("raw=/tmp/", "name of the file is missing"),
            ("raw=..", "name of the file is missing"),
            ("=x", "`` is not a format"),
        ] {
            let error = text.parse::<ExportSpec>().unwrap_err();
            assert_eq!(error.code, ErrorCode::InvalidArgument);
            assert!(error.message.contains(why) && error.message.contains(text), "{error}");
            assert!(error.hint.unwrap().contains("vmdk=PATH"));
        }
    }

    #[test]
    fn check_reports_every_mistake() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("there"), "").unwrap();
        let path = |name: &str| dir.path().join(name);
        let export = |name: &str| ExportSpec {
            format: Format::Raw,
            path: path(name),
            existing: Existing::Keep,
        };
        let exports =
            [export("fine"), export("no/folder"), export("there"), export("fine"), export("")];
        let codes: Vec<_> = problems(&exports).iter().map(|error| error.code).collect();
        use ErrorCode::{Conflict, InvalidArgument};
        assert_eq!(codes, [InvalidArgument, Conflict, InvalidArgument, InvalidArgument]);
        let first = check(&exports).unwrap_err();
        assert!(first.message.contains("no folder"), "{first:?}");
        let others = first.details.iter().filter(|line| line.starts_with("also:"));
        assert_eq!(others.count(), 3, "{first:?}");
        check(&exports[..1]).unwrap();
        check(&[export("there").replacing(true)]).unwrap();
        check(&[export("").replacing(true)]).expect_err("a folder is never replaced");
    }
}
