//! Deployments and their operations.

use super::*;

/// Reverts the schema version that added deployments.
pub(super) const UNDO: &[&str] = &["DROP TABLE deployments", "DROP TABLE deployment_operations"];

fn deployment(group: &str, name: &str, started: &str) -> Deployment {
    let scope = format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/{group}");
    Deployment {
        id: format!("{scope}/providers/Microsoft.Resources/deployments/{name}"),
        scope: ResourceKey::of(&scope),
        name: name.to_owned(),
        revision: 0,
        started: started.parse().unwrap(),
        ended: None,
        body: json!({ "properties": { "provisioningState": "Accepted" } }),
        hidden: json!({ "seed": "s" }),
    }
}

fn step(deployment: &Deployment, id: &str, number: i64) -> DeploymentOperation {
    DeploymentOperation {
        deployment: deployment.key(),
        id: id.to_owned(),
        number,
        body: json!({ "provisioningState": "Running" }),
        hidden: json!({ "index": number }),
    }
}

pub(super) async fn deployment_is_inserted_replaced_and_removed(address: String) {
    let store = Store::open(&address).await.unwrap();
    let commit = |write: Write| store.commit(vec![write]);
    let row = deployment("g", "One", "2026-01-01T00:00:00Z");
    commit(Write::InsertDeployment(row.clone(), "{template:{}}".to_owned())).await.unwrap();
    stale(commit(Write::InsertDeployment(row.clone(), String::new())).await);
    let stored = Deployment { revision: 1, ..row.clone() };
    assert_eq!(store.deployment(&row.key()).await.unwrap().unwrap(), stored);
    let text = store.deployment_request(&row.key()).await.unwrap();
    assert_eq!(text.as_deref(), Some("{template:{}}"));

    for (id, number) in [("b", 1), ("a", 0)] {
        let write = Write::DeploymentOperation(step(&row, id, number));
        store.commit(vec![Write::CheckDeployment(row.key(), 1), write]).await.unwrap();
    }
    let mut changed = step(&row, "b", 1);
    changed.body = json!({ "provisioningState": "Succeeded" });
    commit(Write::DeploymentOperation(changed.clone())).await.unwrap();
    let steps = store.deployment_operations(&row.key()).await.unwrap();
    assert_eq!(steps, [step(&row, "a", 0), changed]);

    let ended = Deployment { ended: Some(stored.started), ..stored };
    commit(Write::ReplaceDeployment(ended.clone())).await.unwrap();
    stale(commit(Write::ReplaceDeployment(ended)).await);
    // A commit with a stale check changes nothing.
    let late = Write::DeploymentOperation(step(&row, "c", 2));
    stale(store.commit(vec![Write::CheckDeployment(row.key(), 1), late]).await);
    assert_eq!(store.deployment_operations(&row.key()).await.unwrap().len(), 2);

    stale(commit(Write::RemoveDeployment(row.key(), 1)).await);
    commit(Write::RemoveDeployment(row.key(), 2)).await.unwrap();
    assert_eq!(store.deployment(&row.key()).await.unwrap(), None);
    assert_eq!(store.deployment_request(&row.key()).await.unwrap(), None);
    assert!(store.deployment_operations(&row.key()).await.unwrap().is_empty());
}

pub(super) async fn deployments_of_a_scope_are_listed_and_removed_with_it(address: String) {
    let store = Store::open(&address).await.unwrap();
    let old = deployment("g", "old", "2026-01-01T00:00:00Z");
    let new = deployment("G", "new", "2026-01-01T00:00:01Z");
    let other = deployment("g2", "other", "2026-01-01T00:00:02Z");
    for row in [&old, &new, &other] {
        let writes = vec![
            Write::InsertDeployment(row.clone(), String::new()),
            Write::DeploymentOperation(step(row, "a", 0)),
        ];
        store.commit(writes).await.unwrap();
    }
    let names = |rows: Vec<Deployment>| rows.into_iter().map(|row| row.name).collect::<Vec<_>>();
    assert_eq!(names(store.deployments(&old.scope).await.unwrap()), ["new", "old"]);
    assert_eq!(store.count_deployments(&old.scope).await.unwrap(), 2);

    store.commit(vec![Write::RemoveBelow(old.scope.clone())]).await.unwrap();
    assert_eq!(store.count_deployments(&old.scope).await.unwrap(), 0);
    assert!(store.deployment_operations(&old.key()).await.unwrap().is_empty());
    assert_eq!(store.count_deployments(&other.scope).await.unwrap(), 1);
    assert_eq!(store.deployment_operations(&other.key()).await.unwrap().len(), 1);
}
