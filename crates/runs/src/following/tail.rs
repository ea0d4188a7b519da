//! The whole lines of a file that grows, from an offset on.

use std::{io, path::PathBuf};

use images::absent;
use tokio::{
    fs::File,
    io::{AsyncBufReadExt, AsyncReadExt, AsyncSeekExt, BufReader, SeekFrom},
};

/// A place in a file of lines. An offset is that after a line's end.
pub(super) struct Tail {
    path: PathBuf,
    offset: u64,
    file: Option<BufReader<File>>,
    /// The beginning of a line whose end is not written yet.
    partial: Vec<u8>,
}

impl Tail {
    pub(super) fn new(path: PathBuf, offset: u64) -> Self {
        Self { path, offset, file: None, partial: Vec::new() }
    }

    /// The next whole line and the offset after it; `None` if there is none yet.
    pub(super) async fn next(&mut self) -> io::Result<Option<(u64, String)>> {
        self.open().await?;
        let Some(file) = &mut self.file else { return Ok(None) };
        loop {
            let read = file.read_until(b'\n', &mut self.partial).await?;
            if read == 0 || self.partial.last() != Some(&b'\n') {
                return Ok(None);
            }
            self.offset += u64::try_from(self.partial.len()).unwrap_or_default();
            let line = String::from_utf8_lossy(&self.partial).trim_end().to_owned();
            self.partial.clear();
            // A killed process may have left part of a line, which is not an event.
            if serde_json::from_str::<serde::de::IgnoredAny>(&line).is_ok() {
                return Ok(Some((self.offset, line)));
            }
        }
    }

    async fn open(&mut self) -> io::Result<()> {
        if self.file.is_none() {
            let found = absent::or_none(File::open(&self.path).await)?;
            let Some(mut file) = found else { return Ok(()) };
            let length = file.metadata().await?.len();
            self.offset = self.offset.min(length);
            self.offset = line_start(&mut file, self.offset).await?;
            file.seek(SeekFrom::Start(self.offset)).await?;
            self.file = Some(BufReader::new(file));
        }
        Ok(())
    }
}

/// The offset itself if a line begins there, else where the next one does: a client may send any number.
async fn line_start(file: &mut File, offset: u64) -> io::Result<u64> {
    let Some(before) = offset.checked_sub(1) else { return Ok(0) };
    file.seek(SeekFrom::Start(before)).await?;
    let mut rest = BufReader::new(file);
    let mut first = [0];
    rest.read_exact(&mut first).await?;
    if first == [b'\n'] {
        return Ok(offset);
    }
    let mut line = Vec::new();
    let skipped = rest.read_until(b'\n', &mut line).await?;
    Ok(offset + u64::try_from(skipped).unwrap_or_default())
}
