//! A running `goldsmith serve`, and a small client for requests without a command.

use std::{net::TcpListener, time::Duration};

use reqwest::{Certificate, Client, Method, StatusCode};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::{Done, Lab, Running, text, wait_for};

const VERSION: &str = "api-version=2024-02-01";
/// The GUIDs of the roles Contributor and Storage Blob Data Reader.
const CONTRIBUTOR: &str = "b24988ac-6180-42a0-ab88-20f7382dd24c";
const BLOB_READER: &str = "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1";
const RESOURCE_LIMIT: Duration = Duration::from_secs(60);

/// A service with the lab's folders and real machines. It ends when dropped.
pub struct Service {
    lab: Lab,
    listen: String,
    running: Option<Running>,
    ready: Value,
    runtime: tokio::runtime::Runtime,
    http: Client,
    token: String,
}

impl Service {
    /// Starts the service, logs in, and creates a group with a gallery and an identity that may do all that templates need.
    pub fn start(lab: Lab) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listen = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (running, ready) = serve(&lab, &listen);
        let ca = std::fs::read(text(&ready["ca"])).unwrap();
        let ca = Certificate::from_pem(&ca).unwrap();
        // Without keep-alive, because a test may kill the server between two calls.
        let http =
            Client::builder().tls_certs_only([ca]).pool_max_idle_per_host(0).build().unwrap();
        let token = String::new();
        let mut service = Self { lab, listen, running: Some(running), ready, runtime, http, token };
        service.token = service.sign_in();
        service.login().ok();
        service.prepare();
        service
    }

    pub fn lab(&self) -> &Lab {
        &self.lab
    }

    /// The resident memory in bytes.
    pub fn resident(&self) -> u64 {
        self.running.as_ref().expect("it runs").resident()
    }

    /// The object that it printed when it was ready: its address, ids and files.
    pub fn ready(&self) -> &Value {
        &self.ready
    }

    /// Kills the service without a chance to clean up.
    pub fn kill(&mut self) {
        let running = self.running.take().expect("it runs");
        running.signal(Signal::KILL);
        running.end();
    }

    /// Restarts the service with the same folders and port.
    pub fn start_again(&mut self) {
        let (running, _) = serve(&self.lab, &self.listen);
        self.running = Some(running);
    }

    /// Runs a command of the executable with this service's login.
    pub fn run(&self, arguments: &[&str]) -> Done {
        self.follow(arguments).end()
    }

    /// Starts a command with this service's login.
    pub fn follow(&self, arguments: &[&str]) -> Running {
        let mut command = self.lab.command(arguments);
        command.env("XDG_CONFIG_HOME", self.lab.path().join("config"));
        Running::start(command)
    }

    fn login(&self) -> Done {
        let field = |name: &str| text(&self.ready[name]);
        self.run(&[
            "login",
            "--server",
            &field("url"),
            "--tenant",
            &field("tenantId"),
            "--client-id",
            &field("clientId"),
            "--client-secret",
            &field("clientSecret"),
            "--ca",
            &field("ca"),
        ])
    }

    /// A resource's id, from its path below the group `forge`.
    pub fn id(&self, rest: &str) -> String {
        let subscription = text(&self.ready["subscriptionId"]);
        format!("/subscriptions/{subscription}/resourceGroups/forge{rest}")
    }

    pub fn template_id(&self, name: &str) -> String {
        self.id(&format!("/providers/Microsoft.VirtualMachineImages/imageTemplates/{name}"))
    }

    /// Creates a resource and waits until it is there.
    pub fn put(&self, id: &str, body: &Value) -> Value {
        let (status, answer) = self.call(Method::PUT, id, Some(body));
        assert!(status.is_success(), "PUT {id}: {status} {answer}");
        let mut resource = answer;
        wait_for(&format!("the end of the creation of {id}"), RESOURCE_LIMIT, || {
            resource = self.get(id);
            let state = text(&resource["properties"]["provisioningState"]);
            assert!(!matches!(state.as_str(), "Failed" | "Canceled"), "{resource}");
            matches!(state.as_str(), "" | "Succeeded")
        });
        resource
    }

    /// Gives a principal a role, by its GUID.
    pub fn assign(&self, principal: &str, role: &str, scope: &str) {
        let roles = "/providers/Microsoft.Authorization";
        // A GUID for each pair of them.
        let name = format!("{}{}", &role[..8], &principal[8..]);
        let id = format!("{scope}{roles}/roleAssignments/{name}");
        let body = json!({ "properties": {
            "roleDefinitionId": format!("{roles}/roleDefinitions/{role}"),
            "principalId": principal, "principalType": "ServicePrincipal",
        } });
        self.put(&id, &body);
    }

    /// Reads an existing resource.
    pub fn get(&self, id: &str) -> Value {
        let (status, answer) = self.call(Method::GET, id, None);
        assert!(status.is_success(), "GET {id}: {status} {answer}");
        answer
    }

    /// Deletes a resource and waits for the deletion.
    pub fn delete(&self, id: &str) {
        let (status, answer) = self.call(Method::DELETE, id, None);
        assert!(status.is_success(), "DELETE {id}: {status} {answer}");
        wait_for("the end of the deletion", RESOURCE_LIMIT, || {
            self.call(Method::GET, id, None).0 == StatusCode::NOT_FOUND
        });
    }

    /// Creates a template with the catalogue's Debian as source, and an image and a gallery version as
    /// targets.
    pub fn put_template(&self, name: &str, customize: &Value) -> Value {
        self.put(&self.template_id(name), &self.template_body(name, customize))
    }

    /// Cancels the run of a template.
    pub fn cancel(&self, id: &str) {
        let (status, answer) = self.call(Method::POST, &format!("{id}/cancel"), None);
        assert!(status.is_success(), "{status} {answer}");
    }

    /// The body of the template of [`Service::put_template`].
    pub fn template_body(&self, name: &str, customize: &Value) -> Value {
        let compute = self.id("/providers/Microsoft.Compute");
        json!({
            "location": "westus2",
            "identity": {
                "type": "UserAssigned", "userAssignedIdentities": { self.identity(): {} },
            },
            "properties": {
                "vmProfile": { "vmSize": "Standard_B2ts_v2" },
                "source": {
                    "type": "PlatformImage", "publisher": "Debian", "offer": "debian-12",
                    "sku": "12-gen2", "version": "latest",
                },
                "customize": customize,
                "distribute": [
                    {
                        "type": "ManagedImage", "runOutputName": "image", "location": "westus2",
                        "imageId": format!("{compute}/images/{name}"),
                    },
                    {
                        "type": "SharedImage", "runOutputName": "version",
                        "galleryImageId": format!("{compute}/galleries/gallery/images/web"),
                        "targetRegions": [{ "name": "westus2" }],
                    },
                ],
            },
        })
    }

    fn identity(&self) -> String {
        self.id("/providers/Microsoft.ManagedIdentity/userAssignedIdentities/builder")
    }

    fn prepare(&self) {
        self.put(&self.id(""), &json!({ "location": "westus2" }));
        let identity = self.put(&self.identity(), &json!({ "location": "westus2" }));
        let principal = text(&identity["properties"]["principalId"]);
        let subscription = format!("/subscriptions/{}", text(&self.ready["subscriptionId"]));
        for role in [CONTRIBUTOR, BLOB_READER] {
            self.assign(&principal, role, &subscription);
        }
        let gallery = self.id("/providers/Microsoft.Compute/galleries/gallery");
        self.put(&gallery, &json!({ "location": "westus2", "properties": {} }));
        let definition = json!({
            "location": "westus2",
            "properties": {
                "osType": "Linux", "osState": "Generalized", "hyperVGeneration": "V2",
                "identifier": { "publisher": "us", "offer": "web", "sku": "1" },
            },
        });
        self.put(&format!("{gallery}/images/web"), &definition);
    }

    fn call(&self, method: Method, id: &str, body: Option<&Value>) -> (StatusCode, Value) {
        let url = format!("{}{id}?{VERSION}", text(&self.ready["url"]));
        let mut request = self.http.request(method, url).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(body);
        }
        self.runtime.block_on(async {
            let answer = request.send().await.unwrap();
            (answer.status(), answer.json().await.unwrap_or(Value::Null))
        })
    }

    fn sign_in(&self) -> String {
        let url = text(&self.ready["url"]);
        let form = format!(
            "grant_type=client_credentials&client_id={}&client_secret={}&scope={url}/.default",
            text(&self.ready["clientId"]),
            text(&self.ready["clientSecret"]),
        );
        let request = self
            .http
            .post(format!("{url}/{}/oauth2/v2.0/token", text(&self.ready["tenantId"])))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form);
        let answer: Value =
            self.runtime.block_on(async { request.send().await.unwrap().json().await.unwrap() });
        text(&answer["access_token"])
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.signal(Signal::TERM);
            running.end();
        }
    }
}

fn serve(lab: &Lab, listen: &str) -> (Running, Value) {
    // The tests serve their files on loopback.
    let arguments = ["serve", "--listen", listen, "--allow-fetch-from", "127.0.0.1"];
    let mut running = lab.start(&arguments);
    let ready = running.wait_for("that it serves", |event| event["kind"] == "serving");
    (running, ready)
}
