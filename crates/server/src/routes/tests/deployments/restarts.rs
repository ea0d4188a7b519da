//! Deployments that an earlier process began, and canceled ones.

use ::deployments as service_deployments;

use super::*;

impl Server {
    /// The service as the next process finds it: the same database, nothing in memory.
    fn next(&self) -> App {
        App::new(self.app.settings().clone(), self.app.store().clone(), CancellationToken::new())
    }

    /// Takes up what an earlier process left, as a start does. Waits for the end.
    pub(super) async fn restart(&mut self) {
        self.settle().await;
        self.app = self.next();
        for row in self.app.store().unfinished_operations().await.unwrap() {
            assert_eq!(row.kind, service_deployments::KIND);
            let manager = crate::routes::manager(&self.app);
            service_deployments::resume(manager, row).await;
        }
        self.settle().await;
    }

    async fn revision(&self, name: &str) -> Option<i64> {
        let id = format!(
            "/subscriptions/{S}/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{name}"
        );
        let row = self.app.store().resource(&ResourceKey::of(&id)).await.unwrap();
        row.map(|row| row.revision)
    }
}

fn identities(count: usize) -> Value {
    let mut loop_of = identity("[format('id-{0}', copyIndex())]");
    loop_of["copy"] = json!({ "name": "ids", "count": count });
    request(template(json!([loop_of]), json!({})), json!({}))
}

#[tokio::test]
async fn write_that_an_earlier_process_recorded_is_done_once() {
    let mut server = Server::with_group().await;
    // The process ends after it recorded its intents.
    server.app.shutdown().cancel();
    server.deploy("main", &identities(3)).await.unwrap();
    let shown = server.deployment("main").await;
    assert_eq!(state(&shown), "Running");
    // One of the writes happened before that.
    let id = "Rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id-1";
    server.put(id, json!({ "location": "westus2" })).await.unwrap();
    server.restart().await;
    let shown = server.deployment("main").await;
    assert_eq!(state(&shown), "Succeeded", "{shown}");
    for index in 0..3 {
        assert_eq!(server.revision(&format!("id-{index}")).await, Some(1), "id-{index}");
    }
}

#[tokio::test]
async fn template_of_a_spec_is_kept_with_the_deployment() {
    let mut server = Server::with_group().await;
    let spec = "Rg/providers/Microsoft.Resources/templateSpecs/web";
    let here = json!({ "location": "westus2" });
    server.put(spec, here.clone()).await.unwrap();
    let mut version = here;
    version["properties"] =
        json!({ "mainTemplate": template(json!([identity("kept")]), json!({})) });
    let version = server.put(&format!("{spec}/versions/1"), version).await.unwrap();
    let link = json!({ "id": version.body.unwrap()["id"] });
    server.app.shutdown().cancel();
    let request = json!({ "properties": { "mode": "Incremental", "templateLink": link } });
    server.deploy("main", &request).await.unwrap();
    assert_eq!(state(&server.deployment("main").await), "Running");
    server.on(Method::Delete, &format!("resourceGroups/{spec}")).await.unwrap();
    server.restart().await;
    let shown = server.deployment("main").await;
    assert_eq!(state(&shown), "Succeeded", "{shown}");
    assert_eq!(server.revision("kept").await, Some(1));
}

#[tokio::test]
async fn deployment_ends_whenever_its_process_ended() {
    for commits in [0, 1, 2, 5, 9, 14, 20, 33, 47, 60] {
        let mut server = Server::with_group().await;
        let (store, shutdown) = (server.app.store().clone(), server.app.shutdown().clone());
        let begun = store.query_counts().1;
        let watch = tokio::spawn(async move {
            while store.query_counts().1 < begun + commits {
                tokio::task::yield_now().await;
            }
            shutdown.cancel();
        });
        server.deploy("main", &identities(40)).await.unwrap();
        watch.abort();
        server.restart().await;
        let shown = server.deployment("main").await;
        assert_eq!(state(&shown), "Succeeded", "{commits}: {shown}");
        for index in 0..40 {
            assert_eq!(
                server.revision(&format!("id-{index}")).await,
                Some(1),
                "{commits}: {index}"
            );
        }
        let key = ResourceKey::of(shown["id"].as_str().unwrap());
        let list = server.app.store().deployment_operations(&key);
        assert_eq!(list.await.unwrap().len(), 41, "{commits}");
    }
}

#[tokio::test]
async fn nested_deployment_is_continued_with_the_one_around_it() {
    let mut server = Server::with_group().await;
    let inside = template(
        json!([identity("[parameters('name')]")]),
        json!({
            "parameters": { "name": { "type": "string" } },
        }),
    );
    let module = json!({
        "type": "Microsoft.Resources/deployments", "apiVersion": "2022-09-01", "name": "module",
        "properties": {
            "mode": "Incremental", "template": inside,
            "expressionEvaluationOptions": { "scope": "inner" },
            "parameters": { "name": { "value": "[parameters('fresh')]" } },
        },
    });
    let body = request(
        template(
            json!([module]),
            json!({
                "parameters": { "fresh": { "type": "string", "defaultValue": "[newGuid()]" } },
            }),
        ),
        json!({}),
    );
    let (store, shutdown) = (server.app.store().clone(), server.app.shutdown().clone());
    let begun = store.query_counts().1;
    // Accepted, running, the intent of the module, the module's own rows.
    let watch = tokio::spawn(async move {
        while store.query_counts().1 < begun + 4 {
            tokio::task::yield_now().await;
        }
        shutdown.cancel();
    });
    server.deploy("main", &body).await.unwrap();
    watch.abort();
    server.restart().await;
    let shown = server.deployment("main").await;
    assert_eq!(state(&shown), "Succeeded", "{shown}");
    let fresh = shown["properties"]["parameters"]["fresh"]["value"].as_str().unwrap();
    assert_eq!(server.revision(fresh).await, Some(1));
}

#[tokio::test]
async fn canceled_deployment_stays_canceled() {
    let mut server = Server::with_group().await;
    server.app.shutdown().cancel();
    server.deploy("main", &identities(2)).await.unwrap();
    let busy = server.deploy("main", &identities(2)).await;
    assert_eq!(code(busy), (409, "DeploymentActive".into()));
    let kept = server.on(Method::Delete, &format!("{D}/main")).await;
    assert_eq!(code(kept), (409, "DeploymentActive".into()));
    let canceled = server.act("main", "cancel", &json!({})).await.unwrap();
    assert_eq!(canceled.status, StatusCode::NO_CONTENT);
    assert_eq!(state(&server.deployment("main").await), "Canceled");
    let again = server.act("main", "cancel", &json!({})).await;
    assert_eq!(code(again), (409, "DeploymentCannotBeCancelled".into()));
    assert!(server.app.store().unfinished_operations().await.unwrap().is_empty());
    server.restart().await;
    assert_eq!(state(&server.deployment("main").await), "Canceled");
    assert_eq!(server.revision("id-0").await, None);
    // A new one takes its place.
    server.deploy("main", &identities(2)).await.unwrap();
    assert_eq!(state(&server.deployment("main").await), "Succeeded");
}

#[tokio::test]
async fn canceled_deployment_repeats_no_write() {
    let server = Server::with_group().await;
    let mut orphan = json!({
        "type": "Microsoft.Network/virtualNetworks/subnets", "apiVersion": "2024-07-01",
        "name": "none/x", "properties": { "addressPrefix": "10.1.1.0/24" },
    });
    // Nobody makes its parent, so it repeats for days.
    orphan["@options"] = json!({ "retryOn": [["ParentResourceNotFound"], 1_000_000] });
    let body = request(template(json!([orphan]), json!({})), json!({}));
    let path = Server::in_subscription(&format!("{D}/main"));
    server.call(Method::Put, &path, &body.to_string()).await.unwrap();
    let key = ResourceKey::of(&path);
    while server.app.store().deployment_operations(&key).await.unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    server.act("main", "cancel", &json!({})).await.unwrap();
    // Its task ends.
    server.settle().await;
    assert_eq!(state(&server.deployment("main").await), "Canceled");
}

#[tokio::test]
async fn task_of_an_earlier_deployment_cannot_write_to_one_of_the_same_name() {
    let server = Server::with_group().await;
    let key = ResourceKey::of(&Server::in_subscription(&format!("{D}/main")));
    let mut last = 0;
    for is_deleted in [false, true, false] {
        server.deploy("main", &identities(1)).await.unwrap();
        let row = server.app.store().deployment(&key).await.unwrap().unwrap();
        // Inserted, running, succeeded: each is a revision, by which commits are fenced.
        assert!(row.revision >= last + 3, "{} after {last}", row.revision);
        last = row.revision;
        if is_deleted {
            server.on(Method::Delete, &format!("{D}/main")).await.unwrap();
        }
    }
}
