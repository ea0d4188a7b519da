//! Records which files were read and found intact, so that not every use reads them again.
//!
//! ```text
//! verified/<device>-<inode>.json    the digest, the file's attributes and the time of the reading
//! ```
//!
//! A use of a file reads its bytes unless a mark shows that they were read since the host booted,
//! at most [`TRUSTED_FOR`] ago, and that the file's attributes are unchanged: size, modification
//! time and inode change time, which no program can set. So the next use notices a write that
//! restores the modification time, a loss by the disk itself is noticed within a day, and a build
//! without changes opens one small file per image.
//!
//! Marks are named by inode, so all hard links of a file share one. A lost mark costs one read.

use std::{
    fs::{self, File, Metadata},
    io,
    os::unix::fs::{FileExt as _, MetadataExt},
    path::{Path, PathBuf},
    sync::OnceLock,
};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::digest::{self, read_off_runtime};
use crate::{
    absent::{entries, or_none},
    digest::{Digest, Kind},
    error::Result,
    layout::Layout,
    run_context::RunContext,
};

/// How long a file with unchanged attributes is trusted.
pub const TRUSTED_FOR: SignedDuration = SignedDuration::from_hours(24);

/// The attributes of a file, without its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Attributes {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Attributes {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    fn at(path: &Path) -> io::Result<Self> {
        Ok(Self::of(&fs::metadata(path)?))
    }

    /// Whether only a link, a rename or a change of mode can separate the two.
    fn has_content_of(&self, other: &Self) -> bool {
        Self { changed: other.changed, ..*self } == *other
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Mark {
    digest: Digest,
    look: Attributes,
    at: Timestamp,
    boot: String,
}

/// The marks of one cache.
#[derive(Debug, Clone)]
pub struct Verified {
    dir: PathBuf,
}

impl Verified {
    /// The marks of a layout. Their folder is created when first needed.
    pub fn new(layout: &Layout) -> Self {
        Self { dir: layout.verified() }
    }

    /// Whether the file was recently found to have that digest and its attributes are unchanged.
    pub fn holds(&self, path: &Path, digest: &Digest) -> bool {
        let Ok(look) = Attributes::at(path) else { return false };
        self.mark(&look).is_some_and(|mark| mark.look == look && mark.digest == *digest)
    }

    /// Whether the file has that digest, by its mark or by reading it. `false` if the file does not
    /// exist. This may take long; call it off the runtime.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn check(
        &self,
        path: &Path,
        digest: &Digest,
        cancel: &CancellationToken,
        progress: impl FnMut(u64),
    ) -> io::Result<bool> {
        if self.holds(path, digest) {
            return Ok(true);
        }
        Ok(self.read(path, digest.kind(), cancel, progress)?.is_some_and(|found| found == *digest))
    }

    /// Reads the file, marks it with its digest, and returns the digest; `None` if the file does
    /// not exist. This may take long; call it off the runtime.
    ///
    /// # Errors
    /// The file cannot be read, or was changed meanwhile.
    pub fn read(
        &self,
        path: &Path,
        kind: Kind,
        cancel: &CancellationToken,
        progress: impl FnMut(u64),
    ) -> io::Result<Option<Digest>> {
        let Some(file) = or_none(File::open(path))? else { return Ok(None) };
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Ok(None);
        }
        let before = Attributes::of(&metadata);
        let found = digest::of_file(&file, kind, cancel, progress)?;
        let after = Attributes::of(&file.metadata()?);
        if !after.has_content_of(&before) {
            return Err(io::Error::other("it was changed while it was read"));
        }
        // A link that is created meanwhile changes the attributes. Then the file is read once more.
        if after == before {
            self.write(&found, after);
        }
        Ok(Some(found))
    }

    /// Executes a change that affects only the names or the mode of the file at `from`, and
    /// preserves its mark. `to` is its name afterwards.
    ///
    /// # Errors
    /// Those of `change`.
    pub fn keep<T>(
        &self,
        from: &Path,
        to: &Path,
        change: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        let before = Attributes::at(from).ok();
        let mark = before.and_then(|look| self.mark(&look).filter(|mark| mark.look == look));
        let done = change()?;
        if let (Some(mark), Ok(after)) = (mark, Attributes::at(to))
            && after.has_content_of(&mark.look)
        {
            self.put(&Mark { look: after, ..mark });
        }
        Ok(done)
    }

    /// Removes expired marks.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn sweep(&self) -> io::Result<()> {
        for path in entries(&self.dir)? {
            if Self::parse(&path).is_none() {
                let _ = fs::remove_file(path);
            }
        }
        Ok(())
    }

    fn mark(&self, look: &Attributes) -> Option<Mark> {
        Self::parse(&self.file(look))
    }

    /// The mark in a file, if it is still valid.
    fn parse(path: &Path) -> Option<Mark> {
        let mark: Mark = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
        let age = Timestamp::now().duration_since(mark.at);
        // A mark from the future was written with another clock.
        let counts = (SignedDuration::ZERO..TRUSTED_FOR).contains(&age) && mark.boot == boot();
        counts.then_some(mark)
    }

    fn write(&self, digest: &Digest, look: Attributes) {
        let boot = boot().to_owned();
        self.put(&Mark { digest: digest.clone(), look, at: Timestamp::now(), boot });
    }

    /// Not synced: after a power failure no mark is valid anyway.
    fn put(&self, mark: &Mark) {
        let path = self.file(&mark.look);
        let unfinished = path.with_extension(format!("{}.new", uuid::Uuid::now_v7()));
        let written = fs::create_dir_all(&self.dir).and_then(|()| {
            let text = serde_json::to_vec(mark).map_err(io::Error::other)?;
            File::create_new(&unfinished)?.write_all_at(&text, 0)?;
            fs::rename(&unfinished, &path)
        });
        if let Err(e) = written {
            let _ = fs::remove_file(&unfinished);
            tracing::debug!(error = %e, "a file that was verified cannot be marked");
        }
    }

    fn file(&self, look: &Attributes) -> PathBuf {
        self.dir.join(format!("{:x}-{}.json", look.device, look.inode))
    }
}

fn boot() -> &'static str {
    static BOOT: OnceLock<String> = OnceLock::new();
    BOOT.get_or_init(|| vm::boot_id().unwrap_or_default())
}

/// Whether the file has that digest, by its mark or by reading it. Progress is reported as
/// `activity`.
///
/// # Errors
/// The file cannot be read.
pub async fn check(cx: &RunContext, path: &Path, digest: &Digest, activity: &str) -> Result<bool> {
    let verified = Verified::new(&cx.layout);
    let wanted = digest.clone();
    read_off_runtime(cx, path, (activity, "read"), move |path, cancel, progress| {
        verified.check(path, &wanted, cancel, progress)
    })
    .await
}

/// Reads a finished file for its digest, and marks it. Progress is reported as `activity`.
///
/// # Errors
/// The file cannot be read.
pub async fn measure(cx: &RunContext, path: &Path, kind: Kind, activity: &str) -> Result<Digest> {
    let verified = Verified::new(&cx.layout);
    read_off_runtime(cx, path, (activity, "read"), move |path, cancel, progress| {
        let found = verified.read(path, kind, cancel, progress)?;
        found.ok_or_else(|| io::ErrorKind::NotFound.into())
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::fs::FileTimes;

    use super::*;

    struct Scene {
        dir: tempfile::TempDir,
        verified: Verified,
    }

    impl Scene {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let layout = Layout::new(dir.path().join("cache"), dir.path().join("data"));
            fs::write(dir.path().join("disk"), vec![7; 3 << 20]).unwrap();
            Self { verified: Verified::new(&layout), dir }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.dir.path().join(name)
        }

        fn read(&self, name: &str) -> Digest {
            let cancel = CancellationToken::new();
            self.verified.read(&self.path(name), Kind::Sparse, &cancel, |_| {}).unwrap().unwrap()
        }

        /// How often the file is read to check the digest, and whether it matches.
        fn check(&self, name: &str, digest: &Digest) -> (bool, bool) {
            let mut was_read = false;
            let cancel = CancellationToken::new();
            let same = self.verified.check(&self.path(name), digest, &cancel, |_| was_read = true);
            (same.unwrap(), was_read)
        }

        fn edit_mark(&self, edit: impl Fn(&mut Mark)) {
            let path = self.verified.file(&Attributes::at(&self.path("disk")).unwrap());
            let mut mark = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            edit(&mut mark);
            fs::write(path, serde_json::to_vec(&mark).unwrap()).unwrap();
        }
    }

    /// Flips a bit and restores the modification time.
    pub(crate) fn flip(path: &Path) {
        let file = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
        let before = file.metadata().unwrap();
        let mut byte = [0];
        let at = before.len() / 2;
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 1], at).unwrap();
        file.set_times(FileTimes::new().set_modified(before.modified().unwrap())).unwrap();
        assert_eq!(before.modified().unwrap(), file.metadata().unwrap().modified().unwrap());
    }

    #[test]
    fn verified_file_is_not_read_again_under_any_of_its_names() {
        let s = Scene::new();
        let digest = s.read("disk");
        assert_eq!(s.check("disk", &digest), (true, false));
        let (from, to) = (s.path("disk"), s.path("link"));
        s.verified.keep(&from, &to, || fs::hard_link(&from, &to)).unwrap();
        assert_eq!(s.check("link", &digest), (true, false));
        assert_eq!(s.check("disk", &digest), (true, false));
        let other = Digest::Sparse("0".repeat(64));
        assert_eq!(s.check("disk", &other), (false, true));
    }

    #[test]
    fn flipped_bit_with_kept_time_is_found() {
        let s = Scene::new();
        let digest = s.read("disk");
        // Inode times advance in ticks: the change must not be in the tick of the reading.
        let marked = Attributes::at(&s.path("disk")).unwrap();
        while {
            flip(&s.path("disk"));
            Attributes::at(&s.path("disk")).unwrap().changed == marked.changed
        } {}
        flip(&s.path("disk"));
        flip(&s.path("disk"));
        let is_as_made = s.read("disk") == digest;
        if is_as_made {
            flip(&s.path("disk"));
        }
        assert_eq!(s.check("disk", &digest), (false, true));
    }

    #[test]
    fn mark_of_yesterday_the_future_or_an_earlier_boot_is_invalid() {
        let s = Scene::new();
        let digest = s.read("disk");
        let now = Timestamp::now();
        for edit in [
            &|mark: &mut Mark| mark.at = now - TRUSTED_FOR as SignedDuration,
            &|mark: &mut Mark| mark.at = now + SignedDuration::from_hours(1),
            &|mark: &mut Mark| mark.boot = "another".into(),
        ] as [&dyn Fn(&mut Mark); 3]
        {
            s.edit_mark(edit);
            assert_eq!(s.check("disk", &digest), (true, true));
            s.edit_mark(edit);
            s.verified.sweep().unwrap();
            assert_eq!(entries(&s.verified.dir).unwrap().len(), 0);
            s.read("disk");
        }
    }
}
