//! Lists of role assignments, in pages.

use arm::{ApiError, Call, Extension, Position, Reply, page_of};
use authorization::Scope;
use db::{AssignmentSelect, Reach, ResourceKey, RoleAssignment};
use service::App;

use super::view;
use crate::{ASSIGNMENTS, filter::Scoped, place::Readable};

/// Those at the scope, above it and below it; with `atScope()` not those below.
pub(super) async fn list(app: &App, call: &Call, at: &Extension) -> Result<Reply, ApiError> {
    let Position { after, size } = Position::of(call)?;
    let mut select = select(call, at)?;
    select.after = after.map(|key| ResourceKey::of(&key));
    let readable = Readable::by(call, ASSIGNMENTS.read, at);
    let mut found: Vec<RoleAssignment> = Vec::new();
    loop {
        let page = app.store().assignments(&select).await?;
        for row in page.assignments {
            if !readable.has(&Scope::parse(&row.scope)) {
                continue;
            }
            if found.len() == size {
                let next = found.last().map(|last| last.key().as_str().to_owned());
                return Ok(page_of(call, found.iter().map(|row| view(at, row)).collect(), next));
            }
            found.push(row);
        }
        select.after = page.next;
        if select.after.is_none() {
            return Ok(page_of(call, found.iter().map(|row| view(at, row)).collect(), None));
        }
    }
}

fn select(call: &Call, at: &Extension) -> Result<AssignmentSelect, ApiError> {
    let filter = Scoped::of(call, &["atscope", "assignedto"], &["principalId"])?;
    let principal = filter.comparisons.get("principalId");
    let at_scope = filter.has("atscope");
    if at_scope && principal.is_some() {
        return Err(ApiError::bad_request(
            "UnsupportedFilter",
            "$filter cannot combine 'atScope()' with 'principalId eq'. Use \"atScope() and assignedTo('ID')\".",
        )
        .target("$filter"));
    }
    Ok(AssignmentSelect {
        scope: at.scope.clone(),
        reach: if at_scope { Reach::AtAndAbove } else { Reach::Anywhere },
        principal: filter.assigned_to.as_deref().or(principal).map(str::to_owned),
        after: None,
        limit: 500,
    })
}
