//! The store on a failing disk: any of its calls fails once, or all fail until there is room again.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt as _;
use sqlx::Connection as _;

use super::{
    CASES, Case,
    fault::{self, Disk, Fault},
    samples::{gallery, operation, run, template},
    select,
};
use crate::{Resource, ResourceKey, Store, Trouble, Write};

const FAULTS: [Fault; 5] = [Fault::Full, Fault::Write, Fault::Sync, Fault::Read, Fault::Allocation];

/// Excluded: no caller retries in these (abandoned commits, query plans), or they count the attempts.
const ALONE: [&str; 3] = [
    "abandoned_commit_is_completed",
    "every_query_uses_its_index",
    "ended_runs_are_paged_and_removed_in_one_commit",
];
/// Takes a second each, so only a few calls fail.
const LARGE: &str = "resources::list_of_ten_thousand_templates_is_paged";

/// In memory if possible, because a sync of a real disk takes longer than everything else.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn address(folder: &tempfile::TempDir, name: &str) -> String {
    format!("sqlite://{}/{name}.db", folder.path().display())
}

/// Every case passes when any one call of its database fails: an immediate retry succeeds, and
/// acknowledged writes are there.
#[tokio::test(flavor = "multi_thread")]
async fn suite_passes_on_disk_that_fails_once() {
    if !fault::fails_allocations() {
        eprintln!(
            "SKIPPED: failing allocations. SQLite was in use already: run with cargo nextest"
        );
    }
    let cases = CASES.iter().filter(|(name, _)| !ALONE.iter().any(|alone| name.ends_with(alone)));
    let suites = cases.map(|(name, case)| tokio::spawn(case_with_every_fault(name, *case)));
    let mut struck = 0;
    for suite in futures_util::future::join_all(suites).await {
        struck += suite.unwrap();
    }
    println!("{struck} faults");
    assert!(struck > 1000, "{struck}");
}

async fn case_with_every_fault(name: &'static str, case: Case) -> u32 {
    let folder = folder();
    let disk = Disk::below(folder.path());
    let mut struck = 0;
    for fault in FAULTS {
        for nth in calls(name == LARGE) {
            disk.fail_once(fault, nth);
            let done = AssertUnwindSafe(case(address(&folder, &format!("{fault:?}{nth}"))));
            if done.catch_unwind().await.is_err() {
                panic!("{name} failed with {fault:?} at call {nth}");
            }
            match disk.mend() {
                0 => break,
                times => struck += times,
            }
        }
    }
    struck
}

/// Each of the first calls, then some of the later ones.
fn calls(few: bool) -> impl Iterator<Item = u32> {
    let mut next = 1;
    std::iter::from_fn(move || {
        let nth = next;
        next = match few {
            true => nth * 40,
            false if nth < 12 => nth + 1,
            false => nth * 2,
        };
        Some(nth)
    })
}

/// Until there is room, no write is acknowledged or partly applied. The next one succeeds without a
/// restart.
#[tokio::test(flavor = "multi_thread")]
async fn full_disk_rejects_writes_until_it_has_room() {
    for fault in [Fault::Full, Fault::Write, Fault::Sync] {
        let mut failed = 0;
        for nth in calls(false).take_while(|nth| *nth < 200) {
            failed += fills_up(fault, nth).await;
        }
        assert!(failed > 20, "{fault:?}: {failed}");
    }
}

/// The writes of the commit with this number, of several kinds.
fn commit(number: usize) -> (Vec<Write>, [ResourceKey; 2]) {
    let time = "2026-01-01T00:00:00Z";
    let template = template("g", &format!("t{number}"));
    let mut gallery = gallery("g", &format!("x{number}"));
    gallery.body["filler"] = "x".repeat(9000).into();
    let keys = [template.key(), gallery.key()];
    let writes = vec![
        Write::InsertRun(run(&format!("r{number}"), &template, time)),
        Write::Operation(operation(&format!("o{number}"), time)),
        Write::Insert(template),
        Write::Insert(gallery),
    ];
    (writes, keys)
}

/// Writes until and beyond the fault. Returns how many commits failed.
async fn fills_up(fault: Fault, nth: u32) -> u32 {
    let folder = folder();
    let disk = Disk::below(folder.path());
    let address = address(&folder, "a");
    let store = Store::open(&address).await.unwrap();
    disk.fail_from(fault, nth);
    let (mut acknowledged, mut refused) = (Vec::new(), Vec::new());
    for number in 0..16 {
        let (writes, keys) = commit(number);
        match store.commit(writes).await {
            Ok(()) => acknowledged.push((number, keys)),
            Err(error) => {
                let trouble = error.trouble();
                let expected = [Trouble::DiskFull, Trouble::Unavailable].map(Some);
                assert!(expected.contains(&trouble), "{fault:?} {nth}: {error:?}");
                refused.push((number, keys));
            }
        }
    }
    disk.mend();
    let (writes, keys) = commit(99);
    let next = store.commit(writes).await;
    next.unwrap_or_else(|error| panic!("{fault:?} {nth}: there is room: {error:?}"));
    acknowledged.push((99, keys));
    check(&store, &acknowledged, &refused).await;
    store.close().await;
    // Recovery of the log gives the same result.
    check(&Store::open(&address).await.unwrap(), &acknowledged, &refused).await;
    u32::try_from(refused.len()).unwrap()
}

type Commits = [(usize, [ResourceKey; 2])];

async fn check(store: &Store, acknowledged: &Commits, refused: &Commits) {
    for (number, keys) in acknowledged {
        assert_eq!(present(store, *number, keys).await, [true; 4], "{number} was acknowledged");
    }
    for (number, keys) in refused {
        let parts = present(store, *number, keys).await;
        assert_eq!(parts, [parts[0]; 4], "{number} is half there");
    }
    let sound: String =
        sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&store.pools.reader).await.unwrap();
    assert_eq!(sound, "ok");
}

async fn present(store: &Store, number: usize, keys: &[ResourceKey; 2]) -> [bool; 4] {
    [
        store.resource(&keys[0]).await.unwrap().is_some(),
        store.resource(&keys[1]).await.unwrap().is_some(),
        store.run(&format!("r{number}")).await.unwrap().is_some(),
        store.operation(&format!("o{number}")).await.unwrap().is_some(),
    ]
}

/// Reads succeed while writes fail.
#[tokio::test(flavor = "multi_thread")]
async fn full_disk_allows_reads() {
    let folder = folder();
    let disk = Disk::below(folder.path());
    let store = Store::open(&address(&folder, "a")).await.unwrap();
    let (writes, keys) = commit(1);
    store.commit(writes).await.unwrap();
    disk.fail_from(Fault::Full, 1);
    for _ in 0..3 {
        let error = store.commit(commit(2).0).await.unwrap_err();
        assert_eq!(error.trouble(), Some(Trouble::DiskFull), "{error:?}");
        assert_eq!(present(&store, 1, &keys).await, [true; 4]);
    }
    disk.mend();
    store.commit(commit(2).0).await.unwrap();
}

/// When the connection's thread dies during a read, the result is an error, not a part of the rows.
#[tokio::test(flavor = "multi_thread")]
async fn interrupted_read_returns_all_rows_or_an_error() {
    if !fault::fails_allocations() {
        eprintln!("SKIPPED: SQLite was in use already: run with cargo nextest");
        return;
    }
    let folder = folder();
    let disk = Disk::below(folder.path());
    let store = Store::open(&address(&folder, "a")).await.unwrap();
    let templates: Vec<Resource> = (0..20).map(|n| template("g", &format!("t{n}"))).collect();
    store.commit(templates.into_iter().map(Write::Insert).collect()).await.unwrap();
    for nth in calls(false) {
        disk.fail_from(Fault::Allocation, nth);
        let page = store.list(&select()).await;
        let struck = disk.mend();
        if let Ok(page) = page {
            assert_eq!(page.resources.len(), 20, "{nth}");
        }
        if struck == 0 {
            assert!(nth > 20, "{nth}");
            return;
        }
    }
}

/// A restarting server closes all connections.
#[tokio::test(flavor = "multi_thread")]
async fn closed_postgresql_connections_are_replaced() {
    let address = super::postgres::new_database().await;
    let store = Store::open(&address).await.unwrap();
    let (writes, keys) = commit(0);
    store.commit(writes).await.unwrap();
    let mut administrator = sqlx::PgConnection::connect(&address).await.unwrap();
    for number in 1..4 {
        // Leaves an idle reader.
        assert_eq!(present(&store, 0, &keys).await, [true; 4]);
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                   WHERE datname = current_database() AND pid <> pg_backend_pid()";
        let ended = sqlx::query(end).fetch_all(&mut administrator).await.unwrap();
        assert!(ended.len() >= 2, "a reader and the writer");
        let (writes, keys) = commit(number);
        store.commit(writes).await.unwrap();
        assert_eq!(present(&store, number, &keys).await, [true; 4]);
    }
}
