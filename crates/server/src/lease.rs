//! The service's lease on its database: taken at start, renewed by a heartbeat, released at shutdown.
//!
//! ```text
//! take ── free ────────────────────────────────→ owned ── renewed every third of its duration
//!   └── another process has it: watch its duration    ├── released at shutdown
//!         ├── renewed: fail to start                  └── another process took it: the service stops
//!         └── not renewed: take it
//! ```
//!
//! The database checks the lease at each commit (`db::lease`). Before other writes (files, regions, object
//! stores), code calls [`Lease::confirm`]: the lease is valid until the last renewal expires, less a margin,
//! by a clock that also runs while the process is stopped or the host sleeps.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use api::ErrorCode;
use async_trait::async_trait;
use db::{Holder, Store};
use engine::{boot_id, may_wait};
use images::{
    clock::since_boot,
    error::{Coded, Error, Result},
    ownership::Ownership,
};
use jiff::Timestamp;
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// Renewals per duration of the lease.
const BEATS: u32 = 3;
/// The last part of the lease's duration, without writes outside the database: one of this many parts.
const MARGIN: u32 = 5;
/// Reads of another process's lease per duration.
const LOOKS: u32 = 10;
/// How long a write waits while the lease cannot be renewed.
const CONFIRM_WITHIN: Duration = Duration::from_secs(120);
/// The pause before renewing again after a failure of the database.
const RETRY: Duration = Duration::from_secs(1);

/// The lease of this process. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Lease {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Store,
    ttl: Duration,
    /// Until when no other process can take it, by [`since_boot`].
    valid_until: watch::Sender<Duration>,
    lost: CancellationToken,
}

impl Lease {
    /// Takes the lease on the database. `lock` is the locked file of the data folder.
    ///
    /// # Errors
    /// Another service has it and renews it, or the database failed.
    pub(crate) async fn take(
        store: &Store,
        folder: &Path,
        lock: &Path,
        ttl: Duration,
    ) -> Result<Self> {
        let own = may_wait(|| holder(folder, lock))
            .code(ErrorCode::HostNotReady, || format!("cannot read {}", lock.display()))?;
        let lost = CancellationToken::new();
        let mut watched: Option<(db::Lease, Instant)> = None;
        loop {
            let unrenewed = watched.as_ref().filter(|(other, since)| since.elapsed() >= other.ttl);
            let before = since_boot();
            let taken =
                store.take_lease(&own, ttl, unrenewed.map(|(other, _)| other), lost.clone());
            let Some(other) = taken.await.map_err(unreadable)? else {
                let (valid_until, _) = watch::channel(before + valid(ttl));
                return Ok(Self {
                    inner: Arc::new(Inner { store: store.clone(), ttl, valid_until, lost }),
                });
            };
            match &watched {
                Some((seen, _)) if seen.holder == other.holder && seen.beat == other.beat => {}
                Some((seen, _)) if seen.holder == other.holder => return Err(in_use(&other)),
                _ => {
                    tracing::info!(holder = %describe(&other.holder), "waiting to see whether the database is still in use");
                    watched = Some((other.clone(), Instant::now()));
                }
            }
            tokio::time::sleep(other.ttl / LOOKS).await;
        }
    }

    /// Renews it until `done`, then releases it.
    pub(crate) fn keep(&self, done: CancellationToken) -> JoinHandle<()> {
        let lease = self.clone();
        tokio::spawn(async move {
            let mut last = since_boot();
            let mut pause = lease.inner.ttl / BEATS;
            while done.run_until_cancelled(tokio::time::sleep(pause)).await.is_some() {
                let before = since_boot();
                pause = match lease.inner.store.renew_lease(lease.inner.ttl, before - last).await {
                    Ok(true) => {
                        last = before;
                        lease.inner.valid_until.send_replace(before + valid(lease.inner.ttl));
                        lease.inner.ttl / BEATS
                    }
                    Ok(false) => return,
                    Err(error) => {
                        tracing::warn!(%error, "cannot renew the lease on the database");
                        RETRY.min(lease.inner.ttl / BEATS)
                    }
                };
            }
            if let Err(error) = lease.inner.store.release_lease().await {
                tracing::warn!(%error, "cannot release the lease on the database; it will expire");
            }
        })
    }

    /// Cancelled when another service has taken it.
    pub(crate) fn lost(&self) -> &CancellationToken {
        &self.inner.lost
    }

    /// Why the service stopped itself.
    pub(crate) async fn taken_over(&self) -> Error {
        let by = match self.inner.store.lease_holder().await {
            Ok(Some(holder)) => describe(&holder),
            _ => "another service".to_owned(),
        };
        Error::new(ErrorCode::Conflict, format!("the database was taken over by {by}"))
            .hint("this service was paused or disconnected for longer than its lease (--lease), and has stopped its work")
    }
}

#[async_trait]
impl Ownership for Lease {
    async fn confirm(&self) -> Result<()> {
        let mut valid_until = self.inner.valid_until.subscribe();
        let renewed = async { valid_until.wait_for(|until| since_boot() < *until).await.is_ok() };
        let outcome = tokio::select! {
            biased;
            () = self.inner.lost.cancelled() => return Err(self.taken_over().await),
            outcome = tokio::time::timeout(CONFIRM_WITHIN, renewed) => outcome,
        };
        if let Ok(true) = outcome {
            return Ok(());
        }
        let text = "the lease on the database could not be renewed, so nothing may be written";
        Err(Error::new(ErrorCode::HostNotReady, text).hint("does the database answer?"))
    }

    fn is_certain(&self) -> bool {
        !self.inner.lost.is_cancelled() && since_boot() < *self.inner.valid_until.borrow()
    }
}

/// How long a renewal counts as valid.
fn valid(ttl: Duration) -> Duration {
    ttl - ttl / MARGIN
}

fn holder(folder: &Path, lock: &Path) -> io::Result<Holder> {
    let boot = boot_id()?;
    let file = fs::metadata(lock)?;
    Ok(Holder {
        id: uuid::Uuid::now_v7().to_string(),
        host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        pid: std::process::id(),
        folder: folder.display().to_string(),
        place: format!("{boot}/{}/{}", file.dev(), file.ino()),
    })
}

fn describe(holder: &Holder) -> String {
    let Holder { host, pid, folder, .. } = holder;
    format!("goldsmith on {host} (process {pid}, data folder {folder})")
}

fn in_use(other: &db::Lease) -> Error {
    let until = Timestamp::from_nanosecond(other.expires.into()).unwrap_or(Timestamp::MAX);
    let text = format!(
        "the database is in use by {} until {until:.0}, and that lease is being renewed",
        describe(&other.holder)
    );
    Error::new(ErrorCode::Conflict, text)
        .target("--database")
        .hint("stop that service, or use another database")
}

fn unreadable(error: db::Error) -> Error {
    Error::new(ErrorCode::HostNotReady, "the database cannot be read").caused_by(error)
}
