//! Finds the data in a sparse file.

use std::{fs::File, io, ops::Range};

use rustix::{
    fs::{SeekFrom, seek},
    io::Errno,
};

/// The ranges of `file` below `size` that hold data. The holes between them read as zeros. If the
/// file system does not report holes, everything is data.
pub fn data_extents(file: &File, size: u64) -> impl Iterator<Item = io::Result<Range<u64>>> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        if at >= size {
            return None;
        }
        let found = next_extent(file, at, size);
        at = match &found {
            Ok(Some(range)) => range.end,
            Ok(None) | Err(_) => size,
        };
        found.transpose()
    })
}

fn next_extent(file: &File, at: u64, size: u64) -> io::Result<Option<Range<u64>>> {
    let start = match seek(file, SeekFrom::Data(at)) {
        Ok(start) => start,
        Err(Errno::NXIO) => return Ok(None),
        Err(Errno::INVAL | Errno::OPNOTSUPP | Errno::NOTTY) => return Ok(Some(at..size)),
        Err(error) => return Err(error.into()),
    };
    if start >= size {
        return Ok(None);
    }
    let end = seek(file, SeekFrom::Hole(start))?.min(size);
    Ok(Some(start..end))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    #[test]
    fn data_extents_cover_data_and_skip_holes() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(64 << 20).unwrap();
        file.write_all_at(&[1; 4096], 8 << 20).unwrap();
        file.write_all_at(&[2; 10], (64 << 20) - 10).unwrap();
        let extents: Vec<_> = data_extents(&file, 64 << 20).map(Result::unwrap).collect();
        let covered: u64 = extents.iter().map(|r| r.end - r.start).sum();
        assert!(covered < 2 << 20, "holes are left out: {extents:?}");
        assert!(extents.iter().any(|r| r.contains(&(8 << 20))));
        assert!(extents.iter().any(|r| r.contains(&((64 << 20) - 1))));
    }

    #[test]
    fn empty_file_and_pure_hole_have_no_data() {
        let file = tempfile::tempfile().unwrap();
        assert_eq!(data_extents(&file, 0).count(), 0);
        file.set_len(1 << 20).unwrap();
        assert_eq!(data_extents(&file, 1 << 20).count(), 0);
    }
}
