//! Requests to the service without a socket, with a real database and real tokens.

mod activity;
mod graph;
mod machine;
mod matrix;
mod streams;
mod tenants;

use axum::{Router, body::Body, extract::Request, response::Response};
use db::Store;
use http::StatusCode;
use images::layout::Layout;
use metrics_exporter_prometheus::PrometheusBuilder;
use serde_json::Value;
use service::{
    Settings,
    auth::{
        SigningKey,
        principal::{self, Credentials},
    },
    roles,
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::*;

const SUBSCRIPTION: &str = "5d4e1c4a-7b3c-4b57-9f65-1d8f2a6b3c4d";
const TENANT: &str = "0b0e1c4a-7b3c-4b57-9f65-1d8f2a6b3c4d";

struct Bench {
    app: App,
    router: Router,
    store: Store,
    ci: Credentials,
    _dir: tempfile::TempDir,
}

impl Bench {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", dir.path().join("db").display());
        let store = Store::open(&url).await.unwrap();
        let ci = principal::create(&store, "ci").await.unwrap();
        // As of the first administrator.
        store.commit(roles::ownership(&ci.client, "")).await.unwrap();
        let settings = Settings {
            layout: Layout::new(dir.path().join("cache"), dir.path().join("data")),
            dir: dir.path().to_owned(),
            regions: vec!["westus2".to_owned()],
            tenant: TENANT.to_owned(),
            subscription: SUBSCRIPTION.to_owned(),
        };
        let auth =
            Auth::new(SigningKey::obtain(dir.path()).unwrap(), TENANT.to_owned(), store.clone());
        let app = App::new(settings, store.clone(), CancellationToken::new());
        let metrics = PrometheusBuilder::new().build_recorder().handle();
        let site = Site::new(
            app.clone(),
            auth,
            vec!["localhost".to_owned()],
            "localhost:1".to_owned(),
            metrics,
            Budgets::new(crate::limits::Settings::default()),
        );
        Self { app, router: router(site), store, ci, _dir: dir }
    }

    async fn send(&self, method: &str, path: &str, token: &str, body: impl Into<Body>) -> Response {
        let mut request = Request::builder().method(method).uri(path).header("host", "localhost:1");
        if !token.is_empty() {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        self.router.clone().oneshot(request.body(body.into()).unwrap()).await.unwrap()
    }

    async fn ask(&self, secret: &str, scope: &str) -> (StatusCode, Value) {
        let body = format!(
            "grant_type=client_credentials&client_id={}&client_secret={secret}&scope={scope}",
            self.ci.client.client_id.to_uppercase()
        );
        let response = self.send("POST", "/adfs/oauth2/token", "", body).await;
        (response.status(), value(response).await)
    }

    async fn token(&self, scope: &str) -> String {
        let (status, body) = self.ask(&self.ci.secret, scope).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        body["access_token"].as_str().unwrap().to_owned()
    }
}

async fn value(response: Response) -> Value {
    let bytes = axum::body::to_bytes(response.into_body(), 1 << 24).await.unwrap();
    serde_json::from_slice(&bytes).unwrap_or(Value::Null)
}

fn code(response: &Response) -> &str {
    response.headers().get("x-ms-error-code").map_or("", |code| code.to_str().unwrap())
}

const ARM: &str = "https://localhost:1//.default";
const NOWHERE: &str = "/nowhere?api-version=2022-12-01";

#[tokio::test]
async fn resource_manager_requires_a_valid_token() {
    let place = Bench::new().await;
    for scope in [
        ARM,
        "https://management.azure.com/.default",
        "https://localhost:1/.default",
        "https://localhost:1//openid",
    ] {
        let token = place.token(scope).await;
        let response = place.send("GET", NOWHERE, &token, "").await;
        assert_ne!(response.status(), StatusCode::UNAUTHORIZED, "{scope}");
    }
    let graph = place.token("https://localhost:1/graph//.default").await;
    for (token, wanted) in [
        ("", "AuthenticationFailed"),
        ("a.b.c", "InvalidAuthenticationToken"),
        (&graph, "InvalidAuthenticationTokenAudience"),
    ] {
        let response = place.send("GET", NOWHERE, token, "").await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(code(&response), wanted);
        assert!(response.headers().contains_key("www-authenticate"));
        assert_eq!(value(response).await["error"]["code"], wanted);
    }
}

#[tokio::test]
async fn wrong_secret_or_revoked_principal_gets_no_token() {
    let place = Bench::new().await;
    let (status, body) = place.ask("wrong", ARM).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert_eq!(body["error"], "invalid_client");
    assert_eq!(body["error_codes"][0], 7_000_215);
    let (status, body) = place.ask(&place.ci.secret, "https://example.com/.default").await;
    assert_eq!((status, &body["error"]), (StatusCode::BAD_REQUEST, &"invalid_resource".into()));
    let token = place.token(ARM).await;
    principal::revoke(&place.store, &place.ci.client.client_id).await.unwrap();
    assert_eq!(place.ask(&place.ci.secret, ARM).await.0, StatusCode::UNAUTHORIZED);
    // The principal is not cached yet, so the token becomes invalid immediately.
    let response = place.send("GET", NOWHERE, &token, "").await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    let rotated = principal::rotate(&place.store, &place.ci.client.client_id, None).await;
    assert_eq!(rotated.unwrap_err().code, api::ErrorCode::Conflict);
}

#[tokio::test]
async fn rotation_invalidates_old_secret_and_its_tokens() {
    let mut place = Bench::new().await;
    let old = place.token(ARM).await;
    let before = place.ci.secret.clone();
    place.ci = principal::rotate(&place.store, &place.ci.client.client_id, None).await.unwrap();
    assert_eq!(place.ask(&before, ARM).await.0, StatusCode::UNAUTHORIZED);
    let fresh = place.token(ARM).await;
    let response = place.send("GET", NOWHERE, &old, "").await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert!(
        response.headers()["www-authenticate"].to_str().unwrap().contains("insufficient_claims")
    );
    let response = place.send("GET", NOWHERE, &fresh, "").await;
    assert_ne!(response.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn unsupported_grant_or_missing_field_is_rejected() {
    let place = Bench::new().await;
    for (body, wanted) in [
        ("", "invalid_request"),
        ("grant_type=password", "unsupported_grant_type"),
        ("grant_type=client_credentials&client_id=a", "invalid_request"),
        ("grant_type=client_credentials&client_id=a&client_secret=b", "invalid_request"),
    ] {
        let response = place.send("POST", "/common/oauth2/v2.0/token", "", body).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{body}");
        assert_eq!(value(response).await["error"], wanted, "{body}");
    }
    let other = "/11111111-7b3c-4b57-9f65-1d8f2a6b3c4d/oauth2/v2.0/token";
    let response = place.send("POST", other, "", "").await;
    assert_eq!(value(response).await["error"], "invalid_tenant");
}

#[tokio::test]
async fn invalid_arm_call_is_rejected_before_any_handler() {
    let place = Bench::new().await;
    let token = place.token(ARM).await;
    let large = "x".repeat((4 << 20) + 1);
    for (method, path, body, status, wanted) in [
        ("GET", "/subscriptions", "", 400, "MissingApiVersionParameter"),
        ("GET", "/subscriptions?api-version=new", "", 400, "InvalidApiVersionParameter"),
        ("BREW", NOWHERE, "", 405, "HttpMethodNotAllowed"),
        ("PUT", NOWHERE, large.as_str(), 413, "RequestContentTooLarge"),
        ("POST", "/metrics", "", 405, "HttpMethodNotAllowed"),
    ] {
        let response = place.send(method, path, &token, body.to_owned()).await;
        assert_eq!((response.status().as_u16(), code(&response)), (status, wanted), "{path}");
        assert!(
            uuid::Uuid::try_parse(response.headers()["x-ms-request-id"].to_str().unwrap()).is_ok()
        );
    }
    let response = place.send("HEAD", "/subscriptions", &token, "").await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    let body = axum::body::to_bytes(response.into_body(), 1000).await.unwrap();
    assert!(body.is_empty());
}

#[tokio::test]
async fn directory_has_service_principals_and_managed_identities() {
    let place = Bench::new().await;
    let now = jiff::Timestamp::now();
    let identity = db::Resource {
        id: format!(
            "/subscriptions/{SUBSCRIPTION}/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/i"
        ),
        subscription: SUBSCRIPTION.to_owned(),
        group: "g".to_owned(),
        kind: "microsoft.managedidentity/userassignedidentities".to_owned(),
        name: "i".to_owned(),
        revision: 0,
        created: now,
        changed: now,
        body: serde_json::json!({ "properties": { "clientId": "CID", "principalId": "PID" } }),
        hidden: Value::Null,
    };
    place.store.commit(vec![db::Write::Insert(identity)]).await.unwrap();
    let token = place.token("https://localhost:1/graph//.default").await;
    for (id, object) in [("cid", "PID"), (&place.ci.client.client_id, &*place.ci.client.object_id)]
    {
        let path = format!(
            "/graph/v1.0/servicePrincipals?$filter=servicePrincipalNames/any(c:c%20eq%20'{id}')"
        );
        let body = value(place.send("GET", &path, &token, "").await).await;
        assert_eq!(body["value"].as_array().unwrap().len(), 1, "{body}");
        assert_eq!(body["value"][0]["id"], object);
    }
    let path = format!("/graph/v1.0/directoryObjects/{}", place.ci.client.object_id);
    let body = value(place.send("GET", &path, &token, "").await).await;
    assert_eq!(body["@odata.type"], "#microsoft.graph.servicePrincipal");
    let path = "/graph/v1.0/directoryObjects/getByIds";
    let body = value(place.send("POST", path, &token, r#"{"ids":["pid","x"]}"#).await).await;
    assert_eq!(body["value"][0]["appId"], "CID");
    assert_eq!(body["value"].as_array().unwrap().len(), 1);
}

/// Templates that are rejected, each for another reason.
fn refused_templates(group: &str) -> Vec<Value> {
    let compute = format!("{group}/providers/Microsoft.Compute");
    let net = format!("{group}/providers/Microsoft.Network/virtualNetworks/net1");
    let identity =
        format!("{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/builder");
    let body = |source: &Value, more: &Value| {
        let mut body = serde_json::json!({
            "location": "westus2",
            "identity": { "type": "UserAssigned", "userAssignedIdentities": { &identity: {} } },
            "properties": {
                "source": source,
                "distribute": [{ "type": "VHD", "runOutputName": "out" }],
            },
        });
        for (name, value) in more.as_object().unwrap() {
            body["properties"][name] = value.clone();
        }
        body
    };
    let platform = |offer: &str| {
        serde_json::json!({ "type": "PlatformImage", "publisher": "Canonical", "offer": offer,
            "sku": "x", "version": "latest" })
    };
    let managed = serde_json::json!({
        "type": "ManagedImage", "imageId": format!("{compute}/images/none"),
    });
    let gallery = serde_json::json!({
        "type": "SharedImageVersion",
        "imageVersionId": format!("{compute}/galleries/g/images/d/versions/1.0.0"),
    });
    let subnet = serde_json::json!({ "vmProfile": { "vnetConfig": { "subnetId": format!("{net}/subnets/s") } } });
    let script = serde_json::json!({ "customize": [{ "type": "Shell", "scriptUri": "http://127.0.0.1:9/x" }] });
    let size = serde_json::json!({ "vmProfile": { "vmSize": "Standard_X9" } });
    let shared = serde_json::json!({ "distribute": [{
        "type": "SharedImage", "runOutputName": "out", "replicationRegions": ["mars"],
        "galleryImageId": format!("{compute}/galleries/g/images/d"),
    }]});
    let nothing = serde_json::json!({});
    vec![
        body(&platform("none"), &nothing),
        body(&platform("WindowsServer"), &nothing),
        body(&managed, &nothing),
        body(&gallery, &nothing),
        body(&platform("ubuntu"), &subnet),
        body(&platform("ubuntu"), &script),
        body(&platform("ubuntu"), &size),
        body(&platform("ubuntu"), &shared),
        nothing,
    ]
}

/// Requests in every namespace that are rejected immediately or fail later.
#[tokio::test]
async fn no_response_contains_a_folder_of_the_service() {
    let place = Bench::new().await;
    let (token, folder) = (place.token(ARM).await, place._dir.path().display().to_string());
    let group = format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/g");
    let compute = format!("{group}/providers/Microsoft.Compute");
    let net = format!("{group}/providers/Microsoft.Network/virtualNetworks/net1");
    let identity =
        format!("{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/builder");
    let here = serde_json::json!({ "location": "westus2" });
    let space = serde_json::json!({ "addressPrefix": "10.9.0.0/24" });
    let vnet = serde_json::json!({ "location": "westus2", "properties": {
        "addressSpace": { "addressPrefixes": ["10.9.0.0/16"] },
        "subnets": [{ "name": "s", "properties": space }],
    }});
    let mut said = Vec::new();
    let mut send = async |method: &str, path: &str, version: &str, body: &Value| {
        let path = format!("{path}?api-version={version}");
        let response = place.send(method, &path, &token, body.to_string()).await;
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 24).await.unwrap();
        said.push((format!("{method} {path}"), String::from_utf8_lossy(&bytes).into_owned()));
        serde_json::from_slice::<Value>(&bytes).unwrap_or(Value::Null)
    };
    send("PUT", &group, "2022-12-01", &here).await;
    send("PUT", &identity, "2023-01-31", &here).await;
    send("PUT", &net, "2024-07-01", &vnet).await;
    let template = |name: &str| {
        format!("{group}/providers/Microsoft.VirtualMachineImages/imageTemplates/{name}")
    };
    let bodies = refused_templates(&group);
    for (index, body) in bodies.iter().enumerate() {
        let id = template(&format!("t{index}"));
        let answer = send("PUT", &id, "2024-02-01", body).await;
        assert!(!answer.is_null());
        place.app.tasks().close();
        place.app.tasks().wait().await;
        send("GET", &id, "2024-02-01", &Value::Null).await;
        send("POST", &format!("{id}/run"), "2024-02-01", &Value::Null).await;
        send("GET", &format!("{id}/runOutputs/out"), "2024-02-01", &Value::Null).await;
        send("GET", &format!("{id}/runs/none/log"), "2024-02-01", &Value::Null).await;
    }
    for path in [
        format!("{compute}/images/none"),
        format!("{compute}/galleries/g/images/d/versions/1.0.0"),
        format!(
            "/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Compute/locations/westus2/publishers/none"
        ),
        format!("{group}/providers/Microsoft.Storage/storageAccounts/none"),
        "/storage/none/vhds/x".to_owned(),
        "/nowhere".to_owned(),
    ] {
        send("GET", &path, "2024-03-03", &Value::Null).await;
        send("PUT", &path, "2024-03-03", &here).await;
    }
    // The errors exist, so the check above was not empty.
    let all: String = said.iter().map(|(_, body)| body.as_str()).collect();
    assert!(all.contains("catalogue.toml") && all.contains("goldsmith.toml"), "{all}");
    for (request, body) in &said {
        assert!(!body.contains(&folder), "{request}: {body}");
    }
}

#[tokio::test]
async fn panic_becomes_an_error_with_an_id() {
    let budgets = Budgets::new(crate::limits::Settings::default());
    let router = Router::new()
        .fallback(|| async {
            assert!(Router::<()>::new().has_routes(), "a handler's mistake");
        })
        .layer(axum::middleware::from_fn_with_state(budgets, around::around));
    let request = Request::builder().uri("/").body(Body::empty()).unwrap();
    let response = router.oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(code(&response), "InternalServerError");
}
