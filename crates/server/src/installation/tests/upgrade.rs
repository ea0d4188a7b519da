//! Upgrades from an earlier release: `earlier/` has a database and a ledger of commit 8447f4c, from a service that was
//! killed with one active and one queued run.

use std::{fs, os::unix::fs::PermissionsExt as _};

use engine::janitor;
use images::ledger;

use super::*;

const RUN: &str = "01a22aba-907e-7571-a1c3-3dc404b42370";

async fn earlier(bench: &Bench) {
    let dir = service::server_folder::dir(&bench.layout);
    fs::write(dir.join("identity.json"), include_str!("../earlier/identity.json")).unwrap();
    let url = service::server_folder::database_url(&bench.layout, None);
    fs::write(dir.join("goldsmith.db"), "").unwrap();
    db::execute_raw(&url, include_str!("../earlier/database.sql")).await.unwrap();
    let ledger = bench.layout.ledger().join(RUN);
    fs::create_dir_all(&ledger).unwrap();
    let cache = bench.layout.cache().display().to_string();
    for (number, row) in include_str!("../earlier/ledger.jsonl").lines().enumerate() {
        fs::write(ledger.join(format!("{number:06}.json")), row.replace("@CACHE@", &cache))
            .unwrap();
    }
    fs::create_dir_all(bench.layout.runs().join(RUN)).unwrap();
    fs::create_dir_all(service::run_folder::of(&bench.layout, RUN)).unwrap();
}

#[tokio::test]
async fn database_and_ledger_of_earlier_release_are_upgraded() {
    let bench = Bench::new();
    earlier(&bench).await;
    let url = service::server_folder::database_url(&bench.layout, None);
    assert_eq!(db::inspect(&url).await.unwrap().schema, 3);
    let (store, identity) = open(&bench.layout, &url).await.unwrap();
    assert_eq!(db::inspect(&url).await.unwrap().schema, db::SCHEMA);
    let subscription = identity.subscription.to_string();
    let row = store.installation().await.unwrap().unwrap();
    assert_eq!((row.subscription, row.mark), (subscription.clone(), 0));
    let kind = |kind: &str| db::Select {
        subscription: subscription.clone(),
        kind: Some(kind.to_owned()),
        ..db::Select::default()
    };
    let count = async |name: &str| store.list_all(kind(name)).await.unwrap().len();
    assert_eq!(count("microsoft.virtualmachineimages/imagetemplates").await, 2);
    assert_eq!(count("microsoft.storage/storageaccounts").await, 2);
    assert_eq!(store.clients().await.unwrap().len(), 1);
    let states: Vec<_> =
        store.unfinished_runs().await.unwrap().into_iter().map(|run| run.state).collect();
    assert_eq!(states, [db::RunState::Running, db::RunState::Queued]);
    // The database knows its account and its run.
    assert_eq!(crate::unknown(&bench.layout, None).await.unwrap(), []);
    store.close().await;
    open(&bench.layout, &url).await.unwrap();

    let rows = ledger::rows_of(&bench.layout, RUN).unwrap();
    assert_eq!(rows.len(), 3);
    let problems = janitor::sweep(&bench.layout, &vm::fake::Fake::new()).await.unwrap();
    assert!(problems.is_empty(), "{}", problems.len());
    assert!(ledger::rows_of(&bench.layout, RUN).unwrap_or_default().is_empty());
    assert!(!bench.layout.runs().join(RUN).exists());
}

#[tokio::test]
async fn database_is_copied_with_its_schema_before_upgrade() {
    let bench = Bench::new();
    earlier(&bench).await;
    let url = service::server_folder::database_url(&bench.layout, None);
    open(&bench.layout, &url).await.unwrap().0.close().await;
    open(&bench.layout, &url).await.unwrap().0.close().await;
    let copies = service::server_folder::dir(&bench.layout).join("before-upgrade");
    let copies: Vec<_> = fs::read_dir(copies).unwrap().map(|entry| entry.unwrap().path()).collect();
    let [copy] = copies.as_slice() else { panic!("{copies:?}") };
    assert!(copy.file_name().unwrap().to_str().unwrap().starts_with("schema-3-"), "{copy:?}");
    assert_eq!(fs::metadata(copy).unwrap().permissions().mode() & 0o777, 0o600);
    let back = bench.url("back");
    crate::backup::restore(&bench.layout, Some(&back), copy).await.unwrap();
    let found = db::inspect(&back).await.unwrap();
    assert_eq!((found.schema, found.has_content), (3, true), "the earlier release can use it");
}
