//! The descriptor inside a sparse VMDK contains the file's own name. The file is written under
//! another name than its final one, so the name is corrected afterwards.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::Path,
};

use api::ErrorCode;

use crate::error::{Result, io_fault};

const MAGIC: &[u8; 4] = b"KDMV";
const SECTOR: u64 = 512;
/// QEMU reserves 20 sectors; anything much larger is not a descriptor.
const LONGEST: u64 = 128;

/// Changes the extent's name in the descriptor of the VMDK at `path` to `name`.
pub(super) fn rename_extent(path: &Path, name: &str) -> Result<()> {
    let old = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .and_then(|file| rewrite(&file, old, name))
        .map_err(|e| {
            let doing = format!("write the descriptor of {}", path.display());
            io_fault(e, ErrorCode::ExportFailed, doing)
        })
}

fn rewrite(file: &File, old: &str, new: &str) -> io::Result<()> {
    let mut header = [0; SECTOR as usize];
    file.read_exact_at(&mut header, 0)?;
    // Little-endian 64-bit numbers of sectors: the descriptor's offset and its length.
    let number = |at: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&header[at..at + 8]);
        u64::from_le_bytes(bytes)
    };
    let (start, sectors) = (number(28), number(36));
    if &header[..4] != MAGIC || sectors == 0 || sectors > LONGEST {
        return Err(io::Error::other("it is not a sparse VMDK with a descriptor"));
    }
    let mut text = vec![0; usize::try_from(sectors * SECTOR).map_err(io::Error::other)?];
    file.read_exact_at(&mut text, start * SECTOR)?;
    let length = text.iter().position(|b| *b == 0).unwrap_or(text.len());
    let descriptor = std::str::from_utf8(&text[..length]).map_err(io::Error::other)?;
    let renamed = descriptor.replace(&format!("\"{old}\""), &format!("\"{new}\""));
    if renamed.len() > text.len() {
        return Err(io::Error::other("the file's name does not fit into its descriptor"));
    }
    let mut bytes = renamed.into_bytes();
    bytes.resize(text.len(), 0);
    file.write_all_at(&bytes, start * SECTOR)
}
