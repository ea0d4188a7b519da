//! The data disks of a build machine: those of its source, then those that the template adds
//! (`additionalDataDisks`), by LUN.
//!
//! The machine has them from the first boot on. They are sealed with the OS disk, and become part
//! of the image.

use std::path::{Path, PathBuf};

use api::ErrorCode;
use guests::At;
use images::{
    error::{Error, Result, machine_error},
    image_file::data::file_name,
};
use sources::SourceImage;
use vm::disk;

use super::Run;
use crate::{
    node::{DataShape, Shape},
    template::Template,
};

const GIB: u64 = 1024 * 1024 * 1024;
/// The maximum for a machine in Azure.
const MOST: usize = 64;

/// The shapes of the machine's data disks.
pub(super) fn shape(template: &Template, source: &SourceImage) -> Vec<DataShape> {
    let brought = source
        .data
        .iter()
        .map(|disk| DataShape { bytes: disk.virtual_size, source: Some(disk.digest.clone()) });
    let added = template.properties.additional_data_disks.iter();
    let added = added.map(|disk| DataShape { bytes: u64::from(disk.size_gb) * GIB, source: None });
    brought.chain(added).collect()
}

/// Rejects more disks than a machine can have. Returns their number, including the source's
/// `brought` ones.
pub(super) fn check(template: &Template, brought: usize) -> Result<usize> {
    let field = "properties.additionalDataDisks";
    let added = &template.properties.additional_data_disks;
    let disks = brought + added.len();
    if disks > MOST {
        let text = format!(
            "{disks} data disks, with the {brought} of the source image: a machine has at most {MOST}"
        );
        let error = Error::new(ErrorCode::ValidationFailed, text);
        return Err(error.target(field).hint("add fewer"));
    }
    Ok(disks)
}

/// Their files for a machine that works in `work`.
pub(super) fn files(shape: &Shape, work: &Path) -> Vec<PathBuf> {
    (0..shape.data.len()).map(|lun| work.join(file_name(lun))).collect()
}

/// Before the first boot: creates blank disks, and overlays on those of the source.
pub(super) async fn first(run: &Run<'_>, shape: &Shape, work: &Path) -> Result<()> {
    for (disk, path) in shape.data.iter().zip(files(shape, work)) {
        let made = match &disk.source {
            Some(digest) => {
                let below = format!("../../sources/{digest}/disk.qcow2");
                disk::create_overlay(run.host, &path, Path::new(&below), disk.bytes).await
            }
            None => disk::create(run.host, &path, "qcow2", disk.bytes).await,
        };
        made.map_err(|e| machine_error(e.into()))?;
    }
    Ok(())
}

/// Creates overlays on the disks of the node `below`, which is relative to `work`.
pub(super) async fn upon(run: &Run<'_>, shape: &Shape, work: &Path, below: &Path) -> Result<()> {
    for (lun, data) in shape.data.iter().enumerate() {
        let (path, below) = (work.join(file_name(lun)), below.join(file_name(lun)));
        disk::create_overlay(run.host, &path, &below, data.bytes)
            .await
            .map_err(|e| machine_error(e.into()))?;
    }
    Ok(())
}

/// The part of the first boot's key that covers them.
pub(super) fn inputs(shape: &Shape) -> Option<(String, String)> {
    let disks = shape.data.len();
    (disks > 0).then(|| ("data disks".to_owned(), guests::system(shape.os).data_disks_input(disks)))
}

/// Names them in a guest that has just booted.
pub(super) async fn name(run: &Run<'_>, shape: &Shape, at: At<'_>) -> Result<()> {
    if shape.data.is_empty() {
        return Ok(());
    }
    let exit = guests::system(shape.os).name_data_disks(at, shape.data.len()).await?;
    if !exit.success() {
        run.cx.events.warn(format!("naming the data disks {exit}; they are there all the same"));
    }
    Ok(())
}
