//! Log files of a run: guest output is stored up to a limit, and the rest is counted.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::Path,
};

use vm::Budget;

/// The default limit of guest output in each log of a run.
pub const DEFAULT_BYTES: u64 = 64 * 1024 * 1024;

/// A log file with a limit.
#[derive(Debug)]
pub struct Log {
    file: File,
    budget: Budget,
}

impl Log {
    /// Opens or creates it. The output of an earlier attempt counts.
    pub fn open(path: &Path, limit: u64) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        let budget = Budget::with_used(limit, file.metadata()?.len());
        Ok(Self { file, budget })
    }

    /// Writes a line of goldsmith's own, which always fits. It is written in one call, so that a
    /// reader never sees half a line.
    pub fn write(&mut self, line: &[u8]) -> io::Result<()> {
        self.file.write_all(line)
    }

    /// Writes a line from a guest. Returns whether it fitted.
    pub fn write_guests(&mut self, line: &[u8]) -> io::Result<bool> {
        let fits = self.budget.admits(line.len() as u64);
        if fits {
            self.file.write_all(line)?;
        }
        Ok(fits)
    }

    /// A message about the lines that did not fit since the previous call.
    pub fn take_cut(&mut self) -> Option<String> {
        match self.budget.take_cut() {
            0 => None,
            bytes => Some(format!("… cut, {bytes} bytes more")),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn log_limit_spans_attempts_and_counts_the_rest() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        for attempt in 0..2 {
            let mut log = Log::open(&path, 10).unwrap();
            for _ in 0..1000 {
                log.write_guests(b"four").unwrap();
            }
            let cut = if attempt == 0 { 4 * 998 } else { 4000 };
            assert_eq!(log.take_cut().unwrap(), format!("… cut, {cut} bytes more"));
            assert_eq!(log.take_cut(), None);
            log.write(b"own").unwrap();
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "fourfourownown");
    }
}
