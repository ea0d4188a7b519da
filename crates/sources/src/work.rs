//! Work folders: where a source image or a download is until it is complete.
//!
//! ```text
//! sources/.work-<uuid>/   locked by its maker for as long as it lives
//! sources/.gate           held while a work folder is made, or looked for: milliseconds
//! ```
//!
//! Dropping one removes it, in the background where a bootstrap has begun in it. When its maker was killed its lock is free, and [`sweep`] removes it.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use images::{absent::entries, layout::Layout, lock::Lock};
use tokio::{runtime::Handle, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use vm::{may_wait, off_runtime, proc::Command};

const PREFIX: &str = ".work-";
/// For a removal that somebody waits for.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often a folder is tried that is still being written to, and how long between.
const TRIES: u32 = 50;
const PAUSE: Duration = Duration::from_millis(200);

/// A folder of our own on the cache's file system, so that what is in it can be renamed into place.
#[derive(Debug)]
pub(crate) struct WorkFolder {
    path: PathBuf,
    /// None once it is somebody else's, or being removed.
    lock: Option<File>,
}

impl WorkFolder {
    /// Makes one, off the runtime: the gate may be held.
    pub(crate) async fn make(layout: &Layout) -> io::Result<Self> {
        let layout = layout.clone();
        off_runtime(move || Self::create(&layout)).await
    }

    fn create(layout: &Layout) -> io::Result<Self> {
        let parent = layout.sources();
        fs::create_dir_all(&parent)?;
        let _gate = gate(&parent)?;
        let path = parent.join(format!("{PREFIX}{}", Uuid::now_v7()));
        fs::create_dir(&path)?;
        let lock = File::open(&path)?;
        // Nobody looks for work folders while the gate is held, so nobody else has it.
        lock.try_lock()?;
        Ok(Self { path, lock: Some(lock) })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The whole folder becomes `to`. `false` if somebody else was first.
    pub(crate) fn rename(mut self, to: &Path) -> io::Result<bool> {
        for entry in fs::read_dir(&self.path)? {
            File::open(entry?.path())?.sync_all()?;
        }
        File::open(&self.path)?.sync_all()?;
        match fs::rename(&self.path, to) {
            Ok(()) => self.lock = None,
            Err(e) if matches!(e.kind(), io::ErrorKind::DirectoryNotEmpty) => return Ok(false),
            Err(e) => return Err(e),
        }
        to.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())?;
        Ok(true)
    }

    /// Removes it, with what in it belongs to others (see [`remove`]), as far as that is a matter of
    /// moments; what takes longer goes on behind the caller's back.
    pub(crate) async fn remove(mut self) -> io::Result<()> {
        let Some(removal) = self.begin_to_remove() else { return Ok(()) };
        match tokio::time::timeout(PATIENCE, removal).await {
            Ok(removed) => removed.map_err(io::Error::other).flatten(),
            Err(_) => Ok(()),
        }
    }

    /// The lock is held until all is gone, so that another process's [`sweep`] takes only what this one leaves when
    /// it ends. None without a runtime, or if there is nothing to remove.
    fn begin_to_remove(&mut self) -> Option<JoinHandle<io::Result<()>>> {
        let runtime = Handle::try_current().ok()?;
        let (lock, path) = (self.lock.take()?, self.path.clone());
        Some(runtime.spawn(async move {
            let _lock = lock;
            remove(&path).await
        }))
    }
}

impl Drop for WorkFolder {
    /// A step that is canceled drops it, on a thread that others need. A half-made system is tens of thousands of
    /// files, which take the better part of a minute on a busy disk: nobody waits for those.
    fn drop(&mut self) {
        let is_removed = has_folders(&self.path) && self.begin_to_remove().is_some();
        if !is_removed && self.lock.is_some() {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

fn has_folders(path: &Path) -> bool {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.into_iter().any(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
}

/// Removes the work folders of killed processes; returns how many.
pub(crate) async fn sweep(layout: &Layout) -> io::Result<usize> {
    let parent = layout.sources();
    if !may_wait(|| parent.is_dir()) {
        return Ok(0);
    }
    let orphans = off_runtime(move || orphans(&parent)).await?;
    for (path, _lock) in &orphans {
        remove(path).await?;
    }
    Ok(orphans.len())
}

/// What nobody works in, locked.
fn orphans(parent: &Path) -> io::Result<Vec<(PathBuf, File)>> {
    let mut orphans = Vec::new();
    let _gate = gate(parent)?;
    for path in entries(parent)? {
        let name = path.file_name().and_then(|name| name.to_str());
        if name.is_some_and(|name| name.starts_with(PREFIX)) {
            let lock = File::open(&path)?;
            if lock.try_lock().is_ok() {
                orphans.push((path, lock));
            }
        }
    }
    Ok(orphans)
}

fn gate(parent: &Path) -> io::Result<Lock> {
    Lock::take_blocking(&parent.join(".gate"))
}

/// Removes a folder. Without root, a bootstrap leaves files of subordinate users behind when it is
/// killed; these only go from within a user name space.
async fn remove(path: &Path) -> io::Result<()> {
    match remove_all(path).await {
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {}
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => return other,
    }
    let command = Command::new("unshare")
        .args(["--user", "--map-root-user", "--map-auto", "--", "rm", "-rf", "--"])
        .arg(path);
    let limit = Duration::from_secs(60);
    match command.run(&CancellationToken::new(), Some(limit)).await {
        Ok(_) => Ok(()),
        Err(error) => Err(io::Error::other(format!("cannot remove {}: {error}", path.display()))),
    }
}

/// The processes of a bootstrap that was killed may write for a moment longer: the kernel ends them one by one.
async fn remove_all(path: &Path) -> io::Result<()> {
    let mut tries = 0;
    loop {
        let folder = path.to_owned();
        match off_runtime(move || fs::remove_dir_all(folder)).await {
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

    /// Until no more than so many are left.
    async fn gone(layout: &Layout, count: usize) {
        let gone = async {
            while left(layout) > count {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), gone).await.unwrap();
    }

    #[tokio::test]
    async fn the_folders_of_the_dead_go_and_those_of_the_living_stay() {
        let (_folder, layout) = layout();
        let alive = WorkFolder::create(&layout).unwrap();
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
    async fn whoever_drops_one_does_not_wait_for_its_removal() {
        let (_folder, layout) = layout();
        let work = WorkFolder::create(&layout).unwrap();
        fs::create_dir_all(work.path().join("root/etc")).unwrap();
        drop(work);
        // The removal is a task, and this runtime has one thread, which has not been given up yet.
        assert_eq!(left(&layout), 1);
        assert_eq!(sweep(&layout).await.unwrap(), 0, "it is no orphan");
        gone(&layout, 0).await;
        let work = WorkFolder::create(&layout).unwrap();
        work.remove().await.unwrap();
        // At once as a rule, and behind our back on a machine that is busy.
        gone(&layout, 0).await;
    }

    #[tokio::test]
    async fn nothing_to_sweep_makes_nothing() {
        let (_folder, layout) = layout();
        assert_eq!(sweep(&layout).await.unwrap(), 0);
        assert!(!layout.sources().exists());
    }

    #[test]
    fn whoever_comes_second_does_not_replace_the_first() {
        let (_folder, layout) = layout();
        let to = layout.sources().join("digest");
        for (content, won) in [("first", true), ("second", false)] {
            let work = WorkFolder::create(&layout).unwrap();
            fs::write(work.path().join("disk"), content).unwrap();
            assert_eq!(work.rename(&to).unwrap(), won);
        }
        assert_eq!(fs::read_to_string(to.join("disk")).unwrap(), "first");
        assert_eq!(left(&layout), 1);
    }
}
