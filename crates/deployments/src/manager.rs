//! The way of a deployment's own requests: as calls of its client through the routes of the service.
//!
//! So a resource of a template gets the same checks, quotas and operations as one that the client puts itself.

use std::{collections::BTreeMap, fmt, future::Future, pin::Pin, sync::Arc};

use arm::{ApiError, Call, Caller, Method, Path, Reply, denied, operation::Origin};
use authorization::{Denial, Need, Rights, Rule, Scope};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use service::{App, tasks};

/// The action by which deployments begin.
const WRITE: &str = "Microsoft.Resources/deployments/write";

/// Handles a call of the resource manager: the routes of the service.
pub type Routes =
    fn(App, arm::Request) -> Pin<Box<dyn Future<Output = Result<Reply, ApiError>> + Send>>;

/// What the routes ask of a request's caller before they do anything.
pub type Rules = fn(&arm::Request) -> Rule;

/// The service, and the routes to its resources. Cheap to clone.
#[derive(Clone)]
pub struct Manager {
    pub(crate) app: App,
    routes: Routes,
    rules: Rules,
}

impl fmt::Debug for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Manager").finish_non_exhaustive()
    }
}

impl Manager {
    /// A deployment's requests go through these routes, which have these rules.
    pub fn new(app: App, routes: Routes, rules: Rules) -> Self {
        Self { app, routes, rules }
    }

    /// Requests in the name of a client.
    pub(crate) fn requests(&self, client: Client) -> Requests {
        Requests { manager: self.clone(), client }
    }
}

/// The client of a deployment, as far as its requests show it. Kept with the deployment.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Client {
    pub(crate) client_id: String,
    pub(crate) object_id: String,
    pub(crate) base_url: String,
    /// Shown as the request's id in logs and as `correlationId`.
    pub(crate) correlation_id: String,
    /// The client's IP address.
    #[serde(default)]
    pub(crate) address: Option<String>,
}

impl Client {
    pub(crate) fn of(call: &Call) -> Self {
        Self {
            client_id: call.caller.client_id.clone(),
            object_id: call.caller.object_id.clone(),
            base_url: call.base_url.clone(),
            correlation_id: correlation(call),
            address: call.client.address.clone(),
        }
    }
}

/// The id that a client gave its request, which the HTTP layer also puts into the response, or the request's own.
fn correlation(call: &Call) -> String {
    call.correlation_id.clone().unwrap_or_else(|| call.request_id.clone())
}

/// Sends requests in the name of a client.
#[derive(Debug, Clone)]
pub(crate) struct Requests {
    manager: Manager,
    pub(crate) client: Client,
}

impl Requests {
    pub(crate) fn app(&self) -> &App {
        &self.manager.app
    }

    /// Who began a deployment, for its operation.
    pub(crate) fn origin(&self, id: &str) -> Origin {
        Origin {
            client_id: self.client.client_id.clone(),
            object_id: self.client.object_id.clone(),
            action: WRITE.to_owned(),
            resource_id: id.to_owned(),
            method: Method::Put.name().to_owned(),
            correlation_id: self.client.correlation_id.clone(),
            request_id: self.client.correlation_id.clone(),
            client_address: self.client.address.clone(),
            ..Origin::default()
        }
    }

    /// The client, whose rights decide.
    pub(crate) fn caller(&self) -> Caller {
        Caller {
            client_id: self.client.client_id.clone(),
            object_id: self.client.object_id.clone(),
        }
    }

    /// The write of a resource as a call to check, if the client may make it now. If `is_read`, the client need only be
    /// able to read the resource: the checks of a type themselves change nothing and read nothing.
    ///
    /// # Errors
    /// What the client lacks, or the database fails.
    pub(crate) async fn admitted(
        &self,
        id: &str,
        api_version: &str,
        body: String,
        is_read: bool,
    ) -> Result<Result<Call, Denial>, ApiError> {
        let request = self.request(Method::Put, id, api_version, body);
        let mut rights = self.app().rights(&request.caller).await?;
        let mut asked = request.clone();
        if is_read {
            asked.method = Method::Get;
        }
        let rule = (self.manager.rules)(&asked);
        if is_read {
            if let Err(denial) = rights.rule(&rule) {
                return Ok(Err(denial));
            }
            rights = Arc::new(Rights::everything());
        }
        Ok(Call::admit(request, rights, &rule))
    }

    /// Checks, as a request for the deployment would, that the client may begin it now. So it learns nothing of a place
    /// where it may not.
    ///
    /// # Errors
    /// `AuthorizationFailed`, `ScopeLocked`
    pub(crate) async fn may_deploy(&self, id: &str) -> Result<(), ApiError> {
        let asked = self.request(Method::Put, id, "", String::new());
        let rights = self.app().rights(&asked.caller).await?;
        let rule = (self.manager.rules)(&asked);
        rights.rule(&rule).map_err(|denial| denied(&asked.caller, &denial))
    }

    /// Whether the client has any role in a subscription: to others it is as one that does not exist.
    pub(crate) async fn knows(&self, subscription: &str) -> Result<bool, db::Error> {
        let rights = self.app().rights(&self.caller()).await?;
        Ok(rights.touches(&Scope::parse(&format!("/subscriptions/{subscription}"))))
    }

    /// Checks that the client may read what a deployment reads beside its routes.
    ///
    /// # Errors
    /// `AuthorizationFailed`
    pub(crate) async fn may_read(&self, id: &str) -> Result<(), ApiError> {
        let key = db::ResourceKey::of(id);
        let wanted = arm::read_of(&arm::kind_of(&key));
        let need = Need::new(wanted, Scope::parse(key.as_str()));
        let rights = self.app().rights(&self.caller()).await?;
        rights.check(&need).map_err(|denial| denied(&self.caller(), &denial))
    }

    pub(crate) fn manager(&self) -> &Manager {
        &self.manager
    }

    pub(crate) async fn put(
        &self,
        id: &str,
        api_version: &str,
        body: &Value,
    ) -> Result<Reply, ApiError> {
        self.send(Method::Put, id, api_version, body.to_string()).await
    }

    pub(crate) async fn post(
        &self,
        id: &str,
        api_version: &str,
        body: String,
    ) -> Result<Value, ApiError> {
        let reply = self.send(Method::Post, id, api_version, body).await?;
        Ok(reply.body.unwrap_or_default())
    }

    pub(crate) async fn delete(&self, id: &str, api_version: &str) -> Result<Reply, ApiError> {
        self.send(Method::Delete, id, api_version, String::new()).await
    }

    pub(crate) async fn get(&self, id: &str, api_version: &str) -> Result<Value, ApiError> {
        let reply = self.send(Method::Get, id, api_version, String::new()).await?;
        Ok(reply.body.unwrap_or_default())
    }

    /// A resource, if it exists.
    pub(crate) async fn find(&self, id: &str, version: &str) -> Result<Option<Value>, ApiError> {
        match self.get(id, version).await {
            Ok(body) => Ok(Some(body)),
            Err(error) if error.status == StatusCode::NOT_FOUND => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The state of a long-running operation, by the URL of a response.
    pub(crate) async fn status(&self, url: &str) -> Result<Value, ApiError> {
        let path = url.strip_prefix(&self.client.base_url).unwrap_or(url);
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let version = query.split('&').find_map(|pair| pair.strip_prefix("api-version="));
        self.get(path, version.unwrap_or("2025-04-01")).await
    }

    async fn send(
        &self,
        method: Method,
        id: &str,
        api_version: &str,
        body: String,
    ) -> Result<Reply, ApiError> {
        let request = self.request(method, id, api_version, body);
        let answer = (self.manager.routes)(self.manager.app.clone(), request);
        if matches!(method, Method::Get) {
            return answer.await;
        }
        // A write that has begun ends also when the deployment's task stops.
        tasks::to_the_end(&self.manager.app, answer).await
    }

    fn request(&self, method: Method, id: &str, api_version: &str, body: String) -> arm::Request {
        let api_version = api_version.to_lowercase();
        arm::Request {
            method,
            // An id is not percent-encoded.
            path: Path::parse(&id.replace('%', "%25")),
            query: BTreeMap::from([("api-version".to_owned(), api_version.clone())]),
            api_version,
            body,
            base_url: self.client.base_url.clone(),
            request_id: self.client.correlation_id.clone(),
            correlation_id: Some(self.client.correlation_id.clone()),
            if_match: None,
            client: arm::Client { address: self.client.address.clone(), request_id: None },
            caller: self.caller(),
        }
    }
}
