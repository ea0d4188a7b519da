//! Reports files in the data folder that the database does not know. They are never removed, because it may be the wrong
//! database.

use std::{
    io,
    path::{Path, PathBuf},
};

use api::ErrorCode;
use engine::off_runtime;
use images::{
    absent,
    error::{Coded as _, Result},
    layout::Layout,
    store::Store,
};
use serde::Serialize;
use service::{auth::Identity, blobs, run_folder, server_folder};

use crate::installation;

/// A folder that the database does not know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Unknown {
    /// `storage account`, `run`, `image`.
    pub what: &'static str,
    /// Its path.
    pub path: PathBuf,
    /// Its size on disk.
    pub bytes: u64,
}

/// Finds folders in the data folder that its database does not know. Without a service, there are none.
///
/// # Errors
/// The database cannot be read or belongs to another folder, or the folder cannot be read.
pub async fn unknown(layout: &Layout, database: Option<&str>) -> Result<Vec<Unknown>> {
    let Some(identity) = Identity::read(&server_folder::dir(layout))? else {
        return Ok(Vec::new());
    };
    let url = server_folder::database_url(layout, database);
    installation::check(layout, &url).await?;
    let mut owners = db::file_owners(&url).await.map_err(server_folder::cannot_open)?;
    owners.subscriptions.insert(identity.subscription.to_string());
    let layout = layout.clone();
    let found = off_runtime(move || find(&layout, &owners)).await;
    found.code(ErrorCode::InternalError, || "the data folder cannot be read".to_owned())
}

fn find(layout: &Layout, owners: &db::FileOwners) -> io::Result<Vec<Unknown>> {
    let mut found = Vec::new();
    for (name, path) in folders(&blobs::root(layout))? {
        // A template in creation has its account's name in quotes.
        let is_known =
            owners.accounts.contains(&name) || owners.templates.contains(&format!("\"{name}\""));
        if !is_known {
            found.push(Unknown { what: "storage account", bytes: absent::bytes(&path)?, path });
        }
    }
    for (name, path) in folders(&run_folder::root(layout))? {
        if !owners.runs.contains(&name) {
            found.push(Unknown { what: "run", bytes: absent::bytes(&path)?, path });
        }
    }
    // Images of subscriptions that the service does not have belong to `goldsmith build` and `goldsmith image import`.
    let is_ours =
        |id: &str| id.split('/').nth(2).is_some_and(|id| owners.subscriptions.contains(id));
    for image in Store::open(layout).list().map_err(io::Error::other)? {
        let id = image.record.id.to_lowercase();
        if is_ours(&id) && !owners.images.contains(&id) {
            found.push(Unknown {
                what: "image",
                bytes: absent::bytes(&image.dir)?,
                path: image.dir,
            });
        }
    }
    Ok(found)
}

/// Names in lower case and paths of a folder's entries that are not hidden.
fn folders(root: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    for path in absent::entries(root)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        if !name.starts_with('.') {
            found.push((name, path));
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::fs;

    use super::*;

    #[tokio::test]
    async fn folders_without_a_row_are_listed_with_sizes() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path().join("cache"), dir.path().join("data"));
        assert_eq!(unknown(&layout, None).await.unwrap(), [], "no service was used here");
        images::files::make_dir(&server_folder::dir(&layout)).unwrap();
        let url = server_folder::database_url(&layout, None);
        let (store, _) = installation::open(&layout, &url).await.unwrap();
        let tombstone = |kind, name: &str| db::Write::Tombstone(kind, name.to_owned());
        let tombstones = vec![
            tombstone(db::TombstoneKind::Account, "old"),
            tombstone(db::TombstoneKind::Run, "r1"),
        ];
        store.commit(tombstones).await.unwrap();
        for folder in
            ["storage/old/c", "storage/stray/c", "storage/.partial/x", "runs/r1", "runs/r2"]
        {
            let folder = server_folder::dir(&layout).join(folder);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("file"), [1; 100_000]).unwrap();
        }
        let found = unknown(&layout, None).await.unwrap();
        let names: Vec<_> = found
            .iter()
            .map(|one| (one.what, one.path.file_name().unwrap().to_str().unwrap()))
            .collect();
        assert_eq!(names, [("storage account", "stray"), ("run", "r2")]);
        assert!(found.iter().all(|one| one.bytes >= 100_000), "{found:?}");
        let other = format!("sqlite://{}/other.db", dir.path().display());
        assert!(unknown(&layout, Some(&other)).await.is_err(), "it is not the folder's");
    }
}
