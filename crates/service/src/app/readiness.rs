//! Whether the service can do its work: its database takes a write, and its file systems have the
//! reserve that keeps the database from ever meeting a full disk.

use std::{
    path::Path,
    sync::Mutex as Slot,
    time::{Duration, Instant},
};

use db::{Store, Trouble};
use images::{error::chain, image_file::space};
use tokio::{sync::Mutex, time::timeout};

use crate::App;

/// Whoever asks within this time of another gets the same answer: a write costs a sync of the disk, and
/// strangers may ask.
const FRESH: Duration = Duration::from_secs(1);
/// How long a write may take.
const DEADLINE: Duration = Duration::from_secs(5);

/// What is known of it.
#[derive(Debug, Default)]
pub struct Readiness {
    last: Mutex<Option<(Instant, Result<(), Trouble>)>>,
    reserve: Slot<u64>,
    /// Why waiting runs wait.
    waiting: Slot<Option<String>>,
}

impl Readiness {
    /// Whether the database takes a write.
    pub async fn check(&self, store: &Store) -> Result<(), Trouble> {
        let Ok(mut last) = timeout(DEADLINE, self.last.lock()).await else {
            return Err(Trouble::Busy);
        };
        let before = last.as_ref().map(|(_, result)| *result);
        if let Some((at, result)) = &*last
            && at.elapsed() < FRESH
        {
            return *result;
        }
        let result = match timeout(DEADLINE, store.probe()).await {
            Err(_) => Err(Trouble::Busy),
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => {
                tracing::error!(error = %chain(&error), "the database takes no writes");
                Err(error.trouble().unwrap_or(Trouble::Busy))
            }
        };
        if matches!(before, Some(Err(_))) && result.is_ok() {
            tracing::info!("the database takes writes again");
        }
        *last = Some((Instant::now(), result));
        result
    }
}

/// A file system that has less than the reserve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shortage {
    what: &'static str,
    free: u64,
    reserve: u64,
}

impl Shortage {
    /// For clients and people: no path of the server's.
    pub fn text(&self) -> String {
        format!(
            "the service's disk for {} has {} free, and {} are kept in reserve (serve --disk-reserve-mib)",
            self.what,
            space::human(self.free),
            space::human(self.reserve),
        )
    }
}

impl App {
    /// Sets how many bytes stay free on the file systems of data and cache.
    pub fn set_disk_reserve(&self, bytes: u64) {
        *slot(&self.readiness().reserve) = bytes;
    }

    /// The file system that has less than the reserve, if one has. One that cannot be asked is taken to
    /// have room: whoever writes there finds out.
    pub async fn shortage(&self) -> Option<Shortage> {
        let reserve = *slot(&self.readiness().reserve);
        if reserve == 0 {
            return None;
        }
        let layout = self.settings().layout.clone();
        let look = move || {
            shortage(layout.data(), "its data", reserve)
                .or_else(|| shortage(layout.cache(), "its cache", reserve))
        };
        tokio::task::spawn_blocking(look).await.ok().flatten()
    }

    /// Says, or no longer says, why the runs wait that could begin.
    pub fn set_waiting_for(&self, why: Option<String>) {
        let mut waiting = slot(&self.readiness().waiting);
        match (&*waiting, &why) {
            (None, Some(why)) => tracing::warn!(why, "runs wait for room"),
            (Some(_), None) => tracing::info!("there is room: runs begin again"),
            _ => {}
        }
        *waiting = why;
    }

    /// Why the runs wait that could begin.
    pub fn waiting_for(&self) -> Option<String> {
        slot(&self.readiness().waiting).clone()
    }
}

fn shortage(path: &Path, what: &'static str, reserve: u64) -> Option<Shortage> {
    let free = space::free(path).ok()?;
    (free < reserve).then_some(Shortage { what, free, reserve })
}

fn slot<T>(slot: &Slot<T>) -> std::sync::MutexGuard<'_, T> {
    slot.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
