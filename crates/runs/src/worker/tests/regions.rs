//! Versions of galleries and the regions that they are to be in.

use std::sync::Arc;

use arm::{Call, Caller, Method, Path, Request};
use authorization::{Rights, Rule};
use db::{Resource, ResourceKey, Write};
use providers::replication;
use serde_json::{Value, json};

use super::bench::{Bench, Process, compute};

async fn get(process: &Process, id: &str) -> Value {
    let request = Request {
        method: Method::Get,
        path: Path::parse(id),
        query: [("api-version".to_owned(), "2024-03-03".to_owned())].into(),
        api_version: "2024-03-03".to_owned(),
        body: String::new(),
        base_url: "https://here:8443".to_owned(),
        request_id: "r".to_owned(),
        correlation_id: None,
        if_match: None,
        client: arm::Client::default(),
        caller: Caller { client_id: "c".to_owned(), object_id: "o".to_owned() },
    };
    let call = Call::admit(request, Arc::new(Rights::everything()), &Rule::SignedIn).unwrap();
    let kind = providers::REGISTRY.find("Microsoft.Compute", "galleries/images/versions").unwrap();
    let reply = kind.get(&process.app, &call, &ResourceKey::of(id)).await.unwrap();
    reply.expect("an answer of its own").body.unwrap()
}

fn state(version: &Value) -> &str {
    version["properties"]["provisioningState"].as_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_version_replicated_since_is_shown_so_without_a_write() {
    let bench = Bench::new().await;
    let process = bench.process().await;
    process.work(None);
    process.insert("microsoft.compute/galleries", &compute("galleries/g")).await;
    process.insert("microsoft.compute/galleries/images", &compute("galleries/g/images/d")).await;
    let targets = json!([{ "type": "SharedImage", "runOutputName": "shared",
        "galleryImageId": compute("galleries/g/images/d"), "targetRegions": [{ "name": "westus2" }] }]);
    let run = process.submit("t", targets).await;
    process.ended(&run).await;
    let id = compute("galleries/g/images/d/versions/0.0.1");
    // As if the copy to a region had failed, and another process had made it since.
    let mut version: Resource = process.resource(&id).await.unwrap();
    version.body["properties"]["provisioningState"] = json!("Failed");
    process.app.store().commit(vec![Write::Replace(version)]).await.unwrap();
    let failed = process.resource(&id).await.unwrap();

    assert_eq!(state(&get(&process, &id).await), "Succeeded");
    assert_eq!(process.resource(&id).await.unwrap(), failed);

    replication::catch_up(&process.app).await.unwrap();
    let caught_up = process.resource(&id).await.unwrap();
    assert_eq!((state(&caught_up.body), caught_up.revision), ("Succeeded", failed.revision + 1));
    replication::catch_up(&process.app).await.unwrap();
    assert_eq!(process.resource(&id).await.unwrap(), caught_up);
}
