//! What the subscription may have: each limit is reached, and its error read.

use super::{triggers::trigger, *};
use service::{Quotas, app::changes::Scope};

impl Service {
    async fn with_quotas(quotas: Quotas) -> Self {
        let service = Self::new().await;
        service.app.set_quotas(quotas);
        service
    }
}

/// The error names the quota, its limit, the present count and the way out.
#[track_caller]
fn exceeded(error: &ApiError, name: &str, limit: u32, usage: u32) {
    assert_eq!((error.status, error.code.as_str()), (StatusCode::CONFLICT, "QuotaExceeded"));
    assert_eq!(error.target.as_deref(), Some(name));
    for part in [
        format!("'{name}'"),
        format!("Current Limit: {limit}, Current Usage: {usage}"),
        "[limits.quota] in the service's goldsmith.toml".to_owned(),
    ] {
        assert!(error.message.contains(&part), "{}", error.message);
    }
}

#[tokio::test]
async fn waiting_runs_beyond_the_quota_are_refused_from_every_origin() {
    let service = Service::with_quotas(Quotas { waiting_runs: 1, ..Quotas::default() }).await;
    service.version("1.0.0").await;
    service.created("2024-02-01", "t1", &following()).await;
    let body = json!({ "properties": { "kind": "SourceImage" } });
    let put = trigger("new", &body);
    Triggers.put(&service.app, &put, key(&put)).await.unwrap();
    let mut scheduled = small();
    scheduled["tags"] = json!({ "goldsmith.schedule": "0 3 * * *" });
    service.created("2024-02-01", "t2", &scheduled).await;
    service.created("2024-02-01", "t3", &small()).await;
    service.act("2024-02-01", "t3", "run").await.unwrap();

    let error = service.act("2024-02-01", "t2", "run").await.unwrap_err();
    exceeded(&error, "waiting-runs", 1, 1);
    let mut auto = small();
    auto["properties"]["autoRun"] = json!({ "state": "Enabled" });
    let put_auto = call(Method::Put, "t4", "2024-02-01", &auto.to_string());
    exceeded(&service.put(&put_auto).await.unwrap_err(), "waiting-runs", 1, 1);

    service.version("2.0.0").await;
    let look = async || {
        reconcile_sources(&service.app, &Scope::All, 3, Timestamp::now()).await.unwrap();
        service.row(&key(&put)).await.unwrap().body["properties"]["status"].clone()
    };
    assert_eq!(look().await["code"], "QuotaExceeded");
    assert_eq!(service.runs("t1").await, []);
    let id = format!("{}/schedules/default", call(Method::Get, "t2", "2024-02-01", "").path.text);
    let schedule = async || service.row(&ResourceKey::of(&id)).await.unwrap().body;
    let due = schedule().await["properties"]["nextRunTime"].as_str().unwrap().parse().unwrap();
    reconcile_schedules(&service.app, due).await.unwrap();
    let status = schedule().await["properties"]["status"].clone();
    assert_eq!(status["code"], "Skipped");
    assert!(status["message"].as_str().unwrap().contains("waiting-runs"), "{status}");

    // Once there is room, the trigger begins its run.
    service.end_run("t3", RunState::Succeeded, "").await;
    assert_eq!(look().await["code"], "Healthy");
    assert_eq!(service.runs("t1").await.len(), 1);
}

#[tokio::test]
async fn scripts_count_against_the_quota_until_their_template_is_deleted() {
    let service = Service::with_quotas(Quotas { script_storage_mib: 1, ..Quotas::default() }).await;
    let script = |name: &'static str, address: String| {
        let mut template = small();
        template["properties"]["customize"] =
            json!([{ "type": "Shell", "name": name, "scriptUri": address }]);
        template
    };
    let long: &'static str = Box::leak("#".repeat(600 << 10).into_boxed_str());
    let address = web(long).await;
    let first = service.created("2024-02-01", "t1", &script("one", address.clone())).await;
    assert_eq!(first["properties"]["provisioningState"], "Succeeded", "{first}");
    let bytes = async || service.app.store().script_bytes(SUBSCRIPTION).await.unwrap();
    assert_eq!(bytes().await, 600 << 10);

    let second = service.created("2024-02-01", "t2", &script("two", address)).await;
    let error = &second["properties"]["provisioningError"];
    assert_eq!(second["properties"]["provisioningState"], "Failed");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("'script-storage-mib'") && message.contains("Usage: 1"), "{message}");
    service.delete("t2").await.unwrap();
    service.delete("t1").await.unwrap();
    service.idle().await;
    assert_eq!(bytes().await, 0);
}

#[tokio::test]
async fn resources_and_templates_beyond_the_quota_are_refused() {
    let quotas = Quotas { templates: 1, resources_of_a_type: 2, ..Quotas::default() };
    let service = Service::with_quotas(quotas).await;
    let room = async |name: &str| service::quotas::resource(&service.app, name).await;
    room(TEMPLATES).await.unwrap();
    service.created("2024-02-01", "t1", &small()).await;
    exceeded(&room(TEMPLATES).await.unwrap_err(), "templates", 1, 1);
    // There are two identities.
    let kind = "Microsoft.ManagedIdentity/userAssignedIdentities";
    let error = room(kind).await.unwrap_err();
    exceeded(&error, "resources-of-a-type", 2, 2);
    assert!(error.message.contains(kind), "{}", error.message);
}
