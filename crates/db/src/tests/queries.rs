//! Frequent queries: the index that each uses, and how much it reads.

use jiff::Timestamp;

use super::{samples::resource, *};
use crate::{
    access, activity, credentials, locks,
    queries::{
        ACCOUNT, ACCOUNT_ANYWHERE, ACTIVE_BELOW, ACTIVE_RUNS, ACTIVE_STATES, COUNT,
        COUNT_IN_REGION, DUE, ENDED_RUNS, FOLLOWERS, NEXT_DUE, RECENT_RUNS, SCRIPT_BYTES, WAITING,
    },
    roles,
};

const ACCOUNTS: &str = "microsoft.storage/storageaccounts";

/// Reverts the migrations that added the indexes.
pub(super) const UNDO: &[&str] = &[
    "DROP INDEX resources_due",
    "DROP INDEX resources_by_source",
    "DROP INDEX resources_by_region",
    "DROP INDEX resources_by_script_bytes",
    "DROP INDEX storage_accounts",
    "DROP INDEX runs_by_state",
    "ALTER TABLE resources DROP COLUMN due",
    "ALTER TABLE resources DROP COLUMN follows",
    "ALTER TABLE resources DROP COLUMN region",
    "ALTER TABLE resources DROP COLUMN script_bytes",
    "DROP INDEX resources_by_claim",
    "ALTER TABLE resources DROP COLUMN claim",
    "DROP TABLE health",
];

pub(super) fn account(group: &str, name: &str) -> Resource {
    resource(group, ACCOUNTS, "providers/Microsoft.Storage/storageAccounts", name)
}

/// How the database means to carry out a query.
async fn plan(store: &Store, query: &str) -> String {
    // Bound values would have to be of the right types: a text serves for every one.
    let query = (1..=9)
        .rev()
        .fold(query.to_owned(), |query, number| query.replace(&format!("${number}"), "'1'"));
    let mut connection = store.pools.begin().await.unwrap();
    if store.pools.postgres {
        // A handful of rows is read whole by a database that has the choice.
        for method in ["seqscan", "bitmapscan", "incremental_sort"] {
            let setting = sqlx::AssertSqlSafe(format!("SET enable_{method} = off"));
            sqlx::query(setting).execute(&mut *connection).await.unwrap();
        }
        let query = sqlx::AssertSqlSafe(format!("EXPLAIN {query}"));
        let lines: Vec<String> =
            sqlx::query_scalar(query).fetch_all(&mut *connection).await.unwrap();
        return lines.join("\n");
    }
    let query = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {query}"));
    let rows = sqlx::query(query).fetch_all(&mut *connection).await.unwrap();
    let lines = rows.iter().map(|row| sqlx::Row::get::<String, _>(row, "detail"));
    lines.collect::<Vec<_>>().join("\n")
}

pub(super) async fn every_query_uses_its_index(address: String) {
    let store = Store::open(&address).await.unwrap();
    for (query, index) in [
        (ACCOUNT, "storage_accounts"),
        (DUE, "resources_due"),
        (NEXT_DUE, "resources_due"),
        (FOLLOWERS, "resources_by_source"),
        (COUNT, "resources_by_kind"),
        (COUNT_IN_REGION, "resources_by_region"),
        (SCRIPT_BYTES, "resources_by_script_bytes"),
        (ACTIVE_RUNS, "runs_unfinished"),
        (ACTIVE_STATES, "runs_by_state"),
        (WAITING, "runs_by_state"),
        (ACTIVE_BELOW, "runs_active"),
        (RECENT_RUNS, "runs_by_template"),
        (ENDED_RUNS, "runs_by_template"),
        (ACCOUNT_ANYWHERE, "resources_by_claim"),
        (roles::DEFINITIONS, "role_definitions_by_name"),
        (roles::OF_PRINCIPAL, "role_assignments_by_principal"),
        (roles::OF_ROLE, "role_assignments_by_role"),
        (roles::AT, "role_assignments_by_scope"),
        (roles::AT_OF, "role_assignments_by_principal"),
        (roles::BELOW, "role_assignments_by_scope"),
        (roles::BELOW_OF, "role_assignments_by_principal"),
        (roles::COUNT_AT, "role_assignments_by_scope"),
        (roles::COUNT_BELOW, "role_assignments_by_scope"),
        (locks::ALL, "locks_by_scope"),
        (locks::AT, "locks_by_scope"),
        (locks::BELOW, "locks_by_scope"),
        (access::AT_OR_BELOW, "locks_by_scope"),
        (credentials::OF_OWNER, "credentials_by_owner"),
        (credentials::FEDERATED, "credentials_by_subject"),
        (activity::LIST, "activity_by_time"),
        (activity::OF_GROUP, "activity_by_group"),
        (activity::OF_RESOURCE, "activity_by_resource"),
        (activity::OF_PROVIDER, "activity_by_provider"),
        (activity::OF_CORRELATION, "activity_by_correlation"),
        (activity::AFTER, "sqlite_autoindex_activity"),
        (activity::NEXT_SUBSCRIPTION, "activity_by_time"),
        (activity::FORGET, "activity_by_time"),
    ] {
        let plan = plan(&store, query).await;
        // While the tables are empty, PostgreSQL picks any of the indexes with a common prefix.
        let shared =
            ["resources_by_kind", "resources_by_claim", "runs_", "role_", "activity_", "sqlite_"];
        let is_shared = shared.iter().any(|shared| index.starts_with(shared));
        let found = match store.pools.postgres && is_shared {
            true => plan.contains("Index") && !plan.contains("Seq Scan"),
            false => plan.contains(index),
        };
        assert!(found, "{index} does not answer {query}\n{plan}");
        assert!(!plan.contains("TEMP B-TREE"), "rows are sorted: {query}\n{plan}");
        let is_sorted = plan.contains("Sort  (");
        assert!(!is_sorted || query == ACTIVE_STATES, "rows are sorted: {query}\n{plan}");
    }
}

pub(super) async fn duplicate_account_name_is_rejected(address: String) {
    let store = Store::open(&address).await.unwrap();
    let puts = (0..8).map(|n| {
        let account = account(&format!("g{n}"), "scripts");
        store.commit(vec![Write::Insert(account)])
    });
    let puts = futures_util::future::join_all(puts).await;
    assert_eq!(puts.iter().filter(|put| put.is_ok()).count(), 1);
    let refused = puts.into_iter().filter(Result::is_err);
    refused.for_each(|put| drop(stale(put)));
    let found = store.storage_account(SUBSCRIPTION, "scripts").await.unwrap().unwrap();
    assert_eq!((found.kind.as_str(), found.name.as_str()), (ACCOUNTS, "scripts"));
    // The name is unique only within the kind and the subscription.
    fill(&store, [template("g", "scripts"), template("h", "scripts")]).await;
    assert_eq!(store.storage_account("another", "scripts").await.unwrap(), None);
    assert_eq!(store.storage_account(SUBSCRIPTION, "Scripts").await.unwrap(), None);
}

pub(super) async fn migration_removes_duplicate_account_names(address: String) {
    let store = Store::open(&address).await.unwrap();
    let version = ["DELETE FROM schema_version WHERE version > 4"];
    let roles = ["ALTER TABLE installation DROP COLUMN roles_since"];
    let later = [super::leases::UNDO, super::deployments::UNDO, super::access::UNDO, &roles];
    for statement in [UNDO, &later.concat(), &version].concat() {
        tamper(&store, statement).await;
    }
    let row = |group: &str, created: i64| {
        let account = account(group, "twice");
        let key = account.key();
        format!(
            "INSERT INTO resources (key, subscription, grp, kind, name, id, revision, created, \
             changed, body, hidden) VALUES ('{key}', '{SUBSCRIPTION}', '{group}', '{ACCOUNTS}', \
             'twice', '{}', 1, {created}, 0, '{{}}', '{{}}')",
            account.id
        )
    };
    for statement in [row("younger", 2), row("older", 1)] {
        tamper(&store, &statement).await;
    }
    store.close().await;
    let store = Store::open(&address).await.unwrap();
    let found = store.storage_account(SUBSCRIPTION, "twice").await.unwrap().unwrap();
    assert_eq!(found.group, "older");
    assert_eq!(store.count(SUBSCRIPTION, ACCOUNTS).await.unwrap(), 1);
}

fn indexed(name: &str, indexed: serde_json::Value) -> Resource {
    Resource { hidden: json!({ "indexed": indexed }), ..template("g", name) }
}

pub(super) async fn due_resources_are_sorted_by_time(address: String) {
    let store = Store::open(&address).await.unwrap();
    let due = |minute: u32| json!({ "due": format!("2026-01-01T00:{minute:02}:00.000000001Z") });
    fill(&store, [indexed("b", due(2)), indexed("a", due(2)), indexed("c", due(1))]).await;
    fill(&store, [indexed("later", due(30)), template("g", "never")]).await;
    let now: Timestamp = "2026-01-01T00:02:00.000000001Z".parse().unwrap();
    let first = store.due(now, None, 2).await.unwrap();
    let names: Vec<&str> = first.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(names, ["c", "a"]);
    let last = (now, first[1].key());
    let second = store.due(now, Some(last), 2).await.unwrap();
    assert_eq!(second.iter().map(|row| row.name.as_str()).collect::<Vec<_>>(), ["b"]);
    let next = store.next_due(now).await.unwrap().unwrap();
    assert_eq!(next.to_string(), "2026-01-01T00:30:00.000000001Z");
    // A write changes when it is due.
    let moved = Resource { hidden: json!({}), ..first[0].clone() };
    store.commit(vec![Write::Replace(moved)]).await.unwrap();
    assert_eq!(store.due(now, None, 9).await.unwrap().len(), 2);
    assert_eq!(store.next_due("2027-01-01T00:00:00Z".parse().unwrap()).await.unwrap(), None);
}

pub(super) async fn followers_are_listed_by_source(address: String) {
    let store = Store::open(&address).await.unwrap();
    let of = |source: &str| json!({ "follows": source, "region": "WestUS" });
    fill(&store, (0..3).map(|n| indexed(&format!("t{n}"), of("/Images/D")))).await;
    fill(&store, [indexed("other", of("/images/e"))]).await;
    let first = store.followers("/images/d", None, 2).await.unwrap();
    assert_eq!(first.len(), 2);
    let rest = store.followers("/images/D", Some(&first[1].key()), 2).await.unwrap();
    assert_eq!(rest.iter().map(|row| row.name.as_str()).collect::<Vec<_>>(), ["t2"]);
    assert_eq!(store.count_in_region(SUBSCRIPTION, TEMPLATES, "westus").await.unwrap(), 4);
    assert_eq!(store.count_in_region(SUBSCRIPTION, TEMPLATES, "eastus").await.unwrap(), 0);

    assert_eq!(store.script_bytes(SUBSCRIPTION).await.unwrap(), 0);
    let bytes = |name: &str, bytes: i64| indexed(name, json!({ "scriptBytes": bytes }));
    fill(&store, [bytes("x", 5_000_000_000), bytes("y", 7)]).await;
    assert_eq!(store.script_bytes(SUBSCRIPTION).await.unwrap(), 5_000_000_007);
}

pub(super) async fn active_runs_are_listed_without_input(address: String) {
    let store = Store::open(&address).await.unwrap();
    let queued = run("r1", &template("g", "a"), "2026-01-01T00:00:00Z");
    let mut running = run("r2", &template("g", "b"), "2026-01-01T00:00:01Z");
    running.state = RunState::Running;
    let ended = over(run("r3", &template("h", "c"), "2026-01-01T00:00:02Z"));
    let runs = [queued.clone(), running, ended.clone()];
    store.commit(runs.into_iter().map(Write::InsertRun).collect()).await.unwrap();
    // Invalid JSON would make reading fail.
    tamper(&store, "UPDATE runs SET input = '{'").await;
    let mut states = store.active_states().await.unwrap();
    states.sort_by_key(|(state, _)| format!("{state:?}"));
    assert_eq!(states, [(RunState::Queued, 1), (RunState::Running, 1)]);
    assert_eq!(store.waiting_runs(SUBSCRIPTION).await.unwrap(), 1);
    let active = store.active_runs().await.unwrap();
    assert_eq!(active.iter().map(|run| run.id.as_str()).collect::<Vec<_>>(), ["r1", "r2"]);
    assert_eq!((active[0].vcpus, active[0].memory_mib, active[0].epoch), (2, 4096, 1));
    for (id, is_over) in [("R1", Some(false)), ("r3", Some(true)), ("none", None)] {
        assert_eq!(store.is_over(id).await.unwrap(), is_over);
    }
    let recent = store.recent_runs(&ended.template, 5).await.unwrap();
    assert_eq!(recent, [Run { input: json!(null), ..ended }]);
    let group = |name: &str| samples::group(name).key();
    assert_eq!(store.active_below(&group("g")).await.unwrap(), Some(queued.template));
    assert_eq!(store.active_below(&group("h")).await.unwrap(), None);
}

pub(super) async fn ended_runs_are_paged_and_removed_in_one_commit(address: String) {
    let store = Store::open(&address).await.unwrap();
    let mut all = Vec::new();
    for name in ["a", "b", "c"] {
        for second in 0..7 {
            let queued = format!("2026-01-01T00:00:0{second}Z");
            all.push(over(run(&format!("{name}{second}"), &template("g", name), &queued)));
        }
    }
    all.push(run("active", &template("g", "b"), "2026-01-01T00:00:03Z"));
    store.commit(all.into_iter().map(Write::InsertRun).collect()).await.unwrap();
    let mut found: Vec<EndedRun> = Vec::new();
    loop {
        let page = store.ended_runs(found.last(), 4).await.unwrap();
        assert!(page.len() <= 4);
        if page.is_empty() {
            break;
        }
        found.extend(page);
    }
    assert_eq!(found.len(), 21);
    let is_ordered = |pair: &[EndedRun]| {
        pair[0].template > pair[1].template
            || (pair[0].template == pair[1].template && pair[0].queued > pair[1].queued)
    };
    assert!(found.windows(2).all(is_ordered), "by template, newest first");

    let ids: Vec<String> = found.into_iter().map(|run| run.id).collect();
    let (_, before) = store.query_counts();
    store.forget_runs(&[&ids[..], &["active".to_owned()]].concat()).await.unwrap();
    store.forget_runs(&[]).await.unwrap();
    assert_eq!(store.query_counts().1 - before, 1, "one commit for all of them");
    assert_eq!(store.ended_runs(None, 9).await.unwrap(), []);
    assert_eq!(store.is_over("active").await.unwrap(), Some(false), "it is not over");
}

pub(super) async fn ended_operations_are_removed_up_to_the_limit(address: String) {
    let store = Store::open(&address).await.unwrap();
    let ended = |n: usize| Operation {
        ended: Some("2026-01-01T00:00:00Z".parse().unwrap()),
        ..operation(&format!("o{n}"), "2026-01-01T00:00:00Z")
    };
    store.commit((0..5).map(ended).map(Write::Operation).collect()).await.unwrap();
    let before = "2026-01-02T00:00:00Z".parse().unwrap();
    for count in [2, 2, 1, 0] {
        assert_eq!(store.forget_operations_before(before, 2).await.unwrap(), count);
    }
}
