//! What the cache keeps beside its nodes and artifacts, and that it goes with them.

use engine::{
    build::{self, Freshness, Request},
    cache,
    node::{Node, NodeStore, Parent},
};

use crate::matrix::{Bench, names};

async fn built(bench: &Bench, freshness: Freshness) -> Vec<String> {
    let cx = bench.cx();
    let request = Request { freshness, exports: Vec::new(), ..bench.request() };
    let plan = bench.plan(&cx).await;
    build::build(&cx, &bench.host, &bench.fake, &plan, &request).await.unwrap().nodes
}

/// Lock files of nodes, of artifacts, and of making either.
fn locks(bench: &Bench) -> Vec<String> {
    let kinds = ["use-", "make-", "artifact-", "source-"];
    let mut locks = names(&bench.layout.locks());
    locks.retain(|name| kinds.iter().any(|kind| name.starts_with(kind)));
    locks.sort();
    locks
}

fn used(nodes: &[Node]) -> Vec<String> {
    let mut locks: Vec<_> =
        nodes.iter().map(|node| format!("use-{}.lock", node.meta.key)).collect();
    locks.sort();
    locks
}

#[tokio::test]
async fn lock_files_go_with_what_they_are_for() {
    let bench = Bench::new().await;
    let nodes = built(&bench, Freshness::default()).await;
    let store = NodeStore::new(&bench.layout);
    cache::trim(&bench.layout, u64::MAX).unwrap();
    let (artifacts, uses): (Vec<_>, Vec<_>) =
        locks(&bench).into_iter().partition(|name| name.starts_with("artifact-"));
    assert_eq!(artifacts.len(), names(&bench.layout.artifacts()).len());
    assert_eq!(uses, used(&store.all()), "what was made needs no lock to be made");

    // Who holds a node keeps it and its lock, and so its parents and theirs.
    let second = store.all().into_iter().find(|node| node.meta.key.as_str() == nodes[1]).unwrap();
    let held = store.hold(&second.meta.key).unwrap().unwrap();
    cache::trim(&bench.layout, 0).unwrap();
    assert_eq!(store.all().len(), 2);
    assert_eq!(locks(&bench), used(&store.all()));
    drop(held);
    cache::trim(&bench.layout, 0).unwrap();
    assert_eq!(locks(&bench), Vec::<String>::new());
}

#[tokio::test]
async fn what_leads_to_a_fresh_node_stays_while_it_leads_or_hides_something() {
    let bench = Bench::new().await;
    built(&bench, Freshness::default()).await;
    let fresh = built(&bench, Freshness::FRESH).await;
    let notes = || names(&bench.layout.superseded());
    assert_eq!(notes().len(), 2, "both customizers");
    std::fs::write(bench.layout.superseded().join("torn.new"), "half").unwrap();
    cache::trim(&bench.layout, u64::MAX).unwrap();
    assert_eq!(notes().len(), 2);
    assert_eq!(built(&bench, Freshness::default()).await, fresh);

    // The fresh nodes go, the last one first; the older node of the first customizer is there.
    let store = NodeStore::new(&bench.layout);
    for key in fresh[1..].iter().rev() {
        let node = store.all().into_iter().find(|node| node.meta.key.as_str() == key).unwrap();
        assert!(!matches!(node.meta.parent, Parent::Source(_)));
        assert!(store.remove(&node).unwrap());
    }
    cache::trim(&bench.layout, u64::MAX).unwrap();
    assert_eq!(notes().len(), 1, "the older node must not come back by that");
    cache::trim(&bench.layout, 0).unwrap();
    assert_eq!(notes(), Vec::<String>::new());
}

#[test]
fn many_who_supersede_one_node_at_once_all_succeed() {
    let dir = tempfile::tempdir().unwrap();
    let layout = engine::layout::Layout::new(dir.path().join("cache"), dir.path().join("data"));
    let store = NodeStore::new(&layout);
    let key = |n: usize| engine::node::KeyBuilder::new(&n.to_string(), "k").finish();
    std::thread::scope(|scope| {
        for thread in 1..=8 {
            let store = &store;
            scope.spawn(move || {
                for _ in 0..50 {
                    store.supersede(&key(0), &key(thread)).unwrap();
                }
            });
        }
    });
    let last = store.current(key(0));
    assert!((1..=8).any(|n| key(n) == last), "{last:?}");
}
