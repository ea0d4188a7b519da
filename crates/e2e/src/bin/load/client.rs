//! A client with the requests of the measurements.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::server::Server;

const VERSION: &str = "api-version=2024-02-01";

/// A client of one server, logged in.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    url: String,
    token: String,
    subscription: String,
}

impl Client {
    pub(crate) async fn connect(server: &Server) -> Self {
        let client = Self::login(server, &server.ready).await;
        client.prepare().await;
        client
    }

    /// The same client in another subscription, once the server knows it.
    pub(crate) async fn within(&self, subscription: &str) -> Self {
        let client = Self { subscription: subscription.to_owned(), ..self.clone() };
        while !client.get("/subscriptions").await.to_string().contains(subscription) {
            tokio::task::yield_now().await;
        }
        client
    }

    /// A client with these credentials.
    pub(crate) async fn login(server: &Server, credentials: &Value) -> Self {
        let ca = reqwest::Certificate::from_pem(&server.ca()).unwrap();
        let http = reqwest::Client::builder().tls_certs_only([ca]).build().unwrap();
        let url = server.text("url").trim_end_matches('/').to_owned();
        let form = format!(
            "grant_type=client_credentials&client_id={}&client_secret={}&scope={url}/.default",
            credentials["clientId"].as_str().expect("a client id"),
            credentials["clientSecret"].as_str().expect("a secret"),
        );
        let answer = http
            .post(format!("{url}/{}/oauth2/v2.0/token", server.text("tenantId")))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form)
            .send()
            .await
            .unwrap();
        let body: Value = answer.json().await.unwrap();
        let token = body["access_token"].as_str().expect("a token").to_owned();
        Self { http, url, token, subscription: server.text("subscriptionId").into() }
    }

    async fn prepare(&self) {
        let group = self.path("resourceGroups/load");
        self.call(Method::PUT, &group, Some(json!({ "location": "westus2" }))).await;
        let identity = json!({ "location": "westus2" });
        let identity = self.call(Method::PUT, &self.path(IDENTITY), Some(identity)).await.1;
        for role in ROLES {
            let name = format!("providers/Microsoft.Authorization/roleAssignments/{role}");
            let path = self.path(&name);
            let role = format!("/providers/Microsoft.Authorization/roleDefinitions/{role}");
            let body = json!({ "properties": {
                "roleDefinitionId": role, "principalId": identity["properties"]["principalId"],
                "principalType": "ServicePrincipal",
            } });
            self.call(Method::PUT, &path, Some(body)).await;
        }
    }

    /// A path below the subscription.
    pub(crate) fn path(&self, rest: &str) -> String {
        format!("/subscriptions/{}/{rest}", self.subscription)
    }

    /// Returns the status and the body. A server error ends the measurement.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> (StatusCode, Value, Option<String>) {
        let url = match path.strip_prefix("https://") {
            Some(_) => path.to_owned(),
            None if path.contains('?') => format!("{}{path}&{VERSION}", self.url),
            None => format!("{}{path}?{VERSION}", self.url),
        };
        let mut request = self.http.request(method, &url).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status();
        let header = answer.headers().get("azure-asyncoperation");
        let operation = header.and_then(|value| value.to_str().ok()).map(str::to_owned);
        let body = answer.json().await.unwrap_or(Value::Null);
        assert!(status.is_success(), "{url}: {status} {body}");
        (status, body, operation)
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        self.call(Method::GET, path, None).await.1
    }

    /// Reads a part of a blob.
    pub(crate) async fn range(&self, account: &str, blob: &str, from: usize, length: usize) {
        let url = format!("{}/storage/{account}/vhds/{blob}", self.url);
        let range = format!("bytes={from}-{}", from + length - 1);
        let request = self.http.get(&url).bearer_auth(&self.token).header("range", range);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::PARTIAL_CONTENT, "{url}");
        assert_eq!(answer.bytes().await.unwrap().len(), length);
    }

    /// Creates a template and returns the URL of the operation.
    pub(crate) async fn put_template(&self, name: &str) -> String {
        self.put_changed(name, |_| ()).await
    }

    /// Like [`Client::put_template`], with a changed body.
    pub(crate) async fn put_changed(&self, name: &str, change: impl FnOnce(&mut Value)) -> String {
        let mut body = self.template();
        change(&mut body);
        let (_, _, operation) = self.call(Method::PUT, &self.template_path(name), Some(body)).await;
        operation.expect("the URL of the operation")
    }

    pub(crate) fn template_path(&self, name: &str) -> String {
        self.path(&format!(
            "resourceGroups/load/providers/Microsoft.VirtualMachineImages/imageTemplates/{name}"
        ))
    }

    fn template(&self) -> Value {
        let image = self.path("resourceGroups/load/providers/Microsoft.Compute/images/out");
        json!({
            "location": "westus2",
            "tags": { "team": "platform", "stage": "load" },
            "identity": {
                "type": "UserAssigned",
                "userAssignedIdentities": { self.path(IDENTITY): {} },
            },
            "properties": {
                "source": {
                    "type": "PlatformImage", "publisher": "Tests", "offer": "tiny", "sku": "1",
                    "version": "latest",
                },
                "customize": [
                    { "type": "Shell", "name": "update", "inline": ["sudo apt-get update"] },
                    { "type": "Shell", "name": "web", "inline": ["sudo apt-get install -y nginx"] },
                ],
                "distribute": [{
                    "type": "ManagedImage", "runOutputName": "out", "location": "westus2",
                    "imageId": image,
                }],
            },
        })
    }
}

/// What the identity needs: Contributor, and Storage Blob Data Reader. Their GUIDs also name the assignments.
const ROLES: [&str; 2] =
    ["b24988ac-6180-42a0-ab88-20f7382dd24c", "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1"];
const IDENTITY: &str =
    "resourceGroups/load/providers/Microsoft.ManagedIdentity/userAssignedIdentities/builder";
