//! The answers to scripts in a build machine at `http://169.254.169.254`: tokens of the identities in
//! `vmProfile.userAssignedIdentities`, and the machine's description of itself.
//!
//! Errors have the form that clients of Azure read: `error` and `error_description`.

use std::{collections::BTreeMap, fmt, time::Duration};

use async_trait::async_trait;
use db::ResourceKey;
use engine::metadata::{Answer, Asked, Metadata};
use jiff::Timestamp;
use serde_json::{Value, json};
use service::{
    App,
    auth::{Claims, LIFETIME_SECONDS, ManagedIdentity, SigningKey, audience_of, name_of},
    names,
};

use super::executor::Job;

const TOKEN: &str = "/metadata/identity/oauth2/token";
const INSTANCE: &str = "/metadata/instance";
const VERSIONS: [&str; 6] =
    ["2017-12-01", "2018-02-01", "2019-08-01", "2020-09-01", "2021-02-01", "2021-12-13"];

/// The metadata service of one run.
pub(super) struct OfRun {
    app: App,
    run_id: String,
    /// Resource ids.
    identities: Vec<String>,
    compute: Value,
}

impl fmt::Debug for OfRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OfRun").field("run", &self.run_id).finish_non_exhaustive()
    }
}

type Refused = (u16, &'static str, String);

impl OfRun {
    pub(super) fn new(app: &App, job: &Job) -> Self {
        let profile = job.input.template.properties.vm_profile.iter();
        let ids = profile.flat_map(|profile| &profile.user_assigned_identities);
        Self {
            app: app.clone(),
            run_id: job.run_id.clone(),
            identities: ids.map(ToString::to_string).collect(),
            compute: compute(app, job),
        }
    }

    async fn token(&self, query: &Query, time_left: Duration) -> Result<Value, Refused> {
        let resource = query.needed("resource")?;
        let base = self.app.base_url().unwrap_or_default();
        let mut names = names::all(names::loopback());
        names.extend(name_of(base));
        if audience_of(resource, &names).is_none() {
            let text = format!(
                "AADSTS500011: The resource principal named {resource} was not found in the tenant named {}.",
                self.app.settings().tenant
            );
            return Err((400, "invalid_resource", text));
        }
        let identity = self.chosen(query).await?;
        let now = Timestamp::now().as_second();
        let left = i64::try_from(time_left.as_secs()).unwrap_or(i64::MAX);
        let lifetime = LIFETIME_SECONDS.min(left);
        let tenant = &self.app.settings().tenant;
        let issuer = format!("{base}/{tenant}/");
        let claims = Claims::of_identity(&identity, tenant, resource, &issuer, (now, lifetime));
        let token = self.key().await?.sign(&claims);
        Ok(json!({
            "access_token": token,
            "client_id": identity.client_id,
            "expires_in": lifetime.to_string(),
            "ext_expires_in": lifetime.to_string(),
            "expires_on": (now + lifetime).to_string(),
            "not_before": now.to_string(),
            "resource": resource,
            "token_type": "Bearer",
        }))
    }

    /// The requested identity; without a choice, the only one.
    async fn chosen(&self, query: &Query) -> Result<ManagedIdentity, Refused> {
        let mut all = Vec::new();
        for id in &self.identities {
            match ManagedIdentity::find(self.app.store(), id, &self.run_id).await {
                Ok(found) => all.extend(found),
                Err(error) => {
                    tracing::error!(error = %images::error::chain(&error), "an identity cannot be looked up");
                    return Err((500, "unknown", "The identity cannot be looked up".to_owned()));
                }
            }
        }
        let id = query.get("msi_res_id").or_else(|| query.get("mi_res_id"));
        let (client, object) = (query.get("client_id"), query.get("object_id"));
        if id.or(client).or(object).is_none() && all.len() > 1 {
            let text = "Multiple user assigned identities exist, please specify the clientId / resourceId of the identity in the token request";
            return Err((400, "invalid_request", text.to_owned()));
        }
        let same =
            |wanted: Option<&str>, own: &str| wanted.is_none_or(|a| a.eq_ignore_ascii_case(own));
        all.into_iter()
            .find(|own| {
                same(client, &own.client_id)
                    && same(object, &own.object_id)
                    && id.is_none_or(|id| ResourceKey::of(id) == ResourceKey::of(&own.id))
            })
            .ok_or_else(|| (400, "invalid_request", "Identity not found".to_owned()))
    }

    /// Read anew for each token: it may change during the run.
    async fn key(&self) -> Result<SigningKey, Refused> {
        let dir = self.app.settings().dir.clone();
        let read = tokio::task::spawn_blocking(move || SigningKey::obtain(&dir)).await;
        match read {
            Ok(Ok(key)) => Ok(key),
            Ok(Err(error)) => {
                tracing::error!(error = %images::error::chain(&error), "the signing key cannot be read");
                Err((500, "unknown", "The signing key cannot be read".to_owned()))
            }
            Err(_) => Err((500, "unknown", "Reading the signing key failed".to_owned())),
        }
    }

    async fn respond(&self, request: &Asked, time_left: Duration) -> Result<Answer, Refused> {
        if request.method != "GET" {
            let text = format!("The method {} is not allowed", request.method);
            return Err((405, "invalid_request", text));
        }
        if !request.metadata {
            let text = "Required metadata header not specified".to_owned();
            return Err((400, "invalid_request", text));
        }
        if request.forwarded {
            let text = "Request contains a header that is not allowed: X-Forwarded-For".to_owned();
            return Err((400, "invalid_request", text));
        }
        let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
        let path = path.trim_end_matches('/');
        let query = Query::parse(query);
        if path.eq_ignore_ascii_case("/metadata/versions") {
            return Ok(json_answer(&json!({ "apiVersions": VERSIONS })));
        }
        if path.eq_ignore_ascii_case(TOKEN) {
            query.needed("api-version")?;
            return Ok(json_answer(&self.token(&query, time_left).await?));
        }
        if let Some(below) = path.strip_prefix(INSTANCE) {
            query.needed("api-version")?;
            let whole = json!({ "compute": self.compute, "network": { "interface": [] } });
            return leaf(&whole, below).ok_or_else(|| not_found(path));
        }
        Err(not_found(path))
    }
}

#[async_trait]
impl Metadata for OfRun {
    async fn answer(&self, request: &Asked, time_left: Duration) -> Answer {
        self.respond(request, time_left).await.unwrap_or_else(|(status, error, description)| {
            let body = json!({ "error": error, "error_description": description });
            Answer { status, ..json_answer(&body) }
        })
    }
}

fn not_found(path: &str) -> Refused {
    (404, "not_found", format!("'{path}' isn't found"))
}

fn json_answer(body: &Value) -> Answer {
    Answer { status: 200, content_type: "application/json", body: body.to_string() }
}

/// What is below that path: an object as JSON, a value as plain text.
fn leaf(whole: &Value, path: &str) -> Option<Answer> {
    let mut at = whole;
    for part in path.split('/').filter(|part| !part.is_empty()) {
        at = at.get(part)?;
    }
    Some(match at {
        Value::String(text) => {
            Answer { status: 200, content_type: "text/plain", body: text.clone() }
        }
        other => json_answer(other),
    })
}

/// The machine's description of itself.
fn compute(app: &App, job: &Job) -> Value {
    let template = &job.input.template;
    let tags = &template.properties.managed_resource_tags;
    let line: Vec<_> = tags.iter().map(|(name, value)| format!("{name}:{value}")).collect();
    let list: Vec<_> =
        tags.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
    let disks = template.properties.additional_data_disks.iter().enumerate();
    let disks: Vec<_> = disks
        .map(
            |(lun, disk)| json!({ "lun": lun.to_string(), "diskSizeGB": disk.size_gb.to_string() }),
        )
        .collect();
    let size = template.properties.vm_profile.as_ref().and_then(|profile| profile.vm_size.as_ref());
    json!({
        "azEnvironment": "Goldsmith",
        "location": template.location.as_deref().unwrap_or_default(),
        "name": format!("vm-{}", job.run_id),
        "vmId": job.run_id,
        "vmSize": size.map_or("", String::as_str),
        "osType": "Linux",
        "resourceGroupName": job.input.staging_group.rsplit('/').next().unwrap_or_default(),
        "subscriptionId": app.subscription(),
        "tags": line.join(";"),
        "tagsList": list,
        "storageProfile": { "dataDisks": disks },
    })
}

/// A query string; names in lower case.
struct Query(BTreeMap<String, String>);

impl Query {
    fn parse(text: &str) -> Self {
        Self(service::query::parse(text))
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    fn needed(&self, name: &str) -> Result<&str, Refused> {
        let text = || format!("Required query variable '{name}' is missing");
        self.get(name).ok_or_else(|| (400, "invalid_request", text()))
    }
}
