//! Schedules: a sweep at a chosen time, on a real database.

use super::*;

impl Service {
    pub(super) async fn scheduled(tag: &str) -> Self {
        let service = Self::new().await;
        service.created("2024-02-01", "t1", &tagged(tag)).await;
        service
    }

    async fn schedule(&self) -> Option<Value> {
        let get = call(Method::Get, "t1", "2024-02-01", "");
        let id = format!("{}/schedules/default", get.path.text);
        let row = self.row(&ResourceKey::of(&id)).await?;
        Some(Schedules.view(&self.app, &get, &row)["properties"].clone())
    }

    pub(super) async fn next(&self) -> Timestamp {
        self.schedule().await.unwrap()["nextRunTime"].as_str().unwrap().parse().unwrap()
    }

    /// A sweep at that time. Returns the time of the next one, and the cause of the newest run.
    async fn sweep(&self, now: Timestamp) -> Option<Timestamp> {
        reconcile_schedules(&self.app, now).await.unwrap()
    }
}

fn tagged(tag: &str) -> Value {
    let mut template = small();
    template["tags"] = json!({ "Goldsmith.Schedule": tag, "cost": "1" });
    template
}

fn later(time: Timestamp, seconds: i64) -> Timestamp {
    time + jiff::SignedDuration::from_secs(seconds)
}

#[tokio::test]
async fn due_schedule_begins_one_run() {
    let service = Service::scheduled("0 3 * * *").await;
    let shown = service.schedule().await.unwrap();
    assert_eq!((&shown["expression"], &shown["timeZone"]), (&json!("0 3 * * *"), &json!("UTC")));
    let due = service.next().await;
    assert!(due.to_string().ends_with("T03:00:00Z"), "{due}");
    assert_eq!(service.sweep(later(due, -1)).await, Some(due));
    assert_eq!(service.runs("t1").await, []);
    let day = 24 * 60 * 60;
    assert_eq!(service.sweep(later(due, 1)).await, Some(later(due, day)));
    assert_eq!(service.sweep(later(due, 2)).await, Some(later(due, day)));
    let runs = service.runs("t1").await;
    assert_eq!(runs.len(), 1);
    assert_eq!((runs[0].state, &runs[0].cause), (RunState::Queued, &Cause::Schedule { due }));
    let shown = service.schedule().await.unwrap();
    assert_eq!(shown["lastRun"]["runId"], json!(runs[0].id));
    assert_eq!(shown["status"]["code"], "Healthy");
    let template = service.get("2024-02-01", "t1").await;
    assert_eq!(template["properties"]["lastRunStatus"]["runState"], "Running");
    assert_eq!(template["tags"]["Goldsmith.Schedule"], "0 3 * * *", "the document is as it was");
}

#[tokio::test]
async fn missed_times_begin_one_run() {
    let service = Service::scheduled("0 * * * *").await;
    let due = service.next().await;
    // The service did not run for two and a half hours.
    let now = later(due, 9000);
    let next = app(service.folder.path()).await;
    for _ in 0..2 {
        let again = reconcile_schedules(&next, now).await.unwrap();
        assert_eq!(again, Some(later(due, 3 * 3600)));
    }
    let runs = service.runs("t1").await;
    assert_eq!(runs.len(), 1);
    assert_eq!(runs[0].cause, Cause::Schedule { due: later(due, 2 * 3600) });
    let message = service.schedule().await.unwrap()["status"]["message"].to_string();
    assert!(message.contains(&format!("Times from {due} on were missed")), "{message}");
}

#[tokio::test]
async fn schedule_computed_by_a_clock_ahead_is_due_in_time_once_the_clock_is_right() {
    let service = Service::scheduled("0 3 * * *").await;
    let due = service.next().await;
    let day = 24 * 60 * 60;
    // A clock ten years ahead began a run, and set the next one.
    service.sweep(later(due, 3650 * day)).await;
    assert_eq!(service.next().await, later(due, 3651 * day));
    check_schedules(&service.app, later(due, -60)).await.unwrap();
    assert_eq!(service.next().await, due);
    // A clock set back by little, just after the run: it does not begin again.
    let service = Service::scheduled("0 3 * * *").await;
    service.sweep(later(due, 1)).await;
    check_schedules(&service.app, later(due, -300)).await.unwrap();
    assert_eq!(service.next().await, later(due, day));
}

#[tokio::test]
async fn schedule_due_during_a_run_is_skipped() {
    let service = Service::scheduled("0 * * * *").await;
    service.act("2024-02-01", "t1", "run").await.unwrap();
    let due = service.next().await;
    assert_eq!(service.sweep(due).await, Some(later(due, 3600)));
    let runs = service.runs("t1").await;
    assert_eq!(runs.len(), 1);
    let status = service.schedule().await.unwrap()["status"].clone();
    assert_eq!(status["code"], "Skipped");
    let message = format!("The run that was due at {due} was left out: run {} was", runs[0].id);
    assert!(status["message"].as_str().unwrap().starts_with(&message), "{status}");
    service.end_run("t1", RunState::Succeeded, "").await;
    assert_eq!(service.sweep(later(due, 60)).await, Some(later(due, 3600)));
    assert_eq!(service.runs("t1").await.len(), 1, "it is not made up for");
    service.sweep(later(due, 3600)).await;
    assert_eq!(service.runs("t1").await.len(), 2);
    assert_eq!(service.schedule().await.unwrap()["status"]["code"], "Healthy");
}

#[tokio::test]
async fn concurrent_sweeps_begin_one_run() {
    let service = Service::scheduled("0 * * * *").await;
    let due = service.next().await;
    let other = app(service.folder.path()).await;
    let (one, two) =
        tokio::join!(reconcile_schedules(&service.app, due), reconcile_schedules(&other, due));
    assert_eq!((one.unwrap(), two.unwrap()), (Some(later(due, 3600)), Some(later(due, 3600))));
    assert_eq!(service.runs("t1").await.len(), 1);
    assert_eq!(service.schedule().await.unwrap()["status"]["code"], "Healthy");
}

#[tokio::test]
async fn schedule_follows_the_template_tag() {
    let service = Service::new().await;
    service.created("2024-02-01", "t1", &small()).await;
    assert_eq!(service.schedule().await, None);
    let tag = async |tags: Value| service.patch("2024-02-01", "t1", json!({ "tags": tags })).await;
    tag(json!({ "goldsmith.schedule": "Europe/Berlin 30 2 * * MON" })).await.unwrap();
    let shown = service.schedule().await.unwrap();
    assert_eq!(
        (&shown["expression"], &shown["timeZone"]),
        (&json!("30 2 * * MON"), &json!("Europe/Berlin"))
    );
    let monday = service.next().await;
    // Other tags do not change it, not even a due run that has not begun.
    tag(json!({ "goldsmith.schedule": "Europe/Berlin 30 2 * * MON", "a": "b" })).await.unwrap();
    assert_eq!(service.schedule().await.unwrap(), shown);
    tag(json!({ "goldsmith.schedule": "*/5 * * * *" })).await.unwrap();
    assert!(service.next().await <= monday);
    let error = tag(json!({ "goldsmith.schedule": "whenever" })).await.unwrap_err();
    assert_eq!((error.code.as_str(), error.target.as_deref()), ("ValidationFailed", Some("tags")));
    assert_eq!(service.get("2024-02-01", "t1").await["tags"]["goldsmith.schedule"], "*/5 * * * *");
    tag(json!({ "a": "b" })).await.unwrap();
    assert_eq!(service.schedule().await, None);
    let now = later(Timestamp::now(), 3600);
    assert_eq!(service.sweep(now).await, None);
    assert_eq!(service.runs("t1").await, []);
}

#[tokio::test]
async fn invalid_schedule_tag_is_refused_at_creation() {
    let service = Service::new().await;
    for wrong in ["0 3 * *", "0 3 31 2 *", "Nowhere/Land 0 3 * * *"] {
        let put = call(Method::Put, "t1", "2024-02-01", &tagged(wrong).to_string());
        let error = service.put(&put).await.unwrap_err();
        assert_eq!(error.code, "ValidationFailed");
        assert_eq!(error.target.as_deref(), Some("tags"));
        assert!(error.message.contains(wrong) && error.message.contains("Europe/Berlin"));
        assert_eq!(service.row(&key(&put)).await, None);
    }
    service.created("2024-02-01", "t1", &tagged(" ")).await;
    assert_eq!(service.schedule().await, None);
}

#[tokio::test]
async fn schedule_of_a_deleted_template_is_removed() {
    let service = Service::scheduled("* * * * *").await;
    let due = service.next().await;
    service.delete("t1").await.unwrap();
    service.idle().await;
    assert_eq!(service.sweep(later(due, 600)).await, None);
    assert_eq!(service.runs("t1").await, []);
}

#[tokio::test]
async fn failed_template_has_no_schedule() {
    let service = Service::new().await;
    let mut broken = tagged("* * * * *");
    broken["properties"]["source"]["offer"] = json!("missing");
    let shown = service.created("2024-02-01", "t1", &broken).await;
    assert_eq!(shown["properties"]["provisioningState"], "Failed");
    assert_eq!(service.schedule().await, None);
}

#[tokio::test]
async fn schedule_is_read_only() {
    let service = Service::scheduled("* * * * *").await;
    let get = call(Method::Get, "t1", "2024-02-01", "");
    for refused in [
        Schedules.put(&service.app, &get, key(&get)).await,
        Schedules.patch(&service.app, &get, key(&get)).await,
        Schedules.delete(&service.app, &get, key(&get)).await,
    ] {
        let error = refused.unwrap_err();
        assert_eq!(error.status, StatusCode::METHOD_NOT_ALLOWED);
        assert!(error.message.contains("goldsmith.schedule"));
    }
}
