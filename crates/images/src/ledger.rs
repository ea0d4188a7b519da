//! The ledger: resources that must be released, recorded before they exist.
//!
//! ```text
//! ledger/<run id>/owner.lock     locked for as long as the owning process lives
//! ledger/<run id>/<number>.json  one resource; removed once it is released
//! ```
//!
//! The owner releases its rows newest first, however the run ended. If the owner was killed, its
//! lock is free and the janitor (`engine::janitor`) releases the rows, with the same functions.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use vm::may_wait;

use crate::{
    absent,
    clock::{Deadline, Reading},
    layout::Layout,
    lock::Lock,
};

/// A resource that must be released. Its name is chosen before it is created, so that the release
/// can be repeated and "not found" counts as success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Releasable {
    /// A QEMU process, identified by its run folder.
    Machine { run_dir: PathBuf },
    /// Unfinished nodes of a run.
    WorkNodes { nodes: PathBuf, run_id: String },
    /// The run's folder: sockets, seed, temporary disks.
    RunFolder { path: PathBuf },
    /// An unfinished file; it is renamed when it is finished.
    PartialFile { path: PathBuf },
    /// A network device of this host: the port of a machine on a bridge.
    Tap { name: String },
}

/// The version of the row format. Rows with a higher version are not ours to release.
const FORMAT: u32 = 1;

fn first_format() -> u32 {
    FORMAT
}

/// A row of the ledger.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// Missing in rows from before the format had a version.
    #[serde(default = "first_format")]
    format: u32,
    pub held: Releasable,
    /// Retained for the user until then (`--on-error keep`).
    pub keep_until: Option<Timestamp>,
    /// The same by a clock that cannot be set. Missing in rows of earlier releases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deadline: Option<Deadline>,
}

impl Row {
    fn new(held: Releasable) -> Self {
        Self { format: FORMAT, held, keep_until: None, deadline: None }
    }

    /// Whether it is retained for its user at that time, in the boot with that id.
    pub fn is_kept(&self, now: &Reading, boot: &str) -> bool {
        match &self.deadline {
            Some(deadline) => !deadline.is_over(now, boot),
            None => self.keep_until.is_some_and(|until| until > now.wall),
        }
    }

    fn parse(text: &[u8]) -> io::Result<Self> {
        #[derive(Deserialize)]
        struct Format {
            #[serde(default = "first_format")]
            format: u32,
        }
        let Format { format } = serde_json::from_slice(text)?;
        if format > FORMAT {
            let text = format!("it was written by a newer goldsmith, in format {format}");
            return Err(io::Error::other(text));
        }
        Ok(serde_json::from_slice(text)?)
    }
}

/// All rows of a run, newest first.
#[derive(Debug, Default)]
pub struct Rows {
    /// Readable rows, by number.
    pub read: Vec<(u32, Row)>,
    /// Unreadable rows, with the error. They stay, because the resource they record is unknown.
    pub unread: Vec<(PathBuf, io::Error)>,
}

impl Rows {
    /// A message for each unreadable row.
    pub fn problems(&self) -> impl Iterator<Item = String> {
        self.unread.iter().map(|(path, why)| {
            format!(
                "{} cannot be read and stays ({why}): let the goldsmith that wrote it release it, or \
                 remove the file once nothing of that run is left",
                path.display()
            )
        })
    }
}

/// The rows of one run.
#[derive(Debug)]
pub struct Ledger {
    dir: PathBuf,
    next: AtomicU32,
    _owner: Lock,
}

impl Ledger {
    /// Opens the ledger of a new run, with this process as its owner.
    pub fn open(layout: &Layout, run_id: &str) -> io::Result<Self> {
        may_wait(|| {
            let dir = layout.ledger().join(run_id);
            // A janitor that reads the folder at this moment finds it empty and removes it.
            for _ in 0..100 {
                fs::create_dir_all(&dir)?;
                if let Some(owner) = Lock::try_take(&dir.join(OWNER))?
                    && dir.join(OWNER).exists()
                {
                    // The folder itself must survive a power failure, not only its content.
                    fs::File::open(&dir)?.sync_all()?;
                    fs::File::open(layout.ledger())?.sync_all()?;
                    return Self::after_last(dir, owner);
                }
            }
            Err(io::Error::other(format!("run {run_id} is owned by another process")))
        })
    }

    /// Takes over the ledger of a run whose owner is gone. `None` if the owner lives.
    pub fn recover(layout: &Layout, run_id: &str) -> io::Result<Option<Self>> {
        may_wait(|| {
            let dir = layout.ledger().join(run_id);
            if !dir.exists() {
                return Ok(None);
            }
            let Some(owner) = Lock::try_take(&dir.join(OWNER))? else {
                return Ok(None);
            };
            Self::after_last(dir, owner).map(Some)
        })
    }

    /// Continues the numbering after the rows of an earlier owner.
    fn after_last(dir: PathBuf, owner: Lock) -> io::Result<Self> {
        let next = numbers(&dir)?.last().map_or(0, |last| last + 1);
        Ok(Self { dir, next: AtomicU32::new(next), _owner: owner })
    }

    /// Durably records that `held` must be released. Call it before creating the resource.
    pub fn hold(&self, held: Releasable) -> io::Result<()> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.write(number, &Row::new(held))
    }

    /// All open rows.
    pub fn rows(&self) -> io::Result<Rows> {
        may_wait(|| rows(&self.dir))
    }

    /// Removes the row of a resource that is gone.
    pub fn forget(&self, number: u32) -> io::Result<()> {
        may_wait(|| absent::remove_file(&self.row_file(number)))
    }

    /// Removes the row of a resource that needs no release: it was renamed to its final name.
    pub fn forget_released(&self, held: &Releasable) -> io::Result<()> {
        for (number, row) in self.rows()?.read {
            if row.held == *held {
                self.forget(number)?;
            }
        }
        Ok(())
    }

    /// Retains everything that is not released until the deadline. The janitor releases it
    /// afterwards.
    pub fn keep_until(&self, deadline: &Deadline) -> io::Result<()> {
        self.keep(Some(deadline.wall), Some(deadline))
    }

    /// Ends the retention: the janitor releases the resources.
    pub fn end_keeping(&self) -> io::Result<()> {
        self.keep(Some(Timestamp::MIN), None)
    }

    fn keep(&self, keep_until: Option<Timestamp>, deadline: Option<&Deadline>) -> io::Result<()> {
        for (number, row) in self.rows()?.read {
            self.write(number, &Row { keep_until, deadline: deadline.cloned(), ..row })?;
        }
        Ok(())
    }

    /// Closes the ledger of a run without open rows.
    pub fn close(self) -> io::Result<()> {
        may_wait(|| {
            if numbers(&self.dir)?.is_empty() {
                fs::remove_dir_all(&self.dir)?;
            }
            Ok(())
        })
    }

    fn row_file(&self, number: u32) -> PathBuf {
        self.dir.join(format!("{number:06}.json"))
    }

    fn write(&self, number: u32, row: &Row) -> io::Result<()> {
        let path = self.row_file(number);
        let temp = path.with_extension("new");
        let text = serde_json::to_vec(row).map_err(io::Error::other)?;
        may_wait(|| {
            let mut file = fs::File::create(&temp)?;
            file.write_all(&text)?;
            file.sync_all()?;
            fs::rename(temp, path)?;
            fs::File::open(&self.dir)?.sync_all()
        })
    }
}

const OWNER: &str = "owner.lock";

/// The runs that have a ledger, whether their owners live or not.
pub fn runs(layout: &Layout) -> io::Result<Vec<String>> {
    let entries = absent::entries(&layout.ledger())?;
    let mut runs: Vec<String> =
        entries.iter().filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect();
    runs.sort();
    Ok(runs)
}

/// The readable open rows of any run, newest first, without owning it.
pub fn rows_of(layout: &Layout, run_id: &str) -> io::Result<Vec<Row>> {
    Ok(all_of(layout, run_id)?.read.into_iter().map(|(_, row)| row).collect())
}

/// The open rows of any run, without owning it.
pub fn all_of(layout: &Layout, run_id: &str) -> io::Result<Rows> {
    rows(&layout.ledger().join(run_id))
}

/// One by one, so that an unreadable row does not prevent the release of the others.
fn rows(dir: &Path) -> io::Result<Rows> {
    let mut rows = Rows::default();
    for number in numbers(dir)?.into_iter().rev() {
        let path = dir.join(format!("{number:06}.json"));
        let text = absent::or_none(fs::read(&path));
        match text.and_then(|text| text.map(|text| Row::parse(&text)).transpose()) {
            // `None` if it was released since the folder was listed.
            Ok(row) => rows.read.extend(row.map(|row| (number, row))),
            Err(e) => rows.unread.push((path, e)),
        }
    }
    Ok(rows)
}

fn numbers(dir: &Path) -> io::Result<Vec<u32>> {
    let mut numbers = Vec::new();
    for path in absent::entries(dir)? {
        let name = path.file_name().and_then(|name| name.to_str());
        let number = name.and_then(|name| name.strip_suffix(".json"));
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

    fn file(name: &str) -> Releasable {
        Releasable::PartialFile { path: name.into() }
    }

    #[test]
    fn rows_come_back_newest_first_and_outlive_the_owner() {
        let dir = tempfile::tempdir().unwrap();
        let layout = layout(dir.path());
        let ledger = Ledger::open(&layout, "r").unwrap();
        ledger.hold(file("a")).unwrap();
        ledger.hold(file("b")).unwrap();
        assert!(Ledger::recover(&layout, "r").unwrap().is_none(), "the owner lives");
        drop(ledger);

        let recovered = Ledger::recover(&layout, "r").unwrap().unwrap();
        let held: Vec<_> =
            recovered.rows().unwrap().read.into_iter().map(|(_, row)| row.held).collect();
        assert_eq!(held, [file("b"), file("a")]);
        recovered.hold(file("c")).unwrap();
        assert_eq!(recovered.rows().unwrap().read[0].1.held, file("c"));
    }

    #[test]
    fn hanging_disk_blocks_only_its_own_run() {
        use rustix::fs::{CWD, FileType, Mode, mknodat};
        let dir = tempfile::tempdir().unwrap();
        let layout = layout(dir.path());
        let ledger = Ledger::open(&layout, "r").unwrap();
        // The row's file is a pipe: a write blocks until a reader opens it, and it cannot be
        // synced.
        let row = layout.ledger().join("r/000000.new");
        mknodat(CWD, &row, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let (send, done) = std::sync::mpsc::sync_channel(1);
        runtime.spawn(async move {
            // It is queued behind this task, which occupies the only thread.
            let reader = tokio::spawn(tokio::fs::read(row));
            send.send((ledger.hold(file("a")), reader.await.unwrap().unwrap())).unwrap();
        });
        let done = done.recv_timeout(std::time::Duration::from_secs(20));
        runtime.shutdown_background();
        let (held, written) = done.expect("the reader never ran");
        assert_eq!(held.unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(Row::parse(&written).unwrap().held, file("a"), "whole before it has its name");
        assert!(rows_of(&layout, "r").unwrap().is_empty());
    }

    #[test]
    fn rows_of_interrupted_run_stay_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let layout = layout(dir.path());
        let ledger = Ledger::open(&layout, "r").unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let (send, held) = tokio::sync::oneshot::channel();
        let task = runtime.spawn(async move {
            ledger.hold(file("a")).unwrap();
            ledger.hold(file("b")).unwrap();
            send.send(()).unwrap();
            std::future::pending::<()>().await;
        });
        runtime.block_on(held).unwrap();
        task.abort();
        assert!(runtime.block_on(task).unwrap_err().is_cancelled());
        let rows: Vec<_> = rows_of(&layout, "r").unwrap().into_iter().map(|row| row.held).collect();
        assert_eq!(rows, [file("b"), file("a")]);
        let unfinished = fs::read_dir(layout.ledger().join("r")).unwrap();
        let unfinished = unfinished.filter(|entry| {
            entry.as_ref().unwrap().path().extension().is_some_and(|name| name == "new")
        });
        assert_eq!(unfinished.count(), 0);
    }

    #[test]
    fn ledger_with_rows_survives_close() {
        let dir = tempfile::tempdir().unwrap();
        let layout = layout(dir.path());
        let ledger = Ledger::open(&layout, "r").unwrap();
        ledger.hold(file("a")).unwrap();
        ledger.close().unwrap();
        assert_eq!(rows_of(&layout, "r").unwrap().len(), 1);

        let ledger = Ledger::recover(&layout, "r").unwrap().unwrap();
        ledger.forget_released(&file("a")).unwrap();
        ledger.close().unwrap();
        assert!(runs(&layout).unwrap().is_empty());
    }

    #[test]
    fn retained_rows_follow_the_time_since_boot() {
        let dir = tempfile::tempdir().unwrap();
        let layout = layout(dir.path());
        let ledger = Ledger::open(&layout, "r").unwrap();
        ledger.hold(file("a")).unwrap();
        let now = Reading::now();
        let hour = std::time::Duration::from_secs(3600);
        ledger.keep_until(&Deadline::after(hour, &now, "boot")).unwrap();
        let row = ledger.rows().unwrap().read.remove(0).1;
        let ahead = Reading { wall: "2038-01-01T00:00:00Z".parse().unwrap(), ..now };
        assert!(row.is_kept(&ahead, "boot"));
        assert!(!row.is_kept(&ahead, "another boot"));
        assert!(!row.is_kept(&Reading { since_boot: now.since_boot + hour, ..now }, "boot"));
        ledger.end_keeping().unwrap();
        let row = ledger.rows().unwrap().read.remove(0).1;
        assert!(!row.is_kept(&now, "boot"));
    }

    #[test]
    fn torn_row_is_ignored() {
        let dir = tempfile::tempdir().unwrap();
        let layout = layout(dir.path());
        let ledger = Ledger::open(&layout, "r").unwrap();
        fs::write(layout.ledger().join("r/000000.new"), "{\"he").unwrap();
        assert!(ledger.rows().unwrap().read.is_empty());
    }

    #[test]
    fn reopened_ledger_continues_numbering_without_overwriting() {
        let dir = tempfile::tempdir().unwrap();
        let layout = layout(dir.path());
        let ledger = Ledger::open(&layout, "r").unwrap();
        ledger.hold(file("a")).unwrap();
        ledger.hold(file("b")).unwrap();
        drop(ledger);
        let again = Ledger::open(&layout, "r").unwrap();
        again.hold(file("c")).unwrap();
        let held: Vec<_> =
            again.rows().unwrap().read.into_iter().map(|(_, row)| row.held).collect();
        assert_eq!(held, [file("c"), file("b"), file("a")]);
    }

    #[test]
    fn unreadable_rows_are_reported_beside_the_readable_ones() {
        let dir = tempfile::tempdir().unwrap();
        let layout = layout(dir.path());
        let ledger = Ledger::open(&layout, "r").unwrap();
        ledger.hold(file("a")).unwrap();
        let at = |number: u32| layout.ledger().join(format!("r/{number:06}.json"));
        fs::write(at(1), "{\"held\":{\"kind\":\"moonbase\"},\"keepUntil\":null}").unwrap();
        fs::write(at(2), "{\"he").unwrap();
        fs::write(at(3), "{\"format\":99,\"what\":1}").unwrap();
        // The format of an older goldsmith.
        let old = "{\"held\":{\"kind\":\"partialFile\",\"path\":\"b\"},\"keepUntil\":null}";
        fs::write(at(4), old).unwrap();
        let rows = ledger.rows().unwrap();
        let held: Vec<_> = rows.read.iter().map(|(_, row)| row.held.clone()).collect();
        assert_eq!(held, [file("b"), file("a")]);
        let problems: Vec<_> = rows.problems().collect();
        assert_eq!(problems.len(), 3);
        assert!(problems[0].contains("newer goldsmith, in format 99"), "{problems:?}");
        ledger.forget_released(&file("a")).unwrap();
        ledger.forget_released(&file("b")).unwrap();
        ledger.close().unwrap();
        assert_eq!(all_of(&layout, "r").unwrap().unread.len(), 3, "they stay");
    }
}
