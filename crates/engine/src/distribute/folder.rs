//! A VHD in the folder of a storage account.
//!
//! The folder is not one of the layout's, so no sweep covers it: the run's ledger records
//! unfinished files.

use std::{fs, io, path::Path};

use api::ErrorCode;
use images::{
    absent::remove_file,
    error::{Result, io_fault},
    export::copy_out,
    files::{
        partial::{Existing, Partial, partial_path},
        rename,
    },
    image_file::{
        artifact::{Artifact, delivered},
        footer,
        verified::{self, Verified},
    },
    ledger::Releasable,
    run_context::RunContext,
};
use vm::may_wait;

use super::Work;

/// Writes the VHD, unless it exists, and its description beside it.
pub(super) async fn write(
    work: Work<'_>,
    path: &Path,
    vhd: &Artifact,
    description: Option<Vec<u8>>,
) -> Result<()> {
    let fault = |e| io_fault(e, ErrorCode::DistributeFailed, format!("write {}", path.display()));
    let run_id = &work.facts.run_id;
    may_wait(|| fs::create_dir_all(path.parent().unwrap_or(path))).map_err(fault)?;
    let mut beside = path.as_os_str().to_owned();
    beside.push(".json");
    let beside = Path::new(&beside);
    let held =
        [path, beside].map(|path| Releasable::PartialFile { path: partial_path(path, run_id) });
    for held in &held {
        work.ledger.hold(held.clone()).map_err(fault)?;
    }
    if !verified::check(work.cx, path, &vhd.digest, "verify the blob").await? {
        put(work.cx, path, vhd, run_id).await?;
    }
    if let Some(description) = description {
        Partial::create(beside, run_id)
            .and_then(|file| may_wait(|| file.finish_with(&description, Existing::Replace)))
            .map_err(fault)?;
    }
    // After a failure the rows stay, and the end of the run removes the files.
    for held in &held {
        work.ledger.forget_released(held).map_err(fault)?;
    }
    footer::verify(path, vhd.virtual_size).map(|_| ())
}

/// A link if possible, since it takes no space; otherwise a copy.
async fn put(cx: &RunContext, path: &Path, vhd: &Artifact, run_id: &str) -> Result<()> {
    let fault = |e| io_fault(e, ErrorCode::DistributeFailed, format!("write {}", path.display()));
    cx.confirm_ownership().await?;
    let verified = Verified::new(&cx.layout);
    if may_wait(|| verified.keep(&vhd.path, path, || link(path, vhd, run_id))).map_err(fault)? {
        return delivered(cx, path, &vhd.digest).await;
    }
    let partial = Partial::create(path, run_id).map_err(fault)?;
    copy_out(cx, &vhd.path, &partial).await?;
    delivered(cx, partial.path(), &vhd.digest).await?;
    cx.confirm_ownership().await?;
    partial.finish(Existing::Replace).map_err(fault)
}

/// `false` if a link is not possible.
fn link(path: &Path, vhd: &Artifact, run_id: &str) -> io::Result<bool> {
    let unfinished = partial_path(path, run_id);
    remove_file(&unfinished)?;
    match fs::hard_link(&vhd.path, &unfinished) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(error),
        Err(_) => return Ok(false),
    }
    rename(&unfinished, path).map(|()| true)
}
