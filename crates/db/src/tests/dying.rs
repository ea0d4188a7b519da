//! The thread of an SQLite connection dies: SQLite has no memory for the copy of a row.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use futures_util::poll;
use tokio::{sync::Notify, task::yield_now, time::timeout};
use tokio_util::sync::CancellationToken;
use tracing::{Subscriber, span::Id};
use tracing_subscriber::{
    layer::{Context, Layer, SubscriberExt as _},
    registry,
};

use super::{
    fault::{self, Disk, Fault},
    leases::holder,
    samples::{operation, run, template},
    select,
};
use crate::{Error, Store, Write, inspect};

/// Enough for every task that is ready to run.
const TURNS: u64 = 50;
/// Shorter than the limit of a commit.
const GUARD: Duration = Duration::from_secs(30);

/// Holds up a dying thread of sqlx in the moment in which its rows have ended and it still accepts
/// statements: sqlx leaves the span of the statement there.
struct HoldUp {
    turns: Weak<Turns>,
    deaths: Arc<AtomicU32>,
}

/// Counts the turns of the test's runtime while a thread is held up.
#[derive(Default)]
struct Turns {
    start: Notify,
    left: AtomicU64,
}

impl Turns {
    async fn count(&self) {
        loop {
            match self.left.load(Relaxed) {
                0 => self.start.notified().await,
                left => self.left.store(left - 1, Relaxed),
            }
            yield_now().await;
        }
    }

    fn left(weak: &Weak<Self>) -> bool {
        weak.upgrade().is_some_and(|turns| turns.left.load(Relaxed) > 0)
    }
}

impl<S: Subscriber> Layer<S> for HoldUp {
    fn on_exit(&self, _: &Id, _: Context<'_, S>) {
        // A failing test panics too, on the thread that counts.
        let sqlx = thread::current().name().is_some_and(|name| name.starts_with("sqlx-sqlite"));
        if !sqlx || !thread::panicking() {
            return;
        }
        self.deaths.fetch_add(1, Relaxed);
        if let Some(turns) = self.turns.upgrade() {
            turns.left.store(TURNS, Relaxed);
            turns.start.notify_one();
        }
        while Turns::left(&self.turns) {
            thread::yield_now();
        }
    }
}

/// What a service does with its database, each once.
async fn everything(address: &str) -> Result<(), Error> {
    let store = Store::open(address).await?;
    let holder = holder("h", "p");
    store.take_lease(&holder, Duration::from_secs(60), None, CancellationToken::new()).await?;
    let template = template("g", "t");
    let time = "2026-01-01T00:00:00Z";
    let writes = vec![
        Write::InsertRun(run("r", &template, time)),
        Write::Operation(operation("o", time)),
        Write::Insert(template),
    ];
    store.commit(writes).await?;
    store.list(&select()).await?;
    store.set_installation("i", "t", "s").await?;
    store.renew_lease(Duration::from_secs(60), Duration::ZERO).await?;
    store.probe().await?;
    store.release_lease().await?;
    store.close().await;
    inspect(address).await.map(drop)
}

/// Installs [`HoldUp`] for this thread. `None` if allocations cannot fail.
fn hold_up() -> Option<(impl Sized, Arc<AtomicU32>)> {
    if !fault::fails_allocations() {
        eprintln!("SKIPPED: SQLite was in use already: run with cargo nextest");
        return None;
    }
    let (turns, deaths) = (Arc::<Turns>::default(), Arc::<AtomicU32>::default());
    let layer = HoldUp { turns: Arc::downgrade(&turns), deaths: deaths.clone() };
    let default = tracing::subscriber::set_default(registry().with(layer));
    // Also the span of the tasks that the store spawns, because all of them run on this thread.
    let span = tracing::info_span!("test").entered();
    tokio::spawn(async move { turns.count().await });
    Some(((span, default), deaths))
}

#[tokio::test]
async fn every_call_ends_when_a_thread_of_sqlite_dies() {
    let Some((_held, deaths)) = hold_up() else { return };
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::below(folder.path());
    let empty = folder.path().join("empty.db");
    Store::open(&format!("sqlite://{}", empty.display())).await.unwrap().close().await;
    for nth in 1.. {
        let file = folder.path().join(format!("{nth}.db"));
        std::fs::copy(&empty, &file).unwrap();
        disk.fail_once(Fault::Value, nth);
        let address = format!("sqlite://{}", file.display());
        let done = timeout(GUARD, everything(&address)).await;
        assert!(done.is_ok(), "a call waits forever when allocation {nth} failed");
        if disk.mend() == 0 {
            break;
        }
    }
    assert!(deaths.load(Relaxed) > 10, "{deaths:?}");
}

#[tokio::test]
async fn abandoned_read_whose_thread_dies_gives_its_place_back() {
    let Some((_held, deaths)) = hold_up() else { return };
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::below(folder.path());
    let store = Store::open(&format!("sqlite://{}/a.db", folder.path().display())).await.unwrap();
    store.commit(vec![Write::Insert(template("g", "t"))]).await.unwrap();
    let pool = &store.pools.reader.0;
    let nothing_lent = async || {
        while pool.size() as usize > pool.num_idle() {
            yield_now().await;
        }
    };
    let reads = async {
        for nth in (1..10).cycle() {
            disk.mend();
            // Opens a connection if there is none.
            store.list(&select()).await.unwrap();
            nothing_lent().await;
            disk.fail_once(Fault::Value, nth);
            let selection = select();
            let mut read = Box::pin(store.list(&selection));
            let _ = poll!(&mut read);
            drop(read);
            nothing_lent().await;
            if deaths.load(Relaxed) > 0 {
                return;
            }
        }
    };
    timeout(GUARD, reads).await.expect("the place of a dead connection is free again");
    disk.mend();
    assert_eq!(store.list(&select()).await.unwrap().resources.len(), 1);
}
