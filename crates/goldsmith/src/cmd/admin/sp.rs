//! `goldsmith admin sp`: service principals and their credentials.

use std::{path::Path, time::Duration};

use api::ErrorCode;
use db::{Client, Credential};
use images::{
    error::{Coded, Error},
    layout::Layout,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use server::{
    certificate,
    credentials::{self, Valid},
    federated,
    principal::{self, Credentials},
    roles,
};

use super::{super::Result, open, seconds};
use crate::{
    cli::{Certificate, Federated, Secret, ServicePrincipal},
    output::{Output, Table},
};

pub(super) async fn run(command: &ServicePrincipal, layout: &Layout, output: &Output) -> Result {
    match command {
        ServicePrincipal::Create { name, role, scope, expires, database } => {
            let store = open(layout, database).await?;
            // Before the principal, so that a mistake in the role leaves none behind.
            if let Some(role) = role {
                roles::check(&store, role, scope).await?;
            }
            let made =
                principal::create_with(&store, name, until(*expires)?, |_| Vec::new()).await?;
            if let Some(role) = role {
                roles::grant(&store, &made.client.client_id, role, scope).await?;
            }
            created(&made, output);
        }
        ServicePrincipal::List { database } => {
            let store = open(layout, database).await?;
            list(&principal::list(&store).await?, output);
        }
        ServicePrincipal::Rotate { id, overlap, database } => {
            let store = open(layout, database).await?;
            created(&principal::rotate(&store, id, *overlap).await?, output);
        }
        ServicePrincipal::Revoke { id, database } => {
            let store = open(layout, database).await?;
            let client = principal::revoke(&store, id).await?;
            output.result("servicePrincipal", &value(&client), || {
                format!("revoked {} ({})", client.client_id, client.name)
            });
        }
        ServicePrincipal::Secret(command) => secret(command, layout, output).await?,
        ServicePrincipal::Certificate(Certificate::Add { id, file, name, database }) => {
            let store = open(layout, database).await?;
            let added = certificate::add(&store, id, name, &read(file)?).await?;
            added_credential(&added, output);
        }
        ServicePrincipal::Federated(Federated::Add {
            id,
            issuer,
            subject,
            audience,
            name,
            database,
        }) => {
            let store = open(layout, database).await?;
            let added = federated::add(&store, id, name, issuer, subject, audience).await?;
            added_credential(&added, output);
        }
    }
    Ok(0)
}

async fn secret(command: &Secret, layout: &Layout, output: &Output) -> Result<()> {
    match command {
        Secret::Add { id, name, expires, database } => {
            let store = open(layout, database).await?;
            let added = credentials::add_secret(&store, id, name, until(*expires)?).await?;
            let (credential, text) = added;
            let mut object = shown(&credential);
            object["clientSecret"] = json!(text);
            output.result("credential", &object, || {
                format!(
                    "credential id {}\nclient secret {text}\n\nThe secret is shown only once.",
                    credential.id
                )
            });
        }
        Secret::List { id, database } => {
            let store = open(layout, database).await?;
            list_credentials(&credentials::list(&store, id).await?, output);
        }
        Secret::Remove { id, credential, database } => {
            let store = open(layout, database).await?;
            let removed = credentials::remove(&store, id, credential).await?;
            output.result("credential", &shown(&removed), || format!("removed {}", removed.id));
        }
    }
    Ok(())
}

/// The content of a file that the user named.
pub(super) fn read(file: &Path) -> Result<Vec<u8>, Error> {
    vm::may_wait(|| std::fs::read(file))
        .code(ErrorCode::InvalidArgument, || format!("cannot read {}", file.display()))
}

fn until(expires: Option<Duration>) -> Result<Valid, Error> {
    let Some(expires) = expires else { return Ok(Valid::default()) };
    let end = SignedDuration::try_from(expires)
        .ok()
        .and_then(|expires| Timestamp::now().checked_add(expires).ok());
    let end = end.ok_or_else(|| {
        Error::new(ErrorCode::InvalidArgument, "the time is too long").target("--expires")
    })?;
    Ok(Valid { starts: None, expires: Some(end) })
}

fn created(credentials: &Credentials, output: &Output) {
    let Credentials { client, secret } = credentials;
    let mut object = value(client);
    object["clientSecret"] = json!(secret);
    output.result("servicePrincipal", &object, || {
        format!(
            "name          {}\nclient id     {}\nclient secret {secret}\n\n\
             The secret is shown only once.",
            client.name, client.client_id
        )
    });
}

fn added_credential(credential: &Credential, output: &Output) {
    output.result("credential", &shown(credential), || {
        format!("credential id {}\n{}", credential.id, subject(credential))
    });
}

fn list(clients: &[Client], output: &Output) {
    let mut table = Table::new(&["name", "client id", "object id", "secret of", "revoked"]);
    for client in clients {
        table.row([
            client.name.clone(),
            client.client_id.clone(),
            client.object_id.clone(),
            seconds(client.rotated),
            client.revoked.map(seconds).unwrap_or_default(),
        ]);
    }
    let values: Vec<Value> = clients.iter().map(value).collect();
    output.result("servicePrincipals", &json!({ "servicePrincipals": values }), || {
        table.or("no service principals; goldsmith serve creates the first")
    });
}

fn list_credentials(all: &[Credential], output: &Output) {
    let mut table = Table::new(&["id", "kind", "name", "of", "from", "until"]);
    for one in all {
        table.row([
            one.id.clone(),
            format!("{:?}", one.kind).to_lowercase(),
            one.name.clone(),
            subject(one),
            seconds(one.starts),
            one.expires.map(seconds).unwrap_or_default(),
        ]);
    }
    let values: Vec<Value> = all.iter().map(shown).collect();
    output.result("credentials", &json!({ "credentials": values }), || {
        table.or("no credentials; goldsmith admin sp secret add ID adds one")
    });
}

fn subject(credential: &Credential) -> String {
    let text = |field: &str| credential.data[field].as_str().unwrap_or_default().to_owned();
    match text("issuer") {
        issuer if issuer.is_empty() => text("subject"),
        issuer => format!("{} of {issuer}", text("subject")),
    }
}

fn value(client: &Client) -> Value {
    json!({
        "name": client.name,
        "clientId": client.client_id,
        "objectId": client.object_id,
        "created": client.created,
        "rotated": client.rotated,
        "revoked": client.revoked,
    })
}

/// Without the hash of a secret.
fn shown(credential: &Credential) -> Value {
    let data = |field: &str| credential.data[field].clone();
    json!({
        "id": credential.id,
        "clientId": credential.owner,
        "type": credential.kind,
        "name": credential.name,
        "starts": credential.starts,
        "expires": credential.expires,
        "created": credential.created,
        "issuer": data("issuer"),
        "subject": data("subject"),
        "audience": data("audience"),
        "thumbprint": data("sha256"),
    })
}
