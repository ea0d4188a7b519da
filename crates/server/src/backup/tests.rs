#![allow(clippy::unwrap_used, reason = "tests")]
use std::os::unix::fs::MetadataExt as _;

use db::{Resource, ResourceKey, Store, TombstoneKind, Write};
use images::layout::Layout;
use jiff::Timestamp;
use serde_json::json;
use service::{App, Settings, blobs, server_folder, tombstones};

use super::*;
use crate::installation;

const ACCOUNT: &str = "microsoft.storage/storageaccounts";

struct Bench {
    dir: tempfile::TempDir,
    layout: Layout,
    app: App,
}

impl Bench {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path().join("cache"), dir.path().join("data"));
        images::files::make_dir(&server_folder::dir(&layout)).unwrap();
        let url = server_folder::database_url(&layout, None);
        let (store, identity) = installation::open(&layout, &url).await.unwrap();
        let settings = Settings {
            layout: layout.clone(),
            dir: server_folder::dir(&layout),
            regions: vec!["lab1".to_owned()],
            tenant: identity.tenant.to_string(),
            subscription: identity.subscription.to_string(),
        };
        Self { dir, layout, app: App::new(settings, store, CancellationToken::new()) }
    }

    /// An empty folder on the same file system.
    fn elsewhere(&self, name: &str) -> Layout {
        Layout::new(self.dir.path().join("cache"), self.dir.path().join(name))
    }

    /// Creates an account in the order of the service: the blobs, then the row.
    async fn account(&self, number: usize) {
        let account = format!("acc{number}");
        let from = self.dir.path().join(format!("from{number}"));
        fs::write(&from, format!("disk {number}")).unwrap();
        let blob = blobs::Blob { account, container: "vhds".into(), name: "a.vhd".into() };
        blobs::put(&self.layout, &blob, &from).await.unwrap();
        let row = Write::Insert(self.row(number));
        self.app.store().commit(vec![row]).await.unwrap();
    }

    async fn remove_account(&self, number: usize) {
        let key = self.row(number).key();
        self.app.store().commit(vec![Write::Remove(key, 1)]).await.unwrap();
        tombstones::remove_account_files(&self.app, &format!("acc{number}")).await;
    }

    fn row(&self, number: usize) -> Resource {
        let subscription = self.app.settings().subscription.clone();
        let now = Timestamp::now();
        Resource {
            id: format!(
                "/subscriptions/{subscription}/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/acc{number}"
            ),
            subscription,
            group: "g".to_owned(),
            kind: ACCOUNT.to_owned(),
            name: format!("acc{number}"),
            revision: 0,
            created: now,
            changed: now,
            body: json!({ "text": "quotes ' and \" and \u{fffd} and ümlaut" }),
            hidden: json!({}),
        }
    }
}

async fn accounts(store: &Store, subscription: &str) -> Vec<Resource> {
    let select = db::Select {
        subscription: subscription.to_owned(),
        kind: Some(ACCOUNT.to_owned()),
        ..Default::default()
    };
    store.list_all(select).await.unwrap()
}

/// Clients choose the names of images and blobs, which may look like those of unfinished files.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn backup_skips_unfinished_files_only() {
    let bench = Bench::new().await;
    let data = bench.dir.path().join("data");
    let expected = ["images/managed/golden.partial/disk.raw", "server/storage/acc1/c/motd.new"];
    let unfinished = ["server/storage/acc1/c/a.goldsmith-r1.partial", "server/key.pem.new"];
    for file in expected.iter().chain(&unfinished) {
        fs::create_dir_all(data.join(file).parent().unwrap()).unwrap();
        fs::write(data.join(file), "x").unwrap();
    }
    let to = bench.dir.path().join("backup");
    backup(&bench.layout, None, &to).await.unwrap();
    let other = bench.elsewhere("other");
    restore(&other, None, &to).await.unwrap();
    let restored = |file: &str| bench.dir.path().join("other").join(file).exists();
    assert!(expected.iter().all(|file| restored(file)), "{expected:?}");
    assert!(!unfinished.iter().any(|file| restored(file)), "{unfinished:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn backup_of_running_service_has_files_of_every_row() {
    let bench = Bench::new().await;
    for number in 0..20 {
        bench.account(number).await;
    }
    let to = bench.dir.path().join("backup");
    let made = {
        let stop = CancellationToken::new();
        let load = async {
            let mut number = 20;
            while !stop.is_cancelled() {
                bench.account(number).await;
                bench.remove_account(number - 15).await;
                number += 1;
            }
            number
        };
        let making = async {
            let made = backup(&bench.layout, None, &to).await;
            stop.cancel();
            made
        };
        let (written, made) = tokio::join!(load, making);
        assert!(written > 20, "nothing was written meanwhile");
        made.unwrap()
    };
    let (_, faults) = verify(&to).await.unwrap();
    assert_eq!(faults, [""; 0]);
    let other = bench.elsewhere("other");
    let restored = restore(&other, None, &to).await.unwrap();
    assert_eq!(restored.database, made.database);
    let url = server_folder::database_url(&other, None);
    let (store, identity) = installation::open(&other, &url).await.unwrap();
    let rows = accounts(&store, &identity.subscription.to_string()).await;
    assert!(rows.len() >= 14, "{}", rows.len());
    for row in rows {
        let file = blobs::root(&other).join(&row.name).join("vhds/a.vhd");
        let text = fs::read_to_string(&file).unwrap();
        assert_eq!(text.replace("disk ", "acc"), row.name);
        assert_eq!(row.body, bench.row(0).body);
    }
}

#[tokio::test]
async fn backup_is_private_and_links_published_files() {
    let bench = Bench::new().await;
    bench.account(1).await;
    fs::write(server_folder::dir(&bench.layout).join("signing-key.pem"), "key").unwrap();
    let ledger = bench.layout.ledger().join("r1");
    fs::create_dir_all(&ledger).unwrap();
    fs::write(ledger.join("000000.json"), "{}").unwrap();
    let to = bench.dir.path().join("backup");
    let manifest = backup(&bench.layout, None, &to).await.unwrap();
    let names: Vec<&str> = manifest.files.iter().map(|file| file.path.as_str()).collect();
    for wanted in ["server/identity.json", "server/signing-key.pem", "ledger/r1/000000.json"] {
        assert!(names.contains(&wanted), "{names:?}");
    }
    assert!(!names.iter().any(|name| name.contains("goldsmith.db")), "{names:?}");
    let mode = |path: &str| fs::metadata(to.join(path)).unwrap().mode() & 0o777;
    for folder in ["", "data", "data/server", "data/ledger/r1"] {
        assert_eq!(mode(folder), 0o700, "{folder}");
    }
    for file in ["backup.json", "database.jsonl", "data/server/signing-key.pem"] {
        assert_eq!(mode(file), 0o600, "{file}");
    }
    let blob = "server/storage/acc1/vhds/a.vhd";
    let inode = |path: PathBuf| fs::metadata(path).unwrap().ino();
    assert_eq!(inode(to.join("data").join(blob)), inode(bench.layout.data().join(blob)));
    let error = backup(&bench.layout, None, &to).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::InvalidArgument, "it exists");

    // In another folder, the ledger's rows would stop processes of this one.
    let other = bench.elsewhere("other");
    assert!(restore(&other, None, &to).await.unwrap().is_elsewhere);
    assert!(!other.ledger().join("r1").exists());
    let error = restore(&other, None, &to).await.unwrap_err();
    assert!(error.message.contains("is not empty"), "{}", error.message);
    // In the original folder, they list what to release.
    fs::rename(bench.layout.data(), bench.dir.path().join("lost")).unwrap();
    assert!(!restore(&bench.layout, None, &to).await.unwrap().is_elsewhere);
    assert!(ledger.join("000000.json").exists());
}

#[tokio::test]
async fn restored_service_is_a_new_installation() {
    let bench = Bench::new().await;
    let to = bench.dir.path().join("backup");
    backup(&bench.layout, None, &to).await.unwrap();
    let other = bench.elsewhere("other");
    restore(&other, None, &to).await.unwrap();
    let (own, copy) = (
        server_folder::database_url(&bench.layout, None),
        server_folder::database_url(&other, None),
    );
    assert!(installation::check(&other, &copy).await.is_ok());
    for (layout, url) in [(&bench.layout, &copy), (&other, &own)] {
        let error = installation::check(layout, url).await.unwrap_err();
        assert!(error.message.contains("different installations"), "{}", error.message);
    }
}

#[tokio::test]
async fn damaged_and_missing_files_are_found() {
    let bench = Bench::new().await;
    bench.account(1).await;
    let to = bench.dir.path().join("backup");
    backup(&bench.layout, None, &to).await.unwrap();
    let path = to.join("database.jsonl");
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, bytes).unwrap();
    fs::remove_file(to.join("data/server/identity.json")).unwrap();
    let (_, faults) = verify(&to).await.unwrap();
    assert_eq!(faults.len(), 2, "{faults:?}");
    assert!(faults[0].starts_with("database.jsonl: SHA-256"), "{faults:?}");
    assert_eq!(faults[1], "data/server/identity.json: missing");
    let other = bench.elsewhere("other");
    let error = restore(&other, None, &to).await.unwrap_err();
    assert_eq!(error.details, faults);
    assert!(!server_folder::dir(&other).exists());
    fs::remove_file(to.join("backup.json")).unwrap();
    assert_eq!(verify(&to).await.unwrap_err().code, ErrorCode::NotFound);
}

#[tokio::test]
async fn tombstones_wait_during_a_backup() {
    let bench = Bench::new().await;
    bench.account(1).await;
    let key = ResourceKey::of(&bench.row(1).id);
    bench.app.store().commit(vec![Write::Remove(key, 1)]).await.unwrap();
    let file = blobs::root(&bench.layout).join("acc1/vhds/a.vhd");
    let lock = tombstones::forbid(&bench.layout).unwrap().unwrap();
    assert!(tombstones::remove_all_files(&bench.app).await.is_err());
    assert!(file.exists());
    assert!(bench.app.store().tombstone(TombstoneKind::Account, "acc1").await.unwrap().is_some());
    drop(lock);
    tombstones::remove_all_files(&bench.app).await.unwrap();
    assert!(!file.exists());
}
