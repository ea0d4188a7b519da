//! Principals as Graph shows them.

use access::principals::{Kind, Principal};
use authorization::{Need, Scope};
use db::{Credential, CredentialKind};
use serde_json::{Value, json};
use service::auth::ManagedIdentity;

use super::Directory;

/// A service principal; the kind of principal that roles are assigned to.
pub(super) fn principal(
    directory: &Directory<'_>,
    one: &Principal,
    credentials: &[Credential],
) -> Value {
    let (kind, names) = match &one.kind {
        Kind::Application => ("Application", json!([])),
        // The id of a resource is for those who may read it.
        Kind::ManagedIdentity(id) if may_read(directory, id) => {
            ("ManagedIdentity", json!(["isExplicit=True", id]))
        }
        Kind::ManagedIdentity(_) => ("ManagedIdentity", json!(["isExplicit=True"])),
    };
    json!({
        "@odata.type": "#microsoft.graph.servicePrincipal",
        "id": one.object_id,
        "appId": one.client_id,
        "displayName": one.name,
        "appDisplayName": one.name,
        "appOwnerOrganizationId": directory.site.auth.tenant(),
        "accountEnabled": true,
        "servicePrincipalType": kind,
        "servicePrincipalNames": [one.client_id],
        "alternativeNames": names,
        "createdDateTime": one.created.to_string(),
        "passwordCredentials": passwords(credentials),
        "keyCredentials": keys(credentials),
    })
}

fn may_read(directory: &Directory<'_>, id: &str) -> bool {
    let need = Need::new(arm::read_of(ManagedIdentity::KIND), Scope::parse(id));
    directory.rights.check(&need).is_ok()
}

/// An application. Its object id is its client id.
pub(super) fn application(
    _directory: &Directory<'_>,
    one: &Principal,
    credentials: &[Credential],
) -> Value {
    json!({
        "@odata.type": "#microsoft.graph.application",
        "id": one.client_id,
        "appId": one.client_id,
        "displayName": one.name,
        "identifierUris": [],
        "signInAudience": "AzureADMyOrg",
        "createdDateTime": one.created.to_string(),
        "passwordCredentials": passwords(credentials),
        "keyCredentials": keys(credentials),
    })
}

fn passwords(credentials: &[Credential]) -> Vec<Value> {
    credentials.iter().filter(|one| one.kind == CredentialKind::Secret).map(password).collect()
}

/// A secret without its text.
pub(super) fn password(one: &Credential) -> Value {
    json!({
        "keyId": one.id,
        "displayName": one.name,
        "startDateTime": one.starts.to_string(),
        "endDateTime": one.expires.map(|expires| expires.to_string()),
        "customKeyIdentifier": null,
        "hint": null,
        "secretText": null,
    })
}

fn keys(credentials: &[Credential]) -> Vec<Value> {
    let certificates = credentials.iter().filter(|one| one.kind == CredentialKind::Certificate);
    certificates
        .map(|one| {
            json!({
                "keyId": one.id,
                "displayName": one.name,
                "type": "AsymmetricX509Cert",
                "usage": "Verify",
                "startDateTime": one.starts.to_string(),
                "endDateTime": one.expires.map(|expires| expires.to_string()),
                "customKeyIdentifier": null,
                "key": null,
            })
        })
        .collect()
}
