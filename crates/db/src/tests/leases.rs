//! The lease, on both databases.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{
    super::{Error, Holder, Lease, Run, RunState, Write},
    Store,
    samples::{run, template},
};

/// Reverts the schema versions that added leases.
pub(super) const UNDO: &[&str] = &[
    "DROP TABLE leases",
    "ALTER TABLE runs DROP COLUMN owner",
    "ALTER TABLE runs DROP COLUMN crashes",
    "ALTER TABLE runs DROP COLUMN worked",
];

const QUEUED: &str = "2026-01-01T00:00:00Z";
const LONG: Duration = Duration::from_secs(3600);

pub(super) fn holder(id: &str, place: &str) -> Holder {
    Holder { id: id.into(), host: "h".into(), pid: 1, folder: "/f".into(), place: place.into() }
}

async fn take(store: &Store, id: &str, ttl: Duration, unrenewed: Option<&Lease>) -> Option<Lease> {
    let lost = CancellationToken::new();
    store.take_lease(&holder(id, id), ttl, unrenewed, lost).await.unwrap()
}

pub(super) async fn renewed_lease_cannot_be_taken(address: String) {
    let (one, two) = (Store::open(&address).await.unwrap(), Store::open(&address).await.unwrap());
    assert_eq!(take(&one, "one", LONG, None).await, None);
    let lease = take(&two, "two", LONG, None).await.expect("another process has it");
    assert_eq!((lease.holder.id.as_str(), lease.ttl), ("one", LONG));
    assert!(one.renew_lease(LONG, Duration::ZERO).await.unwrap());
    let renewed = take(&two, "two", LONG, Some(&lease)).await.expect("it was renewed meanwhile");
    assert!(renewed.beat > lease.beat);
    // Not renewed for its whole duration.
    assert_eq!(take(&two, "two", LONG, Some(&renewed)).await, None);

    // Released.
    two.release_lease().await.unwrap();
    let three = Store::open(&address).await.unwrap();
    assert_eq!(take(&three, "three", LONG, None).await, None);
    // Another process of the same place, so the earlier one is dead.
    let four = Store::open(&address).await.unwrap();
    let successor = holder("four", "three");
    let taken = four.take_lease(&successor, LONG, None, CancellationToken::new()).await.unwrap();
    assert_eq!(taken, None);
    assert_eq!(four.lease_holder().await.unwrap(), Some(successor));
}

pub(super) async fn lost_lease_rejects_every_write(address: String) {
    let (one, two) = (Store::open(&address).await.unwrap(), Store::open(&address).await.unwrap());
    let lost = CancellationToken::new();
    one.take_lease(&holder("one", "one"), Duration::ZERO, None, lost.clone()).await.unwrap();
    // Expired, but not taken by another process.
    one.commit(vec![Write::Insert(template("g", "t"))]).await.unwrap();
    assert!(one.renew_lease(Duration::ZERO, Duration::ZERO).await.unwrap());
    assert_eq!(take(&two, "two", LONG, None).await, None);

    assert!(!lost.is_cancelled());
    let refused = one.commit(vec![Write::Insert(template("g", "u"))]).await.unwrap_err();
    assert!(matches!(refused, Error::NotOwner), "{refused:?}");
    assert!(lost.is_cancelled());
    assert!(!one.renew_lease(LONG, Duration::ZERO).await.unwrap());
    assert!(one.forget_runs(&["x".to_owned()]).await.is_err());
    assert!(one.release_lease().await.is_err());
    two.commit(vec![Write::Insert(template("g", "u"))]).await.unwrap();
    // Commands beside the service need no lease.
    let beside = Store::open(&address).await.unwrap();
    beside.commit(vec![Write::Insert(template("g", "v"))]).await.unwrap();
}

pub(super) async fn renewal_adds_to_time_of_active_runs(address: String) {
    let store = Store::open(&address).await.unwrap();
    assert_eq!(take(&store, "one", LONG, None).await, None);
    let mine = Run {
        state: RunState::Running,
        owner: Some("one".into()),
        ..run("a", &template("g", "t"), QUEUED)
    };
    let waiting =
        Run { state: RunState::Queued, owner: None, ..run("b", &template("g", "u"), QUEUED) };
    let writes = [&mine, &waiting].map(|run| Write::InsertRun(run.clone()));
    store.commit(writes.to_vec()).await.unwrap();
    for _ in 0..2 {
        assert!(store.renew_lease(LONG, Duration::from_secs(5)).await.unwrap());
    }
    // A write of its owner does not reset it.
    store.commit(vec![Write::ReplaceRun(mine.clone())]).await.unwrap();
    let worked = async |id: &str| store.run(id).await.unwrap().unwrap().worked;
    assert_eq!(worked(&mine.id).await, Duration::from_secs(10));
    assert_eq!(worked(&waiting.id).await, Duration::ZERO);
}
