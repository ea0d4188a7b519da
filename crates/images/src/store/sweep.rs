//! Removes unfinished files of killed processes from the data folder.

use std::{
    fs::{self, File},
    io,
};

use super::{Store, image_dirs, publish::TMP};
use crate::{
    absent::{entries, or_none, same_file},
    image_file::{artifact, partial},
    layout::Layout,
};

/// Removes unfinished images, VHDs and artifacts whose makers are gone, and returns how many. It
/// never removes finished images: one that was being replaced when the process was killed gets its
/// name back. The unfinished files of living processes stay.
pub fn sweep(layout: &Layout) -> io::Result<usize> {
    let mut removed = 0;
    for dir in entries(&layout.images().join(TMP))? {
        let Ok(lock) = File::open(&dir) else { continue };
        if lock.try_lock().is_ok() && same_file(&lock, &dir)? {
            if let Err(error) = Store::open(layout).put_back(&dir) {
                // The folder may contain an image.
                tracing::warn!(%error, dir = %dir.display(), "a work folder of the image store is kept");
                continue;
            }
            removed += usize::from(or_none(fs::remove_dir_all(&dir))?.is_some());
        }
    }
    for dir in image_dirs(&layout.images())? {
        removed += partial::sweep(&dir)?;
    }
    removed += partial::sweep(&layout.vhds())?;
    removed += artifact::sweep(layout)?;
    Ok(removed)
}
