//! The footer of a fixed VHD: the last 512 bytes of the file, all numbers big-endian.
//!
//! ```text
//!  0 "conectix"   8 features  12 version   16 data offset   24 time stamp  28 creator application
//! 32 its version  36 its host 40 original  48 current size  56 geometry    60 disk type
//! 64 checksum     68 unique id
//! ```

use std::{fs::File, io, os::unix::fs::FileExt, path::Path};

use api::ErrorCode;
use vm::may_wait;

use crate::error::{Error, Result, io_fault};

/// Bytes of the footer.
pub const LENGTH: u64 = 512;
/// Azure requires a disk size that is a multiple of this.
pub const ALIGNMENT: u64 = 1 << 20;

/// The largest disk of a VHD: the format counts sectors in 32 bits, and QEMU leaves some out.
pub const MOST: u64 = 2040 << 30;

const COOKIE: &[u8; 8] = b"conectix";
const FIXED: u32 = 2;

/// The properties in the footer of a fixed VHD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Footer {
    /// Four letters, from which readers decide whether the size or the geometry counts.
    pub creator: [u8; 4],
    pub original_size: u64,
    /// Size of the disk that the guest sees, in bytes.
    pub current_size: u64,
    pub cylinders: u16,
    pub heads: u8,
    pub sectors_per_track: u8,
    pub unique_id: [u8; 16],
}

impl Footer {
    /// Parses a footer. The error names the invalid field.
    pub fn parse(bytes: &[u8; LENGTH as usize]) -> Result<Self, String> {
        if &bytes[..8] != COOKIE {
            return Err("it has no VHD footer (cookie)".into());
        }
        let (written, computed) = (be32(bytes, 64), checksum(bytes));
        if written != computed {
            return Err(format!("checksum is {written:#010x}, computed {computed:#010x}"));
        }
        if be32(bytes, 12) != 0x0001_0000 {
            return Err(format!("format version is {:#010x}", be32(bytes, 12)));
        }
        if be32(bytes, 60) != FIXED {
            return Err(format!("disk type is {}, a fixed disk has {FIXED}", be32(bytes, 60)));
        }
        if be64(bytes, 16) != u64::MAX {
            return Err(format!("data offset is {:#x}, a fixed disk has none", be64(bytes, 16)));
        }
        Ok(Self {
            creator: array(bytes, 28),
            original_size: be64(bytes, 40),
            current_size: be64(bytes, 48),
            cylinders: u16::from_be_bytes(array(bytes, 56)),
            heads: bytes[58],
            sectors_per_track: bytes[59],
            unique_id: array(bytes, 68),
        })
    }

    /// Whether every reader takes the disk size from the footer's size field. Some compute it from
    /// the geometry unless they know the creator or the geometry is the maximum.
    fn size_counts(&self) -> bool {
        const KNOWN: [&[u8; 4]; 5] = [b"win ", b"qem2", b"d2v ", b"tap\0", b"CTXS"];
        let geometry = u64::from(self.cylinders)
            * u64::from(self.heads)
            * u64::from(self.sectors_per_track)
            * 512;
        KNOWN.contains(&&self.creator)
            || geometry == 65535 * 16 * 255 * 512
            || geometry == self.current_size
    }
}

/// Checks that the file is a fixed VHD that Azure accepts and that it holds a disk of `disk_size`
/// bytes, rounded up to a whole MiB.
///
/// # Errors
/// `ExportFailed`: it has no footer, or the footer of another disk.
pub fn verify(path: &Path, disk_size: u64) -> Result<Footer> {
    may_wait(|| {
        let wrong = |what: String| {
            Error::new(
                ErrorCode::ExportFailed,
                format!("{} is not a sound VHD: {what}", path.display()),
            )
        };
        let (bytes, length) = read(path).map_err(|e| {
            io_fault(e, ErrorCode::ExportFailed, format!("read the footer of {}", path.display()))
        })?;
        let footer = Footer::parse(&bytes).map_err(wrong)?;
        let expected = disk_size.next_multiple_of(ALIGNMENT);
        if footer.current_size != expected {
            return Err(wrong(format!("its size is {}, expected {expected}", footer.current_size)));
        }
        if length != expected + LENGTH {
            return Err(wrong(format!(
                "the file has {length} bytes, expected {}",
                expected + LENGTH
            )));
        }
        if footer.original_size != footer.current_size || !footer.size_counts() {
            return Err(wrong(format!("readers disagree about its size: {footer:?}")));
        }
        Ok(footer)
    })
}

fn read(path: &Path) -> io::Result<([u8; LENGTH as usize], u64)> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut bytes = [0; LENGTH as usize];
    file.read_exact_at(&mut bytes, length.saturating_sub(LENGTH))?;
    Ok((bytes, length))
}

/// One's complement of the sum of all bytes except the checksum's own.
fn checksum(bytes: &[u8; LENGTH as usize]) -> u32 {
    let sum = |part: &[u8]| part.iter().map(|b| u32::from(*b)).sum::<u32>();
    !(sum(&bytes[..64]) + sum(&bytes[68..]))
}

fn array<const N: usize>(bytes: &[u8; LENGTH as usize], at: usize) -> [u8; N] {
    let mut part = [0; N];
    part.copy_from_slice(&bytes[at..at + N]);
    part
}

fn be32(bytes: &[u8; LENGTH as usize], at: usize) -> u32 {
    u32::from_be_bytes(array(bytes, at))
}

fn be64(bytes: &[u8; LENGTH as usize], at: usize) -> u64 {
    u64::from_be_bytes(array(bytes, at))
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use super::*;

    /// The footer of a 3 MiB disk, as QEMU writes it.
    fn sample() -> [u8; 512] {
        let mut bytes = [0; 512];
        bytes[..8].copy_from_slice(COOKIE);
        bytes[8..12].copy_from_slice(&2_u32.to_be_bytes());
        bytes[12..16].copy_from_slice(&0x0001_0000_u32.to_be_bytes());
        bytes[16..24].copy_from_slice(&u64::MAX.to_be_bytes());
        bytes[28..32].copy_from_slice(b"qem2");
        bytes[40..48].copy_from_slice(&(3_u64 << 20).to_be_bytes());
        bytes[48..56].copy_from_slice(&(3_u64 << 20).to_be_bytes());
        bytes[56..60].copy_from_slice(&[0xff, 0xff, 16, 255]);
        bytes[60..64].copy_from_slice(&FIXED.to_be_bytes());
        sum(&mut bytes);
        bytes
    }

    fn sum(bytes: &mut [u8; 512]) {
        let sum = checksum(bytes);
        bytes[64..68].copy_from_slice(&sum.to_be_bytes());
    }

    fn file(dir: &Path, bytes: &[u8; 512], disk: usize) -> PathBuf {
        let path = dir.join("x.vhd");
        fs::write(&path, [vec![0; disk], bytes.to_vec()].concat()).unwrap();
        path
    }

    #[test]
    fn valid_footer_passes() {
        let dir = tempfile::tempdir().unwrap();
        let footer = verify(&file(dir.path(), &sample(), 3 << 20), (3 << 20) - 512).unwrap();
        assert_eq!((footer.current_size, &footer.creator), (3 << 20, b"qem2"));
    }

    #[test]
    fn invalid_field_is_named() {
        type Breaker = fn(&mut [u8; 512]);
        let cases: [(&str, Breaker); 7] = [
            ("cookie", |b| b[0] = b'C'),
            ("checksum", |b| b[200] = 1),
            ("version", |b| {
                b[13] = 2;
                sum(b);
            }),
            ("disk type is 3", |b| {
                b[63] = 3;
                sum(b);
            }),
            ("data offset", |b| {
                b[16] = 0;
                sum(b);
            }),
            ("its size is", |b| {
                b[48..56].copy_from_slice(&(4_u64 << 20).to_be_bytes());
                sum(b);
            }),
            ("readers disagree", |b| {
                b[31] = b'u';
                b[58] = 4;
                sum(b);
            }),
        ];
        for (text, break_it) in cases {
            let dir = tempfile::tempdir().unwrap();
            let mut bytes = sample();
            break_it(&mut bytes);
            let error = verify(&file(dir.path(), &bytes, 3 << 20), 3 << 20).unwrap_err();
            assert_eq!(error.code, ErrorCode::ExportFailed);
            assert!(error.message.contains(text), "{text}: {}", error.message);
        }
    }

    #[test]
    fn short_file_is_rejected() {
        let dir = tempfile::tempdir().unwrap();
        let error = verify(&file(dir.path(), &sample(), 1 << 20), 3 << 20).unwrap_err();
        assert!(error.message.contains("the file has"), "{}", error.message);
        fs::write(dir.path().join("x.vhd"), "tiny").unwrap();
        verify(&dir.path().join("x.vhd"), 3 << 20).unwrap_err();
    }
}
