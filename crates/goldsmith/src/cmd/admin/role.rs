//! `goldsmith admin role`: roles through the database, so that nobody can lock themselves out.

use images::layout::Layout;
use serde_json::{Value, json};
use server::roles::{self, Granted};

use super::{super::Result, open};
use crate::{
    cli::{GivenRole, Role},
    output::{Output, Table},
};

pub(super) async fn run(command: &Role, layout: &Layout, output: &Output) -> Result {
    match command {
        Role::Grant { given, database } => {
            let store = open(layout, database).await?;
            let GivenRole { principal, role, scope } = given;
            let granted = roles::grant(&store, principal, role, scope).await?;
            output.result("roleAssignment", &value(&granted), || {
                format!("{} is {} of {}", granted.principal, granted.role, scope_of(&granted))
            });
        }
        Role::List { principal, database } => {
            let store = open(layout, database).await?;
            list(&roles::granted(&store, principal.as_deref(), None).await?, output);
        }
        Role::Revoke { given, force, database } => {
            let store = open(layout, database).await?;
            let GivenRole { principal, role, scope } = given;
            let revoked = roles::revoke(&store, principal, role, scope, *force).await?;
            output.result("roleAssignment", &value(&revoked), || {
                let Granted { principal, role, .. } = &revoked;
                format!("{principal} is no longer {role} of {}", scope_of(&revoked))
            });
        }
    }
    Ok(0)
}

fn list(granted: &[Granted], output: &Output) {
    let mut table = Table::new(&["principal", "role", "scope"]);
    for one in granted {
        table.row([one.principal.clone(), one.role.clone(), scope_of(one).to_owned()]);
    }
    let values: Vec<Value> = granted.iter().map(value).collect();
    output.result("roleAssignments", &json!({ "roleAssignments": values }), || {
        table.or("no role assignments; goldsmith admin role grant NAME Owner gives the first")
    });
}

fn scope_of(granted: &Granted) -> &str {
    let scope = granted.row.scope.as_str();
    if scope.is_empty() { "/" } else { scope }
}

fn value(granted: &Granted) -> Value {
    json!({
        "id": granted.row.id,
        "principal": granted.principal,
        "principalId": granted.row.principal,
        "role": granted.role,
        "roleId": granted.row.role,
        "scope": scope_of(granted),
    })
}
