//! The first and last bytes of an image file: its format, and whether it is self-contained.
//!
//! Only fields that name other files or hide content are read. QEMU reads the rest, once it cannot
//! be led to other files.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::FileExt,
    path::Path,
};

use images::format::Format;

/// Enough for each header and for the descriptor inside a VMDK.
const HEAD: u64 = 64 << 10;
const SECTOR: usize = 512;

/// Why an image is rejected, and how to fix it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) why: String,
    pub(super) hint: &'static str,
}

const STANDALONE: &str = "qemu-img convert -O qcow2 makes a copy that stands alone";
const DAMAGED: &str = "get the image again";

fn fault(why: impl Into<String>, hint: &'static str) -> Fault {
    Fault { why: why.into(), hint }
}

/// The parts of an image file that were read.
#[derive(Debug)]
pub(super) struct Header {
    head: Vec<u8>,
    last: Vec<u8>,
    size: u64,
}

/// Magic bytes of unsupported formats, so that such a file is not mistaken for a raw disk.
const FOREIGN: [(&[u8], &str); 9] = [
    (b"vhdxfile", "a VHDX image"),
    (b"LUKS\xba\xbe", "encrypted (LUKS)"),
    (b"QED\0", "a QED image"),
    (b"COWD", "a VMDK of the old kind"),
    (b"WithoutFreeSpace", "a Parallels image"),
    (b"WithouFreSpacExt", "a Parallels image"),
    (b"\xfd7zXZ\0", "compressed (xz)"),
    (b"\x1f\x8b", "compressed (gzip)"),
    (b"\x28\xb5\x2f\xfd", "compressed (zstd)"),
];

impl Header {
    pub(super) fn read(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let size = file.metadata()?.len();
        let mut head = Vec::new();
        (&file).take(HEAD).read_to_end(&mut head)?;
        let mut last = vec![0; SECTOR.min(usize::try_from(size).unwrap_or(SECTOR))];
        let tail = size - last.len() as u64;
        file.read_exact_at(&mut last, tail)?;
        Ok(Self { head, last, size })
    }

    /// The format by content; `None` if it has no magic bytes, as a raw disk.
    pub(super) fn verdict(&self) -> Result<Option<Format>, Fault> {
        if self.head.starts_with(b"QFI\xfb") {
            return self.qcow2().map(|()| Some(Format::Qcow2));
        }
        if self.head.starts_with(b"KDMV") {
            return self.vmdk().map(|()| Some(Format::Vmdk));
        }
        if self.head.starts_with(b"# Disk DescriptorFile") {
            let why = "it is a VMDK descriptor, with the data in other files";
            return Err(fault(why, STANDALONE));
        }
        if self.head.starts_with(b"conectix") || self.last.starts_with(b"conectix") {
            return self.vhd().map(|()| Some(Format::Vhd));
        }
        for (magic, what) in FOREIGN {
            if self.head.starts_with(magic) {
                let why = format!("it is {what}");
                return Err(fault(why, "unpack it, or qemu-img convert -O qcow2 makes a copy"));
            }
        }
        if self.size == 0 || !self.size.is_multiple_of(SECTOR as u64) {
            return Err(fault("its size is not a whole number of sectors", DAMAGED));
        }
        Ok(None)
    }

    /// Whether it has a partition table or boot sector, as every bootable raw disk does.
    pub(super) fn is_bootable_raw(&self) -> bool {
        self.head.get(510..512) == Some(&[0x55, 0xaa])
    }

    fn be32(&self, at: usize) -> Option<u32> {
        Some(u32::from_be_bytes(self.head.get(at..at + 4)?.try_into().ok()?))
    }

    fn be64(&self, at: usize) -> Option<u64> {
        Some(u64::from_be_bytes(self.head.get(at..at + 8)?.try_into().ok()?))
    }

    fn le64(&self, at: usize) -> Option<u64> {
        Some(u64::from_le_bytes(self.head.get(at..at + 8)?.try_into().ok()?))
    }

    fn qcow2(&self) -> Result<(), Fault> {
        const CORRUPT: u64 = 1 << 1;
        const DATA_FILE: u64 = 1 << 2;
        let cut = || fault("its header is cut off", DAMAGED);
        let version = self.be32(4).ok_or_else(cut)?;
        if !(2..=3).contains(&version) {
            return Err(fault(format!("it is qcow of version {version}, not 2 or 3"), STANDALONE));
        }
        if self.be64(8).ok_or_else(cut)? != 0 {
            let why = "it has a backing file, which would be read from this machine";
            return Err(fault(why, STANDALONE));
        }
        if self.be32(32).ok_or_else(cut)? != 0 {
            return Err(fault("it is encrypted", "decrypt it first"));
        }
        let features = if version == 3 { self.be64(72).ok_or_else(cut)? } else { 0 };
        if features & DATA_FILE != 0 {
            let why = "its data is in another file, which would be read from this machine";
            return Err(fault(why, STANDALONE));
        }
        if features & CORRUPT != 0 {
            return Err(fault("it is marked as corrupt", "qemu-img check -r all"));
        }
        Ok(())
    }

    fn vmdk(&self) -> Result<(), Fault> {
        const EMBEDDED: &str = "its descriptor names other files";
        // With a capacity of 0, readers look for extents in the descriptor.
        let capacity = self.le64(12).unwrap_or(0);
        let start = self.le64(28).unwrap_or(0).saturating_mul(SECTOR as u64);
        let length = self.le64(36).unwrap_or(0).saturating_mul(SECTOR as u64);
        if capacity == 0 {
            return Err(fault(EMBEDDED, STANDALONE));
        }
        if start == 0 {
            return Ok(());
        }
        let range = usize::try_from(start).ok().zip(usize::try_from(start + length.min(HEAD)).ok());
        let bytes = range.and_then(|(from, to)| self.head.get(from..to.min(self.head.len())));
        let text = String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
        let mut values = text.lines().filter_map(|line| line.split_once('='));
        let parent = values.any(|(key, value)| {
            let (key, value) = (key.trim(), value.trim().trim_matches('"'));
            (key.eq_ignore_ascii_case("parentCID") && !value.eq_ignore_ascii_case("ffffffff"))
                || key.eq_ignore_ascii_case("parentFileNameHint")
        });
        if parent {
            return Err(fault("it is a difference to another image", STANDALONE));
        }
        let extents = text.lines().filter(|line| line.starts_with("RW ")).count();
        if extents > 1 { Err(fault(EMBEDDED, STANDALONE)) } else { Ok(()) }
    }

    fn vhd(&self) -> Result<(), Fault> {
        let footer = if self.head.starts_with(b"conectix") { &self.head } else { &self.last };
        match footer.get(60..64).and_then(|kind| kind.try_into().ok()).map(u32::from_be_bytes) {
            Some(2 | 3) => Ok(()),
            Some(4) => Err(fault("it is a difference to another image", STANDALONE)),
            _ => Err(fault("it is a VHD of an unknown kind", DAMAGED)),
        }
    }
}
