//! Granting and revoking roles on the database, so that nobody can lock themselves out.

use api::ErrorCode;
use authorization::{Scope, built_in};
use db::{AssignmentSelect, Reach, RoleAssignment, Store, Write};
use images::error::{Error, Result};

use super::{OWNER, SERVICE_PRINCIPAL, assignment, directory::Directory, failed, role_name};

/// The size of a page of assignments.
const PAGE: u32 = 500;

/// An assignment with the names of its role and its principal.
#[derive(Debug, Clone, PartialEq)]
pub struct Granted {
    /// The assignment.
    pub row: RoleAssignment,
    /// The name of the role.
    pub role: String,
    /// The name of the principal; its object id if there is no such principal any more.
    pub principal: String,
}

/// Gives a principal a role at a scope. What is there already stays as it is.
///
/// # Errors
/// There is no such principal or role, the scope is not one, or the database fails.
pub async fn grant(store: &Store, who: &str, role: &str, scope: &str) -> Result<Granted> {
    let directory = Directory::read(store).await?;
    let principal = directory.find(who)?;
    let role = role_id(store, role).await?;
    let scope = checked_scope(store, scope).await?;
    let existing = granted(store, Some(who), Some((&scope, Reach::At))).await?;
    if let Some(existing) = existing.into_iter().find(|one| one.row.role == role) {
        return Ok(existing);
    }
    let row = assignment(&scope, &principal.object_id, SERVICE_PRINCIPAL, &role);
    store.commit(vec![Write::InsertAssignment(row.clone())]).await.map_err(failed)?;
    Ok(Granted { role: role_name(store, &role).await?, principal: principal.name.clone(), row })
}

/// Whether there are such a role and such a scope.
///
/// # Errors
/// There is no such role, the scope is not one, or the database fails.
pub async fn check(store: &Store, role: &str, scope: &str) -> Result<()> {
    role_id(store, role).await?;
    checked_scope(store, scope).await.map(drop)
}

/// Takes a role at a scope from a principal. The last Owner of everything stays, unless forced: without one, only this
/// command can give roles above subscriptions.
///
/// # Errors
/// There is no such principal, role or assignment; it is the last Owner; the database fails.
pub async fn revoke(
    store: &Store,
    who: &str,
    role: &str,
    scope: &str,
    force: bool,
) -> Result<Granted> {
    let directory = Directory::read(store).await?;
    let principal = directory.find(who)?;
    let role = role_id(store, role).await?;
    let scope = checked_scope(store, scope).await?;
    let at = granted(store, None, Some((&scope, Reach::At))).await?;
    let same_role: Vec<Granted> = at.into_iter().filter(|one| one.row.role == role).collect();
    let is_last = same_role.len() == 1 && role == OWNER && scope.is_empty();
    let found = same_role.into_iter().find(|one| one.row.principal == principal.object_id);
    let found = found.ok_or_else(|| {
        Error::new(
            ErrorCode::NotFound,
            format!("{} has no such role at {}", principal.name, shown(&scope)),
        )
        .hint("goldsmith admin role list shows what principals have")
    })?;
    if is_last && !force {
        return Err(Error::new(
            ErrorCode::Conflict,
            format!("{} is the last Owner of everything", principal.name),
        )
        .hint("grant Owner at / to another principal first, or use --force"));
    }
    let remove = Write::RemoveAssignment(found.row.key(), found.row.revision);
    store.commit(vec![remove]).await.map_err(failed)?;
    Ok(found)
}

/// The assignments of a principal, or all, in a relation to a scope, or anywhere. By scope.
///
/// # Errors
/// There is no such principal; the database fails.
pub async fn granted(
    store: &Store,
    of: Option<&str>,
    at: Option<(&str, Reach)>,
) -> Result<Vec<Granted>> {
    let directory = Directory::read(store).await?;
    let principal = of.map(|who| directory.find(who)).transpose()?;
    let (scope, reach) = at.unwrap_or(("", Reach::Anywhere));
    let mut select = AssignmentSelect {
        scope: scope.to_owned(),
        reach,
        principal: principal.map(|named| named.object_id.clone()),
        after: None,
        limit: PAGE,
    };
    let mut all = Vec::new();
    loop {
        let page = store.assignments(&select).await.map_err(failed)?;
        for row in page.assignments {
            let role = role_name(store, &row.role).await?;
            let known = directory.of_object(&row.principal);
            let principal = known.map_or(&row.principal, |named| &named.name).clone();
            all.push(Granted { row, role, principal });
        }
        if page.next.is_none() {
            return Ok(all);
        }
        select.after = page.next;
    }
}

/// The GUID of a role by its name or any of its ids.
async fn role_id(store: &Store, role: &str) -> Result<String> {
    let id = role.rsplit('/').next().unwrap_or_default().to_lowercase();
    if let Some(found) = built_in::role(&id).or_else(|| built_in::named(role)) {
        return Ok(found.id.to_owned());
    }
    let custom = store.role_definitions().await.map_err(failed)?;
    let found = custom.into_iter().find(|one| one.id == id || one.name.eq_ignore_ascii_case(role));
    found.map(|one| one.id).ok_or_else(|| {
        Error::new(ErrorCode::NotFound, format!("there is no role {role:?}"))
            .hint("for example Owner, Contributor or Reader")
    })
}

/// A scope in the spelling of the table.
async fn checked_scope(store: &Store, scope: &str) -> Result<String> {
    let key = Scope::parse(scope).as_str().to_owned();
    let invalid = |why: &str| {
        Error::new(ErrorCode::InvalidArgument, format!("{scope:?} is not a scope: {why}"))
            .target("--scope")
            .hint(
                "use / for everything, or the id of a subscription, a resource group or a resource",
            )
    };
    match key.split('/').skip(1).collect::<Vec<_>>().as_slice() {
        _ if !scope.starts_with('/') => Err(invalid("it does not begin with /")),
        [] => Ok(key),
        ["subscriptions", id, ..] => {
            let known = store.subscription(id).await.map_err(failed)?;
            known.map(|_| key.clone()).ok_or_else(|| invalid("there is no such subscription"))
        }
        _ => Err(invalid("it is in no subscription")),
    }
}

fn shown(scope: &str) -> &str {
    if scope.is_empty() { "/" } else { scope }
}
