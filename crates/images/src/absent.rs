//! Access to files and folders that may be absent. Absence is not an error; an unreadable path is.

use std::{
    fs::{self, File, Metadata},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// The result, or `None` if the path does not exist.
pub fn or_none<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// The entries of a folder, by full path; empty if the folder does not exist.
pub fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match or_none(fs::read_dir(folder))? {
        Some(found) => found.map(|entry| Ok(entry?.path())).collect(),
        None => Ok(Vec::new()),
    }
}

/// The same for a path that may be a stray file among folders. A file has no entries.
///
/// # Errors
/// The folder cannot be read.
pub fn entries_of_any(path: &Path) -> io::Result<Vec<PathBuf>> {
    match entries(path) {
        Err(e) if e.kind() == io::ErrorKind::NotADirectory => Ok(Vec::new()),
        other => other,
    }
}

/// What is at a path, links not followed. `None` also if a file is where a folder of it would be.
pub fn at(path: &Path) -> io::Result<Option<Metadata>> {
    match or_none(fs::symlink_metadata(path)) {
        Err(e) if e.kind() == io::ErrorKind::NotADirectory => Ok(None),
        other => other,
    }
}

/// Bytes that a file, or all files below a folder, take on disk. Holes and folders do not count,
/// and neither do files that disappear meanwhile.
pub fn bytes(path: &Path) -> io::Result<u64> {
    match or_none(fs::metadata(path))? {
        Some(meta) if meta.is_dir() => below(path),
        Some(meta) => Ok(meta.blocks() * 512),
        None => Ok(0),
    }
}

fn below(folder: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for path in entries(folder)? {
        match at(&path)? {
            Some(meta) if meta.is_dir() => bytes += below(&path)?,
            Some(meta) => bytes += meta.blocks() * 512,
            None => {}
        }
    }
    Ok(bytes)
}

/// Whether `path` still names the open file.
pub fn same_file(file: &File, path: &Path) -> io::Result<bool> {
    let open = file.metadata()?;
    let named = at(path)?;
    Ok(named.is_some_and(|named| (open.dev(), open.ino()) == (named.dev(), named.ino())))
}

/// Removes a file, if it exists.
pub fn remove_file(path: &Path) -> io::Result<()> {
    or_none(fs::remove_file(path)).map(drop)
}

/// Removes a folder with its content, if it exists.
pub fn remove_tree(folder: &Path) -> io::Result<()> {
    or_none(fs::remove_dir_all(folder)).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_path_is_empty_and_unreadable_path_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let (none, file) = (dir.path().join("none"), dir.path().join("file"));
        fs::write(&file, "x").unwrap();
        assert_eq!(or_none(fs::read(&none)).unwrap(), None);
        assert_eq!(or_none(fs::read(&file)).unwrap().unwrap(), b"x");
        assert_eq!(entries(dir.path()).unwrap(), std::slice::from_ref(&file));
        assert_eq!(entries(&none).unwrap(), Vec::<PathBuf>::new());
        assert_eq!(entries_of_any(&file).unwrap(), Vec::<PathBuf>::new());
        assert!(at(&file.join("below")).unwrap().is_none() && at(&file).unwrap().is_some());
        assert!(entries(&file).is_err());
        remove_file(&none).unwrap();
        remove_tree(&none).unwrap();
        assert_eq!(bytes(&none).unwrap(), 0);

        // A link to itself cannot be read.
        let bad = dir.path().join("loop");
        std::os::unix::fs::symlink(&bad, &bad).unwrap();
        assert!(or_none(fs::read(&bad)).is_err());
        assert!(entries_of_any(&bad).is_err() && bytes(&bad).is_err());
        assert!(remove_file(dir.path()).is_err() && remove_tree(&file).is_err());
    }

    #[test]
    fn bytes_counts_blocks_and_not_holes() {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("a/b");
        fs::create_dir_all(&inner).unwrap();
        assert_eq!(bytes(dir.path()).unwrap(), 0);
        fs::write(inner.join("full"), [1; 10_000]).unwrap();
        fs::File::create(inner.join("hole")).unwrap().set_len(1 << 30).unwrap();
        std::os::unix::fs::symlink(dir.path(), inner.join("up")).unwrap();
        let all = bytes(dir.path()).unwrap();
        assert_eq!(all, bytes(&inner.join("full")).unwrap());
        assert!((10_000..1 << 20).contains(&all), "{all}");
    }
}
