//! The cache's files beside its nodes and artifacts, and their removal.

use std::{fs, path::PathBuf, time::SystemTime};

use engine::{
    build::{self, Freshness, Request},
    cache::{self, Fate, Remaining, Why},
    node::{Node, NodeStore, Parent},
};
use images::{ledger::Ledger, store::Store};
use sources::fetch::{self, Fetched};

use crate::{
    damage::flip,
    matrix::{Bench, SOURCE, TARGET, names},
};

async fn built(bench: &Bench, freshness: Freshness) -> Vec<String> {
    let cx = bench.cx();
    let request = Request { freshness, exports: Vec::new(), ..bench.request() };
    let plan = bench.plan(&cx).await;
    build::build(&cx, &bench.host, &bench.fake, &plan, &request).await.unwrap().nodes
}

/// Lock files of nodes and artifacts, and of making either.
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
async fn lock_files_are_removed_with_their_entries() {
    let bench = Bench::new().await;
    let nodes = built(&bench, Freshness::default()).await;
    let store = NodeStore::new(&bench.layout);
    cache::trim(&bench.layout, u64::MAX).unwrap();
    let (artifacts, uses): (Vec<_>, Vec<_>) =
        locks(&bench).into_iter().partition(|name| name.starts_with("artifact-"));
    assert_eq!(artifacts.len(), names(&bench.layout.artifacts()).len());
    assert_eq!(uses, used(&store.all().unwrap()), "what was made needs no lock to be made");

    // A lock on a node keeps the node and its lock file, and so its parents and theirs.
    let second =
        store.all().unwrap().into_iter().find(|node| node.meta.key.as_str() == nodes[1]).unwrap();
    let held = store.hold(&second.meta.key).unwrap().unwrap();
    cache::trim(&bench.layout, 0).unwrap();
    assert_eq!(store.all().unwrap().len(), 2);
    assert_eq!(locks(&bench), used(&store.all().unwrap()));
    drop(held);
    cache::trim(&bench.layout, 0).unwrap();
    assert_eq!(locks(&bench), Vec::<String>::new());
}

#[tokio::test]
async fn superseded_link_kept_while_target_exists() {
    let bench = Bench::new().await;
    built(&bench, Freshness::default()).await;
    let fresh = built(&bench, Freshness::FRESH).await;
    let notes = || names(&bench.layout.superseded());
    assert_eq!(notes().len(), 2, "both customizers");
    std::fs::write(bench.layout.superseded().join("torn.new"), "half").unwrap();
    cache::trim(&bench.layout, u64::MAX).unwrap();
    assert_eq!(notes().len(), 2);
    assert_eq!(built(&bench, Freshness::default()).await, fresh);

    // The fresh nodes are removed, the last one first; the older node of the first customizer
    // exists.
    let store = NodeStore::new(&bench.layout);
    for key in fresh[1..].iter().rev() {
        let node =
            store.all().unwrap().into_iter().find(|node| node.meta.key.as_str() == key).unwrap();
        assert!(!matches!(node.meta.parent, Parent::Source(_)));
        assert!(store.remove(&node).unwrap());
    }
    cache::trim(&bench.layout, u64::MAX).unwrap();
    assert_eq!(notes().len(), 1, "the older node must not come back by that");
    cache::trim(&bench.layout, 0).unwrap();
    assert_eq!(notes(), Vec::<String>::new());
}

#[test]
fn concurrent_supersessions_of_one_node_succeed() {
    let dir = tempfile::tempdir().unwrap();
    let layout = images::layout::Layout::new(dir.path().join("cache"), dir.path().join("data"));
    let store = NodeStore::new(&layout);
    let key = |n: usize| images::digest::KeyBuilder::new(&n.to_string(), "k").finish();
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

/// A download of 64 KiB, and its lock file, last used `hours` ago.
async fn download(bench: &Bench, content: u8, hours: u64) -> Fetched {
    let fetched = fetch::keep(&bench.cx(), &vec![content; 64 << 10]).await.unwrap();
    let lock = bench.layout.locks().join(format!("kept-download-{}.lock", fetched.sha256));
    let then = SystemTime::now() - std::time::Duration::from_secs(hours * 3600);
    fs::File::open(lock).unwrap().set_modified(then).unwrap();
    fetched
}

fn why(kept: &[Remaining], name: &str) -> Option<Why> {
    kept.iter().find(|kept| kept.name == name).map(|kept| kept.why)
}

#[tokio::test]
async fn downloads_are_evicted_by_last_use_unless_in_use_or_in_a_template() {
    let bench = Bench::new().await;
    let used = download(&bench, 1, 9).await;
    let of_template = download(&bench, 2, 8).await;
    let old = download(&bench, 3, 7).await;
    let newer = download(&bench, 4, 6).await;
    let blob = bench.dir.path().join("blob");
    fs::hard_link(&of_template.path, &blob).unwrap();
    let paths = [&used, &of_template, &old, &newer].map(|fetched| fetched.path.clone());
    let there = || paths.each_ref().map(|path| path.exists());
    drop((of_template, old, newer));

    // There is room for two: the one in use counts, and the one with a second name does not.
    cache::trim(&bench.layout, 130 << 10).unwrap();
    assert_eq!(there(), [true, true, false, true]);
    let done = cache::clear(&bench.layout, false).unwrap();
    assert_eq!(there(), [true, true, false, false]);
    assert_eq!(why(&done.kept, &used.sha256), Some(Why::InUse));
    drop(used);
    // With its template the second name is removed.
    fs::remove_file(blob).unwrap();
    let done = cache::clear(&bench.layout, false).unwrap();
    assert_eq!((there(), done.left), ([false; 4], 0));
}

#[tokio::test]
async fn sources_and_logs_are_evicted_unless_a_run_needs_them() {
    let bench = Bench::new().await;
    built(&bench, Freshness::default()).await;
    let logs = names(&bench.layout.logs());
    assert_eq!(logs.len(), 1);
    let running = Ledger::open(&bench.layout, "01890a5d-ac96-774b-bcce-b302099a8057").unwrap();
    fs::create_dir_all(bench.layout.logs().join("01890a5d-ac96-774b-bcce-b302099a8057")).unwrap();
    let sources = || {
        let mut all = names(&bench.layout.sources());
        all.retain(|name| name.len() == 64);
        all
    };
    let source = sources().remove(0);
    let stored = Store::open(&bench.layout).get(SOURCE).unwrap();
    let held = sources::add_stored(&bench.cx(), &bench.host, &stored).await.unwrap();

    let done = cache::clear(&bench.layout, true).unwrap();
    assert_eq!(names(&bench.layout.nodes()), Vec::<String>::new());
    assert_eq!(why(&done.kept, &source), Some(Why::InUse));
    assert_eq!(sources(), std::slice::from_ref(&source));
    assert_eq!(names(&bench.layout.logs()), ["01890a5d-ac96-774b-bcce-b302099a8057"]);
    drop(held);
    running.close().unwrap();
    let done = cache::clear(&bench.layout, false).unwrap();
    assert_eq!((sources().len(), names(&bench.layout.logs()).len()), (1, 0));
    assert_eq!(done.left, 0, "sources were not asked for");
    let done = cache::trim(&bench.layout, 0).unwrap();
    assert_eq!((sources().len(), done.left, done.kept), (0, 0, Vec::new()));
    // Everything is made again.
    fs::remove_file(bench.dir.path().join("out.raw")).ok();
    built(&bench, Freshness::default()).await;
}

#[tokio::test]
async fn verify_finds_damaged_files_and_evicts_reproducible_ones() {
    let bench = Bench::new().await;
    let nodes = built(&bench, Freshness::default()).await;
    let fetched = fetch::keep(&bench.cx(), b"echo hello").await.unwrap();
    let sound = cache::verify(&bench.cx(), None).await.unwrap();
    assert_eq!((sound.damaged.len(), sound.without_digest), (0, 0));
    assert!(sound.files > 10, "{sound:?}");

    let node = bench.layout.nodes().join(&nodes[2]).join("disk.qcow2");
    let image = Store::open(&bench.layout).get(TARGET).unwrap().disk();
    // Links are one file: the artifact of the image is damaged with it.
    let key = names(&bench.layout.artifacts()).remove(0);
    let artifact = bench.layout.artifacts().join(key).join("disk.qcow2");
    for path in [&node, &image, &fetched.path] {
        flip(path);
    }
    let seen = cache::verify(&bench.cx(), Some(1 << 40)).await.unwrap();
    let mut damaged: Vec<(PathBuf, Fate)> =
        seen.damaged.into_iter().map(|damaged| (damaged.path, damaged.fate)).collect();
    damaged.sort_by(|one, other| one.0.cmp(&other.0));
    let mut expected = vec![
        (node.clone(), Fate::Evicted),
        (artifact.clone(), Fate::Evicted),
        (fetched.path.clone(), Fate::Evicted),
        (image.clone(), Fate::Reported),
    ];
    expected.sort_by(|one, other| one.0.cmp(&other.0));
    assert_eq!(damaged, expected);
    assert_eq!(
        [&node, &artifact, &fetched.path, &image].map(|path| path.exists()),
        [false, false, false, true]
    );
    built(&bench, Freshness::default()).await;
    // The run has replaced the image.
    assert_eq!(cache::verify(&bench.cx(), None).await.unwrap().damaged.len(), 0);
}
