//! Work folders: where a source image or a download is until it is complete.
//!
//! ```text
//! sources/.work-<uuid>/   locked by its maker for as long as it lives
//! sources/.gate           held while a work folder is made, or looked for: milliseconds
//! ```
//!
//! Dropping one removes it. When its maker was killed its lock is free, and [`sweep`] removes it.

use std::{
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use vm::proc::Command;

use crate::{image_file::partial::entries, layout::Layout};

const PREFIX: &str = ".work-";

/// A folder of our own on the cache's file system, so that what is in it can be renamed into place.
#[derive(Debug)]
pub(crate) struct WorkFolder {
    path: PathBuf,
    _lock: File,
}

impl WorkFolder {
    pub(crate) fn create(layout: &Layout) -> io::Result<Self> {
        let parent = layout.sources();
        fs::create_dir_all(&parent)?;
        let _gate = gate(&parent)?;
        let path = parent.join(format!("{PREFIX}{}", Uuid::now_v7()));
        fs::create_dir(&path)?;
        let lock = File::open(&path)?;
        lock.lock()?;
        Ok(Self { path, _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The whole folder becomes `to`. `false` if somebody else was first.
    pub(crate) fn rename(self, to: &Path) -> io::Result<bool> {
        for entry in fs::read_dir(&self.path)? {
            File::open(entry?.path())?.sync_all()?;
        }
        File::open(&self.path)?.sync_all()?;
        match fs::rename(&self.path, to) {
            Ok(()) => {}
            Err(e) if matches!(e.kind(), io::ErrorKind::DirectoryNotEmpty) => return Ok(false),
            Err(e) => return Err(e),
        }
        to.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())?;
        Ok(true)
    }

    /// Removes it, with what in it belongs to others (see [`remove`]).
    pub(crate) async fn remove(self) -> io::Result<()> {
        remove(&self.path).await
    }
}

impl Drop for WorkFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Removes the work folders of killed processes; returns how many.
pub(super) async fn sweep(layout: &Layout) -> io::Result<usize> {
    let parent = layout.sources();
    if !parent.is_dir() {
        return Ok(0);
    }
    let mut orphans = Vec::new();
    {
        let _gate = gate(&parent)?;
        for path in entries(&parent)? {
            let name = path.file_name().and_then(|name| name.to_str());
            if name.is_some_and(|name| name.starts_with(PREFIX)) {
                let lock = File::open(&path)?;
                if lock.try_lock().is_ok() {
                    orphans.push((path, lock));
                }
            }
        }
    }
    for (path, _lock) in &orphans {
        remove(path).await?;
    }
    Ok(orphans.len())
}

fn gate(parent: &Path) -> io::Result<File> {
    let gate =
        OpenOptions::new().create(true).truncate(false).write(true).open(parent.join(".gate"))?;
    gate.lock()?;
    Ok(gate)
}

/// Removes a folder. Without root, a bootstrap leaves files of subordinate users behind when it is
/// killed; these only go from within a user name space.
async fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
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
        assert_eq!(left(&layout), 1);
        assert_eq!(sweep(&layout).await.unwrap(), 0);
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
