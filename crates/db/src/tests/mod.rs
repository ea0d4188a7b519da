//! One suite for both databases.

mod access;
mod activity;
mod databases;
mod deployments;
mod dying;
mod failing;
mod fault;
mod leases;
mod postgres;
mod queries;
mod resources;
mod runs;
mod samples;

use std::{
    ops::Deref, os::unix::fs::PermissionsExt as _, slice::from_ref, sync::Arc, time::Duration,
};

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::*;
use leases::{
    lost_lease_rejects_every_write, renewal_adds_to_time_of_active_runs,
    renewed_lease_cannot_be_taken,
};
use samples::{
    GROUPS, SUBSCRIPTION, TEMPLATES, client, definition, gallery, group, operation, over, run,
    template,
};

/// Every case has a file of its own.
#[tokio::test(flavor = "multi_thread")]
async fn suite_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let mut files = 0;
    let mut address = || {
        files += 1;
        format!("sqlite://{}/{files}.db", folder.path().display())
    };
    for (name, case) in CASES {
        println!("{name}");
        case(address()).await;
    }
}

/// Every case has a database of its own on one server.
#[tokio::test(flavor = "multi_thread")]
async fn suite_on_postgresql() {
    for (name, case) in CASES {
        println!("{name}");
        case(postgres::new_database().await).await;
    }
}

type Case = fn(String) -> futures_util::future::BoxFuture<'static, ()>;

macro_rules! cases {
    ($($case:path),* $(,)?) => {
        const CASES: &[(&str, Case)] =
            &[$((stringify!($case), |address| Box::pin($case(address)))),*];
    };
}

cases![
    resources::resource_is_inserted_replaced_and_removed,
    resources::only_one_of_racing_writes_succeeds,
    resources::remove_below_removes_all_descendants,
    resources::pages_are_in_order_and_complete,
    resources::list_filters_by_group_kind_and_parent,
    resources::keys_ignore_case,
    resources::failed_commit_changes_nothing,
    resources::abandoned_commit_is_completed,
    deployments::deployment_is_inserted_replaced_and_removed,
    deployments::deployments_of_a_scope_are_listed_and_removed_with_it,
    runs::ended_operations_are_removed_by_age,
    runs::run_write_with_stale_epoch_is_rejected,
    runs::template_has_at_most_one_active_run,
    runs::only_one_of_racing_runs_is_inserted,
    runs::racing_commits_in_opposite_order_succeed,
    runs::client_is_inserted_and_replaced,
    resources::unusual_text_round_trips,
    databases::reopened_database_has_all_rows,
    databases::new_database_opened_concurrently_is_migrated_once,
    databases::run_of_first_schema_is_migrated,
    renewed_lease_cannot_be_taken,
    lost_lease_rejects_every_write,
    renewal_adds_to_time_of_active_runs,
    databases::later_schema_is_rejected,
    databases::mark_counts_commits_of_installation,
    databases::inspect_leaves_database_unchanged,
    resources::duplicate_claim_is_rejected,
    resources::list_of_ten_thousand_templates_is_paged,
    queries::every_query_uses_its_index,
    queries::duplicate_account_name_is_rejected,
    queries::migration_removes_duplicate_account_names,
    queries::due_resources_are_sorted_by_time,
    queries::followers_are_listed_by_source,
    queries::active_runs_are_listed_without_input,
    queries::ended_runs_are_paged_and_removed_in_one_commit,
    queries::ended_operations_are_removed_up_to_the_limit,
    access::subscriptions_and_issuers_are_inserted_and_replaced,
    access::role_has_unique_name_and_stays_while_assigned,
    access::assignment_exists_once,
    access::assignments_are_listed_by_reach,
    access::lock_is_inserted_replaced_and_removed,
    access::assignments_and_locks_go_with_their_resource,
    access::credentials_are_found_by_owner_and_by_subject,
    access::secret_of_client_is_its_credential,
    access::secrets_and_account_names_survive_upgrade,
    access::account_name_is_unique_over_subscriptions,
    access::generation_counts_changes_of_access,
    access::roles_decide_from_one_time_on,
    access::origin_of_operation_is_kept,
    activity::event_is_there_if_and_only_if_its_change_is,
    activity::record_is_told_that_abandoned_commit_is_completed,
    activity::numbers_of_events_grow_over_processes,
    activity::events_are_paged_newest_first,
    activity::old_events_are_forgotten_up_to_the_limit,
];

/// The store of a client that retries once when the disk fails.
#[derive(Debug)]
struct Store {
    store: super::Store,
    disk: Option<Arc<fault::Disk>>,
}

impl Deref for Store {
    type Target = super::Store;

    fn deref(&self) -> &super::Store {
        &self.store
    }
}

impl Store {
    async fn open(address: &str) -> Result<Self, Error> {
        let disk = fault::disk_at(address);
        let store = twice(disk.as_deref(), || super::Store::open(address)).await?;
        Ok(Self { store, disk })
    }

    async fn commit(&self, writes: Vec<Write>) -> Result<(), Error> {
        twice(self.disk.as_deref(), || self.store.commit(writes.clone())).await
    }

    async fn forget_operations_before(
        &self,
        time: jiff::Timestamp,
        limit: u32,
    ) -> Result<u64, Error> {
        let forget = || self.store.forget_operations_before(time, limit);
        twice(self.disk.as_deref(), forget).await
    }

    async fn take_lease(
        &self,
        holder: &Holder,
        ttl: Duration,
        unrenewed: Option<&Lease>,
        lost: CancellationToken,
    ) -> Result<Option<Lease>, Error> {
        let take = || self.store.take_lease(holder, ttl, unrenewed, lost.clone());
        twice(self.disk.as_deref(), take).await
    }

    async fn renew_lease(&self, ttl: Duration, worked: Duration) -> Result<bool, Error> {
        twice(self.disk.as_deref(), || self.store.renew_lease(ttl, worked)).await
    }

    async fn release_lease(&self) -> Result<(), Error> {
        twice(self.disk.as_deref(), || self.store.release_lease()).await
    }

    async fn forget_runs(&self, ids: &[String]) -> Result<(), Error> {
        twice(self.disk.as_deref(), || self.store.forget_runs(ids)).await
    }

    async fn set_installation(
        &self,
        id: &str,
        tenant: &str,
        subscription: &str,
    ) -> Result<(), Error> {
        let set = || self.store.set_installation(id, tenant, subscription);
        twice(self.disk.as_deref(), set).await
    }
}

async fn inspect(address: &str) -> Result<Inspection, Error> {
    twice(fault::disk_at(address).as_deref(), || super::inspect(address)).await
}

async fn twice<T, F: Future<Output = Result<T, Error>>>(
    disk: Option<&fault::Disk>,
    attempt: impl Fn() -> F,
) -> Result<T, Error> {
    let result = attempt().await;
    let error = match result {
        Err(error) if disk.is_some_and(|disk| disk.struck() > 0) => error,
        result => return result,
    };
    match error.trouble() {
        Some(Trouble::DiskFull | Trouble::Unavailable | Trouble::OutOfMemory) => attempt().await,
        _ => Err(error),
    }
}

fn stored(mut resource: Resource) -> Resource {
    resource.revision += 1;
    resource
}

/// The key of the rejected write.
#[track_caller]
fn stale(result: Result<(), Error>) -> String {
    match result {
        Err(Error::Stale { key }) => key,
        other => panic!("not stale: {other:?}"),
    }
}

async fn fill(store: &Store, resources: impl IntoIterator<Item = Resource>) {
    store.commit(resources.into_iter().map(Write::Insert).collect()).await.unwrap();
}

/// Changes the tables with SQL, as another release would.
async fn tamper(store: &Store, statements: &str) {
    let attempt = || async {
        let mut tx = store.pools.begin().await?;
        let statements = sqlx::AssertSqlSafe(statements.to_owned());
        sqlx::raw_sql(statements).execute(&mut *tx).await?;
        Ok(tx.commit().await?)
    };
    twice(store.disk.as_deref(), attempt).await.unwrap();
}

fn names(page: &Page) -> Vec<&str> {
    page.resources.iter().map(|resource| resource.name.as_str()).collect()
}

async fn listed(store: &Store, select: Select) -> Vec<String> {
    let page = store.list(&select).await.unwrap();
    assert_eq!(page.next, None);
    names(&page).into_iter().map(str::to_owned).collect()
}

fn select() -> Select {
    Select { subscription: SUBSCRIPTION.to_owned(), limit: 100, ..Select::default() }
}
