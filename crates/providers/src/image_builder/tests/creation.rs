//! Creation, runs, deletion.

use super::*;

// conformance: 12, 13, 14, 26, 30, 39
#[tokio::test]
async fn new_template_is_provisioned_with_all_fields() {
    let service = Service::new().await;
    let uri = web("echo hello\n").await;
    let mut sent = small();
    sent["properties"]["customize"] = json!([
        { "type": "Shell", "name": "s", "scriptUri": uri, "sha256Checksum": "" },
        { "type": "File", "sourceUri": uri, "destination": "/tmp/x" },
    ]);
    sent["properties"]["managedResourceTags"] = json!({ "team": "a" });
    let put = call(Method::Put, "t1", "2024-02-01", &sent.to_string());
    let reply = service.put(&put).await.unwrap();
    assert_eq!(reply.status, StatusCode::CREATED);
    assert!(header(&reply, "location").is_none());
    let body = reply.body.as_ref().unwrap();
    assert_eq!(body["properties"]["provisioningState"], "Creating");
    assert_eq!(body["identity"], identities("ide1"));
    assert_eq!(service.operation(&reply).await.kind, PUT_TEMPLATE);
    service.idle().await;
    assert_eq!(service.operation(&reply).await.status, OperationStatus::Succeeded);

    let body = service.get("2024-02-01", "t1").await;
    let properties = &body["properties"];
    assert_eq!(properties["provisioningState"], "Succeeded");
    assert_eq!(properties["source"]["exactVersion"], "18.04.201808140");
    let sum = "5dbad7dd0b9b122dcd9956884390f4aac4738caba8ff53498a7ab6718b176c30";
    for step in properties["customize"].as_array().unwrap() {
        assert_eq!(step["sha256Checksum"], sum);
    }
    assert_eq!(
        body["identity"]["userAssignedIdentities"][identity("ide1")],
        json!({ "principalId": "p-ide1", "clientId": "c-ide1" })
    );
    let staging = properties["exactStagingResourceGroup"].as_str().unwrap();
    assert!(staging.contains("/resourceGroups/IT_rg_t1_"), "{staging}");
    let group = service.row(&ResourceKey::of(staging)).await.unwrap();
    assert_eq!(group.kind, GROUPS_KIND);
    assert_eq!(
        group.body["tags"],
        json!({
            "createdBy": "AzureVMImageBuilder", "imageTemplateName": "t1",
            "imageTemplateResourceGroupName": "rg", "team": "a",
        })
    );

    let error = service.put(&put).await.unwrap_err();
    assert_eq!((error.status, error.code.as_str()), (StatusCode::CONFLICT, "Conflict"));
    assert!(
        error.message.starts_with("Update/Upgrade of image templates is currently not supported")
    );
}

// conformance: 35
#[tokio::test]
async fn subnet_that_is_missing_or_unbound_is_refused() {
    let service = Service::new().await;
    let network = group_id("/providers/Microsoft.Network/virtualNetworks/net");
    let subnet = format!("{network}/subnets/build");
    let mut sent = small();
    sent["properties"]["vmProfile"] = json!({ "vnetConfig": { "subnetId": subnet } });
    let put = call(Method::Put, "t1", "2024-02-01", &sent.to_string());
    let target = "properties.vmProfile.vnetConfig.subnetId";
    let refused = async || {
        let error = service.put(&put).await.unwrap_err();
        assert_eq!(
            (error.status, error.code.as_str()),
            (StatusCode::BAD_REQUEST, "ValidationFailed")
        );
        assert_eq!(error.target.as_deref(), Some(target));
        error.message
    };
    let message = refused().await;
    assert!(message.contains(&format!("the subnet '{subnet}' was not found")), "{message}");

    let kind = "microsoft.network/virtualnetworks/subnets";
    service.insert(&subnet, kind, json!({ "properties": {} })).await;
    let message = refused().await;
    for part in ["[[subnet]]", &format!("id = \"{subnet}\""), "bridge = \"br0\"", "goldsmith.toml"]
    {
        assert!(message.contains(part), "{part} in {message}");
    }

    // As an administrator does it: no restart, and the id in another spelling.
    let lines =
        format!("[[subnet]]\nid = \"{}\"\nbridge = \"br7\"\n", subnet.replace("build", "BUILD"));
    std::fs::write(service.app.settings().layout.config(), lines).unwrap();
    let body = service.created("2024-02-01", "t1", &sent).await;
    assert_eq!(body["properties"]["provisioningState"], "Succeeded", "{body}");
    let profile = &body["properties"]["vmProfile"]["vnetConfig"];
    assert_eq!(profile["subnetId"], subnet);

    // The same for a change.
    std::fs::remove_file(service.app.settings().layout.config()).unwrap();
    let change = json!({ "properties": { "vmProfile": sent["properties"]["vmProfile"] } });
    let error = service.patch("2024-02-01", "t1", change).await.unwrap_err();
    assert_eq!(error.target.as_deref(), Some(target));
    // Fields that only Azure's own machinery needs are accepted unchecked.
    std::fs::write(
        service.app.settings().layout.config(),
        format!("[[subnet]]\nid = \"{subnet}\"\nbridge = \"br7\"\n"),
    )
    .unwrap();
    sent["properties"]["vmProfile"]["vnetConfig"]["containerInstanceSubnetId"] =
        json!(format!("{network}/subnets/builder"));
    let body = service.created("2024-02-01", "t2", &sent).await;
    assert_eq!(body["properties"]["provisioningState"], "Succeeded", "{body}");
}

// conformance: 27, 29, 36, 119
#[tokio::test]
async fn failed_template_is_kept_and_can_be_deleted() {
    let service = Service::new().await;
    let uri = web("echo hello\n").await;
    let mut unknown = small();
    unknown["properties"]["source"]["offer"] = json!("nothing");
    let mut changed = small();
    changed["properties"]["customize"] =
        json!([{ "type": "Shell", "scriptUri": uri, "sha256Checksum": "0".repeat(64) }]);
    let mut windows = small();
    windows["properties"]["customize"] = json!([{ "type": "WindowsRestart" }]);
    let mut size = small();
    size["properties"]["vmProfile"] = json!({ "vmSize": "Standard_Nothing" });
    let mut no_image = small();
    no_image["properties"]["source"] = json!({ "type": "ManagedImage", "imageId": image("none") });
    let mut staging = small();
    staging["properties"]["stagingResourceGroup"] = json!(group_id(""));
    let cases = [
        (unknown, "BadPIRSource", "BadPIRSource"),
        (changed, "ChecksumMismatch", "Other"),
        (windows, "UnsupportedCustomizerType", "UnsupportedCustomizerType"),
        (size, "ValidationFailed", "Other"),
        (no_image, "BadManagedImageSource", "BadManagedImageSource"),
        (staging, "BadStagingResourceGroup", "BadStagingResourceGroup"),
    ];
    for (sent, code, provisioning) in cases {
        let put = call(Method::Put, "bad", "2024-02-01", &sent.to_string());
        let reply = service.put(&put).await.unwrap();
        service.idle().await;
        let operation = service.operation(&reply).await;
        assert_eq!(operation.status, OperationStatus::Failed);
        assert_eq!(operation.error.unwrap()["code"], code);
        let body = service.get("2024-02-01", "bad").await;
        assert_eq!(body["properties"]["provisioningState"], "Failed");
        let error = &body["properties"]["provisioningError"];
        assert_eq!(error["provisioningErrorCode"], provisioning, "{error}");
        let error = service.act("2024-02-01", "bad", "run").await.unwrap_err();
        assert_eq!(error.code, "OperationNotAllowed");
        assert_eq!(service.delete("bad").await.unwrap().status, StatusCode::ACCEPTED);
        service.idle().await;
    }
}

// conformance: 7, 11
#[tokio::test]
async fn invalid_template_is_refused_at_once() {
    let service = Service::new().await;
    let code = async |name: &str, sent: &Value| {
        let put = call(Method::Put, name, "2024-02-01", &sent.to_string());
        let error = service.put(&put).await.unwrap_err();
        (error.status.as_u16(), error.code)
    };
    assert_eq!(code("a b", &small()).await, (400, "InvalidParameter".into()));
    let mut sent = small();
    sent["location"] = json!("moon");
    assert_eq!(code("t", &sent).await, (400, "LocationNotAvailableForResourceType".into()));
    let mut sent = small();
    sent["identity"] = identities("nobody");
    assert_eq!(code("t", &sent).await, (400, "ValidationFailed".into()));
    let mut put = request(Method::Put, "t", "2024-02-01", &small().to_string());
    put.path = Path::parse(&put.path.text.replace("/rg/", "/other/"));
    assert_eq!(service.put(&admitted(put)).await.unwrap_err().code, "ResourceGroupNotFound");

    let mut sent = small();
    sent["location"] = json!("West US 2");
    assert_eq!(service.created("2024-02-01", "t", &sent).await["location"], "westus2");
}

// conformance: 38, 137
#[tokio::test]
async fn creation_resumes_once_after_a_restart() {
    let mut service = Service::new().await;
    let mut sent = small();
    sent["properties"]["autoRun"] = json!({ "state": "Enabled" });
    // The service ends before the work behind the answer is done.
    service.app.shutdown().cancel();
    let put = call(Method::Put, "t1", "2024-02-01", &sent.to_string());
    let reply = service.put(&put).await.unwrap();
    service.idle().await;
    assert_eq!(
        service.get("2024-02-01", "t1").await["properties"]["provisioningState"],
        "Creating"
    );
    service.app.store().close().await;

    service.app = app(service.folder.path()).await;
    let unfinished = service.app.store().unfinished_operations().await.unwrap();
    assert_eq!(unfinished.len(), 1);
    for _ in 0..2 {
        assert!(resume(service.app.clone(), unfinished[0].clone()).await);
    }
    assert_eq!(service.operation(&reply).await.status, OperationStatus::Succeeded);
    let provisioned = service.get("2024-02-01", "t1").await;
    assert_eq!(provisioned["properties"]["provisioningState"], "Succeeded");
    assert_eq!(provisioned["properties"]["lastRunStatus"]["runSubState"], "Queued");
    let runs = service.app.store().runs_of(&key(&put), 9).await.unwrap();
    assert_eq!(runs.len(), 1);

    // The worker resumes the operation of the run.
    let run = service.app.store().unfinished_operations().await.unwrap().pop().unwrap();
    assert_eq!(run.id, runs[0].operation);
    assert!(!resume(service.app.clone(), run).await);
}

// conformance: 91, 95, 97, 100, 114, 116, 117
#[tokio::test]
async fn active_run_is_shown_and_bars_deletion_until_canceled() {
    let service = Service::new().await;
    service.created("2024-02-01", "t1", &small()).await;
    let reply = service.act("2024-02-01", "t1", "run").await.unwrap();
    assert_eq!(reply.status, StatusCode::ACCEPTED);
    assert!(reply.body.is_none());
    assert_eq!(header(&reply, "location"), header(&reply, "azure-asyncoperation"));

    let key = key(&call(Method::Get, "t1", "2024-02-01", ""));
    let run = service.app.store().runs_of(&key, 1).await.unwrap().pop().unwrap();
    assert_eq!((run.vcpus, run.memory_mib), (1, 3584), "the default of generation 1");
    assert_eq!(run.input["apiVersion"], "2024-02-01");
    let status = service.get("2024-02-01", "t1").await["properties"]["lastRunStatus"].clone();
    assert_eq!(
        status,
        json!({
            "startTime": run.queued.to_string(), "endTime": "0001-01-01T00:00:00Z",
            "runState": "Running", "runSubState": "Queued", "message": "",
        })
    );
    for refused in [
        service.act("2024-02-01", "t1", "run").await,
        service.delete("t1").await,
        service.patch("2024-02-01", "t1", json!({ "tags": { "a": "b" } })).await,
    ] {
        let error = refused.unwrap_err();
        assert_eq!((error.status.as_u16(), error.code.as_str()), (409, "OperationNotAllowed"));
        assert!(error.message.contains("'provisioned', runState: 'running'"), "{}", error.message);
    }

    let reply_of_cancel = service.act("2024-02-01", "t1", "cancel").await.unwrap();
    assert_eq!(reply_of_cancel, Reply::empty(StatusCode::NO_CONTENT));
    let status = service.get("2024-02-01", "t1").await["properties"]["lastRunStatus"].clone();
    assert_eq!(status["runState"], "Canceled");
    assert!(status.get("runSubState").is_none());
    assert_eq!(service.operation(&reply).await.status, OperationStatus::Canceled);
    // Nothing is left to cancel.
    assert_eq!(service.act("2024-02-01", "t1", "cancel").await.unwrap(), reply_of_cancel);

    let staging = service.get("2024-02-01", "t1").await;
    let staging =
        ResourceKey::of(staging["properties"]["exactStagingResourceGroup"].as_str().unwrap());
    let reply = service.delete("t1").await.unwrap();
    assert_eq!(reply.status, StatusCode::ACCEPTED);
    service.idle().await;
    assert!(service.row(&key).await.is_none() && service.row(&staging).await.is_none());
    assert_eq!(service.operation(&reply).await.status, OperationStatus::Succeeded);
    assert_eq!(service.delete("t1").await.unwrap().status, StatusCode::NO_CONTENT);
    // A new template of that name has no runs.
    let again = service.created("2024-02-01", "t1", &small()).await;
    assert!(again["properties"].get("lastRunStatus").is_none());
}

// conformance: 96, 98
#[tokio::test]
async fn workload_script_is_pinned_and_required() {
    let service = Service::new().await;
    let mut sent = small();
    let workload =
        |state: &str, uri: &str| json!({ "workload": { "state": state, "scriptUri": uri } });
    sent["properties"]["optimize"] = workload("Enabled", "");
    let put = call(Method::Put, "t1", "2025-10-01", &sent.to_string());
    let error = service.put(&put).await.unwrap_err();
    let text = format!("{} {:?}", error.message, error);
    assert!(text.contains("properties.optimize.workload.scriptUri"), "{text}");

    sent["properties"]["optimize"] = workload("Enabled", &web("echo hello\n").await);
    let body = service.created("2025-10-01", "t1", &sent).await;
    let sum = "5dbad7dd0b9b122dcd9956884390f4aac4738caba8ff53498a7ab6718b176c30";
    assert_eq!(body["properties"]["optimize"]["workload"]["sha256Checksum"], sum);
}

#[tokio::test]
async fn second_cancel_of_an_active_run_is_refused() {
    let service = Service::new().await;
    service.created("2024-02-01", "t1", &small()).await;
    service.act("2024-02-01", "t1", "run").await.unwrap();
    let read = call(Method::Get, "t1", "2024-02-01", "");
    let store = service.app.store();
    let mut run = store.runs_of(&key(&read), 1).await.unwrap().pop().unwrap();
    run.state = RunState::Running;
    run.sub_state = "Building".into();
    run.epoch += 1;
    let mut template = TemplateRecord::find(store, &key(&read)).await.unwrap().unwrap();
    template.show_run(&run);
    let writes = vec![template.replace(), Write::ClaimRun(run.clone())];
    store.commit(writes).await.unwrap();
    let status = service.get("2024-02-01", "t1").await["properties"]["lastRunStatus"].clone();
    assert_eq!(
        (&status["runState"], &status["runSubState"]),
        (&json!("Running"), &json!("Building"))
    );

    service.act("2024-02-01", "t1", "cancel").await.unwrap();
    let status = service.get("2024-02-01", "t1").await["properties"]["lastRunStatus"].clone();
    assert_eq!(
        status,
        json!({
            "startTime": run.queued.to_string(), "endTime": "0001-01-01T00:00:00Z",
            "runState": "Canceling", "message": "Canceling image build",
        })
    );
    let error = service.act("2024-02-01", "t1", "cancel").await.unwrap_err();
    assert!(error.message.ends_with("runState: 'canceling'"), "{}", error.message);

    let parent = key(&read);
    let figures = json!({ "bootSecondsBefore": 9.5, "bootSecondsAfter": 7.0,
        "bytesBefore": 4096, "bytesAfter": 2048 });
    let run = service.app.store().runs_of(&parent, 1).await.unwrap().pop().unwrap();
    let run = db::Run { optimization: Some(figures.clone()), ..run };
    service.app.store().commit(vec![Write::ReplaceRun(run)]).await.unwrap();
    let list =
        TEMPLATE_RUNS.list(&service.app, &read, &parent).await.unwrap().unwrap().body.unwrap();
    assert_eq!(list["value"][0]["properties"]["runState"], "Canceling");
    assert_eq!(list["value"][0]["properties"]["optimization"], figures);
    let one = ResourceKey::of(list["value"][0]["id"].as_str().unwrap());
    let reply = TEMPLATE_RUNS.get(&service.app, &read, &one).await.unwrap().unwrap();
    assert_eq!(reply.body.unwrap(), list["value"][0]);
    let none = ResourceKey::of(&format!("{parent}/runs/none"));
    assert_eq!(TEMPLATE_RUNS.get(&service.app, &read, &none).await.unwrap_err().status, 404);
}

// conformance: 26, 95
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_requests_have_one_winner() {
    let service = Service::new().await;
    let put = call(Method::Put, "t1", "2024-02-01", &small().to_string());
    let puts = futures_util::future::join_all((0..8).map(|_| service.put(&put))).await;
    assert_eq!(puts.iter().filter(|reply| reply.is_ok()).count(), 1);
    assert!(puts.iter().flat_map(|reply| reply.as_ref().err()).all(|e| e.code == "Conflict"));
    service.idle().await;

    let run = || service.act("2024-02-01", "t1", "run");
    let runs = futures_util::future::join_all((0..8).map(|_| run())).await;
    assert_eq!(runs.iter().filter(|reply| reply.is_ok()).count(), 1);
    let refused = runs.iter().flat_map(|reply| reply.as_ref().err());
    assert!(refused.into_iter().all(|e| e.code == "OperationNotAllowed"));
    assert_eq!(service.app.store().runs_of(&key(&put), 9).await.unwrap().len(), 1);
}
