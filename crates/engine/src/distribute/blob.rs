//! A VHD at an address of the template's choice: a blob of a storage account that has a place in
//! `goldsmith.toml`.
//!
//! It appears when it is complete: in a folder by one rename, with its holes; in an object store at
//! the end of an upload in parts. An existing blob is replaced, as in Azure. A repetition for the
//! same disk does nothing. `<blob>.json` beside it contains the tags and the disk's origin.

use std::path::PathBuf;

use images::{config::StorageLocation, error::Result, image_file::artifact::Artifact};
use regions::{Blob, upload};

use super::{Work, folder};

/// Writes the VHD and its description. Returns the file if the account's place is a folder.
pub(super) async fn write(
    work: Work<'_>,
    blob: &Blob<'_>,
    vhd: &Artifact,
    description: Option<Vec<u8>>,
) -> Result<Option<PathBuf>> {
    let Blob { account, container, name } = blob;
    // A folder that is not mounted is not created.
    let store = regions::open(&account.place)?;
    match &account.place {
        StorageLocation::Folder(folder) => {
            let path = folder.join(container).join(name);
            folder::write(work, &path, vhd, description).await?;
            Ok(Some(path))
        }
        StorageLocation::Url(_) => {
            let path = format!("{container}/{name}");
            upload::write(work.cx, store.as_ref(), path, vhd, description).await?;
            Ok(None)
        }
    }
}
