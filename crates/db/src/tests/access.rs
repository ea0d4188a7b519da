//! Subscriptions, roles, locks and credentials, and the generation that counts their changes.

use serde_json::Value;

use super::{
    queries::account,
    samples::{assignment, event, federated, group_scope, lock, role},
    *,
};

/// Reverts the schema version that added them, but for `roles_since`.
pub(super) const UNDO: &[&str] = &[
    "DROP TABLE subscriptions",
    "DROP TABLE role_definitions",
    "DROP TABLE role_assignments",
    "DROP TABLE locks",
    "DROP TABLE credentials",
    "DROP TABLE trusted_issuers",
    "DROP TABLE activity",
    "DROP TABLE access",
    "ALTER TABLE operations DROP COLUMN origin",
];

async fn commit(store: &Store, write: Write) {
    store.commit(vec![write]).await.unwrap();
}

pub(super) fn subscription(id: &str) -> Subscription {
    Subscription {
        id: id.to_owned(),
        name: "Lab".to_owned(),
        state: "Enabled".to_owned(),
        shares_cache: false,
        created: "2026-01-01T00:00:00Z".parse().unwrap(),
    }
}

pub(super) fn issuer(url: &str) -> TrustedIssuer {
    TrustedIssuer {
        issuer: url.to_owned(),
        keys_uri: Some(format!("{url}/keys")),
        keys: None,
        fetched: None,
        created: "2026-01-01T00:00:00Z".parse().unwrap(),
    }
}

pub(super) async fn subscriptions_and_issuers_are_inserted_and_replaced(address: String) {
    let store = Store::open(&address).await.unwrap();
    let (one, mut two) = (subscription("s1"), subscription("s2"));
    for subscription in [&two, &one] {
        commit(&store, Write::PutSubscription(subscription.clone())).await;
    }
    (two.name, two.shares_cache) = ("Renamed".to_owned(), true);
    commit(&store, Write::PutSubscription(two.clone())).await;
    assert_eq!(store.subscriptions().await.unwrap(), [one, two.clone()]);
    assert_eq!(store.subscription("S2").await.unwrap(), Some(two));
    assert_eq!(store.subscription("s3").await.unwrap(), None);

    let mut trusted = issuer("https://Issuer");
    commit(&store, Write::PutIssuer(trusted.clone())).await;
    trusted.keys = Some(json!({"keys": []}));
    trusted.fetched = Some(trusted.created);
    commit(&store, Write::PutIssuer(trusted.clone())).await;
    assert_eq!(store.issuers().await.unwrap(), from_ref(&trusted));
    // Tokens have it in one spelling.
    let other = Write::RemoveIssuer(trusted.issuer.to_lowercase());
    stale(store.commit(vec![other]).await);
    commit(&store, Write::RemoveIssuer(trusted.issuer)).await;
    assert_eq!(store.issuers().await.unwrap(), []);
}

pub(super) async fn role_has_unique_name_and_stays_while_assigned(address: String) {
    let store = Store::open(&address).await.unwrap();
    let first = role("r1", "Image Builder");
    commit(&store, Write::PutRole(first.clone())).await;
    for taken in [role("R1", "other"), role("r2", "IMAGE builder")] {
        stale(store.commit(vec![Write::PutRole(taken)]).await);
    }
    commit(&store, Write::PutRole(role("r2", "Another"))).await;
    let mut first = RoleDefinition { revision: 1, ..first };
    assert_eq!(store.role_definition("R1").await.unwrap(), Some(first.clone()));
    first.name = "another".to_owned();
    stale(store.commit(vec![Write::PutRole(first.clone())]).await);
    first.name = "Zealous".to_owned();
    commit(&store, Write::PutRole(first.clone())).await;
    stale(store.commit(vec![Write::PutRole(first.clone())]).await);
    first.revision = 2;
    let expected = [RoleDefinition { revision: 1, ..role("r2", "Another") }, first];
    assert_eq!(store.role_definitions().await.unwrap(), expected);

    let assigned = assignment("", "p", "r1");
    commit(&store, Write::InsertAssignment(assigned.clone())).await;
    stale(store.commit(vec![Write::RemoveRole("r1".to_owned(), 2)]).await);
    let found = store.assignments_of_role("R1", 1).await.unwrap();
    assert_eq!(found, [RoleAssignment { revision: 1, ..assigned.clone() }]);
    commit(&store, Write::RemoveAssignment(assigned.key(), 1)).await;
    assert_eq!(store.assignments_of_role("r1", 1).await.unwrap(), []);
    stale(store.commit(vec![Write::RemoveRole("r1".to_owned(), 1)]).await);
    commit(&store, Write::RemoveRole("R1".to_owned(), 2)).await;
    assert_eq!(store.role_definition("r1").await.unwrap(), None);
}

pub(super) async fn assignment_exists_once(address: String) {
    let store = Store::open(&address).await.unwrap();
    let scope = group_scope("G");
    let named = |name: &str| RoleAssignment {
        id: RoleAssignment::id_at(&scope, name),
        name: name.to_owned(),
        ..assignment(&scope, "P", "r")
    };
    // Eight names race for one principal, role and scope; then, one name for eight principals.
    let commits = (0..8).map(|n| {
        let insert = Write::InsertAssignment(named(&format!("n{n}")));
        store.commit(vec![insert])
    });
    let results = futures_util::future::join_all(commits).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    results.into_iter().filter(Result::is_err).for_each(|result| drop(stale(result)));
    let mut mine = store.assignments_of("p").await.unwrap().pop().unwrap();
    assert_eq!((mine.revision, mine.principal.as_str()), (1, "p"));
    let other = RoleAssignment { principal: "q".to_owned(), ..mine.clone() };
    stale(store.commit(vec![Write::InsertAssignment(other)]).await);

    let key = ResourceKey::of(&mine.id.to_uppercase());
    assert_eq!(store.assignment(&key).await.unwrap(), Some(mine.clone()));
    mine.body = json!({"description": "new"});
    commit(&store, Write::ReplaceAssignment(mine.clone())).await;
    assert_eq!(
        stale(store.commit(vec![Write::ReplaceAssignment(mine.clone())]).await),
        mine.key().as_str()
    );
    mine.revision = 2;
    assert_eq!(store.assignment(&key).await.unwrap(), Some(mine.clone()));
    stale(store.commit(vec![Write::RemoveAssignment(key.clone(), 1)]).await);
    commit(&store, Write::RemoveAssignment(key.clone(), 2)).await;
    assert_eq!(store.assignment(&key).await.unwrap(), None);
    commit(&store, Write::InsertAssignment(named("again"))).await;
}

/// The scopes, or scope and principal, of all pages of that size.
async fn pages(store: &Store, mut select: AssignmentSelect) -> Vec<String> {
    let mut found = Vec::new();
    loop {
        let page = store.assignments(&select).await.unwrap();
        assert!(page.assignments.len() <= select.limit.max(1) as usize);
        let texts =
            page.assignments.into_iter().map(|row| format!("{} {}", row.scope, row.principal));
        found.extend(texts);
        select.after = page.next;
        if select.after.is_none() {
            return found;
        }
        assert!(!found.is_empty(), "a page with a next one is not empty");
    }
}

pub(super) async fn assignments_are_listed_by_reach(address: String) {
    let store = Store::open(&address).await.unwrap();
    let subscription = format!("/subscriptions/{SUBSCRIPTION}");
    let (g, g10) = (group_scope("g"), group_scope("g10"));
    let image = format!("{g}/providers/Microsoft.Compute/images/i");
    let scopes = ["", subscription.as_str(), &g, &image, &g10, "/subscriptions/other"];
    for scope in scopes {
        let both = ["p", "q"].map(|principal| assignment(scope, principal, "r"));
        store.commit(both.map(Write::InsertAssignment).to_vec()).await.unwrap();
    }
    let expected = |scopes: &[&str], principals: &[&str]| -> Vec<String> {
        let of = |scope: &&str| {
            let scope = scope.to_lowercase();
            principals.iter().map(move |principal| format!("{scope} {principal}"))
        };
        scopes.iter().flat_map(of).collect()
    };
    let root = ["", &subscription, &g, &image, &g10, "/subscriptions/other"];
    for (scope, reach, scopes) in [
        (&g, Reach::At, &[g.as_str()] as &[&str]),
        (&g, Reach::AtAndAbove, &["", &subscription, &g]),
        (&g, Reach::AtAndBelow, &[&g, &image]),
        (&g, Reach::Anywhere, &["", &subscription, &g, &image]),
        (&image, Reach::Anywhere, &["", &subscription, &g, &image]),
        (&subscription, Reach::AtAndBelow, &[&subscription, &g, &image, &g10]),
        (&String::new(), Reach::Anywhere, &root),
        (&"/".to_owned(), Reach::AtAndAbove, &[""]),
        (&format!("{}/", g.to_uppercase()), Reach::At, &[&g]),
        (&group_scope("none"), Reach::AtAndBelow, &[]),
    ] {
        for limit in [0, 3, 100] {
            let all = AssignmentSelect {
                scope: scope.clone(),
                reach,
                limit,
                ..AssignmentSelect::default()
            };
            let of_q = AssignmentSelect { principal: Some("Q".to_owned()), ..all.clone() };
            assert_eq!(
                pages(&store, all).await,
                expected(scopes, &["p", "q"]),
                "{scope} {reach:?}"
            );
            assert_eq!(pages(&store, of_q).await, expected(scopes, &["q"]), "{scope} {reach:?}");
        }
    }
    assert_eq!(store.assignments_of("P").await.unwrap().len(), scopes.len());
    assert_eq!(store.count_assignments(&subscription).await.unwrap(), 8);
    assert_eq!(store.count_assignments("/").await.unwrap(), 12);
    assert_eq!(store.count_assignments(&g).await.unwrap(), 4);
}

pub(super) async fn lock_is_inserted_replaced_and_removed(address: String) {
    let store = Store::open(&address).await.unwrap();
    let (g, g10) = (group_scope("G"), group_scope("g10"));
    let image = format!("{g}/providers/Microsoft.Compute/images/i");
    let locks = [lock(&g10, "c"), lock(&image, "b"), lock(&g, "A")];
    store.commit(locks.clone().map(Write::PutLock).to_vec()).await.unwrap();
    stale(store.commit(vec![Write::PutLock(lock(&g, "a"))]).await);
    let mut first = LockRow { revision: 1, ..lock(&g, "A") };
    assert_eq!(store.lock(&first.key()).await.unwrap(), Some(first.clone()));
    first.level = "ReadOnly".to_owned();
    commit(&store, Write::PutLock(first.clone())).await;
    stale(store.commit(vec![Write::PutLock(first.clone())]).await);
    first.revision = 2;
    let [third, second] =
        [lock(&g10, "c"), lock(&image, "b")].map(|lock| LockRow { revision: 1, ..lock });
    let mine = [first.clone(), second.clone()];
    assert_eq!(store.locks_at_or_below(&g).await.unwrap(), mine);
    assert_eq!(store.locks().await.unwrap(), [first.clone(), second, third]);
    assert_eq!(store.locks_at_or_below("").await.unwrap().len(), 3);
    stale(store.commit(vec![Write::RemoveLock(first.key(), 1)]).await);
    commit(&store, Write::RemoveLock(first.key(), 2)).await;
    assert_eq!(store.lock(&first.key()).await.unwrap(), None);
}

pub(super) async fn assignments_and_locks_go_with_their_resource(address: String) {
    let store = Store::open(&address).await.unwrap();
    let (mine, alike) = (gallery("g", "mine"), gallery("g", "mine2"));
    let child = definition("g", "mine", "a");
    fill(&store, [group("g"), mine.clone(), alike.clone(), child.clone()]).await;
    // A scope below a resource may have no row, such as a container.
    let container = format!("{}/containers/c", mine.id);
    let scopes = [&group_scope("g"), &mine.id, &alike.id, &child.id, &container];
    let give = async |scopes: &[&String]| {
        for scope in scopes {
            let writes = vec![
                Write::InsertAssignment(assignment(scope, "p", "r")),
                Write::PutLock(lock(scope, "l")),
            ];
            store.commit(writes).await.unwrap();
        }
    };
    let left = async || {
        let assignments = store.assignments_of("p").await.unwrap();
        let locks = store.locks().await.unwrap();
        let scopes: Vec<String> = assignments.into_iter().map(|row| row.scope).collect();
        assert_eq!(scopes, locks.into_iter().map(|row| row.scope).collect::<Vec<_>>());
        scopes
    };
    let lower =
        |scopes: &[&String]| scopes.iter().map(|scope| scope.to_lowercase()).collect::<Vec<_>>();
    give(&scopes).await;
    // Replacing takes nothing, and a rejected removal neither.
    commit(&store, Write::Replace(stored(mine.clone()))).await;
    stale(store.commit(vec![Write::Remove(mine.key(), 1)]).await);
    assert_eq!(left().await.len(), 5);
    commit(&store, Write::Remove(child.key(), 1)).await;
    assert_eq!(left().await, lower(&[&group_scope("g"), &mine.id, &container, &alike.id]));
    commit(&store, Write::Remove(mine.key(), 2)).await;
    assert_eq!(left().await, lower(&[&group_scope("g"), &alike.id]));
    // What a racing write left does not apply to a new resource of that name.
    give(&[&mine.id, &container]).await;
    fill(&store, [mine.clone()]).await;
    assert_eq!(left().await, lower(&[&group_scope("g"), &alike.id]));
    commit(&store, Write::RemoveBelow(group("g").key())).await;
    assert_eq!(left().await, [""; 0]);
}

pub(super) async fn credentials_are_found_by_owner_and_by_subject(address: String) {
    let store = Store::open(&address).await.unwrap();
    let (one, other) = (federated("f1", "o1", "repo:A"), federated("f2", "o2", "repo:A"));
    for credential in [&one, &other, &federated("f3", "o1", "repo:B")] {
        commit(&store, Write::PutCredential(credential.clone())).await;
    }
    assert_eq!(
        store.federated("https://Issuer", "repo:A").await.unwrap(),
        [one.clone(), other.clone()]
    );
    // Exactly as in the tokens.
    for (issuer, subject) in [("https://issuer", "repo:A"), ("https://Issuer", "repo:a"), ("", "")]
    {
        assert_eq!(store.federated(issuer, subject).await.unwrap(), []);
    }
    stale(store.commit(vec![Write::PutCredential(federated("f4", "O1", "repo:A"))]).await);
    let revoked = Credential { revoked: Some(one.created), ..one };
    commit(&store, Write::PutCredential(revoked.clone())).await;
    assert_eq!(store.federated("https://Issuer", "repo:A").await.unwrap(), [other]);
    assert_eq!(store.credential("F1").await.unwrap(), Some(revoked.clone()));
    commit(&store, Write::PutCredential(federated("f4", "o1", "repo:A"))).await;
    let ids = |found: Vec<Credential>| found.into_iter().map(|one| one.id).collect::<Vec<_>>();
    assert_eq!(ids(store.credentials_of("O1").await.unwrap()), ["f1", "f3", "f4"]);

    let certificate = Credential {
        id: "k1".to_owned(),
        kind: CredentialKind::Certificate,
        expires: None,
        ..federated("", "o3", "repo:A")
    };
    commit(&store, Write::PutCredential(certificate.clone())).await;
    assert_eq!(store.credentials_of("o3").await.unwrap(), [certificate]);
    assert_eq!(ids(store.federated("https://Issuer", "repo:A").await.unwrap()), ["f4", "f2"]);
}

pub(super) async fn secret_of_client_is_its_credential(address: String) {
    let store = Store::open(&address).await.unwrap();
    let mut client = client("c1");
    commit(&store, Write::Client(client.clone())).await;
    let of = |client: &Client| Credential {
        id: client.client_id.clone(),
        owner: client.client_id.clone(),
        kind: CredentialKind::Secret,
        name: client.name.clone(),
        data: json!({"hash": client.secret_hash}),
        starts: client.rotated,
        expires: None,
        created: client.rotated,
        revoked: client.revoked,
    };
    assert_eq!(store.credentials_of("c1").await.unwrap(), [of(&client)]);
    client.secret_hash = "new".to_owned();
    client.rotated = "2026-01-05T00:00:00Z".parse().unwrap();
    client.revoked = Some("2026-01-06T00:00:00Z".parse().unwrap());
    commit(&store, Write::Client(client.clone())).await;
    assert_eq!(store.credentials_of("c1").await.unwrap(), [of(&client)]);
    let without = Client { secret_hash: String::new(), ..samples::client("c2") };
    commit(&store, Write::Client(without)).await;
    assert_eq!(store.credentials_of("c2").await.unwrap(), []);
}

/// A database of the schema before, with rows that this one converts.
pub(super) async fn secrets_and_account_names_survive_upgrade(address: String) {
    let store = Store::open(&address).await.unwrap();
    let (mut odd, mut gone) = (client("c1"), client("c2"));
    odd.secret_hash = r#"a"b\c"#.to_owned();
    gone.revoked = Some(gone.created);
    let clients = [&odd, &gone].map(|client| Write::Client(client.clone()));
    store.commit(clients.to_vec()).await.unwrap();
    let expected =
        [store.credentials_of("c1").await.unwrap(), store.credentials_of("c2").await.unwrap()];
    let young = account("g", "scripts");
    let old = Resource {
        id: young.id.replace(SUBSCRIPTION, "other"),
        subscription: "other".to_owned(),
        created: "2025-01-01T00:00:00Z".parse().unwrap(),
        ..young.clone()
    };
    fill(&store, [young.clone()]).await;
    tamper(&store, "UPDATE resources SET claim = NULL").await;
    fill(&store, [old.clone()]).await;
    tamper(&store, "UPDATE resources SET claim = NULL").await;
    let version = [
        "ALTER TABLE installation DROP COLUMN roles_since",
        "DELETE FROM schema_version WHERE version > 8",
    ];
    tamper(&store, &[UNDO, &version].concat().join("; ")).await;
    store.close().await;

    let store = Store::open(&address).await.unwrap();
    let found =
        [store.credentials_of("c1").await.unwrap(), store.credentials_of("c2").await.unwrap()];
    assert_eq!(found, expected);
    assert_eq!(store.clients().await.unwrap(), [odd, gone]);
    assert_eq!(store.account_anywhere("Scripts").await.unwrap(), Some(stored(old.clone())));
    // Both stay, and both can change; a third cannot have the name.
    for account in [young.clone(), old] {
        commit(&store, Write::Replace(stored(account))).await;
    }
    assert!(store.storage_account(SUBSCRIPTION, "scripts").await.unwrap().is_some());
    stale(store.commit(vec![Write::Insert(account("g2", "scripts"))]).await);
}

pub(super) async fn account_name_is_unique_over_subscriptions(address: String) {
    let store = Store::open(&address).await.unwrap();
    let mine = account("g", "scripts");
    let theirs = Resource {
        id: mine.id.replace(SUBSCRIPTION, "other"),
        subscription: "other".to_owned(),
        ..mine.clone()
    };
    fill(&store, [mine.clone()]).await;
    stale(store.commit(vec![Write::Insert(theirs.clone())]).await);
    assert_eq!(store.account_anywhere("scripts").await.unwrap(), Some(stored(mine.clone())));
    assert_eq!(store.account_anywhere("other").await.unwrap(), None);
    // Kept by a replacement, free after the removal.
    commit(&store, Write::Replace(stored(mine.clone()))).await;
    stale(store.commit(vec![Write::Insert(theirs.clone())]).await);
    commit(&store, Write::Remove(mine.key(), 2)).await;
    fill(&store, [theirs]).await;
}

pub(super) async fn generation_counts_changes_of_access(address: String) {
    let (store, other) =
        (Store::open(&address).await.unwrap(), Store::open(&address).await.unwrap());
    assert_eq!(store.access_generation().await.unwrap(), 0);
    let gallery = gallery("g", "x");
    let assigned = assignment(&gallery.id, "p", "r");
    let elsewhere = assignment("", "p", "r");
    let key = assigned.key();
    store.set_installation("i", "t", "s").await.unwrap();
    let none = "2026-01-01T00:00:00Z";
    fill(&store, [gallery.clone()]).await;
    for write in [
        Write::Client(client("c")),
        Write::PutSubscription(subscription("s")),
        Write::PutRole(role("r2", "R")),
        Write::RemoveRole("r2".to_owned(), 1),
        Write::InsertAssignment(assigned.clone()),
        Write::ReplaceAssignment(RoleAssignment { revision: 1, ..assigned.clone() }),
        Write::RemoveAssignment(key, 2),
        Write::PutLock(lock("", "l")),
        Write::RemoveLock(lock("", "l").key(), 1),
        Write::PutCredential(federated("f", "o", "s")),
        Write::PutIssuer(issuer("i")),
        Write::RemoveIssuer("i".to_owned()),
        Write::RolesSince(none.parse().unwrap()),
        Write::InsertAssignment(assigned.clone()),
        Write::RemoveBelow(group("g").key()),
        Write::PutLock(lock(&gallery.id, "l")),
        // The gallery is gone, but its lock was written after it.
        Write::Insert(gallery.clone()),
        Write::InsertAssignment(assigned.clone()),
        Write::Remove(gallery.key(), 1),
    ] {
        let before = store.known_generation();
        commit(&store, write.clone()).await;
        assert_eq!(store.known_generation(), before + 1, "{write:?}");
    }
    let generation = store.known_generation();
    // Another process reads it; it knows its own commits at once.
    assert_eq!(
        (other.known_generation(), other.access_generation().await.unwrap()),
        (0, generation)
    );
    let both = [elsewhere.clone(), assignment("", "q", "r")].map(Write::InsertAssignment);
    other.commit(both.to_vec()).await.unwrap();
    assert_eq!((other.known_generation(), store.known_generation()), (generation + 1, generation));
    assert_eq!(store.access_generation().await.unwrap(), generation + 1, "once for a commit");

    for write in [
        Write::Insert(gallery.clone()),
        Write::Replace(stored(gallery.clone())),
        Write::Remove(gallery.key(), 2),
        Write::RemoveBelow(group("g").key()),
        Write::Operation(operation("o", none)),
        Write::Activity(event("e", "/r", none)),
    ] {
        commit(&store, write).await;
    }
    stale(store.commit(vec![Write::InsertAssignment(elsewhere)]).await);
    assert_eq!(store.access_generation().await.unwrap(), generation + 1);
}

pub(super) async fn roles_decide_from_one_time_on(address: String) {
    let store = Store::open(&address).await.unwrap();
    let since =
        |second: u32| Write::RolesSince(format!("2026-01-01T00:00:{second:02}Z").parse().unwrap());
    stale(store.commit(vec![since(0)]).await);
    store.set_installation("i", "t", "s").await.unwrap();
    assert_eq!(store.roles_since().await.unwrap(), Some(crate::Store::NEW));
    commit(&store, since(1)).await;
    stale(store.commit(vec![Write::PutSubscription(subscription("s")), since(2)]).await);
    assert_eq!(store.subscriptions().await.unwrap(), []);
    store.set_installation("j", "t", "s").await.unwrap();
    let found = store.roles_since().await.unwrap().unwrap();
    assert_eq!(found.to_string(), "2026-01-01T00:00:01Z", "also in another data folder");
}

pub(super) async fn origin_of_operation_is_kept(address: String) {
    let store = Store::open(&address).await.unwrap();
    let mut begun = operation("o1", "2026-01-01T00:00:00Z");
    begun.origin = Some(json!({"caller": "p"}));
    commit(&store, Write::Operation(begun.clone())).await;
    let mut ended = Operation { origin: None, ..begun.clone() };
    ended.ended = Some(ended.started);
    commit(&store, Write::Operation(ended.clone())).await;
    let found = store.operation("o1").await.unwrap().unwrap();
    assert_eq!(found, Operation { origin: begun.origin, ..ended });
    assert_eq!(found.origin.unwrap()["caller"], Value::from("p"));
}
