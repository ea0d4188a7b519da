//! Operations, runs and clients.

use super::*;

pub(super) async fn ended_operations_are_removed_by_age(address: String) {
    let store = Store::open(&address).await.unwrap();
    let late = operation("o1", "2026-01-01T00:00:02Z");
    let early = operation("o2", "2026-01-01T00:00:01.5Z");
    let mut failed = operation("o3", "2026-01-01T00:00:00Z");
    let put = |operation: &Operation| store.commit(vec![Write::Operation(operation.clone())]);
    for operation in [&late, &early, &failed] {
        put(operation).await.unwrap();
    }
    failed.status = OperationStatus::Failed;
    failed.error = Some(json!({"code": "BuildFailed", "message": "no"}));
    failed.ended = Some("2026-01-01T00:01:00Z".parse().unwrap());
    put(&failed).await.unwrap();
    assert_eq!(store.operation("O3").await.unwrap().unwrap(), failed);
    assert_eq!(store.unfinished_operations().await.unwrap(), [early.clone(), late.clone()]);

    let forget = |time: &str| store.forget_operations_before(time.parse().unwrap(), 500);
    assert_eq!(forget("2026-01-01T00:01:00Z").await.unwrap(), 0);
    assert_eq!(forget("2026-01-01T00:01:01Z").await.unwrap(), 1);
    assert_eq!(store.operation("o3").await.unwrap(), None);
    assert_eq!(store.unfinished_operations().await.unwrap(), [early, late]);
}

pub(super) async fn run_write_with_stale_epoch_is_rejected(address: String) {
    let store = Store::open(&address).await.unwrap();
    let template = template("g", "t");
    let first = run("r1", &template, "2026-01-01T00:00:00Z");
    let commit = |write: Write| store.commit(vec![write]);
    assert_eq!(stale(commit(Write::ReplaceRun(first.clone())).await), "r1");
    commit(Write::InsertRun(first.clone())).await.unwrap();
    assert_eq!(store.run("R1").await.unwrap().unwrap(), first);

    let mut mine = first.clone();
    mine.state = RunState::Running;
    mine.optimization = Some(json!({ "bootSecondsAfter": 7.25 }));
    mine.sub_state = "Building".to_owned();
    commit(Write::ReplaceRun(mine.clone())).await.unwrap();
    stale(commit(Write::ClaimRun(mine.clone())).await);
    let mut theirs = mine.clone();
    theirs.epoch = 2;
    stale(commit(Write::ReplaceRun(theirs.clone())).await);
    commit(Write::ClaimRun(theirs.clone())).await.unwrap();
    stale(commit(Write::ClaimRun(theirs.clone())).await);
    assert_eq!(stale(commit(Write::ReplaceRun(over(mine))).await), "r1");
    assert_eq!(store.run("r1").await.unwrap().unwrap(), theirs);
    assert_eq!(store.unfinished_runs().await.unwrap(), from_ref(&theirs));
    assert_eq!(store.active_run(&template.key()).await.unwrap().unwrap(), theirs);

    let theirs = over(theirs);
    commit(Write::ReplaceRun(theirs.clone())).await.unwrap();
    assert_eq!(store.run("r1").await.unwrap().unwrap(), theirs);
    assert!(store.unfinished_runs().await.unwrap().is_empty());
    assert_eq!(store.active_run(&template.key()).await.unwrap(), None);
    assert_eq!(store.latest_run(&template.key()).await.unwrap().unwrap(), theirs);
}

pub(super) async fn template_has_at_most_one_active_run(address: String) {
    let store = Store::open(&address).await.unwrap();
    let (t, other) = (template("g", "t"), template("g", "other"));
    let first = run("r1", &t, "2026-01-01T00:00:00Z");
    let second = run("r2", &t, "2026-01-01T00:00:01Z");
    let elsewhere = run("r0", &other, "2026-01-01T00:00:02Z");
    let commit = |write: Write| store.commit(vec![write]);
    commit(Write::InsertRun(first.clone())).await.unwrap();
    commit(Write::InsertRun(elsewhere.clone())).await.unwrap();
    assert_eq!(stale(commit(Write::InsertRun(second.clone())).await), "r2");
    stale(commit(Write::InsertRun(over(second.clone()))).await);
    stale(commit(Write::InsertRun(run("r1", &template("g", "new"), "2026-01-01T00:00:00Z"))).await);
    assert_eq!(store.unfinished_runs().await.unwrap(), [first.clone(), elsewhere]);

    // One commit ends the first and adds the second.
    let writes = vec![Write::ReplaceRun(over(first.clone())), Write::InsertRun(second.clone())];
    store.commit(writes).await.unwrap();
    // An ended run cannot become active beside it.
    assert_eq!(stale(commit(Write::ReplaceRun(first.clone())).await), "r1");
    let runs = [second.clone(), over(first)];
    assert_eq!(store.runs_of(&t.key(), 10).await.unwrap(), runs);
    assert_eq!(store.runs_of(&t.key(), 1).await.unwrap(), from_ref(&second));
    assert_eq!(store.latest_run(&t.key()).await.unwrap().unwrap(), second);
    assert_eq!(store.latest_run(&template("g", "none").key()).await.unwrap(), None);
}

pub(super) async fn only_one_of_racing_runs_is_inserted(address: String) {
    let store = Store::open(&address).await.unwrap();
    let template = template("g", "t");
    let commits = (0..8).map(|n| {
        let run = run(&format!("r{n}"), &template, "2026-01-01T00:00:00Z");
        let operation = operation(&run.operation, "2026-01-01T00:00:00Z");
        store.commit(vec![Write::Operation(operation), Write::InsertRun(run)])
    });
    let results = futures_util::future::join_all(commits).await;
    let (done, refused): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert_eq!((done.len(), refused.len()), (1, 7));
    refused.into_iter().for_each(|result| drop(stale(result)));
    assert_eq!(store.runs_of(&template.key(), 10).await.unwrap().len(), 1);
    assert_eq!(store.unfinished_operations().await.unwrap().len(), 1);
}

pub(super) async fn racing_commits_in_opposite_order_succeed(address: String) {
    let store = Store::open(&address).await.unwrap();
    let commits = (0..20).map(|n| {
        let mut ids = ["o1", "o2", "o3"];
        if n % 2 == 1 {
            ids.reverse();
        }
        let write = |id| Write::Operation(operation(id, "2026-01-01T00:00:00Z"));
        store.commit(ids.into_iter().map(write).collect())
    });
    for result in futures_util::future::join_all(commits).await {
        result.unwrap();
    }
    assert_eq!(store.unfinished_operations().await.unwrap().len(), 3);
}

pub(super) async fn client_is_inserted_and_replaced(address: String) {
    let store = Store::open(&address).await.unwrap();
    let mut late = client("c1");
    late.created = "2026-01-01T00:00:01Z".parse().unwrap();
    let mut early = client("c2");
    for client in [&late, &early] {
        store.commit(vec![Write::Client(client.clone())]).await.unwrap();
    }
    early.secret_hash = "another".to_owned();
    early.rotated = "2026-01-05T00:00:00Z".parse().unwrap();
    early.revoked = Some("2026-01-06T00:00:00Z".parse().unwrap());
    store.commit(vec![Write::Client(early.clone())]).await.unwrap();
    assert_eq!(store.client("C2").await.unwrap().unwrap(), early);
    assert_eq!(store.client("c3").await.unwrap(), None);
    assert_eq!(store.clients().await.unwrap(), [early, late]);
}
