//! Roles of a database that is older than roles, and roles by command.
#![allow(clippy::unwrap_used, reason = "tests")]

use authorization::Scope;
use db::{Reach, Resource};
use serde_json::{Value, json};

use super::*;

const S: &str = "11111111-2222-3333-4444-555555555555";

async fn store(folder: &std::path::Path) -> Store {
    let store = Store::open(&format!("sqlite://{}/a.db", folder.display())).await.unwrap();
    let subscription = db::Subscription {
        id: S.to_owned(),
        name: "Goldsmith".to_owned(),
        state: "Enabled".to_owned(),
        shares_cache: false,
        created: Timestamp::now(),
    };
    store.commit(vec![Write::PutSubscription(subscription)]).await.unwrap();
    store
}

fn row(kind: &str, path: &str, body: Value) -> Write {
    Write::Insert(Resource::new(format!("/subscriptions/{S}{path}"), kind, body, json!({})))
}

fn identity_row(name: &str) -> Write {
    let kind = "Microsoft.ManagedIdentity/userAssignedIdentities";
    let ids = json!({ "principalId": format!("p-{name}"), "clientId": format!("c-{name}") });
    row(kind, &identity_path(name), json!({ "properties": ids }))
}

fn identity_path(name: &str) -> String {
    format!("/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{name}")
}

/// Principal, role and scope of everything.
async fn all(store: &Store) -> Vec<(String, String, String)> {
    let all = granted(store, None, None).await.unwrap();
    let mut all: Vec<_> = all
        .into_iter()
        .map(|one| (one.row.principal, one.role, one.row.scope.replace(S, "S")))
        .collect();
    all.sort();
    all
}

#[tokio::test]
async fn older_installation_goes_on_and_says_so_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path()).await;
    let ci = principal::create(&store, "ci").await.unwrap().client;
    // Known since before roles.
    store.set_installation("i", "t", S).await.unwrap();
    let gone = principal::create(&store, "gone").await.unwrap().client;
    principal::revoke(&store, &gone.client_id).await.unwrap();
    let full = |name: &str| format!("/subscriptions/{S}{}", identity_path(name));
    let template = json!({
        "identity": { "type": "UserAssigned", "userAssignedIdentities": { full("Builder"): {} } },
        "properties": { "vmProfile": { "userAssignedIdentities": [full("machine")] } },
    });
    let stored = json!({ "properties": {
        "scope": format!("/subscriptions/{S}/resourceGroups/g"),
        "principalId": "p-unused",
        "principalType": "ServicePrincipal",
        "roleDefinitionId": format!("/subscriptions/{S}/providers/Microsoft.Authorization/roleDefinitions/acdd72a7-3385-48ef-bd42-f606fba81ae7"),
    } });
    let custom = json!({ "properties": {
        "roleName": "Mine", "type": "CustomRole", "assignableScopes": [format!("/subscriptions/{S}")],
        "permissions": [{ "actions": ["*/read"] }],
    } });
    let authorization = "/providers/Microsoft.Authorization";
    let templates = "Microsoft.VirtualMachineImages/imageTemplates";
    let old = vec![
        identity_row("builder"),
        identity_row("machine"),
        identity_row("unused"),
        row(templates, &format!("/resourceGroups/g/providers/{templates}/t"), template),
        row(
            "Microsoft.Authorization/roleAssignments",
            &format!(
                "/resourceGroups/g{authorization}/roleAssignments/22222222-2222-3333-4444-555555555555"
            ),
            stored,
        ),
        row(
            "Microsoft.Authorization/roleDefinitions",
            &format!("{authorization}/roleDefinitions/33333333-2222-3333-4444-555555555555"),
            custom,
        ),
    ];
    store.commit(old).await.unwrap();

    let Began::Upgraded(upgraded) = begin(&store, S).await.unwrap() else { panic!("not new") };
    assert_eq!(upgraded.owners, ["ci"]);
    assert_eq!(upgraded.identities, [full("builder"), full("machine")]);
    let (contributor, reader) = ("Contributor", "Storage Blob Data Reader");
    let mut wanted: Vec<_> = [
        (ci.object_id.as_str(), "Owner", ""),
        (ci.object_id.as_str(), "Storage Blob Data Owner", ""),
        ("p-builder", contributor, "/subscriptions/S"),
        ("p-builder", reader, "/subscriptions/S"),
        ("p-machine", contributor, "/subscriptions/S"),
        ("p-machine", reader, "/subscriptions/S"),
        ("p-unused", "Reader", "/subscriptions/S/resourcegroups/g"),
    ]
    .map(|(one, role, scope)| (one.to_owned(), role.to_owned(), scope.to_owned()))
    .into();
    wanted.sort();
    assert_eq!(all(&store).await, wanted);
    assert_eq!(store.role_definitions().await.unwrap()[0].name, "Mine");
    assert_eq!(begin(&store, S).await.unwrap(), Began::Earlier, "once");
    assert_eq!(all(&store).await, wanted);
}

#[tokio::test]
async fn principal_of_a_new_installation_has_no_role_of_itself() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path()).await;
    store.set_installation("i", "t", S).await.unwrap();
    // By a command, before the first start.
    principal::create(&store, "early").await.unwrap();
    assert_eq!(begin(&store, S).await.unwrap(), Began::New);
    let administrator = create_owner(&store, "administrator").await.unwrap().client;
    let own = |role: &str| (administrator.object_id.clone(), role.to_owned(), String::new());
    assert_eq!(all(&store).await, [own("Owner"), own("Storage Blob Data Owner")]);
    principal::create(&store, "later").await.unwrap();
    assert_eq!(begin(&store, S).await.unwrap(), Began::Earlier);
    assert_eq!(all(&store).await.len(), 2);
}

#[tokio::test]
async fn command_grants_and_revokes_but_keeps_the_last_owner() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path()).await;
    store.commit(vec![identity_row("builder")]).await.unwrap();
    let one = principal::create(&store, "one").await.unwrap().client;
    let scope = format!("/Subscriptions/{S}/resourceGroups/G/");
    let granted_to = async |who: &str, role: &str, scope: &str| {
        grant(&store, who, role, scope).await.map(|granted| granted.principal)
    };
    assert_eq!(granted_to("one", "reader", &scope).await.unwrap(), "one");
    assert_eq!(granted_to(&one.client_id, "Reader", &scope).await.unwrap(), "one", "it has it");
    let identity = format!("/subscriptions/{S}{}", identity_path("builder"));
    assert_eq!(granted_to(&identity, CONTRIBUTOR, &scope).await.unwrap(), identity);
    assert_eq!(granted_to("one", "Owner", "/").await.unwrap(), "one");
    let at = Scope::parse(&scope);
    let here = granted(&store, None, Some((at.as_str(), Reach::At))).await.unwrap();
    assert_eq!(here.len(), 2);

    for (who, role, scope, message) in [
        ("nobody", "Reader", "/", "no service principal or managed identity"),
        ("one", "Rea", "/", "there is no role"),
        ("one", "Reader", "/subscriptions/none", "there is no such subscription"),
        ("one", "Reader", "resourceGroups/g", "it does not begin with /"),
        ("one", "Reader", "/groups/g", "it is in no subscription"),
    ] {
        let error = granted_to(who, role, scope).await.unwrap_err();
        assert!(error.message.contains(message), "{}", error.message);
    }
    let error = revoke(&store, "one", "Owner", "/", false).await.unwrap_err();
    assert!(error.message.contains("the last Owner"), "{}", error.message);
    principal::create(&store, "two").await.unwrap();
    granted_to("two", "Owner", "/").await.unwrap();
    revoke(&store, "one", "Owner", "/", false).await.unwrap();
    revoke(&store, "two", "Owner", "/", true).await.unwrap();
    assert!(revoke(&store, "two", "Owner", "/", true).await.is_err(), "it has none");
    principal::create(&store, "two").await.unwrap();
    let error = granted_to("two", "Reader", "/").await.unwrap_err();
    assert!(error.message.contains("2 service principals"), "{}", error.message);
}
