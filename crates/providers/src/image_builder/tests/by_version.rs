//! Triggers that fire: a reconciliation at a chosen time, on a real database.

use super::{triggers::trigger, *};
use service::app::changes::Scope;

const LIMIT: u32 = 3;

impl Service {
    pub(super) async fn version(&self, version: &str) {
        let properties = json!({ "properties": {
            "hyperVGeneration": "V2",
            "publishingProfile": {
                "targetRegions": [{ "name": "West US" }, { "name": "West US 2" }],
            },
        } });
        let id = format!("{}/versions/{version}", definition("d"));
        self.insert(&id, VERSIONS_KIND, properties).await;
    }

    async fn no_version(&self, version: &str) {
        let key = ResourceKey::of(&format!("{}/versions/{version}", definition("d")));
        let row = self.row(&key).await.unwrap();
        self.app.store().commit(vec![Write::Remove(key, row.revision)]).await.unwrap();
    }

    /// A template `t1` that follows the definition `d`, which has version 1.9.0, with a trigger `new`.
    pub(super) async fn watched() -> Self {
        let service = Self::new().await;
        service.version("1.9.0").await;
        service.created("2024-02-01", "t1", &following()).await;
        service.trigger().await;
        service
    }

    async fn trigger(&self) {
        let put = trigger("new", &json!({ "properties": { "kind": "SourceImage" } }));
        Triggers.put(&self.app, &put, key(&put)).await.unwrap();
        self.idle().await;
    }

    async fn reconcile(&self) {
        reconcile_sources(&self.app, &Scope::Start, LIMIT, Timestamp::now()).await.unwrap();
    }

    async fn status(&self) -> (String, String) {
        let put = trigger("new", &json!({}));
        let shown = Triggers.view(&self.app, &put, &self.row(&key(&put)).await.unwrap());
        let status = &shown["properties"]["status"];
        let text = |name: &str| status[name].as_str().unwrap().to_owned();
        assert!(text("time").parse::<Timestamp>().is_ok());
        (text("code"), text("message"))
    }
}

// conformance: 125
#[tokio::test]
async fn newer_version_begins_one_run() {
    let service = Service::watched().await;
    service.reconcile().await;
    assert_eq!(service.runs("t1").await, [], "what was there at creation is not new");
    service.version("1.10.0").await;
    service.reconcile().await;
    service.reconcile().await;
    let runs = service.runs("t1").await;
    assert_eq!(runs.len(), 1);
    let cause = Cause::Trigger { name: "new".into(), version: "1.10.0".into() };
    assert_eq!((runs[0].state, &runs[0].cause), (RunState::Queued, &cause));
    let operation = service.app.store().operation(&runs[0].operation).await.unwrap().unwrap();
    assert_eq!((operation.kind.as_str(), operation.ended), (RUN, None));
    let template = service.get("2024-02-01", "t1").await;
    assert_eq!(template["properties"]["lastRunStatus"]["runState"], "Running");
    let (code, message) = service.status().await;
    assert_eq!(code, "Healthy");
    let begun =
        format!("Trigger is active. Run {} for source version 1.10.0 has begun.", runs[0].id);
    assert_eq!(message, begun);

    service.end_run("t1", RunState::Succeeded, "").await;
    service.reconcile().await;
    assert!(service.status().await.1.ends_with("ended as Succeeded."));
    // The removal of the newest version or the arrival of an older one begins no run.
    service.no_version("1.10.0").await;
    service.version("1.9.5").await;
    service.reconcile().await;
    service.version("1.10.0").await;
    service.reconcile().await;
    assert_eq!(service.runs("t1").await.len(), 1);
}

// conformance: 84, 125
#[tokio::test]
async fn version_excluded_from_latest_begins_no_run() {
    let service = Service::watched().await;
    let excluded = json!({ "properties": { "publishingProfile": {
        "excludeFromLatest": true, "targetRegions": [{ "name": "West US" }],
    } } });
    let id = format!("{}/versions/2.0.0", definition("d"));
    service.insert(&id, VERSIONS_KIND, excluded).await;
    service.reconcile().await;
    assert_eq!(service.runs("t1").await, []);
    let mut row = service.row(&ResourceKey::of(&id)).await.unwrap();
    row.body["properties"]["publishingProfile"]["excludeFromLatest"] = json!(false);
    service.app.store().commit(vec![Write::Replace(row)]).await.unwrap();
    service.reconcile().await;
    assert_eq!(service.runs("t1").await.len(), 1);
}

// conformance: 95, 125
#[tokio::test]
async fn versions_published_during_a_run_begin_one_run_after_it() {
    let service = Service::watched().await;
    service.act("2024-02-01", "t1", "run").await.unwrap();
    for version in ["2.0.0", "2.1.0"] {
        service.version(version).await;
        service.reconcile().await;
    }
    assert_eq!(service.runs("t1").await.len(), 1, "the template has a run");
    service.end_run("t1", RunState::Failed, "by hand").await;
    service.reconcile().await;
    service.reconcile().await;
    let runs = service.runs("t1").await;
    assert_eq!(runs.len(), 2);
    let cause = Cause::Trigger { name: "new".into(), version: "2.1.0".into() };
    assert_eq!((&runs[0].cause, &runs[1].cause), (&cause, &Cause::Manual));
}

#[tokio::test]
async fn seen_version_is_known_after_a_restart() {
    let service = Service::watched().await;
    service.version("2.0.0").await;
    // The service ends before it reconciles; the next one begins the run, and the one after it none.
    for _ in 0..2 {
        let next = app(service.folder.path()).await;
        reconcile_sources(&next, &Scope::Start, LIMIT, Timestamp::now()).await.unwrap();
        assert_eq!(service.runs("t1").await.len(), 1);
    }
}

#[tokio::test]
async fn concurrent_reconciliations_begin_one_run() {
    let service = Service::watched().await;
    service.version("2.0.0").await;
    let other = app(service.folder.path()).await;
    let now = Timestamp::now();
    let (one, two) = tokio::join!(
        reconcile_sources(&service.app, &Scope::Start, LIMIT, now),
        reconcile_sources(&other, &Scope::Start, LIMIT, now)
    );
    one.unwrap();
    two.unwrap();
    assert_eq!(service.runs("t1").await.len(), 1);
}

// conformance: 126
#[tokio::test]
async fn consecutive_failures_deactivate_until_a_success() {
    let service = Service::watched().await;
    for patch in 1..=LIMIT {
        service.version(&format!("2.0.{patch}")).await;
        service.reconcile().await;
        let log = "the package is gone. During the image build, a failure has occurred";
        service.end_run("t1", RunState::Failed, log).await;
        // A run that was canceled, or that a client began, does not count.
        service.act("2024-02-01", "t1", "run").await.unwrap();
        let state = if patch == 1 { RunState::Canceled } else { RunState::Failed };
        service.end_run("t1", state, "").await;
    }
    service.reconcile().await;
    let (code, message) = service.status().await;
    assert_eq!(code, "Deactivated");
    let last = service.runs("t1").await.remove(1);
    let expected = format!(
        "Trigger is deactivated: 3 runs in a row that it began failed. The last was run {} for source version 2.0.3: the package is gone. Mend what failed and run the image template: a run that succeeds activates the trigger again.",
        last.id
    );
    assert_eq!(message, expected);
    let count = service.runs("t1").await.len();

    // What comes while it is off is covered by the run that activates it; what comes during that is not.
    service.version("2.1.0").await;
    service.reconcile().await;
    assert_eq!(service.runs("t1").await.len(), count);
    // Putting it again changes nothing.
    service.trigger().await;
    assert_eq!(service.status().await.0, "Deactivated");
    service.act("2024-02-01", "t1", "run").await.unwrap();
    service.reconcile().await;
    service.end_run("t1", RunState::Succeeded, "").await;
    service.reconcile().await;
    assert_eq!(service.status().await.0, "Healthy");
    assert_eq!(service.runs("t1").await.len(), count + 1);
    service.version("2.2.0").await;
    service.reconcile().await;
    let runs = service.runs("t1").await;
    assert_eq!(runs[0].cause, Cause::Trigger { name: "new".into(), version: "2.2.0".into() });
}

#[tokio::test]
async fn success_resets_the_count_of_failures() {
    let service = Service::watched().await;
    for patch in 1..=LIMIT {
        service.version(&format!("2.0.{patch}")).await;
        service.reconcile().await;
        let state = if patch == 2 { RunState::Succeeded } else { RunState::Failed };
        service.end_run("t1", state, "").await;
    }
    service.reconcile().await;
    let (code, message) = service.status().await;
    assert_eq!(code, "Healthy", "{message}");
    assert!(message.ends_with("for source version 2.0.3 ended as Failed."), "{message}");
}

#[tokio::test]
async fn missing_source_is_reported_and_looked_for() {
    let service = Service::watched().await;
    service.no_version("1.9.0").await;
    service.reconcile().await;
    let (code, message) = service.status().await;
    assert_eq!(code, "BadSharedImageVersionSource");
    assert!(message.contains("goes on looking"), "{message}");
    service.version("1.9.0").await;
    service.reconcile().await;
    assert_eq!(service.status().await, ("Healthy".into(), "Trigger is active".into()));
    assert_eq!(service.runs("t1").await, []);
    service.version("1.9.1").await;
    service.reconcile().await;
    assert_eq!(service.runs("t1").await.len(), 1);
}

#[tokio::test]
async fn trigger_without_a_source_starts_at_the_templates_version() {
    let service = Service::new().await;
    service.version("1.9.0").await;
    service.created("2024-02-01", "t1", &following()).await;
    service.no_version("1.9.0").await;
    service.trigger().await;
    assert_eq!(service.status().await.0, "BadSharedImageVersionSource");
    service.version("1.9.1").await;
    service.reconcile().await;
    assert_eq!(service.runs("t1").await.len(), 1);
}

// conformance: 125
#[tokio::test]
async fn changed_catalogue_begins_a_run() {
    let service = Service::new().await;
    service.created("2024-02-01", "t1", &small()).await;
    service.trigger().await;
    service.reconcile().await;
    assert_eq!(service.runs("t1").await, []);
    let newer = format!(
        "{CATALOGUE}\n[[image.file]]\nversion = \"18.04.201908140\"\npath = \"u.raw\"\nformat = \"raw\"\n"
    );
    std::fs::write(service.app.settings().layout.user_catalogue(), newer).unwrap();
    service.reconcile().await;
    let runs = service.runs("t1").await;
    assert_eq!(runs.len(), 1);
    let version = "18.04.201908140".to_owned();
    assert_eq!(runs[0].cause, Cause::Trigger { name: "new".into(), version });
}

#[tokio::test]
async fn date_of_a_bootstrapped_image_begins_no_run() {
    let service = Service::new().await;
    let mut debian = small();
    debian["properties"]["source"] = json!({
        "type": "PlatformImage", "publisher": "Debian", "offer": "debian-12", "sku": "12-gen2",
        "version": "latest",
    });
    service.created("2024-02-01", "t1", &debian).await;
    service.trigger().await;
    assert_eq!(service.status().await, ("Healthy".into(), "Trigger is active".into()));
    // Instead of an image that is made here, which takes minutes, one with the versions it would have.
    let mut catalogue = format!(
        "{CATALOGUE}\n[[image]]\npublisher = \"Debian\"\noffer = \"debian-12\"\nsku = \"12-gen2\"\ngeneration = 2\n"
    );
    for (version, runs) in [("12.20261125", 0), ("12.20261201", 1)] {
        let file = format!("version = \"{version}\"\npath = \"d.raw\"\nformat = \"raw\"");
        catalogue = format!("{catalogue}[[image.file]]\n{file}\n");
        std::fs::write(service.app.settings().layout.user_catalogue(), &catalogue).unwrap();
        service.reconcile().await;
        assert_eq!(service.runs("t1").await.len(), runs, "{version}");
    }
}

#[tokio::test]
async fn group_in_deletion_begins_no_run() {
    let service = Service::watched().await;
    let group = ResourceKey::of(&group_id(""));
    for (state, runs) in [("Deleting", 0), ("Succeeded", 1)] {
        let mut row = service.row(&group).await.unwrap();
        row.body["properties"] = json!({ "provisioningState": state });
        service.app.store().commit(vec![Write::Replace(row)]).await.unwrap();
        if runs == 0 {
            service.version("2.0.0").await;
        }
        service.reconcile().await;
        assert_eq!(service.runs("t1").await.len(), runs, "{state}");
    }
}

#[tokio::test]
async fn changed_template_begins_no_run() {
    let service = Service::watched().await;
    let profile = json!({ "properties": { "vmProfile": { "vmSize": "Standard_B2s" } } });
    service.patch("2024-02-01", "t1", profile).await.unwrap();
    service.reconcile().await;
    assert_eq!(service.runs("t1").await, []);
}

// conformance: 123, 124
#[tokio::test]
async fn patch_against_a_trigger_is_refused() {
    let service = Service::watched().await;
    let target = |id: String| {
        let mut targets = small()["properties"]["distribute"].clone();
        targets.as_array_mut().unwrap().push(json!({
            "type": "SharedImage", "runOutputName": "shared", "galleryImageId": id,
            "targetRegions": [{ "name": "westus" }],
        }));
        json!({ "properties": { "distribute": targets } })
    };
    for id in [definition("d"), format!("{}/versions/1.0.0", definition("other"))] {
        let error = service.patch("2024-02-01", "t1", target(id)).await.unwrap_err();
        assert_eq!(error.code, "ValidationFailed");
        assert!(error.message.ends_with("delete the image template's trigger first"), "{error:?}");
    }
    service.patch("2024-02-01", "t1", target(definition("other"))).await.unwrap();
    let put = trigger("new", &json!({}));
    Triggers.delete(&service.app, &put, key(&put)).await.unwrap();
    service.idle().await;
    service.patch("2024-02-01", "t1", target(definition("d"))).await.unwrap();
}

#[tokio::test]
async fn trigger_of_a_deleted_template_is_removed() {
    let service = Service::watched().await;
    service.delete("t1").await.unwrap();
    service.idle().await;
    service.version("2.0.0").await;
    service.reconcile().await;
    assert_eq!(service.runs("t1").await, []);
    let put = trigger("new", &json!({}));
    assert_eq!(service.row(&key(&put)).await, None);
}

#[tokio::test]
async fn triggers_of_a_region_are_limited_to_a_hundred() {
    let service = Service::watched().await;
    // They need not be one a template for this.
    for number in 1..100 {
        let put = trigger(&format!("more-{number}"), &json!({}));
        let kind = json!({ "properties": { "kind": "SourceImage" } });
        let indexed = json!({ "indexed": { "region": "westus" } });
        service.insert_hidden(&put.path.text, TRIGGERS_KIND, kind, indexed).await;
    }
    service.created("2024-02-01", "t2", &following()).await;
    let put = async |name: &str| {
        let body = json!({ "properties": { "kind": "SourceImage" } }).to_string();
        let mut put = request(Method::Put, name, "2024-02-01", &body);
        put.path = Path::parse(&format!("{}/triggers/one", put.path.text));
        let put = admitted(put);
        Triggers.put(&service.app, &put, key(&put)).await
    };
    let error = put("t2").await.unwrap_err();
    assert_eq!((error.status, error.code.as_str()), (StatusCode::CONFLICT, "QuotaExceeded"));
    assert!(error.message.contains("100 triggers in region 'westus'"), "{}", error.message);
    let mut elsewhere = following();
    elsewhere["location"] = json!("westus2");
    service.created("2024-02-01", "t3", &elsewhere).await;
    put("t3").await.unwrap();
    service.idle().await;
}
