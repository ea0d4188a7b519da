//! Streams and blobs end with the right to read them.

use db::{ResourceKey, RunState, Write};
use service::{
    auth::{Proof, principal},
    roles::{SERVICE_PRINCIPAL, assignment},
};

use super::{matrix::run, *};

const TEMPLATE: &str = "resourceGroups/g/providers/Microsoft.VirtualMachineImages/imageTemplates/t";
const BY_ID: &str = "providers/Microsoft.VirtualMachineImages/runs";
const RUN: &str = "00000000-0000-7000-8000-000000000001";
const NO_RUN: &str = "00000000-0000-7000-8000-000000000002";
const READER: &str = "acdd72a7-3385-48ef-bd42-f606fba81ae7";

/// A principal's token, and its role at a scope of the subscription.
async fn reader(place: &Bench, name: &str, scope: &str) -> (String, ResourceKey) {
    let own = principal::create(&place.store, name).await.unwrap();
    let scope = format!("/subscriptions/{SUBSCRIPTION}/{scope}");
    let row = assignment(&scope, &own.client.object_id, SERVICE_PRINCIPAL, READER);
    let key = row.key();
    place.store.commit(vec![Write::InsertAssignment(row)]).await.unwrap();
    let key_of = SigningKey::obtain(&place.app.settings().dir).unwrap();
    let auth = Auth::new(key_of, TENANT.to_owned(), place.store.clone());
    let (id, proof) = (&own.client.client_id, Proof::Secret(&own.secret));
    let token = auth.token(id, &proof, "https://localhost:1/", "https://localhost:1/adfs").await;
    (token.unwrap().expect("its secret is right"), key)
}

#[tokio::test]
async fn stream_ends_when_its_reader_loses_the_role() {
    let place = Bench::new().await;
    let template = ResourceKey::of(&format!("/subscriptions/{SUBSCRIPTION}/{TEMPLATE}"));
    run(&place, RUN, &template, RunState::Running).await;
    for path in [format!("{TEMPLATE}/runs/{RUN}/events"), format!("{BY_ID}/{RUN}/events")] {
        let (token, role) = reader(&place, "watcher", "resourceGroups/g").await;
        let path = format!("/subscriptions/{SUBSCRIPTION}/{path}");
        let response = place.send("GET", &path, &token, "").await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        place.store.commit(vec![Write::RemoveAssignment(role, 1)]).await.unwrap();
        // The run goes on, so nothing else ends it.
        axum::body::to_bytes(response.into_body(), 1 << 24).await.unwrap();
        let again = place.send("GET", &path, &token, "").await;
        assert_eq!(again.status(), StatusCode::FORBIDDEN, "{path}");
    }
}

#[tokio::test]
async fn unreadable_run_is_as_unknown_as_none() {
    let place = Bench::new().await;
    let template = ResourceKey::of(&format!("/subscriptions/{SUBSCRIPTION}/{TEMPLATE}"));
    run(&place, RUN, &template, RunState::Succeeded).await;
    let (token, _) = reader(&place, "elsewhere", "resourceGroups/other").await;
    for below in ["?api-version=2024-02-01", "/events", "/log"] {
        let ask = async |run: &str| {
            let path = format!("/subscriptions/{SUBSCRIPTION}/{BY_ID}/{run}{below}");
            let response = place.send("GET", &path, &token, "").await;
            let status = response.status();
            (status, value(response).await.to_string().replace(run, "RUN"))
        };
        let (hidden, unknown) = (ask(RUN).await, ask(NO_RUN).await);
        assert_eq!(hidden.0, StatusCode::NOT_FOUND, "{below}");
        assert_eq!(hidden, unknown, "{below}");
    }
}

#[tokio::test]
async fn owner_without_data_role_reads_no_blob() {
    let place = Bench::new().await;
    let id = format!(
        "/subscriptions/{SUBSCRIPTION}/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/acct1"
    );
    let body = serde_json::json!({ "location": "westus2", "properties": {} });
    let row = db::Resource::new(id, "microsoft.storage/storageaccounts", body, Value::Null);
    let row = db::Resource { subscription: SUBSCRIPTION.to_owned(), ..row };
    place.store.commit(vec![Write::Insert(row)]).await.unwrap();
    let (token, _) = reader(&place, "reader", "resourceGroups/g").await;
    let ask = async |path: &str| {
        let response = place.send("GET", path, &token, "").await;
        let code = code(&response).to_owned();
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (code, String::from_utf8_lossy(&bytes).into_owned())
    };
    let (code, text) = ask("/storage/acct1/vhds/image.vhd").await;
    assert_eq!(code, "AuthorizationPermissionMismatch");
    assert!(text.contains("<Code>AuthorizationPermissionMismatch</Code>"), "{text}");
    // An account that does not exist is no different.
    assert_eq!(ask("/storage/none/vhds/image.vhd").await.1, text);
    assert_eq!(ask("/storage/acct1?comp=list").await.0, "");
}
