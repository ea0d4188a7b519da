//! Custom roles and role assignments.

use sqlx::{
    Any, Row as _,
    any::{AnyArguments, AnyRow},
    query::Query,
};

use crate::{
    Error, Store,
    model::{AssignmentPage, AssignmentSelect, Reach, ResourceKey, RoleAssignment, RoleDefinition},
    row::{below, json, lower, nanoseconds, parse, scope, text, time},
    statement::one,
    writer::Tx,
};

/// In the key of an assignment, between its scope and its name.
const ASSIGNMENTS: &str = "/providers/microsoft.authorization/roleassignments/";

macro_rules! assignments {
    ($rest:literal) => {
        concat!(
            "SELECT id, name, scope, principal, principal_type, role, body, revision, created \
             FROM role_assignments WHERE ",
            $rest
        )
    };
}

macro_rules! definitions {
    ($rest:literal) => {
        concat!("SELECT id, name, body, revision, created, changed FROM role_definitions ", $rest)
    };
}

pub(super) const DEFINITIONS: &str = definitions!("ORDER BY name_key");
pub(super) const OF_PRINCIPAL: &str = assignments!("principal = $1 ORDER BY scope, key");
pub(super) const OF_ROLE: &str = assignments!("role = $1 LIMIT $2");
// Between two places in the order by scope and key; at one scope, both places have that scope.
pub(super) const AT: &str = assignments!("scope = $1 AND key > $2 ORDER BY scope, key LIMIT $3");
pub(super) const AT_OF: &str =
    assignments!("scope = $1 AND key > $2 AND principal = $4 ORDER BY scope, key LIMIT $3");
pub(super) const BELOW: &str =
    assignments!("scope < $1 AND (scope, key) > ($4, $2) ORDER BY scope, key LIMIT $3");
pub(super) const BELOW_OF: &str = assignments!(
    "principal = $5 AND scope < $1 AND (scope, key) > ($4, $2) ORDER BY scope, key LIMIT $3"
);
pub(super) const COUNT_AT: &str = "SELECT COUNT(*) FROM role_assignments WHERE scope = $1";
pub(super) const COUNT_BELOW: &str =
    "SELECT COUNT(*) FROM role_assignments WHERE scope > $1 AND scope < $2";

/// A part of a page's order: the assignments at a scope, or below one.
enum Part {
    At(String),
    Below(ResourceKey),
}

impl Store {
    /// One custom role.
    pub async fn role_definition(&self, id: &str) -> Result<Option<RoleDefinition>, Error> {
        let row = sqlx::query(definitions!("WHERE id = $1"))
            .bind(lower(id))
            .fetch_optional(&self.pools.reader)
            .await?;
        Ok(row.as_ref().map(definition).transpose()?)
    }

    /// All custom roles, by name.
    pub async fn role_definitions(&self) -> Result<Vec<RoleDefinition>, Error> {
        let rows = sqlx::query(DEFINITIONS).fetch_all(&self.pools.reader).await?;
        Ok(rows.iter().map(definition).collect::<Result<_, _>>()?)
    }

    /// One role assignment.
    pub async fn assignment(&self, key: &ResourceKey) -> Result<Option<RoleAssignment>, Error> {
        let row = sqlx::query(assignments!("key = $1"))
            .bind(text(key.as_str()))
            .fetch_optional(&self.pools.reader)
            .await?;
        Ok(row.as_ref().map(assignment).transpose()?)
    }

    /// All role assignments of a principal, by scope.
    pub async fn assignments_of(&self, principal: &str) -> Result<Vec<RoleAssignment>, Error> {
        let query = sqlx::query(OF_PRINCIPAL).bind(lower(principal));
        let rows = query.fetch_all(&self.pools.reader).await?;
        Ok(rows.iter().map(assignment).collect::<Result<_, _>>()?)
    }

    /// Assignments of a role, in no particular order.
    pub async fn assignments_of_role(
        &self,
        role: &str,
        limit: u32,
    ) -> Result<Vec<RoleAssignment>, Error> {
        let query = sqlx::query(OF_ROLE).bind(lower(role)).bind(i64::from(limit));
        let rows = query.fetch_all(&self.pools.reader).await?;
        Ok(rows.iter().map(assignment).collect::<Result<_, _>>()?)
    }

    /// A page of role assignments. A limit of 0 counts as 1, so that following `next` always ends.
    pub async fn assignments(&self, select: &AssignmentSelect) -> Result<AssignmentPage, Error> {
        let limit = usize::try_from(select.limit.max(1)).unwrap_or(usize::MAX);
        let after = select.after.as_ref().map(place);
        let mut assignments = Vec::new();
        for part in parts(select) {
            // One more than the page shows whether there is another.
            let missing = limit.saturating_add(1) - assignments.len();
            if missing == 0 {
                break;
            }
            let rows = self.part(select, part, after.as_ref(), missing).await?;
            assignments.extend(rows);
        }
        let mut next = None;
        if assignments.len() > limit {
            assignments.truncate(limit);
            next = assignments.last().map(RoleAssignment::key);
        }
        Ok(AssignmentPage { assignments, next })
    }

    async fn part(
        &self,
        select: &AssignmentSelect,
        part: Part,
        after: Option<&(String, String)>,
        limit: usize,
    ) -> Result<Vec<RoleAssignment>, Error> {
        let principal = select.principal.as_deref().map(lower);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let query = match part {
            Part::At(scope) => {
                let key = match after {
                    Some((done, _)) if *done > scope => return Ok(Vec::new()),
                    Some((done, key)) if *done == scope => key.clone(),
                    Some(_) | None => String::new(),
                };
                let query = sqlx::query(if principal.is_some() { AT_OF } else { AT });
                query.bind(scope).bind(key).bind(limit)
            }
            Part::Below(top) => {
                let (first, end) = below(&top);
                let (scope, key) = (first, String::new()).max(after.cloned().unwrap_or_default());
                let query = sqlx::query(if principal.is_some() { BELOW_OF } else { BELOW });
                query.bind(end).bind(key).bind(limit).bind(scope)
            }
        };
        let query = match principal {
            Some(principal) => query.bind(principal),
            None => query,
        };
        let rows = query.fetch_all(&self.pools.reader).await?;
        Ok(rows.iter().map(assignment).collect::<Result<_, _>>()?)
    }

    /// The number of role assignments at a scope and below it.
    pub async fn count_assignments(&self, at: &str) -> Result<i64, Error> {
        let at = scope(at);
        let (after, before) = below(&ResourceKey::of(&at));
        let here: i64 = sqlx::query_scalar(COUNT_AT).bind(at).fetch_one(&self.pools.reader).await?;
        let query = sqlx::query_scalar::<_, i64>(COUNT_BELOW).bind(after).bind(before);
        Ok(here + query.fetch_one(&self.pools.reader).await?)
    }
}

/// In the order of the page: scopes above come first, because they are prefixes.
fn parts(select: &AssignmentSelect) -> Vec<Part> {
    let at = scope(&select.scope);
    let (is_above, is_below) = match select.reach {
        Reach::At => (false, false),
        Reach::AtAndAbove => (true, false),
        Reach::AtAndBelow => (false, true),
        Reach::Anywhere => (true, true),
    };
    let ends = at.match_indices('/').map(|(end, _)| end).filter(|_| is_above);
    let mut parts: Vec<Part> = ends.map(|end| Part::At(at[..end].to_owned())).collect();
    parts.push(Part::At(at.clone()));
    if is_below {
        parts.push(Part::Below(ResourceKey::of(&at)));
    }
    parts
}

/// The place of an assignment in the order by scope and key.
fn place(key: &ResourceKey) -> (String, String) {
    let key = text(key.as_str());
    let scope = key.rsplit_once(ASSIGNMENTS).map_or("", |(scope, _)| scope);
    (scope.to_owned(), key)
}

fn definition(row: &AnyRow) -> Result<RoleDefinition, sqlx::Error> {
    Ok(RoleDefinition {
        id: row.try_get("id")?,
        name: row.try_get("name")?,
        body: parse(row.try_get("body")?)?,
        revision: row.try_get("revision")?,
        created: time(row.try_get("created")?)?,
        changed: time(row.try_get("changed")?)?,
    })
}

fn assignment(row: &AnyRow) -> Result<RoleAssignment, sqlx::Error> {
    Ok(RoleAssignment {
        id: row.try_get("id")?,
        name: row.try_get("name")?,
        scope: row.try_get("scope")?,
        principal: row.try_get("principal")?,
        principal_type: row.try_get("principal_type")?,
        role: row.try_get("role")?,
        body: parse(row.try_get("body")?)?,
        revision: row.try_get("revision")?,
        created: time(row.try_get("created")?)?,
    })
}

/// Adds a role before its first write, and replaces it afterwards.
pub(super) async fn put_definition(tx: &mut Tx, role: &RoleDefinition) -> Result<(), Error> {
    let query = sqlx::query(match role.revision {
        0 => {
            "INSERT INTO role_definitions (id, name, name_key, body, revision, created, changed) \
             VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING"
        }
        _ => {
            "UPDATE role_definitions SET name = $2, name_key = $3, body = $4, revision = $5, \
             created = $6, changed = $7 WHERE id = $1 AND revision = $8"
        }
    })
    .bind(lower(&role.id))
    .bind(text(&role.name))
    .bind(lower(&role.name))
    .bind(json(&role.body))
    .bind(role.revision.saturating_add(1))
    .bind(nanoseconds(role.created))
    .bind(nanoseconds(role.changed));
    let query = match role.revision {
        0 => query,
        revision => query.bind(revision),
    };
    one(tx, query, &role.id).await
}

/// Removes a role that nobody has.
pub(super) async fn remove_definition(tx: &mut Tx, id: &str, revision: i64) -> Result<(), Error> {
    let query = sqlx::query(
        "DELETE FROM role_definitions WHERE id = $1 AND revision = $2 \
         AND NOT EXISTS (SELECT 1 FROM role_assignments WHERE role = $3)",
    )
    .bind(lower(id))
    .bind(revision)
    .bind(lower(id));
    one(tx, query, id).await
}

pub(super) async fn insert(tx: &mut Tx, assignment: &RoleAssignment) -> Result<(), Error> {
    let key = assignment.key();
    let query = sqlx::query(
        "INSERT INTO role_assignments (key, revision, principal_type, body, id, name, scope, \
         principal, role, created) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
         ON CONFLICT DO NOTHING",
    );
    let query = bind(query, &key, assignment)
        .bind(text(&assignment.id))
        .bind(text(&assignment.name))
        .bind(scope(&assignment.scope))
        .bind(lower(&assignment.principal))
        .bind(lower(&assignment.role))
        .bind(nanoseconds(assignment.created));
    one(tx, query, key.as_str()).await
}

pub(super) async fn replace(tx: &mut Tx, assignment: &RoleAssignment) -> Result<(), Error> {
    let key = assignment.key();
    let query = sqlx::query(
        "UPDATE role_assignments SET revision = $2, principal_type = $3, body = $4 \
         WHERE key = $1 AND revision = $5",
    );
    let query = bind(query, &key, assignment).bind(assignment.revision);
    one(tx, query, key.as_str()).await
}

fn bind<'q>(
    query: Query<'q, Any, AnyArguments>,
    key: &ResourceKey,
    assignment: &RoleAssignment,
) -> Query<'q, Any, AnyArguments> {
    query
        .bind(text(key.as_str()))
        .bind(assignment.revision.saturating_add(1))
        .bind(text(&assignment.principal_type))
        .bind(json(&assignment.body))
}

pub(super) async fn remove(tx: &mut Tx, key: &ResourceKey, revision: i64) -> Result<(), Error> {
    let query = sqlx::query("DELETE FROM role_assignments WHERE key = $1 AND revision = $2")
        .bind(text(key.as_str()))
        .bind(revision);
    one(tx, query, key.as_str()).await
}
