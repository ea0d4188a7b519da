//! What must be released, written down before it exists.
//!
//! ```text
//! ledger/<run id>/owner.lock     locked for as long as the owning process lives
//! ledger/<run id>/<number>.json  one held thing; gone once it is released
//! ```
//!
//! The owner releases its rows newest first, whatever ended the run. When the owner was killed, its
//! lock is free and the [janitor](crate::janitor) releases the rows, by the same functions.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{layout::Layout, node::Lock};

/// A thing that must be released. Addressed by a name that was chosen before it was made, so that
/// releasing can be repeated and "not there" is success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Held {
    /// A QEMU process, findable by its run folder.
    Machine { run_dir: PathBuf },
    /// Unfinished nodes of a run.
    WorkNodes { nodes: PathBuf, run_id: String },
    /// The run's folder: sockets, seed, throw-away disks.
    RunFolder { path: PathBuf },
    /// A file that is not finished; it will be renamed when it is.
    PartialFile { path: PathBuf },
    /// A network device of this host: the port of a machine on a bridge.
    Tap { name: String },
}

/// A row of the ledger.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    pub held: Held,
    /// Kept for the user until then (`--on-error keep`).
    pub keep_until: Option<Timestamp>,
}

/// The rows of one run.
#[derive(Debug)]
pub struct Ledger {
    dir: PathBuf,
    next: AtomicU32,
    _owner: Lock,
}

impl Ledger {
    /// Opens the ledger of a new run and marks this process as its owner.
    pub fn open(layout: &Layout, run_id: &str) -> io::Result<Self> {
        let dir = layout.ledger().join(run_id);
        // A janitor that looks at the folder at this very moment finds nothing in it and removes it.
        for _ in 0..100 {
            fs::create_dir_all(&dir)?;
            if let Some(owner) = Lock::try_take(&dir.join(OWNER))?
                && dir.join(OWNER).exists()
            {
                return Ok(Self { dir, next: AtomicU32::new(0), _owner: owner });
            }
        }
        Err(io::Error::other(format!("run {run_id} is owned by another process")))
    }

    /// Takes over the ledger of a run whose owner is gone. `None` if the owner lives.
    pub fn adopt(layout: &Layout, run_id: &str) -> io::Result<Option<Self>> {
        let dir = layout.ledger().join(run_id);
        if !dir.exists() {
            return Ok(None);
        }
        let Some(owner) = Lock::try_take(&dir.join(OWNER))? else {
            return Ok(None);
        };
        let next = numbers(&dir)?.last().map_or(0, |last| last + 1);
        Ok(Some(Self { dir, next: AtomicU32::new(next), _owner: owner }))
    }

    /// Writes down, durably, that `held` must be released. Call it before making the thing.
    pub fn hold(&self, held: Held) -> io::Result<()> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.write(number, &Row { held, keep_until: None })
    }

    /// All open rows, newest first.
    pub fn rows(&self) -> io::Result<Vec<(u32, Row)>> {
        rows(&self.dir)
    }

    /// The thing of that row is gone.
    pub fn forget(&self, number: u32) -> io::Result<()> {
        match fs::remove_file(self.row_file(number)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        }
    }

    /// The thing no longer needs releasing by that row: it was renamed into place.
    pub fn settle(&self, held: &Held) -> io::Result<()> {
        for (number, row) in self.rows()? {
            if row.held == *held {
                self.forget(number)?;
            }
        }
        Ok(())
    }

    /// Keeps everything still held until then; the janitor releases it afterwards.
    pub fn keep_until(&self, until: Timestamp) -> io::Result<()> {
        for (number, row) in self.rows()? {
            self.write(number, &Row { keep_until: Some(until), ..row })?;
        }
        Ok(())
    }

    /// Ends the ledger of a run that holds nothing any more.
    pub fn close(self) -> io::Result<()> {
        if self.rows()?.is_empty() {
            fs::remove_dir_all(&self.dir)?;
        }
        Ok(())
    }

    fn row_file(&self, number: u32) -> PathBuf {
        self.dir.join(format!("{number:06}.json"))
    }

    fn write(&self, number: u32, row: &Row) -> io::Result<()> {
        let path = self.row_file(number);
        let temp = path.with_extension("new");
        let mut file = fs::File::create(&temp)?;
        file.write_all(&serde_json::to_vec(row).map_err(io::Error::other)?)?;
        file.sync_all()?;
        fs::rename(temp, path)?;
        fs::File::open(&self.dir)?.sync_all()
    }
}

const OWNER: &str = "owner.lock";

/// The runs that have a ledger, alive or not.
pub fn runs(layout: &Layout) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(layout.ledger()) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e),
    };
    let mut runs: Vec<String> =
        entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    runs.sort();
    Ok(runs)
}

/// The open rows of any run, newest first, without owning it.
pub fn rows_of(layout: &Layout, run_id: &str) -> io::Result<Vec<Row>> {
    Ok(rows(&layout.ledger().join(run_id))?.into_iter().map(|(_, row)| row).collect())
}

fn rows(dir: &Path) -> io::Result<Vec<(u32, Row)>> {
    let mut rows = Vec::new();
    for number in numbers(dir)?.into_iter().rev() {
        let text = match fs::read(dir.join(format!("{number:06}.json"))) {
            // Released since the folder was listed.
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            other => other?,
        };
        rows.push((number, serde_json::from_slice(&text).map_err(io::Error::other)?));
    }
    Ok(rows)
}

fn numbers(dir: &Path) -> io::Result<Vec<u32>> {
    let mut numbers = Vec::new();
    let entries = match fs::read_dir(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(numbers),
        other => other?,
    };
    for entry in entries {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".json"));
        numbers.extend(number.and_then(|number| number.parse::<u32>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn layout(dir: &Path) -> Layout {
        Layout::new(dir.join("cache"), dir.join("data"))
    }

    fn file(name: &str) -> Held {
        Held::PartialFile { path: name.into() }
    }

    #[test]
    fn rows_come_back_newest_first_and_outlive_the_owner() {
        let dir = tempfile::tempdir().unwrap();
        let layout = layout(dir.path());
        let ledger = Ledger::open(&layout, "r").unwrap();
        ledger.hold(file("a")).unwrap();
        ledger.hold(file("b")).unwrap();
        assert!(Ledger::adopt(&layout, "r").unwrap().is_none(), "the owner lives");
        drop(ledger);

        let adopted = Ledger::adopt(&layout, "r").unwrap().unwrap();
        let held: Vec<_> = adopted.rows().unwrap().into_iter().map(|(_, row)| row.held).collect();
        assert_eq!(held, [file("b"), file("a")]);
        adopted.hold(file("c")).unwrap();
        assert_eq!(adopted.rows().unwrap()[0].1.held, file("c"));
    }

    #[test]
    fn a_ledger_with_rows_is_not_closed_away() {
        let dir = tempfile::tempdir().unwrap();
        let layout = layout(dir.path());
        let ledger = Ledger::open(&layout, "r").unwrap();
        ledger.hold(file("a")).unwrap();
        ledger.close().unwrap();
        assert_eq!(rows_of(&layout, "r").unwrap().len(), 1);

        let ledger = Ledger::adopt(&layout, "r").unwrap().unwrap();
        ledger.settle(&file("a")).unwrap();
        ledger.close().unwrap();
        assert!(runs(&layout).unwrap().is_empty());
    }

    #[test]
    fn a_torn_row_is_not_seen() {
        let dir = tempfile::tempdir().unwrap();
        let layout = layout(dir.path());
        let ledger = Ledger::open(&layout, "r").unwrap();
        fs::write(layout.ledger().join("r/000000.new"), "{\"he").unwrap();
        assert!(ledger.rows().unwrap().is_empty());
    }
}
