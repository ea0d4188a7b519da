//! Opening, migrating, inspecting and dumping a whole database.

use super::*;

#[tokio::test]
async fn invalid_address_is_rejected() {
    for address in ["", "mysql://a/b", "sqlite://relative.db", "sqlite:///a?mode=ro", "sqlite:"] {
        let error = Store::open(address).await.unwrap_err();
        assert!(matches!(&error, Error::Database(sqlx::Error::Configuration(_))), "{error:?}");
    }
    let error = Store::open("sqlite:///nonexistent/folder/a.db").await.unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("cannot open /nonexistent/folder/a.db"), "{source}");
}

#[tokio::test]
async fn sqlite_file_and_log_are_private() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a b%.db");
    let address = format!("sqlite://{}/a%20b%25.db", folder.path().display());
    let store = Store::open(&address).await.unwrap();
    store.commit(vec![Write::Insert(template("g", "t"))]).await.unwrap();
    for suffix in ["", "-wal"] {
        let file = format!("{}{suffix}", path.display());
        let mode = std::fs::metadata(file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let mut tx = store.pools.begin().await.unwrap();
    let synchronous: i64 =
        sqlx::query_scalar("PRAGMA synchronous").fetch_one(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(synchronous, 2, "FULL");
    store.close().await;
    assert!(store.clients().await.is_err());
}

pub(super) async fn reopened_database_has_all_rows(address: String) {
    let template = template("g", "t");
    let run = run("r1", &template, "2026-01-01T00:00:00Z");
    let operation = operation("o1", "2026-01-01T00:00:00Z");
    let first = Store::open(&address).await.unwrap();
    let writes = vec![
        Write::Insert(template.clone()),
        Write::InsertRun(run.clone()),
        Write::Operation(operation.clone()),
        Write::Client(client("c1")),
    ];
    first.commit(writes).await.unwrap();
    // With the first one still open, as after a crash, and after a proper close.
    for orderly in [false, true] {
        if orderly {
            first.close().await;
        }
        let store = Store::open(&address).await.unwrap();
        let found = store.resource(&template.key()).await.unwrap().unwrap();
        assert_eq!(found, stored(template.clone()));
        assert_eq!(store.unfinished_runs().await.unwrap(), from_ref(&run));
        assert_eq!(store.unfinished_operations().await.unwrap(), from_ref(&operation));
        assert_eq!(store.clients().await.unwrap(), [client("c1")]);
        store.close().await;
    }
}

pub(super) async fn new_database_opened_concurrently_is_migrated_once(address: String) {
    let stores = futures_util::future::join_all((0..6).map(|_| Store::open(&address))).await;
    let stores: Vec<Store> = stores.into_iter().map(Result::unwrap).collect();
    let commits = stores
        .iter()
        .enumerate()
        .map(|(n, store)| store.commit(vec![Write::Insert(template("g", &format!("t{n}")))]));
    for result in futures_util::future::join_all(commits).await {
        result.unwrap();
    }
    assert_eq!(stores[0].count(SUBSCRIPTION, TEMPLATES).await.unwrap(), 6);
}

pub(super) async fn run_of_first_schema_is_migrated(address: String) {
    let store = Store::open(&address).await.unwrap();
    let run = run("r1", &template("g", "t"), "2026-01-02T00:00:00Z");
    store.commit(vec![Write::InsertRun(run.clone())]).await.unwrap();
    // The first schema.
    let earlier = "ALTER TABLE runs DROP COLUMN cause; \
                   ALTER TABLE runs DROP COLUMN optimization; \
                   DROP TABLE installation; \
                   DROP TABLE tombstones; \
                   DELETE FROM schema_version WHERE version > 1";
    tamper(&store, earlier).await;
    let later = [queries::UNDO, leases::UNDO, deployments::UNDO, access::UNDO];
    tamper(&store, &later.concat().join("; ")).await;
    store.close().await;
    let store = Store::open(&address).await.unwrap();
    let expected = Run { cause: Cause::Manual, ..run };
    assert_eq!(store.unfinished_runs().await.unwrap(), [expected]);
}

pub(super) async fn later_schema_is_rejected(address: String) {
    let store = Store::open(&address).await.unwrap();
    tamper(&store, "INSERT INTO schema_version (version, applied) VALUES (1000, 0)").await;
    store.close().await;
    let error = Store::open(&address).await.unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("schema version 1000"), "{source}");
}

pub(super) async fn mark_counts_commits_of_installation(address: String) {
    let store = Store::open(&address).await.unwrap();
    let commit = async |name: &str| {
        store.commit(vec![Write::Insert(template("g", name))]).await.unwrap();
        *store.marks().borrow()
    };
    assert_eq!(commit("t1").await, 0, "without an installation");
    store.set_installation("i", "t", "s").await.unwrap();
    assert_eq!((commit("t2").await, commit("t3").await), (1, 2));
    store.commit(vec![Write::Insert(template("g", "t3"))]).await.unwrap_err();
    assert_eq!(store.installation().await.unwrap().unwrap().mark, 2, "the commit failed");
    store.set_installation("j", "t", "s").await.unwrap();
    let row =
        Installation { id: "j".into(), tenant: "t".into(), subscription: "s".into(), mark: 2 };
    assert_eq!(store.installation().await.unwrap(), Some(row), "the mark never decreases");
}

pub(super) async fn inspect_leaves_database_unchanged(address: String) {
    assert_eq!(inspect(&address).await.unwrap(), Inspection::default());
    let store = Store::open(&address).await.unwrap();
    assert_eq!(
        inspect(&address).await.unwrap(),
        Inspection { schema: SCHEMA, ..Inspection::default() }
    );
    store.set_installation("i", "t", "s").await.unwrap();
    store.commit(vec![Write::Insert(template("g", "t"))]).await.unwrap();
    let found = inspect(&address).await.unwrap();
    assert!(found.has_content);
    assert_eq!(found.subscriptions, [SUBSCRIPTION]);
    assert_eq!(found.installation, store.installation().await.unwrap());
}

// Not in the suite, which retries after a fault: a failed dump starts again under another name.
#[tokio::test]
async fn sqlite_dump_loads_into_both_databases() {
    let folder = tempfile::tempdir().unwrap();
    dump_loads_into_empty_database(format!("sqlite://{}/1.db", folder.path().display())).await;
}

#[tokio::test]
async fn postgresql_dump_loads_into_both_databases() {
    dump_loads_into_empty_database(postgres::new_database().await).await;
}

pub(super) async fn dump_loads_into_empty_database(address: String) {
    let store = Store::open(&address).await.unwrap();
    store.set_installation("i", "t", "s").await.unwrap();
    let (template, run) =
        (template("g", "t'\"ü"), run("r1", &template("g", "t"), "2026-01-02T00:00:00Z"));
    let scope = samples::group_scope("g");
    let writes = vec![
        Write::Insert(template.clone()),
        Write::InsertRun(run.clone()),
        Write::Client(client("c1")),
        Write::PutSubscription(access::subscription("s")),
        Write::PutRole(samples::role("r1", "R")),
        Write::InsertAssignment(samples::assignment(&scope, "p", "r1")),
        Write::PutLock(samples::lock(&scope, "l")),
        Write::PutCredential(samples::federated("f", "o", "repo")),
        Write::PutIssuer(access::issuer("https://issuer")),
        Write::RolesSince(run.queued),
        Write::Activity(samples::event("e", &scope, "2026-01-02T00:00:00Z")),
    ];
    store.commit(writes).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("dump");
    let dumped = dump(&address, &file).await.unwrap();
    assert_eq!((dumped.schema, dumped.mark, dumped.tables["runs"]), (SCHEMA, Some(1), 1));
    for (table, rows) in [("credentials", 2), ("role_assignments", 1), ("access", 1)] {
        assert_eq!(dumped.tables[table], rows, "{table}");
    }
    // Into a database of the other kind, and of the same kind.
    let sqlite = format!("sqlite://{}/copy.db", folder.path().display());
    let same = match address.starts_with("sqlite") {
        true => format!("{address}-copy"),
        false => postgres::new_database().await,
    };
    for other in [sqlite, same] {
        assert_eq!(load(&other, &file).await.unwrap(), dumped);
        let copy = Store::open(&other).await.unwrap();
        assert_eq!(copy.unfinished_runs().await.unwrap(), from_ref(&run));
        let found = copy.resource(&template.key()).await.unwrap();
        assert_eq!(found, store.resource(&template.key()).await.unwrap());
        assert_eq!(copy.installation().await.unwrap(), store.installation().await.unwrap());
        assert_eq!(access_rows(&copy).await, access_rows(&store).await);
        let error = load(&other, &file).await.unwrap_err();
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.contains("is not empty"), "{source}");
        copy.close().await;
    }
    // Loading an incomplete dump leaves the database empty.
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.rsplit_once("{\"rows\"").unwrap().0).unwrap();
    let torn = format!("sqlite://{}/torn.db", folder.path().display());
    load(&torn, &file).await.unwrap_err();
    assert_eq!(inspect(&torn).await.unwrap(), Inspection::default());
}

/// All rows about who may do what, and who did what.
async fn access_rows(store: &Store) -> String {
    let rows = (
        store.subscriptions().await.unwrap(),
        store.role_definitions().await.unwrap(),
        store.assignments_of("p").await.unwrap(),
        store.locks().await.unwrap(),
        store.credentials_of("c1").await.unwrap(),
        store.federated("https://Issuer", "repo").await.unwrap(),
        store.issuers().await.unwrap(),
        store.activity_after(0, 10).await.unwrap(),
        store.access_generation().await.unwrap(),
        store.roles_since().await.unwrap(),
    );
    format!("{rows:#?}")
}
