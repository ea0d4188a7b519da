//! What the template's identity must hold, and what the caller must at the resources that a template names.

use authorization::{Denial, Grant, Locks, Pattern, Permission, Principal, Role, Scope};
use db::RoleDefinition;

use super::*;

const GALLERY: &str = "/providers/Microsoft.Compute/galleries/g";
const SUBNET: &str = "/providers/Microsoft.Network/virtualNetworks/net/subnets/one";

/// A template that needs every right of the table.
fn demanding() -> Value {
    let mut template = small();
    let properties = &mut template["properties"];
    properties["source"] = json!({
        "type": "SharedImageVersion", "imageVersionId": group_id(&format!("{GALLERY}/images/base/versions/1.0.0")),
    });
    properties["stagingResourceGroup"] =
        json!(format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/stage"));
    properties["vmProfile"] = json!({
        "userAssignedIdentities": [identity("ide2")],
        "vnetConfig": { "subnetId": group_id(SUBNET) },
    });
    properties["customize"] = json!([{
        "type": "Shell", "scriptUri": "https://mine.blob.core.windows.net/scripts/one.sh",
    }]);
    let targets = properties["distribute"].as_array_mut().unwrap();
    targets.push(json!({
        "type": "SharedImage", "runOutputName": "version",
        "galleryImageId": group_id(&format!("{GALLERY}/images/web")),
        "targetRegions": [{ "name": "westus" }],
    }));
    targets.push(json!({
        "type": "VHD", "runOutputName": "disk", "uri": "https://mine.blob.core.windows.net/vhds/x.vhd",
    }));
    template
}

fn parsed(template: &Value) -> engine::template::Template {
    record::RunInput::parse(template).unwrap().template
}

/// The rights that such a template asks of its identity: field, action and the scope's end.
const TABLE: &[(&str, &str, &str)] = &[
    ("properties.source.imageVersionId", "Microsoft.Compute/galleries/read", "/galleries/g"),
    ("properties.source.imageVersionId", "Microsoft.Compute/galleries/images/read", "/images/base"),
    (
        "properties.source.imageVersionId",
        "Microsoft.Compute/galleries/images/versions/read",
        "/versions/1.0.0",
    ),
    (
        "properties.stagingResourceGroup",
        "Microsoft.Resources/subscriptions/resourceGroups/read",
        "/stage",
    ),
    (
        "properties.stagingResourceGroup",
        "Microsoft.Resources/subscriptions/resourceGroups/write",
        "/stage",
    ),
    (
        "properties.vmProfile.userAssignedIdentities",
        "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action",
        "/ide2",
    ),
    ("properties.vmProfile.vnetConfig.subnetId", "Microsoft.Network/virtualNetworks/read", "/net"),
    (
        "properties.vmProfile.vnetConfig.subnetId",
        "Microsoft.Network/virtualNetworks/subnets/join/action",
        "/one",
    ),
    ("properties.distribute[0]", "Microsoft.Compute/images/read", "/rg"),
    ("properties.distribute[0]", "Microsoft.Compute/images/write", "/rg"),
    ("properties.distribute[0]", "Microsoft.Compute/images/delete", "/rg"),
    ("properties.distribute[1]", "Microsoft.Compute/galleries/read", "/galleries/g"),
    ("properties.distribute[1]", "Microsoft.Compute/galleries/images/read", "/images/web"),
    ("properties.distribute[1]", "Microsoft.Compute/galleries/images/versions/read", "/images/web"),
    (
        "properties.distribute[1]",
        "Microsoft.Compute/galleries/images/versions/write",
        "/images/web",
    ),
    (
        "properties.customize[0].scriptUri",
        "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read",
        "/containers/scripts",
    ),
    (
        "properties.distribute[2].uri",
        "Microsoft.Storage/storageAccounts/blobServices/containers/read",
        "/mine",
    ),
    (
        "properties.distribute[2].uri",
        "Microsoft.Storage/storageAccounts/blobServices/containers/write",
        "/mine",
    ),
    (
        "properties.distribute[2].uri",
        "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/write",
        "/mine",
    ),
];

async fn with_account() -> Service {
    let service = Service::new().await;
    let account = group_id("/providers/Microsoft.Storage/storageAccounts/mine");
    service.insert(&account, "microsoft.storage/storageaccounts", json!({})).await;
    let ids = json!({ "principalId": "p-bare", "clientId": "c-bare" });
    let kind = "microsoft.managedidentity/userassignedidentities";
    service.insert(&identity("bare"), kind, json!({ "properties": ids })).await;
    service
}

/// What the template's identity lacks, as field and message.
async fn lacks(service: &Service, template: &Value) -> Vec<(String, String)> {
    let all = rights::lacks(&service.app, &parsed(template)).await.unwrap();
    all.into_iter().map(|error| (error.target.unwrap_or_default(), error.message)).collect()
}

#[tokio::test]
async fn identity_without_a_role_lacks_every_right_of_the_table() {
    let service = with_account().await;
    let mut template = demanding();
    template["identity"] = identities("bare");
    let found = lacks(&service, &template).await;
    assert_eq!(found.len(), TABLE.len(), "{found:#?}");
    for (one, (field, action, end)) in found.iter().zip(TABLE) {
        assert_eq!(one.0, *field);
        let text = format!(
            "The client 'c-bare' with object id 'p-bare' does not have authorization to perform action '{action}' over scope '"
        );
        assert!(one.1.starts_with(&text), "{text} begins {}", one.1);
        assert!(one.1.contains(&format!("{end}' or the scope is invalid")), "{end} in {}", one.1);
    }
}

#[tokio::test]
async fn each_missing_right_is_named_alone() {
    let service = with_account().await;
    let mut template = demanding();
    template["identity"] = identities("bare");
    for (number, action) in TABLE.iter().map(|(_, action, _)| *action).enumerate() {
        let kind = if action.contains("/blobs/") { "dataActions" } else { "actions" };
        let mut permission = json!({ "actions": ["*"], "dataActions": ["*"] });
        permission[format!("not{}{}", kind[..1].to_uppercase(), &kind[1..])] = json!([action]);
        let definition = RoleDefinition {
            id: format!("12345678-0000-0000-0000-{number:012}"),
            name: format!("all but {number}"),
            body: json!({ "permissions": [permission] }),
            revision: 0,
            created: Timestamp::now(),
            changed: Timestamp::now(),
        };
        let scope = format!("/subscriptions/{SUBSCRIPTION}");
        let row = roles::assignment(&scope, "p-bare", roles::SERVICE_PRINCIPAL, &definition.id);
        let writes = vec![Write::PutRole(definition), Write::InsertAssignment(row.clone())];
        service.app.store().commit(writes).await.unwrap();

        let found = lacks(&service, &template).await;
        let of_it = |message: &str| message.contains(&format!("action '{action}'"));
        assert!(!found.is_empty(), "{action}");
        assert!(found.iter().all(|(_, message)| of_it(message)), "{action}: {found:#?}");

        let row = service.app.store().assignment(&row.key()).await.unwrap().unwrap();
        let writes = vec![Write::RemoveAssignment(row.key(), row.revision)];
        service.app.store().commit(writes).await.unwrap();
    }
}

#[tokio::test]
async fn template_with_the_catalogue_and_a_vhd_of_the_service_needs_nothing() {
    let service = with_account().await;
    let mut template = small();
    template["identity"] = identities("bare");
    template["properties"]["distribute"] = json!([{ "type": "VHD", "runOutputName": "disk" }]);
    assert_eq!(lacks(&service, &template).await, []);
}

#[tokio::test]
async fn creation_fails_in_azures_words_if_the_identity_lacks_a_right() {
    let service = with_account().await;
    let mut template = small();
    template["identity"] = identities("bare");
    let body = service.created("2024-02-01", "t", &template).await;
    let properties = &body["properties"];
    assert_eq!(properties["provisioningState"], "Failed");
    let error = &properties["provisioningError"];
    let message = error["message"].as_str().unwrap();
    let wanted = format!(
        "The client 'c-bare' with object id 'p-bare' does not have authorization to perform action 'Microsoft.Compute/images/read' over scope '{}'",
        group_id("").to_lowercase()
    );
    assert!(message.contains(&wanted), "{wanted} in {message}");
    assert!(message.contains(&identity("bare")), "{message}");
}

#[tokio::test]
async fn change_to_an_identity_without_rights_is_refused() {
    let service = with_account().await;
    service.created("2024-02-01", "t", &small()).await;
    let change = json!({ "identity": { "type": "UserAssigned", "userAssignedIdentities": {
        identity("ide1"): null, identity("bare"): {},
    } } });
    let error = service.patch("2024-02-01", "t", change).await.unwrap_err();
    assert_eq!((error.status, error.code.as_str()), (StatusCode::FORBIDDEN, "AuthorizationFailed"));
    assert!(error.message.contains("'p-bare'"), "{}", error.message);
    let body = service.get("2024-02-01", "t").await;
    assert_eq!(body["properties"]["provisioningState"], "Succeeded");
}

#[tokio::test]
async fn script_in_an_account_of_the_service_is_read_with_the_identitys_right() {
    let service = with_account().await;
    service.app.set_base_url("https://localhost:8443".into());
    let mut first = small();
    let script = json!([{ "type": "Shell", "name": "s", "scriptUri": web("echo hello\n").await }]);
    first["properties"]["customize"] = script;
    service.created("2024-02-01", "first", &first).await;
    let row = service.row(&key(&call(Method::Get, "first", "2024-02-01", ""))).await.unwrap();
    let account = row.hidden["stagingAccount"].as_str().unwrap();

    let mut second = small();
    second["identity"] = identities("bare");
    second["properties"]["distribute"] = json!([{ "type": "VHD", "runOutputName": "disk" }]);
    let uri = format!("https://localhost:8443/storage/{account}/shell/customize/0/script.sh");
    second["properties"]["customize"] = json!([{ "type": "Shell", "scriptUri": uri }]);
    let body = service.created("2024-02-01", "second", &second).await;
    let message = body["properties"]["provisioningError"]["message"].as_str().unwrap();
    assert!(message.contains("containers/blobs/read' over scope '"), "{message}");
    assert!(message.contains("(at 'properties.customize[0].scriptUri')"), "{message}");

    let scope = format!("/subscriptions/{SUBSCRIPTION}");
    service.assign("bare", roles::BLOB_READER, &scope).await;
    let body = service.created("2024-02-01", "third", &second).await;
    assert_eq!(body["properties"]["provisioningState"], "Succeeded", "{body}");
    let sum = "5dbad7dd0b9b122dcd9956884390f4aac4738caba8ff53498a7ab6718b176c30";
    assert_eq!(body["properties"]["customize"][0]["sha256Checksum"], sum);
}

/// A caller with every right but these actions.
fn all_but(actions: &[&str]) -> Rights {
    let parse = |text: &&str| Pattern::parse(text).unwrap();
    let permission = Permission {
        actions: vec![parse(&"*")],
        not_actions: actions.iter().map(parse).collect(),
        ..Permission::default()
    };
    let role = Role { id: "r".into(), name: "r".into(), permissions: vec![permission] };
    let grant = Grant { assignment: "a".into(), role: Arc::new(role), condition: None };
    let principal = Principal { client_id: "c".into(), object_id: "o".into() };
    Rights::new(principal, vec![(Scope::root(), grant)], Arc::new(Locks::default()))
}

#[tokio::test]
async fn caller_needs_the_rights_at_what_a_template_names() {
    let service = with_account().await;
    for action in [
        "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action",
        "Microsoft.Network/virtualNetworks/subnets/join/action",
        "Microsoft.Compute/galleries/images/versions/read",
        "Microsoft.Resources/subscriptions/resourceGroups/write",
    ] {
        let request = request(Method::Put, "t", "2024-02-01", &demanding().to_string());
        let rights = Arc::new(all_but(&[action]));
        let call = Call::admit(request, rights, &Rule::SignedIn).map_err(|_: Denial| ()).unwrap();
        for error in [
            service.put(&call).await.unwrap_err(),
            ImageTemplates.preflight(&service.app, &call).await.unwrap_err(),
        ] {
            assert_eq!(
                (error.status, error.code.as_str()),
                (StatusCode::FORBIDDEN, "LinkedAuthorizationFailed"),
                "{action}: {error:?}"
            );
            let of = "has permission to perform action 'Microsoft.VirtualMachineImages/imageTemplates/write' on scope '";
            assert!(error.message.contains(of), "{}", error.message);
            assert!(error.message.contains(action), "{}", error.message);
        }
    }
}

#[tokio::test]
async fn lock_against_deletion_does_not_stop_an_identity() {
    let service = with_account().await;
    let scope = group_id("");
    let lock = |level: &str, revision| {
        Write::PutLock(db::LockRow {
            id: db::LockRow::id_at(&scope, "keep"),
            name: "keep".to_owned(),
            scope: scope.to_lowercase(),
            level: level.to_owned(),
            body: json!({}),
            revision,
        })
    };
    service.app.store().commit(vec![lock("CanNotDelete", 0)]).await.unwrap();
    assert_eq!(lacks(&service, &small()).await, []);
    service.app.store().commit(vec![lock("ReadOnly", 1)]).await.unwrap();
    let found = lacks(&service, &small()).await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].1.contains("locked"), "{found:?}");
}

#[tokio::test]
async fn account_of_another_subscription_does_not_stand_in_for_one_of_azure() {
    let service = with_account().await;
    let account = "/subscriptions/99999999-0000-0000-0000-000000000009/resourceGroups/theirs/providers/Microsoft.Storage/storageAccounts/public";
    service.insert(account, "microsoft.storage/storageaccounts", json!({})).await;
    let mut template = small();
    template["identity"] = identities("bare");
    let before = lacks(&service, &template).await;
    template["properties"]["customize"] = json!([{
        "type": "Shell", "scriptUri": "https://public.blob.core.windows.net/scripts/one.sh",
    }]);
    assert_eq!(lacks(&service, &template).await, before);
}

#[tokio::test]
async fn refusal_does_not_tell_the_id_of_an_account_of_another_subscription() {
    let service = with_account().await;
    let account = "/subscriptions/99999999-0000-0000-0000-000000000009/resourceGroups/theirs/providers/Microsoft.Storage/storageAccounts/public";
    service.insert(account, "microsoft.storage/storageaccounts", json!({})).await;
    let base = "https://localhost:8443";
    service.app.set_base_url(base.into());
    let mut template = small();
    template["identity"] = identities("bare");
    template["properties"]["customize"] =
        json!([{ "type": "Shell", "scriptUri": format!("{base}/storage/public/scripts/one.sh") }]);
    let found = lacks(&service, &template).await;
    let (field, message) = found.last().unwrap();
    assert_eq!(field, "properties.customize[0].scriptUri");
    assert!(message.starts_with("The storage account 'public' does not exist, or"), "{message}");
    assert!(!format!("{found:?}").contains("theirs"), "{found:?}");
}
