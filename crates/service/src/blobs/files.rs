//! The files of blobs.

use std::{
    fs::{self, File, Metadata},
    io,
    path::{Path, PathBuf},
};

use engine::{may_wait, off_runtime};
use images::{
    absent,
    files::rename,
    image_file::{place, verified::Verified},
    layout::Layout,
};
use tokio_util::sync::CancellationToken;

use super::{Blob, Entry, is_account, is_blob, is_container, root};

/// The folder of unfinished files. Not a valid name of a container.
const PARTIAL: &str = ".partial";
/// The folder of accounts to remove. Only a tombstone moves an account here.
const REMOVED: &str = ".removed";

/// The file of a blob.
///
/// # Errors
/// The name cannot be part of a path.
fn path(layout: &Layout, blob: &Blob) -> io::Result<PathBuf> {
    let is_good = is_account(&blob.account) && is_container(&blob.container) && is_blob(&blob.name);
    if !is_good {
        let text = format!("{blob:?} cannot name a blob");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    Ok(root(layout).join(&blob.account).join(&blob.container).join(&blob.name))
}

/// Creates or replaces a blob from a file, which stays: by a link where the file system allows, else by a
/// copy.
pub async fn put(layout: &Layout, blob: &Blob, from: &Path) -> io::Result<()> {
    let (to, from, root) = (path(layout, blob)?, from.to_owned(), root(layout));
    let verified = Verified::new(layout);
    off_runtime(move || {
        let partial = root.join(PARTIAL).join(uuid::Uuid::now_v7().to_string());
        fs::create_dir_all(root.join(PARTIAL))?;
        // A link keeps the verification of its image.
        verified.keep(&from, &to, || {
            if fs::hard_link(&from, &partial).is_err() {
                let copy = File::create_new(&partial)?;
                // Preserves holes, of which a fixed VHD mostly consists.
                place::copy(&from, &copy, &CancellationToken::new())?;
                copy.sync_all()?;
            }
            fs::create_dir_all(to.parent().unwrap_or(&to))?;
            rename(&partial, &to).inspect_err(|_| drop(fs::remove_file(&partial)))
        })
    })
    .await
}

/// Moves a file to a blob. Success if the file is missing and the blob exists, as after an earlier move.
pub async fn take(layout: &Layout, blob: &Blob, from: &Path) -> io::Result<()> {
    let to = path(layout, blob)?;
    if may_wait(|| Ok::<_, io::Error>(!from.try_exists()? && to.try_exists()?))? {
        return Ok(());
    }
    put(layout, blob, from).await?;
    let from = from.to_owned();
    off_runtime(move || fs::remove_file(from)).await
}

/// Moves an account with its blobs away by one rename, if it has any.
pub(crate) fn put_account_aside(layout: &Layout, account: &str) -> io::Result<()> {
    if !is_account(account) {
        return Ok(());
    }
    let aside = root(layout).join(REMOVED);
    fs::create_dir_all(&aside)?;
    let from = root(layout).join(account);
    absent::or_none(fs::rename(from, aside.join(uuid::Uuid::now_v7().to_string()))).map(drop)
}

/// Removes the accounts that were moved away.
pub(crate) async fn remove_put_aside(layout: &Layout) -> io::Result<()> {
    let folder = root(layout).join(REMOVED);
    off_runtime(move || {
        absent::entries(&folder)?.iter().try_for_each(|path| absent::remove_tree(path))
    })
    .await
}

/// Removes unfinished files of an earlier process.
pub async fn remove_unfinished(layout: &Layout) -> io::Result<()> {
    let folder = root(layout).join(PARTIAL);
    off_runtime(move || absent::remove_tree(&folder)).await
}

/// The containers with files.
pub(super) async fn containers(layout: &Layout, account: &str) -> io::Result<Vec<String>> {
    let folder = root(layout).join(account);
    off_runtime(move || {
        let mut names = Vec::new();
        for path in absent::entries(&folder)? {
            let name = name_of(&path).unwrap_or_default();
            if is_container(name) && absent::at(&path)?.is_some_and(|meta| meta.is_dir()) {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    })
    .await
}

/// The blobs of a container, sorted by name; `None` if the container does not exist.
pub(super) async fn list(
    layout: &Layout,
    account: &str,
    container: &str,
) -> io::Result<Option<Vec<Entry>>> {
    let folder = root(layout).join(account).join(container);
    off_runtime(move || {
        if !folder.is_dir() {
            return Ok(None);
        }
        let mut found = Vec::new();
        walk(&folder, "", &mut found)?;
        found.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(Some(found))
    })
    .await
}

/// One blob. The caller has checked the names.
pub(super) async fn find(
    layout: &Layout,
    account: &str,
    container: &str,
    name: &str,
) -> io::Result<Option<Entry>> {
    let (path, name) = (root(layout).join(account).join(container).join(name), name.to_owned());
    off_runtime(move || entry(path, name)).await
}

/// A file as a blob; `None` for folders and links.
pub(super) fn entry(path: PathBuf, name: String) -> io::Result<Option<Entry>> {
    match absent::at(&path)?.filter(Metadata::is_file) {
        Some(meta) => Ok(Some(Entry { name, bytes: meta.len(), modified: meta.modified()?, path })),
        None => Ok(None),
    }
}

fn walk(folder: &Path, prefix: &str, found: &mut Vec<Entry>) -> io::Result<()> {
    for path in absent::entries(folder)? {
        let Some(own) = name_of(&path) else { continue };
        let name = format!("{prefix}{own}");
        // Removed meanwhile.
        let Some(meta) = absent::at(&path)? else { continue };
        if meta.is_dir() {
            walk(&path, &format!("{name}/"), found)?;
        } else {
            found.extend(entry(path, name)?);
        }
    }
    Ok(())
}

pub(super) fn name_of(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blob(name: &str) -> Blob {
        Blob { account: "acc".into(), container: "shell".into(), name: name.into() }
    }

    #[tokio::test]
    async fn blob_is_put_replaced_listed_and_removed() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path().join("cache"), dir.path().join("data"));
        let from = dir.path().join("from");
        fs::write(&from, "one").unwrap();
        for name in ["b/x.sh", "a.sh", "b/x.sh"] {
            put(&layout, &blob(name), &from).await.unwrap();
        }
        let all = list(&layout, "acc", "shell").await.unwrap().unwrap();
        let names: Vec<_> = all.iter().map(|entry| (entry.name.as_str(), entry.bytes)).collect();
        assert_eq!(names, [("a.sh", 3), ("b/x.sh", 3)]);
        assert_eq!(containers(&layout, "acc").await.unwrap(), ["shell"]);
        assert_eq!(fs::read_dir(root(&layout).join(PARTIAL)).unwrap().count(), 0);
        assert!(find(&layout, "acc", "shell", "b").await.unwrap().is_none(), "a folder");
        assert!(find(&layout, "acc", "shell", "a.sh/x").await.unwrap().is_none());
        assert!(list(&layout, "acc", "none").await.unwrap().is_none());

        take(&layout, &blob("c.sh"), &from).await.unwrap();
        assert!(!from.exists());
        take(&layout, &blob("c.sh"), &from).await.unwrap();
        assert!(take(&layout, &blob("d.sh"), &from).await.is_err());
        put_account_aside(&layout, "acc").unwrap();
        put_account_aside(&layout, "acc").unwrap();
        remove_put_aside(&layout).await.unwrap();
        assert_eq!(fs::read_dir(root(&layout).join(REMOVED)).unwrap().count(), 0);
        assert!(list(&layout, "acc", "shell").await.unwrap().is_none());
    }

    #[tokio::test]
    async fn name_with_path_traversal_is_rejected() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path().join("cache"), dir.path().join("data"));
        let from = dir.path().join("from");
        fs::write(&from, "one").unwrap();
        let bad = [
            blob("../x"),
            Blob { container: "..".into(), ..blob("x") },
            Blob { account: "../..".into(), ..blob("x") },
        ];
        for blob in bad {
            let error = put(&layout, &blob, &from).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{blob:?}");
        }
        put_account_aside(&layout, "..").unwrap();
        assert!(from.exists());
    }
}
