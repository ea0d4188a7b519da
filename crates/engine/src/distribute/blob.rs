//! A VHD at an address of one's own: the blob of a storage account that `goldsmith.toml` gives a place.
//!
//! It appears at once, when all of it is there: a folder gets it by one rename, with its holes; an object store by the
//! end of an upload in parts. It is replaced if it is there, as in Azure. Doing it again for the same disk does
//! nothing. `<blob>.json` beside it has the tags, and where the disk is from.

use std::path::PathBuf;

use images::{config::Place, error::Result, image_file::artifact::Artifact};
use regions::{Blob, upload};

use super::{Work, folder};

/// Writes the VHD there, with what describes it beside it. Gives the file where the account is a folder.
pub(super) async fn write(
    work: Work<'_>,
    blob: &Blob<'_>,
    vhd: &Artifact,
    description: Option<Vec<u8>>,
) -> Result<Option<PathBuf>> {
    let Blob { account, container, name } = blob;
    // A folder that is not mounted is not made.
    let store = regions::open(&account.place)?;
    match &account.place {
        Place::Folder(folder) => {
            let path = folder.join(container).join(name);
            folder::write(work, &path, vhd, description).await?;
            Ok(Some(path))
        }
        Place::Url(_) => {
            let path = format!("{container}/{name}");
            upload::write(work.cx, store.as_ref(), path, vhd, description).await?;
            Ok(None)
        }
    }
}
