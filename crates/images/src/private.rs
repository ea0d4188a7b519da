//! Keeps goldsmith's files private to its user: disks, scripts and logs may contain secrets.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
    sync::OnceLock,
};

use rustix::{fs::Mode, process::umask};

use crate::layout::Layout;

/// The mode bits of group and others.
const OTHERS: u32 = 0o077;

/// The umask that the process was started with.
static GIVEN: OnceLock<u32> = OnceLock::new();

/// From now on, others cannot read files that this process or its children create. Call it before
/// creating files or threads.
pub fn begin() {
    let given = umask(Mode::from_raw_mode(OTHERS));
    let _ = GIVEN.set(given.as_raw_mode());
}

/// Gives a finished image at a path of the user's choice the mode of the user's own umask.
pub(crate) fn lend(path: &Path) -> io::Result<()> {
    let given = GIVEN.get().copied().unwrap_or(OTHERS);
    fs::set_permissions(path, fs::Permissions::from_mode(0o666 & !given))
}

/// Closes folders that an earlier goldsmith, or another umask, left open to others. Returns what
/// could not be fixed.
pub fn close_folders(layout: &Layout) -> Vec<String> {
    let mut problems = Vec::new();
    for folder in layout.folders() {
        let closed = match fs::metadata(&folder) {
            Ok(meta) if meta.is_dir() && meta.mode() & OTHERS != 0 => {
                fs::set_permissions(&folder, fs::Permissions::from_mode(meta.mode() & 0o700))
            }
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        };
        if let Err(e) = closed {
            problems.push(format!(
                "{} can be read by others, and that cannot be changed: {e}",
                folder.display()
            ));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn own_folders_are_closed_to_others_and_user_folders_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path().join("cache"), dir.path().join("data"));
        let open = |path: &Path| {
            fs::create_dir_all(path).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        };
        open(layout.data());
        open(&layout.downloads());
        open(&layout.images());
        assert_eq!(close_folders(&layout), Vec::<String>::new());
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!((mode(&layout.downloads()), mode(&layout.images())), (0o700, 0o700));
        assert_eq!(mode(layout.data()), 0o755, "it may be any folder of the user's");
    }
}
