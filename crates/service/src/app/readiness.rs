//! Readiness: the database accepts writes, and the file systems have the reserve that protects the
//! database from a full disk.

use std::{
    path::Path,
    sync::Mutex as Slot,
    time::{Duration, Instant},
};

use db::{Store, Trouble};
use images::{error::chain, image_file::space};
use tokio::{sync::Mutex, time::timeout};

use crate::App;

/// How long a result is reused: a check costs a sync of the disk, and needs no authentication.
const FRESH: Duration = Duration::from_secs(1);
/// The time limit of a write.
const DEADLINE: Duration = Duration::from_secs(5);

/// The state of the readiness checks.
#[derive(Debug, Default)]
pub struct Readiness {
    last: Mutex<Option<(Instant, Result<(), Trouble>)>>,
    reserve: Slot<u64>,
    /// Why queued runs cannot start.
    waiting: Slot<Option<String>>,
}

impl Readiness {
    /// Checks that the database accepts a write.
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
                tracing::error!(error = %chain(&error), "the database does not accept writes");
                Err(error.trouble().unwrap_or(Trouble::Busy))
            }
        };
        if matches!(before, Some(Err(_))) && result.is_ok() {
            tracing::info!("the database accepts writes again");
        }
        *last = Some((Instant::now(), result));
        result
    }
}

/// A file system with less free space than the reserve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shortage {
    what: &'static str,
    free: u64,
    reserve: u64,
}

impl Shortage {
    /// A message without paths, for clients.
    pub fn text(&self) -> String {
        format!(
            "the service's disk for {} has {} free, and the reserve is {} (serve --disk-reserve-mib)",
            self.what,
            space::human(self.free),
            space::human(self.reserve),
        )
    }
}

impl App {
    /// Sets the reserve in bytes for the file systems of data and cache.
    pub fn set_disk_reserve(&self, bytes: u64) {
        *slot(&self.readiness().reserve) = bytes;
    }

    /// The file system with less free space than the reserve, if any. If the free space is unknown, a later
    /// write will report the problem.
    pub async fn shortage(&self) -> Option<Shortage> {
        let reserve = *slot(&self.readiness().reserve);
        if reserve == 0 {
            return None;
        }
        let layout = self.settings().layout.clone();
        let find = move || {
            shortage(layout.data(), "its data", reserve)
                .or_else(|| shortage(layout.cache(), "its cache", reserve))
        };
        tokio::task::spawn_blocking(find).await.ok().flatten()
    }

    /// Sets or clears the reason why queued runs cannot start.
    pub fn set_waiting_for(&self, why: Option<String>) {
        let mut waiting = slot(&self.readiness().waiting);
        match (&*waiting, &why) {
            (None, Some(why)) => tracing::warn!(why, "queued runs wait for disk space"),
            (Some(_), None) => tracing::info!("disk space is available again; queued runs start"),
            _ => {}
        }
        *waiting = why;
    }

    /// The reason why queued runs cannot start.
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
