//! Resources, and commits in general.

use super::*;

pub(super) async fn resource_is_inserted_replaced_and_removed(address: String) {
    let store = Store::open(&address).await.unwrap();
    store.clients().await.unwrap();
    let first = template("g", "t");
    let key = first.key();
    assert_eq!(store.resource(&key).await.unwrap(), None);
    assert_eq!(stale(store.commit(vec![Write::Replace(first.clone())]).await), key.as_str());

    fill(&store, [first.clone()]).await;
    let second = stored(first.clone());
    assert_eq!(store.resource(&key).await.unwrap().unwrap(), second);
    assert_eq!(stale(store.commit(vec![Write::Insert(first.clone())]).await), key.as_str());
    assert_eq!(stale(store.commit(vec![Write::Replace(first.clone())]).await), key.as_str());

    let mut second = second;
    second.body = json!({"location": "westus2"});
    second.hidden = json!(null);
    second.changed = "2026-02-02T00:00:00.123456789Z".parse().unwrap();
    store.commit(vec![Write::Replace(second.clone())]).await.unwrap();
    let third = stored(second.clone());
    assert_eq!(store.resource(&key).await.unwrap().unwrap(), third);
    assert_eq!(third.revision, 2);

    assert_eq!(stale(store.commit(vec![Write::Remove(key.clone(), 1)]).await), key.as_str());
    assert_eq!(store.count(SUBSCRIPTION, TEMPLATES).await.unwrap(), 1);
    store.commit(vec![Write::Remove(key.clone(), 2)]).await.unwrap();
    assert_eq!(store.resource(&key).await.unwrap(), None);
    assert_eq!(store.count(SUBSCRIPTION, TEMPLATES).await.unwrap(), 0);
    stale(store.commit(vec![Write::Remove(key.clone(), 2)]).await);
    fill(&store, [first]).await;
    store.commit(Vec::new()).await.unwrap();
}

pub(super) async fn only_one_of_racing_writes_succeeds(address: String) {
    let store = Store::open(&address).await.unwrap();
    let first = template("g", "t");
    let write = |write: fn(Resource) -> Write, resource: &Resource| {
        let writes = || vec![write(resource.clone())];
        let commits: Vec<_> = (0..8).map(|_| store.commit(writes())).collect();
        futures_util::future::join_all(commits)
    };
    for results in
        [write(Write::Insert, &first).await, write(Write::Replace, &stored(first.clone())).await]
    {
        let (done, refused): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
        assert_eq!((done.len(), refused.len()), (1, 7));
        refused.into_iter().for_each(|result| drop(stale(result)));
    }
    assert_eq!(store.resource(&first.key()).await.unwrap().unwrap().revision, 2);
}

pub(super) async fn remove_below_removes_all_descendants(address: String) {
    let store = Store::open(&address).await.unwrap();
    let (mine, alike) = (gallery("g", "mine"), gallery("g", "mine2"));
    fill(
        &store,
        [
            group("g"),
            group("g2"),
            mine.clone(),
            alike,
            gallery("g", "mine.x"),
            gallery("g", "mine-y"),
            definition("g", "mine", "a"),
            definition("g", "mine/images/a/versions", "1.0.0"),
            definition("g", "mine2", "b"),
            template("g2", "t"),
        ],
    )
    .await;
    store.commit(vec![Write::RemoveBelow(mine.key())]).await.unwrap();
    assert_eq!(listed(&store, select()).await, ["mine", "mine-y", "mine.x", "mine2", "b", "t"]);
    store.commit(vec![Write::RemoveBelow(group("G").key())]).await.unwrap();
    assert_eq!(listed(&store, select()).await, ["t"]);
    assert_eq!(store.count(SUBSCRIPTION, GROUPS).await.unwrap(), 2);
    store.commit(vec![Write::RemoveBelow(group("none").key())]).await.unwrap();
}

pub(super) async fn pages_are_in_order_and_complete(address: String) {
    let store = Store::open(&address).await.unwrap();
    // A locale's collation would sort the first ones differently.
    let sorted = ["a-b", "a.b", "a1", "a_b", "aa", "ab", "ä"];
    fill(&store, sorted.iter().rev().map(|name| template("g", name))).await;
    for limit in 1..=8 {
        let mut seen = Vec::new();
        let mut select = Select { limit, ..select() };
        loop {
            let page = store.list(&select).await.unwrap();
            assert!(!page.resources.is_empty() && page.resources.len() <= limit as usize);
            seen.extend(names(&page).into_iter().map(str::to_owned));
            select.after = page.next;
            if select.after.is_none() {
                break;
            }
        }
        assert_eq!(seen, sorted);
    }
    let all = store.list_all(Select { limit: 2, ..select() }).await.unwrap();
    assert_eq!(all.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), sorted);
    let page = store.list(&Select { limit: 7, ..select() }).await.unwrap();
    assert_eq!(page.next, None, "exactly full");
    let page = store.list(&Select { limit: 0, ..select() }).await.unwrap();
    assert_eq!((names(&page), page.next.is_some()), (vec!["a-b"], true));

    // Changes between two pages do not affect other rows.
    let page = store.list(&Select { limit: 3, ..select() }).await.unwrap();
    let last = page.resources.last().unwrap();
    assert_eq!(page.next.as_deref(), Some(last.key().as_str()));
    store.commit(vec![Write::Remove(last.key(), last.revision)]).await.unwrap();
    let rest = Select { after: page.next, ..select() };
    assert_eq!(listed(&store, rest).await, ["a_b", "aa", "ab", "ä"]);
}

pub(super) async fn list_filters_by_group_kind_and_parent(address: String) {
    let store = Store::open(&address).await.unwrap();
    let mut foreign = template("g", "t9");
    foreign.subscription = "other".to_owned();
    foreign.id = foreign.id.replace(SUBSCRIPTION, "other");
    fill(
        &store,
        [
            foreign,
            group("g"),
            group("h"),
            template("g", "t1"),
            template("h", "t2"),
            gallery("g", "x"),
            definition("g", "x", "d1"),
            definition("g", "x", "d2"),
        ],
    )
    .await;
    let kind = |kind: &str| Some(kind.to_owned());
    let in_g = Select { group: Some("G".to_owned()), ..select() };
    let below = Select { below: Some(gallery("g", "x").key()), ..select() };

    assert_eq!(listed(&store, select()).await, ["x", "d1", "d2", "t1", "t2"]);
    assert_eq!(listed(&store, in_g.clone()).await, ["x", "d1", "d2", "t1"]);
    assert_eq!(listed(&store, below.clone()).await, ["d1", "d2"]);
    assert_eq!(listed(&store, Select { kind: kind(TEMPLATES), ..select() }).await, ["t1", "t2"]);
    assert_eq!(listed(&store, Select { kind: kind(GROUPS), ..select() }).await, ["g", "h"]);
    assert_eq!(listed(&store, Select { kind: kind(TEMPLATES), ..in_g.clone() }).await, ["t1"]);
    assert_eq!(listed(&store, Select { kind: kind(GROUPS), ..in_g }).await, ["g"]);
    assert!(listed(&store, Select { kind: kind(TEMPLATES), ..below.clone() }).await.is_empty());
    let all_of_g = Select { below: Some(group("g").key()), ..select() };
    assert_eq!(listed(&store, all_of_g).await, ["x", "d1", "d2", "t1"]);
    let early = Select { after: Some("/a".to_owned()), ..below.clone() };
    assert_eq!(listed(&store, early).await, ["d1", "d2"]);
    let late = Select { after: Some(definition("g", "x", "D1").id), ..below };
    assert_eq!(listed(&store, late).await, ["d2"]);
    let other = Select { subscription: "OTHER".to_owned(), ..select() };
    assert_eq!(listed(&store, other).await, ["t9"]);
}

pub(super) async fn keys_ignore_case(address: String) {
    let store = Store::open(&address).await.unwrap();
    let first = template("Group", "MyTemplate");
    fill(&store, [first.clone()]).await;
    let shouted = ResourceKey::of(&first.id.to_uppercase());
    let found = store.resource(&shouted).await.unwrap().unwrap();
    assert_eq!(found, stored(first.clone()), "names as they were first given");
    let mut again = first;
    again.id = again.id.to_uppercase();
    stale(store.commit(vec![Write::Insert(again)]).await);
}

pub(super) async fn failed_commit_changes_nothing(address: String) {
    let store = Store::open(&address).await.unwrap();
    let (a, b, c) = (template("g", "a"), template("g", "b"), template("g", "c"));
    fill(&store, [b.clone(), gallery("g", "x")]).await;
    let writes = vec![
        Write::Insert(a.clone()),
        Write::Operation(operation("o1", "2026-01-01T00:00:00Z")),
        Write::RemoveBelow(group("g").key()),
        Write::Client(client("c1")),
        Write::InsertRun(run("r1", &a, "2026-01-01T00:00:00Z")),
        Write::Remove(b.key(), 7),
        Write::Insert(c),
    ];
    assert_eq!(stale(store.commit(writes).await), b.key().as_str());
    assert_eq!(listed(&store, select()).await, ["x", "b"]);
    assert_eq!(store.operation("o1").await.unwrap(), None);
    assert_eq!(store.run("r1").await.unwrap(), None);
    assert!(store.clients().await.unwrap().is_empty());
    // The connection is reused after the rollback.
    fill(&store, [a]).await;
    assert_eq!(listed(&store, select()).await, ["x", "a", "b"]);
}

/// When a client hangs up, the request's future is dropped.
pub(super) async fn abandoned_commit_is_completed(address: String) {
    let store = Store::open(&address).await.unwrap();
    let writes = (0..50).map(|n| Write::Insert(template("g", &format!("t{n}")))).collect();
    let commit = Box::pin(store.commit(writes));
    assert!(futures_util::FutureExt::now_or_never(commit).is_none());
    let done = async {
        loop {
            match store.count(SUBSCRIPTION, TEMPLATES).await.unwrap() {
                0 => tokio::task::yield_now().await,
                count => break count,
            }
        }
    };
    let deadline = std::time::Duration::from_secs(20);
    assert_eq!(tokio::time::timeout(deadline, done).await.unwrap(), 50);
    fill(&store, [gallery("g", "x")]).await;
}

/// Unusual text from clients must not cause an error of the database.
pub(super) async fn unusual_text_round_trips(address: String) {
    let store = Store::open(&address).await.unwrap();
    let mut odd = template("g", "'; DROP TABLE resources; -- \\ %_ 🦀");
    odd.body = json!({"nul": "\0", "quote": "'\"\\", "big": u64::MAX, "deep": [[[{}]]]});
    fill(&store, [odd.clone()]).await;
    assert_eq!(store.resource(&odd.key()).await.unwrap().unwrap(), stored(odd));
    assert_eq!(store.resource(&ResourceKey::of("/a\0b")).await.unwrap(), None);
    assert_eq!(store.operation("\0").await.unwrap(), None);
    let mut run = run("r1", &template("g", "t"), "2026-01-01T00:00:00Z");
    run.message = "the guest said \0".to_owned();
    store.commit(vec![Write::InsertRun(run)]).await.unwrap();
    assert_eq!(store.run("r1").await.unwrap().unwrap().message, "the guest said \u{fffd}");
}

pub(super) async fn duplicate_claim_is_rejected(address: String) {
    let store = Store::open(&address).await.unwrap();
    let claiming = |name: &str, claim: &str| {
        let mut definition = definition("g", "x", name);
        definition.hidden = json!({ CLAIM: claim });
        definition
    };
    let commits = (0..8).map(|n| {
        let definition = claiming(&format!("d{n}"), "p:o:s");
        store.commit(vec![Write::Insert(definition)])
    });
    let results = futures_util::future::join_all(commits).await;
    let (done, refused): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert_eq!((done.len(), refused.len()), (1, 7));
    refused.into_iter().for_each(|result| drop(stale(result)));
    // A replacement cannot duplicate it either; it can be reused once it is free.
    let mut other = claiming("other", "p:o:t");
    fill(&store, [other.clone(), template("g", "t")]).await;
    other = stored(other);
    other.hidden = json!({ CLAIM: "p:o:s" });
    assert_eq!(
        stale(store.commit(vec![Write::Replace(other.clone())]).await),
        other.key().as_str()
    );
    store.commit(vec![Write::RemoveBelow(gallery("g", "x").key())]).await.unwrap();
    fill(&store, [claiming("new", "p:o:s")]).await;
}

pub(super) async fn list_of_ten_thousand_templates_is_paged(address: String) {
    let store = Store::open(&address).await.unwrap();
    let mut body = json!({"location": "westus2"});
    body["properties"] = json!({"customize": [{"type": "Shell", "inline": ["x".repeat(1000)]}]});
    for chunk in 0..10 {
        fill(
            &store,
            (0..1000).map(|n| {
                let group = ["even", "odd"][n % 2];
                let mut template = template(group, &format!("t{:05}", chunk * 1000 + n));
                template.body = body.clone();
                template
            }),
        )
        .await;
    }
    let kind = Some(TEMPLATES.to_owned());
    let group = Some("odd".to_owned());
    let below = Some(ResourceKey::of(&format!("/subscriptions/{SUBSCRIPTION}/resourcegroups/odd")));
    for first in [
        select(),
        Select { kind: kind.clone(), ..select() },
        Select { group: group.clone(), ..select() },
        Select { kind: kind.clone(), group, ..select() },
        Select { kind, below, ..select() },
    ] {
        for after in ["t00100", "t05000", "t09700"] {
            let after = Some(template("odd", after).id);
            let select = Select { after, ..first.clone() };
            let page = store.list(&select).await.unwrap();
            assert_eq!(page.resources.len(), 100, "{select:?}");
            assert!(page.next.is_some(), "{select:?}");
        }
    }
}
