//! The activity log: what is in it, who sees it, and that it can only be read.

use db::{Activity, OperationStatus};
use service::{
    activity::{Folder, by_command, keep_streaming},
    roles::{self, CONTRIBUTOR},
};

use super::*;

const LOG: &str = "providers/Microsoft.Insights/eventtypes/management/values";
const READER: &str = "acdd72a7-3385-48ef-bd42-f606fba81ae7";
const A: &str = "providers/Microsoft.Authorization";

/// `status/code operation` of an event.
fn short(event: &Value) -> String {
    let text = |name: &str| event[name]["value"].as_str().unwrap();
    format!("{}/{} {}", text("status"), text("subStatus"), text("operationName"))
}

impl Server {
    /// All events, oldest first.
    async fn events(&self) -> Vec<Activity> {
        self.app.store().activity_after(0, 10_000).await.unwrap()
    }

    /// The events after the first `skipped` ones, in short.
    async fn since(&self, skipped: usize) -> Vec<String> {
        self.events().await.iter().skip(skipped).map(|event| short(&event.body)).collect()
    }

    /// The page of the log that a principal gets.
    async fn log(&self, principal: &str, query: &str) -> Value {
        let path = format!("{LOG}?{query}");
        let reply = self.of(principal, Method::Get, &path, &Value::Null).await.unwrap();
        reply.body.unwrap()
    }

    /// The events of the log that the first Owner gets for a filter, in short.
    async fn filtered(&self, filter: &str) -> Vec<String> {
        let filter = format!("$filter={}", filter.replace(' ', "%20"));
        let page = self.log("o", &filter).await;
        page["value"].as_array().unwrap().iter().map(short).collect()
    }

    /// Writes the log to the files of a folder. A service that shuts down does it once more.
    async fn stream(&self, dir: &TempDir) {
        self.app.shutdown().cancel();
        let folder = Folder::new(dir.path().to_owned(), Duration::from_secs(24 * 60 * 60));
        keep_streaming(self.app.clone(), folder).await;
    }

    /// The same installation after a restart.
    fn restarted(&self) -> App {
        App::new(self.app.settings().clone(), self.app.store().clone(), CancellationToken::new())
    }
}

#[tokio::test]
async fn change_is_recorded_with_who_what_and_how_it_ended() {
    let server = Server::start().await;
    let mut request = Server::request(
        Method::Put,
        &Server::in_subscription("resourceGroups/Rg"),
        BTreeMap::new(),
        &json!({ "location": "westus2" }).to_string(),
        None,
    );
    request.client.address = Some("192.0.2.7".to_owned());
    request.correlation_id = Some("aaaaaaaa-0000-4000-8000-000000000001".to_owned());
    handle(&server.app, request).await.unwrap();
    let events = server.events().await;
    let action = "Microsoft.Resources/subscriptions/resourceGroups/write";
    assert_eq!(
        server.since(0).await,
        [format!("Started/ {action}"), format!("Succeeded/Created {action}")]
    );
    let (started, ended) = (&events[0].body, &events[1].body);
    assert_eq!(started["operationId"], ended["operationId"]);
    assert_eq!(started["eventName"]["value"], "BeginRequest");
    assert_eq!(ended["eventName"]["value"], "EndRequest");
    assert_eq!(ended["subStatus"]["localizedValue"], "Created (HTTP Status Code: 201)");
    let id = format!("/subscriptions/{S}/resourceGroups/Rg");
    for event in [started, ended] {
        assert_eq!(event["caller"], "c");
        assert_eq!(event["claims"]["oid"], "o");
        assert_eq!(event["authorization"], json!({ "action": action, "scope": id }));
        assert_eq!(event["httpRequest"]["clientIpAddress"], "192.0.2.7");
        assert_eq!(event["httpRequest"]["method"], "PUT");
        assert_eq!(event["correlationId"], "aaaaaaaa-0000-4000-8000-000000000001");
        assert_eq!(event["resourceId"], id);
        assert_eq!(event["resourceGroupName"], "Rg");
        assert_eq!(event["resourceProviderName"]["value"], "Microsoft.Resources");
        assert_eq!(event["subscriptionId"], S);
        for name in ["category", "operationName", "resourceType", "status", "subStatus"] {
            assert!(event[name]["value"].is_string(), "{name}");
            assert!(event[name]["localizedValue"].is_string(), "{name}");
        }
    }
}

#[tokio::test]
async fn reads_are_not_recorded_and_failures_are() {
    let server = Server::with_group().await;
    let before = server.events().await.len();
    server.get("resourceGroups/rg").await.unwrap();
    server.on(Method::Head, "resourceGroups/rg").await.unwrap();
    server.get(LOG).await.unwrap();
    let name = json!({ "name": "freename", "type": "Microsoft.Storage/storageAccounts" });
    let path = "providers/Microsoft.Storage/checkNameAvailability";
    server.of("o", Method::Post, path, &name).await.unwrap();
    let _unknown = server.get("resourceGroups/none").await;
    assert_eq!(server.since(before).await, [""; 0]);

    server.put("rg", json!({ "location": 5 })).await.unwrap_err();
    let images = format!("resourceGroups/rg/{COMPUTE}/images");
    server.on(Method::Put, &images).await.unwrap_err();
    let stranger = server.principal("stranger").await;
    let refused = server.of(&stranger, Method::Delete, "resourceGroups/rg", &Value::Null).await;
    assert_eq!(refused.unwrap_err().status, StatusCode::FORBIDDEN);
    let gone = server.on(Method::Delete, &format!("{images}/none")).await.unwrap();
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    let events = server.since(before).await;
    assert_eq!(
        events[0],
        "Failed/BadRequest Microsoft.Resources/subscriptions/resourceGroups/write"
    );
    assert!(events[1].starts_with("Failed/"), "{events:?}");
    assert_eq!(
        events[2],
        "Failed/Forbidden Microsoft.Resources/subscriptions/resourceGroups/delete"
    );
    assert_eq!(
        events[3..],
        [
            "Started/ Microsoft.Compute/images/delete",
            "Succeeded/NoContent Microsoft.Compute/images/delete",
        ]
    );
    let forbidden = &server.events().await[before + 2].body["properties"];
    assert_eq!(forbidden["errorCode"], "AuthorizationFailed");
    assert!(forbidden["message"].as_str().unwrap().contains(&stranger), "{forbidden}");
}

#[tokio::test]
async fn refused_requests_of_one_caller_add_a_limited_number_of_rows() {
    let server = Server::with_group().await;
    let stranger = server.principal("stranger").await;
    let before = server.events().await.len();
    for _ in 0..70 {
        let refused = server.of(&stranger, Method::Delete, "resourceGroups/rg", &Value::Null).await;
        assert_eq!(refused.unwrap_err().status, StatusCode::FORBIDDEN);
    }
    assert_eq!(server.events().await.len() - before, 60);
    let files = tempfile::tempdir().unwrap();
    server.stream(&files).await;
    let events = server.events().await;
    assert_eq!(events.len() - before, 61);
    assert_eq!(events.last().unwrap().body["properties"]["more"], 10);
}

#[tokio::test]
async fn refusal_of_a_caller_without_a_role_is_in_the_tenants_log() {
    let server = Server::start().await;
    let reader = server.principal("reader").await;
    let role =
        roles::assignment(&format!("/subscriptions/{S}"), &reader, "ServicePrincipal", READER);
    server.app.store().commit(vec![Write::InsertAssignment(role)]).await.unwrap();
    let stranger = server.principal("stranger").await;
    for (caller, subscription) in [(&reader, S), (&stranger, "")] {
        server.of(caller, Method::Delete, "resourceGroups/rg", &Value::Null).await.unwrap_err();
        let events = server.events().await;
        let last = events.last().unwrap();
        assert_eq!(last.status, "Failed");
        assert_eq!(last.subscription, subscription);
    }
}

#[tokio::test]
async fn refusal_stays_what_it_is_if_the_log_cannot_be_written() {
    let server = Server::with_group().await;
    let stranger = server.principal("stranger").await;
    // The rights are known before the database fails.
    let path = "resourceGroups/rg";
    server.of(&stranger, Method::Delete, path, &Value::Null).await.unwrap_err();
    let url = format!("sqlite://{}", server._dir.path().join("goldsmith.db").display());
    db::execute_raw(&url, "DROP TABLE activity").await.unwrap();
    let refused = server.of(&stranger, Method::Delete, path, &Value::Null).await;
    assert_eq!(refused.unwrap_err().status, StatusCode::FORBIDDEN);
    // A change without its events does not happen.
    let here = json!({ "location": "westus2" });
    assert!(server.put("other", here).await.unwrap_err().status.is_server_error());
    assert_eq!(code(server.get("resourceGroups/other").await).0, 404);
}

#[tokio::test]
async fn long_operation_ends_once_also_after_a_restart() {
    let server = Server::with_group().await;
    let before = server.events().await.len();
    // As far as a request gets before a crash.
    let key = ResourceKey::of(&format!("/subscriptions/{S}/resourceGroups/rg"));
    let mut group = server.app.store().resource(&key).await.unwrap().unwrap();
    group.body["properties"]["provisioningState"] = json!("Deleting");
    let action = "Microsoft.Resources/subscriptions/resourceGroups/delete";
    let origin = arm::operation::Origin {
        client_id: "c".to_owned(),
        object_id: "o".to_owned(),
        action: action.to_owned(),
        resource_id: format!("/subscriptions/{S}/resourceGroups/Rg"),
        correlation_id: "aaaaaaaa-0000-4000-8000-000000000002".to_owned(),
        ..arm::operation::Origin::default()
    };
    let mut row = arm::operation::new("deleteGroup", key, S);
    row.origin = origin.to_json();
    let writes = vec![Write::Replace(group), Write::Operation(row.clone())];
    server.app.store().commit(writes).await.unwrap();

    let app = server.restarted();
    let rows = app.store().unfinished_operations().await.unwrap();
    assert_eq!(rows.len(), 1);
    providers::resource_group::resume(app.clone(), rows[0].clone()).await;
    assert!(tasks::finish(&app, Duration::from_secs(30)).await);
    let ended = app.store().operation(&row.id).await.unwrap().unwrap();
    assert_eq!(ended.status, OperationStatus::Succeeded);
    assert_eq!(
        server.since(before).await,
        [
            format!("Started/ {action}"),
            format!("Accepted/Accepted {action}"),
            format!("Succeeded/OK {action}"),
        ]
    );
    for event in &server.events().await[before..] {
        assert_eq!(event.body["operationId"], row.id);
        assert_eq!(event.body["correlationId"], origin.correlation_id);
        assert_eq!(event.body["caller"], "c");
    }
}

#[tokio::test]
async fn deletion_of_a_group_is_accepted_and_then_succeeds() {
    let server = Server::with_group().await;
    server.image("one", json!({})).await;
    let before = server.events().await.len();
    let deleted = server.on(Method::Delete, "resourceGroups/rg").await.unwrap();
    assert_eq!(deleted.status, StatusCode::ACCEPTED);
    assert!(tasks::finish(&server.app, Duration::from_secs(30)).await);
    let action = "Microsoft.Resources/subscriptions/resourceGroups/delete";
    assert_eq!(
        server.since(before).await,
        [
            format!("Started/ {action}"),
            format!("Accepted/Accepted {action}"),
            format!("Succeeded/OK {action}"),
        ]
    );
}

#[tokio::test]
async fn deployment_and_what_it_makes_have_one_correlation_id() {
    let server = Server::with_group().await;
    let before = server.events().await.len();
    let template = json!({
        "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
        "contentVersion": "1.0.0.0",
        "resources": [{
            "type": "Microsoft.Compute/galleries", "apiVersion": "2022-03-03", "name": "made",
            "location": "westus2",
        }],
    });
    let body = json!({ "properties": { "mode": "Incremental", "template": template } });
    let path = "resourceGroups/rg/providers/Microsoft.Resources/deployments/d";
    server.of("o", Method::Put, path, &body).await.unwrap();
    assert!(tasks::finish(&server.app, Duration::from_secs(30)).await);
    let events = server.since(before).await;
    let (deploy, make) =
        ("Microsoft.Resources/deployments/write", "Microsoft.Compute/galleries/write");
    assert_eq!(
        events,
        [
            format!("Started/ {deploy}"),
            format!("Accepted/Created {deploy}"),
            format!("Started/ {make}"),
            format!("Succeeded/Created {make}"),
            format!("Succeeded/OK {deploy}"),
        ]
    );
    for event in &server.events().await[before..] {
        assert_eq!((event.correlation.as_str(), event.caller.as_str()), ("r", "c"));
    }
}

#[tokio::test]
async fn log_is_filtered_selected_and_paged() {
    let server = Server::with_group().await;
    for index in 0..3 {
        server.image(&format!("i{index}"), json!({})).await;
    }
    let id = format!("/subscriptions/{S}/resourceGroups/RG/{COMPUTE}/images/I1");
    let image = "Microsoft.Compute/images/write";
    let of_image = [format!("Succeeded/Created {image}"), format!("Started/ {image}")];
    assert_eq!(server.filtered(&format!("resourceId eq '{id}'")).await, of_image);
    assert_eq!(server.filtered(&format!("resourceUri eq '{id}'")).await, of_image);
    assert_eq!(server.filtered("resourceGroupName eq 'rG'").await.len(), 8);
    assert_eq!(server.filtered("resourceProvider eq Microsoft.Compute").await.len(), 6);
    let failed = server.filtered("resourceGroupName eq 'rg' and status eq 'Failed'").await;
    assert_eq!(failed, [""; 0]);
    assert_eq!(server.filtered("caller eq 'C' and status eq 'started'").await.len(), 4);
    assert_eq!(server.filtered("caller eq 'other'").await, [""; 0]);
    assert_eq!(server.filtered("correlationId eq 'r'").await.len(), 8);
    assert_eq!(server.filtered("eventTimestamp ge 2999-01-01T00:00:00").await, [""; 0]);
    let range =
        "eventTimestamp ge 2020-01-01T00:00:00.000004 and eventTimestamp le '2999-01-01T00:00:00Z'";
    assert_eq!(server.filtered(range).await.len(), 8);
    let bad = server.get(&format!("{LOG}?$filter=level%20eq%20'Error'")).await;
    assert_eq!(code(bad), (400, "InvalidFilterInQueryString".into()));

    let all = server.log("o", "$select=eventDataId,Status").await;
    let all = all["value"].as_array().unwrap();
    assert_eq!(all[0].as_object().unwrap().keys().collect::<Vec<_>>(), ["eventDataId", "status"]);
    let (mut path, mut paged) = (Server::in_subscription(&format!("{LOG}?$top=3")), Vec::new());
    loop {
        let page = server.call(Method::Get, &path, "").await.unwrap().body.unwrap();
        // New events do not move the pages.
        server.image("later", json!({})).await;
        paged.extend(page["value"].as_array().unwrap().clone());
        let Some(next) = page.get("nextLink") else { break };
        path = next.as_str().unwrap().strip_prefix("https://localhost:8443").unwrap().to_owned();
    }
    let ids = |events: &[Value]| -> Vec<String> {
        events.iter().map(|one| one["eventDataId"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(&paged), ids(all));
}

#[tokio::test]
async fn events_are_visible_to_those_who_may_read_the_resource() {
    let server = Server::with_group().await;
    server.put("other", json!({ "location": "westus2" })).await.unwrap();
    server.image("one", json!({})).await;
    let reader = server.principal("reader").await;
    let none = server.of(&reader, Method::Get, LOG, &Value::Null).await;
    assert_eq!(none.unwrap_err().status, StatusCode::FORBIDDEN);
    server.grant(&reader, READER, "resourceGroups/rg").await;
    let page = server.log(&reader, "").await;
    let seen = page["value"].as_array().unwrap();
    assert_eq!(seen.len(), 4);
    assert!(seen.iter().all(|event| event["resourceGroupName"] == "Rg"), "{seen:?}");
}

#[tokio::test]
async fn log_is_not_changed_through_the_api() {
    let server = Server::with_group().await;
    let before = server.events().await;
    for method in [Method::Put, Method::Patch, Method::Post, Method::Delete] {
        let refused = server.on(method, LOG).await;
        assert_eq!(code(refused), (405, "MethodNotAllowed".into()), "{method:?}");
    }
    assert_eq!(server.events().await[..before.len()], before);
}

#[tokio::test]
async fn role_assignments_show_what_was_granted_and_revoked() {
    let server = Server::with_group().await;
    let principal = server.principal("ci").await;
    let path =
        format!("resourceGroups/rg/{A}/roleAssignments/88888888-0000-4000-8000-000000000001");
    let body = json!({ "properties": {
        "roleDefinitionId": format!("/{A}/roleDefinitions/{CONTRIBUTOR}"),
        "principalId": principal, "description": "a secret by mistake",
    } });
    let before = server.events().await.len();
    server.of("o", Method::Put, &path, &body).await.unwrap();
    server.of("o", Method::Delete, &path, &Value::Null).await.unwrap();
    let events = server.events().await;
    let of = |at: usize, name: &str| -> Value {
        serde_json::from_str(events[before + at].body["properties"][name].as_str().unwrap())
            .unwrap()
    };
    let (granted, revoked) = (of(0, "requestbody"), of(3, "responseBody"));
    for body in [&granted, &revoked] {
        assert_eq!(body["properties"]["principalId"], principal);
        let role = body["properties"]["roleDefinitionId"].as_str().unwrap();
        assert!(role.ends_with(CONTRIBUTOR), "{role}");
    }
    assert!(!format!("{events:?}").contains("by mistake"));
}

#[tokio::test]
async fn changes_of_commands_are_recorded() {
    let server = Server::start().await;
    let store = by_command(server.app.store());
    roles::create_owner(&store, "admin").await.unwrap();
    let events = server.since(0).await;
    let wanted = [
        "Succeeded/OK Goldsmith.Directory/servicePrincipals/write",
        "Succeeded/OK Microsoft.Authorization/roleAssignments/write",
    ];
    for one in wanted {
        assert!(events.iter().any(|event| event == one), "{events:?}");
    }
    let caller = server.events().await[0].body["caller"].as_str().unwrap().to_owned();
    assert!(caller.starts_with("goldsmith admin (uid "), "{caller}");
}

#[tokio::test]
async fn files_have_what_the_table_has_also_after_a_restart() {
    let server = Server::with_group().await;
    let files = tempfile::tempdir().unwrap();
    server.app.activities().login_failed(S, Some("192.0.2.1"), 7_000_215);
    server.app.activities().login_failed("my-secret", None, 7_000_215);
    server.stream(&files).await;
    server.image("one", json!({})).await;
    server.stream(&files).await;
    server.stream(&files).await;
    let mut text = String::new();
    for entry in std::fs::read_dir(files.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|end| end == "jsonl") {
            text.push_str(&std::fs::read_to_string(path).unwrap());
        }
    }
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (events, logins): (Vec<&Value>, Vec<&Value>) =
        lines.iter().partition(|line| line["seq"].is_i64());
    let table = server.events().await;
    assert_eq!(events.len(), table.len());
    for (line, row) in events.iter().zip(&table) {
        assert_eq!(line["seq"], row.seq);
        assert_eq!(line["eventDataId"], row.body["eventDataId"]);
        assert_eq!(line["status"], row.body["status"]);
    }
    assert_eq!(logins.len(), 2);
    assert_eq!(logins[0]["caller"], S);
    assert_eq!(logins[0]["category"]["value"], "SignIn");
    assert!(!text.contains("my-secret"));
}
