//! Work folders for incomplete source images and downloads, `sources/.work-<uuid>/`.
//!
//! Dropping one removes it, in the background if a bootstrap has begun in it. If its maker was
//! killed, [`sweep`] removes it.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use images::{
    absent::{entries, remove_tree},
    files::{sync_parent, work_folder},
    layout::Layout,
};
use tokio::{runtime::Handle, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use vm::{may_wait, off_runtime, proc::Command};

const PREFIX: &str = ".work-";
/// The limit of a removal that a caller waits for.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often the removal of a folder is retried while processes still write to it, and the pause.
const TRIES: u32 = 50;
const PAUSE: Duration = Duration::from_millis(200);

/// A private folder on the cache's file system, so that its content can be renamed into place.
#[derive(Debug)]
pub(crate) struct WorkFolder {
    path: PathBuf,
    /// `None` once the folder has another name or is being removed.
    folder: Option<work_folder::WorkFolder>,
}

impl WorkFolder {
    pub(crate) fn make(layout: &Layout) -> io::Result<Self> {
        let folder = may_wait(|| work_folder::WorkFolder::make(&layout.sources(), PREFIX))?;
        Ok(Self { path: folder.path().to_owned(), folder: Some(folder) })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Renames the whole folder to `to`. `false` if another process was first.
    pub(crate) fn rename(mut self, to: &Path) -> io::Result<bool> {
        for entry in fs::read_dir(&self.path)? {
            File::open(entry?.path())?.sync_all()?;
        }
        File::open(&self.path)?.sync_all()?;
        match fs::rename(&self.path, to) {
            Err(e) if matches!(e.kind(), io::ErrorKind::DirectoryNotEmpty) => return Ok(false),
            renamed => renamed?,
        }
        if let Some(folder) = self.folder.take() {
            folder.leave();
        }
        sync_parent(to).map(|()| true)
    }

    /// Removes it, including content of other users (see [`remove`]). A removal that takes longer
    /// than a moment continues in the background.
    pub(crate) async fn remove(mut self) -> io::Result<()> {
        let Some(removal) = self.begin_to_remove() else { return Ok(()) };
        match tokio::time::timeout(PATIENCE, removal).await {
            Ok(removed) => removed.map_err(io::Error::other).flatten(),
            Err(_) => Ok(()),
        }
    }

    /// `None` without a runtime, or if there is nothing to remove.
    fn begin_to_remove(&mut self) -> Option<JoinHandle<io::Result<()>>> {
        let runtime = Handle::try_current().ok()?;
        Some(runtime.spawn(remove(self.folder.take()?)))
    }
}

impl Drop for WorkFolder {
    /// A canceled step drops it on a thread of the runtime. An incomplete system is tens of
    /// thousands of files, whose removal takes most of a minute on a busy disk, so the drop does
    /// not wait for it.
    fn drop(&mut self) {
        if has_folders(&self.path) {
            self.begin_to_remove();
        }
    }
}

fn has_folders(path: &Path) -> bool {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.into_iter().any(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
}

/// Removes the work folders of killed processes and returns how many.
pub(crate) async fn sweep(layout: &Layout) -> io::Result<usize> {
    let parent = layout.sources();
    let orphans = off_runtime(move || orphans(&parent)).await?;
    let count = orphans.len();
    for folder in orphans {
        remove(folder).await?;
    }
    Ok(count)
}

/// Abandoned work folders.
fn orphans(parent: &Path) -> io::Result<Vec<work_folder::WorkFolder>> {
    let mut orphans = Vec::new();
    for path in entries(parent)? {
        let name = path.file_name().and_then(|name| name.to_str());
        if name.is_some_and(|name| name.starts_with(PREFIX)) {
            orphans.extend(work_folder::WorkFolder::claim(path)?);
        }
    }
    Ok(orphans)
}

/// Removes a folder. Its lock is held until the removal is complete, so that another process's
/// [`sweep`] takes only the leftovers of an ended process. Without root, a killed bootstrap leaves
/// files of subordinate users behind, which can be removed only in a user namespace.
async fn remove(folder: work_folder::WorkFolder) -> io::Result<()> {
    let path = folder.path();
    let removed = match remove_all(path).await {
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => remove_as_root(path).await,
        other => other,
    };
    folder.leave();
    removed
}

async fn remove_as_root(path: &Path) -> io::Result<()> {
    let command = Command::new("unshare")
        .args(["--user", "--map-root-user", "--map-auto", "--", "rm", "-rf", "--"])
        .arg(path);
    let limit = Duration::from_secs(60);
    match command.run(&CancellationToken::new(), Some(limit)).await {
        Ok(_) => Ok(()),
        Err(error) => Err(io::Error::other(format!("cannot remove {}: {error}", path.display()))),
    }
}

/// The processes of a killed bootstrap may write for a moment longer: the kernel ends them one by
/// one.
async fn remove_all(path: &Path) -> io::Result<()> {
    let mut tries = 0;
    loop {
        let folder = path.to_owned();
        match off_runtime(move || remove_tree(&folder)).await {
            Err(e) if e.kind() == io::ErrorKind::DirectoryNotEmpty && tries < TRIES => {
                tries += 1;
                tokio::time::sleep(PAUSE).await;
            }
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout() -> (tempfile::TempDir, Layout) {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path().join("cache"), folder.path().join("data"));
        (folder, layout)
    }

    fn left(layout: &Layout) -> usize {
        entries(&layout.sources()).unwrap().iter().filter(|path| path.is_dir()).count()
    }

    /// Waits until at most `count` are left.
    async fn gone(layout: &Layout, count: usize) {
        let gone = async {
            while left(layout) > count {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), gone).await.unwrap();
    }

    #[tokio::test]
    async fn sweep_removes_only_folders_of_dead_processes() {
        let (_folder, layout) = layout();
        let alive = WorkFolder::make(&layout).unwrap();
        fs::write(alive.path().join("disk.raw"), "half").unwrap();
        let dead = layout.sources().join(".work-of-a-killed-process");
        fs::create_dir_all(dead.join("root/etc")).unwrap();
        fs::create_dir_all(layout.sources().join("0123abcd")).unwrap();

        assert_eq!(sweep(&layout).await.unwrap(), 1);
        assert!(!dead.exists() && alive.path().join("disk.raw").exists());
        assert_eq!(left(&layout), 2, "the image and the living one");
        drop(alive);
        gone(&layout, 1).await;
        assert_eq!(sweep(&layout).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn drop_does_not_wait_for_the_removal() {
        let (_folder, layout) = layout();
        let work = WorkFolder::make(&layout).unwrap();
        fs::create_dir_all(work.path().join("root/etc")).unwrap();
        drop(work);
        // The removal is a task, and the only thread of this runtime has not yielded yet.
        assert_eq!(left(&layout), 1);
        assert_eq!(sweep(&layout).await.unwrap(), 0, "it is not an orphan");
        gone(&layout, 0).await;
        let work = WorkFolder::make(&layout).unwrap();
        work.remove().await.unwrap();
        // Usually immediate; in the background on a busy host.
        gone(&layout, 0).await;
    }

    #[tokio::test]
    async fn sweep_without_folders_creates_nothing() {
        let (_folder, layout) = layout();
        assert_eq!(sweep(&layout).await.unwrap(), 0);
        assert!(!layout.sources().exists());
    }

    #[test]
    fn second_rename_does_not_replace_the_first() {
        let (_folder, layout) = layout();
        let to = layout.sources().join("digest");
        for (content, won) in [("first", true), ("second", false)] {
            let work = WorkFolder::make(&layout).unwrap();
            fs::write(work.path().join("disk"), content).unwrap();
            assert_eq!(work.rename(&to).unwrap(), won);
        }
        assert_eq!(fs::read_to_string(to.join("disk")).unwrap(), "first");
        assert_eq!(left(&layout), 1);
    }
}
