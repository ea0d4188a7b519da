#![allow(clippy::unwrap_used, reason = "tests")]
use db::{Resource, Run, RunState, Store, Write};
use serde_json::{Value, json};
use service::{Settings, run_folder};
use tokio_util::sync::CancellationToken;

use super::*;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const TEMPLATE: &str =
    "/subscriptions/s/resourceGroups/g/providers/Microsoft.VirtualMachineImages/imageTemplates/t";

struct Bench {
    app: App,
    _dir: tempfile::TempDir,
}

impl Bench {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings {
            layout: Layout::new(dir.path().join("cache"), dir.path().join("data")),
            dir: dir.path().to_owned(),
            regions: vec!["lab1".to_owned()],
            tenant: "t".to_owned(),
            subscription: "s".to_owned(),
        };
        let store = Store::open(&format!("sqlite://{}/t.db", dir.path().display())).await.unwrap();
        Self { app: App::new(settings, store, CancellationToken::new()), _dir: dir }
    }

    async fn insert(&self, id: &str, kind: &str, hidden: Value, created: Timestamp) -> Resource {
        let resource = Resource {
            id: id.to_owned(),
            subscription: "s".to_owned(),
            group: "g".to_owned(),
            kind: kind.to_owned(),
            name: id.rsplit('/').next().unwrap().to_owned(),
            revision: 0,
            created,
            changed: created,
            body: json!({}),
            hidden,
        };
        self.app.store().commit(vec![Write::Insert(resource.clone())]).await.unwrap();
        resource
    }

    async fn run(&self, queued: Timestamp, ended: Option<Timestamp>) -> String {
        let run = Run {
            id: images::new_run_id(),
            template: ResourceKey::of(TEMPLATE),
            subscription: "s".to_owned(),
            operation: "o".to_owned(),
            state: if ended.is_some() { RunState::Failed } else { RunState::Running },
            sub_state: String::new(),
            message: String::new(),
            queued,
            ended,
            epoch: 1,
            vcpus: 1,
            memory_mib: 1,
            cause: db::Cause::Manual,
            optimization: None,
            owner: None,
            crashes: 0,
            worked: Duration::ZERO,
            input: json!({}),
        };
        let folder = run_folder::of(&self.app.settings().layout, &run.id);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(images::step::CUSTOMIZATION_LOG), "log").unwrap();
        self.app.store().commit(vec![Write::InsertRun(run.clone())]).await.unwrap();
        run.id
    }

    async fn is_there(&self, run: &str) -> bool {
        let file = run_folder::of(&self.app.settings().layout, run)
            .join(images::step::CUSTOMIZATION_LOG)
            .exists();
        let row = self.app.store().run(run).await.unwrap().is_some();
        assert_eq!(file, row, "a row without its folder, or the other way round");
        row
    }
}

/// A sweep with a trusted clock.
async fn sweep(app: &App, keep: Duration, wall: Timestamp) -> Result<(), blobs::Error> {
    let now = Reading { wall, since_boot: Duration::ZERO };
    sweep_once(app, keep, &mut Trust::new(None, keep, now), now).await
}

fn at(days: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + days * 86_400).unwrap()
}

#[tokio::test]
async fn logs_outlive_their_template_for_the_retention_time() {
    let bench = Bench::new().await;
    let template = bench
        .insert(TEMPLATE, "microsoft.virtualmachineimages/imagetemplates", json!({}), at(0))
        .await;
    let run = bench.run(at(1), Some(at(1))).await;
    sweep(&bench.app, DAY, at(100)).await.unwrap();
    assert!(bench.is_there(&run).await, "the template lives");

    let gone = Write::Remove(template.key(), 1);
    bench.app.store().commit(vec![gone]).await.unwrap();
    let active = bench.run(at(1), None).await;
    sweep(&bench.app, DAY * 30, at(100)).await.unwrap();
    sweep(&bench.app, DAY * 30, at(129)).await.unwrap();
    assert!(bench.is_there(&run).await, "29 days after");
    // A new template of that name does not have the old one's runs.
    bench
        .insert(TEMPLATE, "microsoft.virtualmachineimages/imagetemplates", json!({}), at(110))
        .await;
    sweep(&bench.app, DAY * 30, at(130)).await.unwrap();
    assert!(!bench.is_there(&run).await, "30 days after");
    sweep(&bench.app, Duration::ZERO, at(999)).await.unwrap();
    assert!(bench.is_there(&active).await, "it is not over");
}

#[tokio::test]
async fn folders_of_runs_wait_while_a_backup_is_made() {
    let bench = Bench::new().await;
    let run = bench.run(at(1), Some(at(1))).await;
    let layout = &bench.app.settings().layout;
    let folder = run_folder::of(layout, &run);
    sweep(&bench.app, DAY, at(100)).await.unwrap();
    let lock = tombstones::forbid(layout).unwrap().unwrap();
    assert!(sweep(&bench.app, DAY, at(102)).await.is_err());
    assert!(bench.app.store().run(&run).await.unwrap().is_none());
    assert!(folder.exists());
    drop(lock);
    sweep(&bench.app, DAY, at(102)).await.unwrap();
    assert!(!folder.exists());
}

#[tokio::test]
async fn ended_operation_is_removed_after_the_retention_time() {
    let bench = Bench::new().await;
    let operation = async |started: i64, ended: Option<i64>| {
        let target = ResourceKey::of(TEMPLATE);
        let row = db::Operation {
            started: at(started),
            ended: ended.map(at),
            ..arm::operation::new("run", target, "s")
        };
        bench.app.store().commit(vec![Write::Operation(row.clone())]).await.unwrap();
        row.id
    };
    let active = operation(0, None).await;
    let old = operation(0, Some(1)).await;
    let young = operation(0, Some(2)).await;
    sweep(&bench.app, DAY * 30, at(32)).await.unwrap();
    let is_there = async |id: &str| bench.app.store().operation(id).await.unwrap().is_some();
    assert!(is_there(&active).await, "it is not over");
    assert!(!is_there(&old).await, "31 days after its end");
    assert!(is_there(&young).await, "30 days after its end");
    sweep(&bench.app, Duration::MAX, at(999)).await.unwrap();
    assert!(is_there(&young).await, "it was removed for its age");
    sweep(&bench.app, Duration::ZERO, at(2)).await.unwrap();
    assert!(is_there(&young).await, "its client may still ask");
    sweep(&bench.app, Duration::ZERO, at(4)).await.unwrap();
    assert!(!is_there(&young).await, "a day is enough");
}

#[tokio::test]
async fn existing_template_keeps_its_latest_runs() {
    let bench = Bench::new().await;
    bench.insert(TEMPLATE, "microsoft.virtualmachineimages/imagetemplates", json!({}), at(0)).await;
    let mut runs = Vec::new();
    for day in 1..=i64::try_from(LATEST).unwrap() + 2 {
        runs.push(bench.run(at(day), Some(at(day))).await);
    }
    sweep(&bench.app, DAY * 60, at(61)).await.unwrap();
    assert!(!bench.is_there(&runs[0]).await, "60 days old, and not among the latest");
    assert!(bench.is_there(&runs[1]).await, "59 days old");
    sweep(&bench.app, Duration::ZERO, at(99)).await.unwrap();
    assert!(!bench.is_there(&runs[1]).await);
    for run in &runs[2..] {
        assert!(bench.is_there(run).await, "one of the latest");
    }
}

#[tokio::test]
async fn clock_far_ahead_removes_nothing_for_its_age() {
    let bench = Bench::new().await;
    let run = bench.run(at(1), Some(at(1))).await;
    let boot = |days: i64, since_boot| Reading { wall: at(days), since_boot };
    let newest = bench.app.store().newest_time().await.unwrap();
    assert_eq!(newest, Some(at(1)));
    let mut trust = Trust::new(newest, DAY * 30, boot(1, Duration::ZERO));
    sweep_once(&bench.app, DAY * 30, &mut trust, boot(1, Duration::ZERO)).await.unwrap();
    for days in [40, 80, 4000] {
        let hour = Duration::from_secs(60 * 60);
        sweep_once(&bench.app, DAY * 30, &mut trust, boot(days, hour)).await.unwrap();
        assert!(bench.is_there(&run).await, "{days} days ahead within an hour");
    }
    sweep_once(&bench.app, DAY * 30, &mut trust, boot(2, DAY)).await.unwrap();
    sweep_once(&bench.app, DAY * 30, &mut trust, boot(30, DAY * 29)).await.unwrap();
    assert!(bench.is_there(&run).await, "its template was found gone 29 days ago");
    sweep_once(&bench.app, DAY * 30, &mut trust, boot(31, DAY * 30)).await.unwrap();
    assert!(!bench.is_there(&run).await);
}

#[tokio::test]
async fn files_that_no_row_knows_are_kept_and_files_of_deleted_accounts_go() {
    let bench = Bench::new().await;
    let root = blobs::root(&bench.app.settings().layout);
    let id = |name: &str| {
        let group = if name == "below" { "gone" } else { "g" };
        format!(
            "/subscriptions/s/resourceGroups/{group}/providers/Microsoft.Storage/storageAccounts/{name}"
        )
    };
    let kind = "microsoft.storage/storageaccounts";
    let long_ago = std::time::SystemTime::now() - DAY * 400;
    for name in ["living", "deleted", "below", "again", "stranger"] {
        fs::create_dir_all(root.join(name).join("vhds")).unwrap();
        fs::write(root.join(name).join("vhds/disk.vhd"), name).unwrap();
        fs::File::open(root.join(name)).unwrap().set_modified(long_ago).unwrap();
        if name != "stranger" {
            bench.insert(&id(name), kind, json!({}), at(0)).await;
        }
    }
    let store = bench.app.store();
    for name in ["deleted", "again"] {
        store.commit(vec![Write::Remove(ResourceKey::of(&id(name)), 1)]).await.unwrap();
    }
    let group = ResourceKey::of("/subscriptions/s/resourceGroups/gone");
    store.commit(vec![Write::RemoveBelow(group)]).await.unwrap();
    bench.insert(&id("again"), kind, json!({}), at(1)).await;
    for _ in 0..2 {
        sweep(&bench.app, Duration::ZERO, Timestamp::now()).await.unwrap();
    }
    let mut left: Vec<_> = fs::read_dir(&root)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.starts_with('.'))
        .collect();
    left.sort();
    assert_eq!(left, ["again", "living", "stranger"]);
    assert_eq!(fs::read_to_string(root.join("stranger/vhds/disk.vhd")).unwrap(), "stranger");
    assert_eq!(store.tombstones(9).await.unwrap(), [], "all were acted on");
    assert_eq!(fs::read_dir(root.join(".removed")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_tombstone_stays_until_its_files_are_gone() {
    let bench = Bench::new().await;
    let root = blobs::root(&bench.app.settings().layout);
    fs::create_dir_all(root.join("acc")).unwrap();
    // Something in the way of the folder that deleted accounts are put into.
    fs::write(root.join(".removed"), "").unwrap();
    let bury = Write::Tombstone(db::TombstoneKind::Account, "acc".into());
    bench.app.store().commit(vec![bury]).await.unwrap();
    sweep(&bench.app, DAY, Timestamp::now()).await.unwrap_err();
    assert!(root.join("acc").exists());
    assert_eq!(bench.app.store().tombstones(9).await.unwrap().len(), 1);
    fs::remove_file(root.join(".removed")).unwrap();
    sweep(&bench.app, DAY, Timestamp::now()).await.unwrap();
    assert!(!root.join("acc").exists());
}

#[tokio::test]
async fn machines_stay_listed_when_the_ledger_cannot_be_read() {
    let bench = Bench::new().await;
    let id = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/vm";
    let hidden = json!({ service::read_only::RUN: "r1" });
    let vm = bench.insert(id, "microsoft.compute/virtualmachines", hidden, at(0)).await;
    let ledger = bench.app.settings().layout.ledger();
    fs::create_dir_all(&ledger).unwrap();
    // A file where the run's folder is to be: it cannot be listed.
    fs::write(ledger.join("r1"), "").unwrap();
    worker::forget_ended(&bench.app).await.unwrap();
    assert!(bench.app.store().resource(&vm.key()).await.unwrap().is_some());
    fs::remove_file(ledger.join("r1")).unwrap();
    worker::forget_ended(&bench.app).await.unwrap();
    assert!(bench.app.store().resource(&vm.key()).await.unwrap().is_none());
}
