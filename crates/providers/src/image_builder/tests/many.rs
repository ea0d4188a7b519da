//! The cost of a reconciliation with many triggers and schedules: database calls are counted, not timed.

use std::collections::BTreeSet;

use super::*;
use crate::image_builder::record::RunInput;
use service::app::changes::{Change, Scope};

/// Beside the one that a test is about.
const OTHERS: usize = 300;
const LIMIT: u32 = 3;

impl Service {
    /// Copies of the template `t1` with what is below it; `change` may alter a copied row.
    async fn copies(&self, count: usize, change: impl Fn(&mut Resource)) {
        let template = self.row(&key(&call(Method::Get, "t1", "2024-02-01", ""))).await.unwrap();
        let select = Select {
            subscription: SUBSCRIPTION.to_owned(),
            below: Some(template.key()),
            ..Select::default()
        };
        let below = self.app.store().list_all(select).await.unwrap();
        let copy = |row: &Resource, number: usize| {
            let id = row.id.replace("/t1", &format!("/copy-{number}"));
            let name = id.rsplit('/').next().unwrap_or_default().to_owned();
            let mut row = Resource { id, name, revision: 0, ..row.clone() };
            change(&mut row);
            Write::Insert(row)
        };
        let rows: Vec<&Resource> = below.iter().chain([&template]).collect();
        let writes = (0..count).flat_map(|n| rows.iter().map(move |row| (n, *row)));
        let writes = writes.map(|(number, row)| copy(row, number)).collect();
        self.app.store().commit(writes).await.unwrap();
    }

    /// Reads and commits of a reconciliation.
    async fn cost(&self, scope: &Scope) -> (u64, u64) {
        let before = self.app.store().query_counts();
        reconcile_sources(&self.app, scope, LIMIT, Timestamp::now()).await.unwrap();
        let after = self.app.store().query_counts();
        (after.0 - before.0, after.1 - before.1)
    }

    async fn queued(&self) -> i64 {
        self.app.store().waiting_runs(SUBSCRIPTION).await.unwrap()
    }
}

fn only(change: Change) -> Scope {
    Scope::Only(BTreeSet::from([change]))
}

#[tokio::test]
async fn look_at_all_triggers_reads_pages_and_each_source_once() {
    let service = Service::watched().await;
    service.copies(OTHERS, |_| ()).await;
    assert_eq!(service.app.store().count(SUBSCRIPTION, TRIGGERS_KIND).await.unwrap(), 301);
    let (reads, commits) = service.cost(&Scope::All).await;
    assert!(reads <= 10, "{reads} reads of one source and one page");
    assert_eq!(commits, 0);
    service.version("2.0.0").await;
    service.cost(&Scope::All).await;
    assert_eq!(service.queued().await, 301, "it concerns every one");
    let (reads, commits) = service.cost(&Scope::All).await;
    assert_eq!((reads <= 10, commits), (true, 0), "{reads} reads");
}

#[tokio::test]
async fn ended_run_concerns_only_the_trigger_of_its_template() {
    let service = Service::watched().await;
    service.copies(OTHERS, |_| ()).await;
    service.act("2024-02-01", "t1", "run").await.unwrap();
    service.end_run("t1", RunState::Succeeded, "").await;
    let run = service.runs("t1").await.pop().unwrap();
    run_ended(&service.app, &run.template, RunInput::of(&run).ok().as_ref());
    let scope = service.app.changes().next().await;
    assert_eq!(scope, only(Change::Template(run.template)));
    let (reads, commits) = service.cost(&scope).await;
    assert!(reads <= 10, "{reads} reads");
    assert_eq!(commits, 1, "the run is taken into account");
}

#[tokio::test]
async fn new_version_concerns_only_its_followers() {
    let service = Service::watched().await;
    // They follow another definition.
    service
        .copies(OTHERS, |row| {
            if row.kind == TRIGGERS_KIND {
                row.hidden["indexed"]["follows"] = json!(definition("e"));
            }
        })
        .await;
    service.version("2.0.0").await;
    let (reads, _) =
        service.cost(&only(Change::Definition(ResourceKey::of(&definition("d"))))).await;
    assert!(reads <= 15, "{reads} reads");
    assert_eq!(service.queued().await, 1);
}

#[tokio::test]
async fn ended_run_wakes_followers_of_its_targets() {
    let service = Service::new().await;
    service.created("2024-02-01", "t1", &small()).await;
    service.act("2024-02-01", "t1", "run").await.unwrap();
    let mut run = service.runs("t1").await.pop().unwrap();
    let target = |name: &str, id: String| {
        let replicas = ["westus"];
        json!({ "type": "SharedImage", "runOutputName": name, "galleryImageId": id,
            "replicationRegions": replicas })
    };
    run.input["properties"]["distribute"] = json!([
        target("d", definition("D")),
        target("e", format!("{}/versions/1.0.0", definition("e"))),
        { "type": "VHD", "runOutputName": "v" },
    ]);
    run_ended(&service.app, &run.template, Some(&RunInput::of(&run).unwrap()));
    let expected = [
        Change::Definition(ResourceKey::of(&definition("d"))),
        Change::Definition(ResourceKey::of(&definition("e"))),
        Change::Template(run.template),
    ];
    assert_eq!(service.app.changes().next().await, Scope::Only(expected.into()));
}

#[tokio::test]
async fn triggers_of_an_earlier_release_are_indexed_by_the_first_look() {
    let service = Service::watched().await;
    let trigger = key(&triggers::trigger("new", &json!({})));
    let mut row = service.row(&trigger).await.unwrap();
    assert_eq!(row.hidden["indexed"]["region"], "westus");
    row.hidden.as_object_mut().unwrap().remove("indexed");
    service.app.store().commit(vec![Write::Replace(row)]).await.unwrap();
    let followers = async || {
        let store = service.app.store();
        store.followers(&definition("d"), None, 9).await.unwrap().len()
    };
    assert_eq!(followers().await, 0);
    service.cost(&Scope::All).await;
    assert_eq!(followers().await, 1);
}

#[tokio::test]
async fn schedules_not_yet_due_are_not_read() {
    let service = Service::scheduled("0 3 * * *").await;
    let due = service.next().await;
    service
        .copies(OTHERS, |row| {
            if row.kind == SCHEDULES_KIND {
                row.hidden["plan"]["next"] = json!("2200-01-01T00:00:00Z");
                row.hidden["indexed"]["due"] = json!("2200-01-01T00:00:00Z");
            }
        })
        .await;
    let before = service.app.store().query_counts();
    reconcile_schedules(&service.app, due).await.unwrap();
    let after = service.app.store().query_counts();
    let (reads, commits) = (after.0 - before.0, after.1 - before.1);
    assert!(reads <= 10, "{reads} reads");
    assert_eq!((commits, service.queued().await), (1, 1));
}

#[tokio::test]
async fn schedules_of_an_earlier_release_are_indexed_at_start() {
    let service = Service::scheduled("0 3 * * *").await;
    let due = service.next().await;
    let id = format!("{}/schedules/default", call(Method::Get, "t1", "2024-02-01", "").path.text);
    let mut row = service.row(&ResourceKey::of(&id)).await.unwrap();
    row.hidden.as_object_mut().unwrap().remove("indexed");
    service.app.store().commit(vec![Write::Replace(row)]).await.unwrap();
    reconcile_schedules(&service.app, due).await.unwrap();
    assert_eq!(service.queued().await, 0, "it is not found by its time");
    check_schedules(&service.app, due).await.unwrap();
    reconcile_schedules(&service.app, due).await.unwrap();
    assert_eq!(service.queued().await, 1);
}
