//! What callers may do: their rights, loaded from the database and kept until somebody changes any.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use arm::Caller;
use authorization::{
    Condition, Grant, Lock, LockLevel, Locks, Pattern, Permission, Principal, Rights, Role, Scope,
    built_in,
};
use db::{RoleAssignment, RoleDefinition, Store};
use serde_json::Value;

use super::App;

/// How long a change by another process (`goldsmith admin`) may stay unseen. Changes by this one count at once.
const UNSEEN: Duration = Duration::from_secs(1);

/// The maximum number of entries. A full cache is cleared.
const ENTRIES: usize = 4096;

/// The rights of callers as of a generation: the database counts the changes of roles, locks and principals.
#[derive(Debug, Default)]
pub(crate) struct RightsCache(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// When the generation was read.
    read: Option<Instant>,
    locks: Option<(i64, Arc<Locks>)>,
    /// By object id.
    rights: HashMap<String, (i64, Arc<Rights>)>,
}

impl App {
    /// What a caller may do now, by the assignments of its object id.
    ///
    /// # Errors
    /// The database fails.
    pub async fn rights(&self, caller: &Caller) -> Result<Arc<Rights>, db::Error> {
        let (store, cache) = (self.store(), self.rights_cache());
        // Before the rows: a change between the two makes the entry outdated, never wrong.
        let generation = self.access_generation().await?;
        if let Some((of, rights)) = cache.known().rights.get(&caller.object_id)
            && *of == generation
        {
            return Ok(rights.clone());
        }
        let locks = self.locks(generation).await?;
        let rights = Arc::new(load(store, caller, locks).await?);
        let mut known = cache.known();
        if known.rights.len() >= ENTRIES {
            known.rights.clear();
        }
        known.rights.insert(caller.object_id.clone(), (generation, rights.clone()));
        Ok(rights)
    }

    /// The generation of roles, locks, principals and subscriptions, as far as this process knows.
    pub(crate) async fn access_generation(&self) -> Result<i64, db::Error> {
        let (store, cache) = (self.store(), self.rights_cache());
        if cache.known().read.is_none_or(|read| read.elapsed() >= UNSEEN) {
            store.access_generation().await?;
            cache.known().read = Some(Instant::now());
        }
        Ok(store.known_generation())
    }

    async fn locks(&self, generation: i64) -> Result<Arc<Locks>, db::Error> {
        let cache = self.rights_cache();
        if let Some((of, locks)) = &cache.known().locks
            && *of == generation
        {
            return Ok(locks.clone());
        }
        let rows = self.store().locks().await?;
        let locks = rows.into_iter().map(|row| Lock {
            scope: Scope::parse(&row.scope),
            level: match row.level.as_str() {
                "ReadOnly" => LockLevel::ReadOnly,
                _ => LockLevel::CanNotDelete,
            },
            id: row.id,
        });
        let locks = Arc::new(Locks::new(locks));
        cache.known().locks = Some((generation, locks.clone()));
        Ok(locks)
    }
}

impl RightsCache {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn load(store: &Store, caller: &Caller, locks: Arc<Locks>) -> Result<Rights, db::Error> {
    let principal =
        Principal { client_id: caller.client_id.clone(), object_id: caller.object_id.clone() };
    // Its tokens are refused, but its deployments go on in its name.
    let client = store.client(&caller.client_id.to_lowercase()).await?;
    if client.is_some_and(|client| client.revoked.is_some()) {
        return Ok(Rights::new(principal, Vec::new(), locks));
    }
    let mut custom = HashMap::<String, Option<Arc<Role>>>::new();
    let mut grants = Vec::new();
    for row in store.assignments_of(&caller.object_id.to_lowercase()).await? {
        let role = match (built_in::role(&row.role), custom.get(&row.role)) {
            (Some(role), _) => Some(role.role()),
            (None, Some(known)) => known.clone(),
            (None, None) => {
                let found = store.role_definition(&row.role).await?;
                let role = found.map(|definition| Arc::new(role(&definition)));
                custom.insert(row.role.clone(), role.clone());
                role
            }
        };
        // A role that is gone gives nothing.
        if let Some(role) = role {
            grants.push((Scope::parse(&row.scope), grant(&row, role)));
        }
    }
    Ok(Rights::new(principal, grants, locks))
}

fn grant(row: &RoleAssignment, role: Arc<Role>) -> Grant {
    Grant { assignment: row.id.as_str().into(), role, condition: condition(&row.body) }
}

/// The condition of an assignment or of a permission of a role.
fn condition(of: &Value) -> Option<Condition> {
    let text = of["condition"].as_str().filter(|text| !text.trim().is_empty());
    text.map(Condition::parse)
}

/// A custom role as the decision reads it. A pattern that is not one permits nothing, and as an exception it takes
/// everything.
fn role(definition: &RoleDefinition) -> Role {
    let list = |permission: &Value, field: &str| -> Vec<Pattern> {
        let all = permission[field].as_array().into_iter().flatten();
        let all = all.filter_map(Value::as_str);
        all.filter_map(|text| match Pattern::parse(text) {
            Ok(pattern) => Some(pattern),
            Err(_) if field.starts_with("not") => Pattern::parse("*").ok(),
            Err(_) => None,
        })
        .collect()
    };
    let permissions = definition.body["permissions"].as_array().into_iter().flatten();
    let permissions = permissions.map(|permission| Permission {
        actions: list(permission, "actions"),
        not_actions: list(permission, "notActions"),
        data_actions: list(permission, "dataActions"),
        not_data_actions: list(permission, "notDataActions"),
        condition: condition(permission),
    });
    Role {
        id: definition.id.clone(),
        name: definition.name.clone(),
        permissions: permissions.collect(),
    }
}

#[cfg(test)]
mod tests {
    use authorization::{Need, Wanted};
    use db::{Client, LockRow, Write};
    use jiff::Timestamp;
    use serde_json::json;

    use super::*;
    use crate::roles::{self, assignment};

    const S: &str = "/subscriptions/11111111-2222-3333-4444-555555555555";

    async fn app(folder: &std::path::Path) -> App {
        let store = Store::open(&format!("sqlite://{}/a.db", folder.display())).await.unwrap();
        let settings = crate::Settings {
            layout: images::layout::Layout::new(folder.into(), folder.into()),
            dir: folder.into(),
            regions: vec!["westus2".to_owned()],
            tenant: "t".to_owned(),
            subscription: S.rsplit('/').next().unwrap().to_owned(),
        };
        App::new(settings, store, tokio_util::sync::CancellationToken::new())
    }

    fn caller(name: &str) -> Caller {
        Caller { client_id: format!("c-{name}"), object_id: name.to_owned() }
    }

    fn need(action: &'static str, below: &str) -> Need {
        Need::new(Wanted::action(action), Scope::parse(&format!("{S}{below}")))
    }

    #[test]
    fn condition_of_a_custom_roles_permission_counts() {
        let condition = "!(ActionMatches{'*/write'}) OR (@Request[x] StringEquals 'a')";
        let definition = RoleDefinition {
            id: "12345678-0000-0000-0000-000000000000".to_owned(),
            name: "Limited".to_owned(),
            body: json!({ "permissions": [{ "actions": ["*"], "condition": condition }] }),
            revision: 0,
            created: Timestamp::now(),
            changed: Timestamp::now(),
        };
        let role = role(&definition);
        assert!(role.permits(&Wanted::action("Microsoft.Compute/images/read")));
        assert!(!role.permits(&Wanted::action("Microsoft.Compute/images/write")));
    }

    #[tokio::test]
    async fn assignments_and_locks_count_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let app = app(folder.path()).await;
        let read = need("Microsoft.Compute/images/read", "/resourceGroups/g");
        let delete = need("Microsoft.Compute/images/delete", "/resourceGroups/g");
        let may = async |name: &str, need: &Need| {
            app.rights(&caller(name)).await.unwrap().check(need).is_ok()
        };
        assert!(!may("one", &read).await);
        let reader = built_in::named("Reader").unwrap().id;
        let row = assignment(S, "one", "ServicePrincipal", reader);
        app.store().commit(vec![Write::InsertAssignment(row.clone())]).await.unwrap();
        assert!(may("one", &read).await);
        assert!(!may("one", &delete).await, "it reads only");
        assert!(!may("two", &read).await, "another principal");

        let custom = RoleDefinition {
            id: "12345678-0000-0000-0000-000000000000".to_owned(),
            name: "Remover".to_owned(),
            body: json!({ "permissions": [
                { "actions": ["Microsoft.Compute/*"], "notActions": ["*/read"] }
            ] }),
            revision: 0,
            created: Timestamp::now(),
            changed: Timestamp::now(),
        };
        let other = assignment(S, "two", "ServicePrincipal", &custom.id);
        let writes = vec![Write::PutRole(custom), Write::InsertAssignment(other)];
        app.store().commit(writes).await.unwrap();
        assert!(may("two", &delete).await);
        assert!(!may("two", &read).await, "an exception of its role");

        let lock = LockRow {
            id: LockRow::id_at(S, "keep"),
            name: "keep".to_owned(),
            scope: S.to_owned(),
            level: "CanNotDelete".to_owned(),
            body: json!({}),
            revision: 0,
        };
        app.store().commit(vec![Write::PutLock(lock)]).await.unwrap();
        assert!(!may("two", &delete).await, "locked");

        app.store().commit(vec![Write::RemoveAssignment(row.key(), 1)]).await.unwrap();
        assert!(!may("one", &read).await);

        let client = crate::roles::create_owner(app.store(), "ci").await.unwrap().client;
        let Client { client_id, object_id, .. } = client.clone();
        let caller = Caller { client_id, object_id };
        assert!(app.rights(&caller).await.unwrap().check(&read).is_ok());
        crate::auth::principal::revoke(app.store(), &client.client_id).await.unwrap();
        assert!(app.rights(&caller).await.unwrap().check(&read).is_err(), "it is revoked");
        // A write by somebody who had read it before.
        app.store().commit(vec![Write::Client(client.clone())]).await.unwrap();
        assert!(app.rights(&caller).await.unwrap().check(&read).is_err(), "it stays revoked");
    }

    #[tokio::test]
    async fn change_by_another_process_counts_after_a_moment() {
        let folder = tempfile::tempdir().unwrap();
        let app = app(folder.path()).await;
        let read = need("Microsoft.Compute/images/read", "");
        let may = async || app.rights(&caller("one")).await.unwrap().check(&read).is_ok();
        assert!(!may().await);
        let url = format!("sqlite://{}/a.db", folder.path().display());
        let other = Store::open(&url).await.unwrap();
        let row = assignment(S, "one", "ServicePrincipal", roles::OWNER);
        other.commit(vec![Write::InsertAssignment(row)]).await.unwrap();
        // The moment has passed.
        app.rights_cache().known().read = None;
        assert!(may().await);
    }
}
