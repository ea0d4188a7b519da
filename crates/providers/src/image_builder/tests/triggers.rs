//! Triggers and run outputs.

use super::*;

pub(super) fn trigger(name: &str, body: &Value) -> Call {
    let mut put = request(Method::Put, "t1", "2022-07-01", &body.to_string());
    put.path = Path::parse(&format!("{}/triggers/{name}", put.path.text));
    admitted(put)
}

// conformance: 121, 122, 127
#[tokio::test]
async fn trigger_becomes_active_and_is_deleted() {
    let service = Service::new().await;
    let app = &service.app;
    service.created("2022-07-01", "t1", &small()).await;
    let body = json!({ "properties": { "kind": "SourceImage" } });
    let put = trigger("one", &body);
    let reply = Triggers.put(app, &put, key(&put)).await.unwrap();
    assert_eq!(reply.status, StatusCode::CREATED);
    let id = format!(
        "/subscriptions/{SUBSCRIPTION}/resourcegroups/rg/providers/{TEMPLATES}/t1/triggers/one"
    );
    assert_eq!(
        *reply.body.as_ref().unwrap(),
        json!({
            "id": id, "name": "one", "type": TRIGGERS,
            "properties": { "kind": "SourceImage", "provisioningState": "Creating" },
        })
    );
    service.idle().await;
    let shown = Triggers.view(app, &put, &service.row(&key(&put)).await.unwrap());
    assert_eq!(shown["properties"]["provisioningState"], "Succeeded");
    assert_eq!(shown["properties"]["status"]["code"], "Healthy");
    assert_eq!(shown["properties"]["status"]["message"], "Trigger is active");
    assert_eq!(Triggers.put(app, &put, key(&put)).await.unwrap().status, StatusCode::OK);
    service.idle().await;

    let second = trigger("two", &body);
    assert_eq!(Triggers.put(app, &second, key(&second)).await.unwrap_err().code, "Conflict");
    let other = trigger("one", &json!({ "properties": { "kind": "Schedule" } }));
    assert_eq!(Triggers.put(app, &other, key(&other)).await.unwrap_err().code, "ValidationFailed");

    let reply = Triggers.delete(app, &put, key(&put)).await.unwrap();
    assert_eq!(reply.status, StatusCode::ACCEPTED);
    service.idle().await;
    assert_eq!(service.operation(&reply).await.status, OperationStatus::Succeeded);
    assert_eq!(Triggers.delete(app, &put, key(&put)).await.unwrap().status, StatusCode::NO_CONTENT);
}

// conformance: 45, 46, 123, 124
#[tokio::test]
async fn trigger_without_a_latest_source_is_refused() {
    let service = Service::new().await;
    let body = json!({ "properties": { "kind": "SourceImage" } });
    let put = trigger("one", &body);
    let refused = async || Triggers.put(&service.app, &put, key(&put)).await.unwrap_err().code;
    assert_eq!(refused().await, "ResourceNotFound");

    let mut fixed = small();
    fixed["properties"]["source"]["version"] = json!("18.04.201808140");
    service.created("2022-07-01", "t1", &fixed).await;
    assert_eq!(refused().await, "ValidationFailed");
    service.delete("t1").await.unwrap();
    service.idle().await;

    let definition = group_id("/providers/Microsoft.Compute/galleries/g/images/d");
    let gallery = group_id("/providers/Microsoft.Compute/galleries/g");
    for (id, kind) in [
        (gallery.as_str(), "microsoft.compute/galleries"),
        (definition.as_str(), "microsoft.compute/galleries/images"),
    ] {
        service.insert(id, kind, json!({ "location": "westus", "properties": {} })).await;
    }
    let kind = "microsoft.compute/galleries/images/versions";
    for version in ["1.9.0", "1.10.0"] {
        let properties = json!({ "properties": {
            "hyperVGeneration": "V2",
            "publishingProfile": { "targetRegions": [{ "name": "West US" }] },
        } });
        service.insert(&format!("{definition}/versions/{version}"), kind, properties).await;
    }
    let excluded = json!({ "properties": { "publishingProfile": { "excludeFromLatest": true } } });
    service.insert(&format!("{definition}/versions/2.0.0"), kind, excluded).await;
    let mut same = small();
    same["properties"]["source"] = json!({
        "type": "SharedImageVersion", "imageVersionId": format!("{definition}/versions/latest"),
    });
    same["properties"]["distribute"] = json!([{
        "type": "SharedImage", "runOutputName": "d", "galleryImageId": definition,
        "targetRegions": [{ "name": "westus" }],
    }]);
    let created = service.created("2022-07-01", "t1", &same).await;
    let exact = &created["properties"]["source"]["exactVersion"];
    assert_eq!(*exact, json!(format!("{definition}/versions/1.10.0")));
    assert_eq!(refused().await, "ValidationFailed");
}

#[tokio::test]
async fn run_outputs_are_read_only() {
    let service = Service::new().await;
    service.created("2022-07-01", "t1", &small()).await;
    let read = call(Method::Get, "t1", "2022-07-01", "");
    let template = service.row(&key(&read)).await.unwrap();
    // As the worker writes it.
    let output = Resource {
        id: format!("{}/runOutputs/img1", template.id),
        kind: OUTPUTS.to_lowercase(),
        name: "img1".into(),
        revision: 0,
        body: json!({
            "properties": { "artifactId": image("img1"), "provisioningState": "Succeeded" },
        }),
        ..template
    };
    let id = output.key();
    service.app.store().commit(vec![Write::Insert(output)]).await.unwrap();
    let shown = RUN_OUTPUTS.view(&service.app, &read, &service.row(&id).await.unwrap());
    assert_eq!(
        shown,
        json!({
            "id": format!("/subscriptions/{SUBSCRIPTION}/resourcegroups/rg/providers/{TEMPLATES}/t1/runOutputs/img1"),
            "name": "img1", "type": OUTPUTS,
            "properties": { "artifactId": image("img1"), "provisioningState": "Succeeded" },
        })
    );
    for refused in [
        RUN_OUTPUTS.put(&service.app, &read, id.clone()).await,
        RUN_OUTPUTS.delete(&service.app, &read, id.clone()).await,
    ] {
        assert_eq!(refused.unwrap_err().status, StatusCode::METHOD_NOT_ALLOWED);
    }
    let select = Select {
        subscription: SUBSCRIPTION.into(),
        kind: Some(OUTPUTS.to_lowercase()),
        below: Some(key(&read)),
        limit: 10,
        ..Select::default()
    };
    assert_eq!(service.app.store().list(&select).await.unwrap().resources.len(), 1);
}
