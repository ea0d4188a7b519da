//! Removes unfinished files of killed processes from the data folder.

use std::io;

use super::{Store, image_dirs, publish::TMP};
use crate::{
    absent::entries,
    files::{partial, work_folder::WorkFolder},
    image_file::artifact,
    layout::Layout,
};

/// Removes unfinished images, VHDs and artifacts whose makers are gone, and returns how many. It
/// never removes finished images: one that was being replaced when the process was killed gets its
/// name back. The unfinished files of living processes stay.
pub fn sweep(layout: &Layout) -> io::Result<usize> {
    let mut removed = 0;
    for dir in entries(&layout.images().join(TMP))? {
        let Ok(Some(work)) = WorkFolder::claim(dir) else { continue };
        if let Err(error) = Store::open(layout).put_back(work.path()) {
            // The folder may contain an image.
            let dir = work.path().display();
            tracing::warn!(%error, %dir, "a work folder of the image store is kept");
            work.leave();
            continue;
        }
        work.remove()?;
        removed += 1;
    }
    for dir in image_dirs(&layout.images())? {
        removed += partial::sweep(&dir)?;
    }
    removed += partial::sweep(&layout.vhds())?;
    removed += artifact::sweep(layout)?;
    Ok(removed)
}
