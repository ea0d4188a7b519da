//! Reads the guest's disk from a standalone qcow2, once, piece by piece, without its holes.

use std::{fs::File, io, ops::Range, os::unix::fs::FileExt, path::Path};

use api::ErrorCode;
use images::{
    error::{Coded, Error, Result},
    run_context::RunContext,
};
use serde::Deserialize;
use vm::{Host, proc::Command};

use super::CHUNK_BYTES;

/// A range of data on the guest's disk, and its offset in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) guest: Range<u64>,
    pub(super) file: u64,
}

#[derive(Deserialize)]
struct Mapped {
    start: u64,
    length: u64,
    zero: bool,
    data: bool,
    #[serde(default)]
    offset: Option<u64>,
}

/// The extents of the guest's data in a standalone qcow2, in the guest's order.
pub(super) async fn extents(cx: &RunContext, host: &Host, disk: &Path) -> Result<Vec<Extent>> {
    let fail = || format!("the layout of {} cannot be read", disk.display());
    let said = Command::new(&host.qemu_img)
        .args(["map", "-U", "--output=json", "-f", "qcow2"])
        .arg(disk)
        .run(&cx.cancel, None)
        .await
        .code(ErrorCode::DistributeFailed, fail)?;
    parse(&said.stdout).map_err(|why| {
        Error::new(ErrorCode::DistributeFailed, format!("{}: {why}", fail()))
            .hint("make the image again: its disk is not one that goldsmith stored")
    })
}

fn parse(json: &str) -> Result<Vec<Extent>, String> {
    let mapped: Vec<Mapped> = serde_json::from_str(json).map_err(|e| e.to_string())?;
    let data = mapped.into_iter().filter(|part| part.data && !part.zero);
    let mut extents: Vec<Extent> = data
        .map(|part| {
            let file = part.offset.ok_or("it has compressed parts")?;
            Ok(Extent { guest: part.start..part.start + part.length, file })
        })
        .collect::<Result<_, String>>()?;
    extents.sort_by_key(|extent| extent.guest.start);
    Ok(extents)
}

/// Bytes of data in the extents.
pub(super) fn data_bytes(extents: &[Extent]) -> u64 {
    extents.iter().map(|extent| extent.guest.end - extent.guest.start).sum()
}

/// The number and the content of a piece.
pub(super) type Piece = (u64, Vec<u8>);

/// Reads every extent of `file`, in order, and passes each piece of the disk (of `size` bytes) that
/// has data to `take`, which decides whether to continue. Returns how many bytes were read.
pub(super) fn read(
    file: &File,
    extents: &[Extent],
    size: u64,
    mut take: impl FnMut(Piece) -> bool,
) -> io::Result<u64> {
    let mut bytes = 0;
    let mut piece: Option<Piece> = None;
    for extent in extents {
        let mut at = extent.guest.start;
        while at < extent.guest.end {
            let index = at / CHUNK_BYTES;
            let start = index * CHUNK_BYTES;
            if let Some(full) = piece.take_if(|(current, _)| *current != index)
                && !take(full)
            {
                return Ok(bytes);
            }
            let (_, content) = piece
                .get_or_insert_with(|| (index, vec![0; as_size((size - start).min(CHUNK_BYTES))]));
            let end = extent.guest.end.min(start + CHUNK_BYTES).min(size);
            let part = &mut content[as_size(at - start)..as_size(end - start)];
            bytes += read_at(file, part, extent.file + (at - extent.guest.start))?;
            at = extent.guest.end.min(start + CHUNK_BYTES);
        }
    }
    if let Some(last) = piece {
        take(last);
    }
    Ok(bytes)
}

/// Pieces are small enough for `usize`.
fn as_size(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// Fills `part`. Beyond the end of the file, where a last cluster may reach, it stays zero.
fn read_at(file: &File, part: &mut [u8], mut offset: u64) -> io::Result<u64> {
    let mut filled = 0;
    while filled < part.len() {
        match file.read_at(&mut part[filled..], offset) {
            Ok(0) => break,
            Ok(got) => {
                filled += got;
                offset += got as u64;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extents_map_only_data_in_guest_order() {
        let json = r#"[{"start":65536,"length":65536,"depth":0,"present":true,"zero":false,"data":true,"compressed":false,"offset":327680},
            {"start":131072,"length":10,"depth":0,"present":false,"zero":true,"data":false,"compressed":false},
            {"start":0,"length":65536,"depth":0,"present":true,"zero":false,"data":true,"compressed":false,"offset":393216}]"#;
        let extents = parse(json).unwrap();
        assert_eq!(
            extents,
            [
                Extent { guest: 0..65536, file: 393_216 },
                Extent { guest: 65536..131_072, file: 327_680 },
            ]
        );
        assert_eq!(data_bytes(&extents), 131_072);
        let packed = r#"[{"start":0,"length":9,"zero":false,"data":true,"compressed":true}]"#;
        assert!(parse(packed).unwrap_err().contains("compressed"));
    }

    #[test]
    fn bytes_are_read_once_and_pieces_follow_guest_addresses() {
        let file = tempfile::tempfile().unwrap();
        let content: Vec<u8> = (0..3 * CHUNK_BYTES).map(|i| (i % 251 + 1) as u8).collect();
        file.write_all_at(&content, 7).unwrap();
        // One extent across a border, one that shares its piece, one at the odd end of the disk.
        let size = 8 * CHUNK_BYTES + 100;
        let extents = [
            Extent { guest: CHUNK_BYTES / 2..CHUNK_BYTES * 2, file: 7 },
            Extent { guest: 2 * CHUNK_BYTES + 10..2 * CHUNK_BYTES + 20, file: 7 },
            Extent { guest: 2 * CHUNK_BYTES + 30..2 * CHUNK_BYTES + 40, file: 107 },
            Extent { guest: 8 * CHUNK_BYTES..size, file: 7 },
        ];
        let mut pieces = Vec::new();
        let bytes = read(&file, &extents, size, |piece| {
            pieces.push(piece);
            true
        })
        .unwrap();
        assert_eq!(bytes, data_bytes(&extents));
        let numbers: Vec<_> =
            pieces.iter().map(|(index, content)| (*index, content.len())).collect();
        let whole = usize::try_from(CHUNK_BYTES).unwrap();
        assert_eq!(numbers, [(0, whole), (1, whole), (2, whole), (8, 100)]);
        let half = whole / 2;
        assert!(pieces[0].1[..half].iter().all(|byte| *byte == 0));
        assert_eq!(pieces[0].1[half..], content[..half]);
        assert_eq!(pieces[2].1[30..40], content[100..110]);
        assert_eq!(pieces[2].1[20..30], [0; 10]);
    }

    #[test]
    fn read_stops_when_take_breaks() {
        let file = tempfile::tempfile().unwrap();
        let extents = [Extent { guest: 0..10 * CHUNK_BYTES, file: 0 }];
        file.set_len(10 * CHUNK_BYTES).unwrap();
        let bytes = read(&file, &extents, 10 * CHUNK_BYTES, |_| false).unwrap();
        assert!(bytes <= CHUNK_BYTES);
    }
}
