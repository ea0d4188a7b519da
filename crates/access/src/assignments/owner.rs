//! The last Owner of the tenant stays: without one, only the command line of the service could give rights.

use std::collections::BTreeSet;

use arm::{ApiError, is};
use authorization::built_in;
use db::{AssignmentSelect, Reach, RoleAssignment};
use http::StatusCode;
use service::App;

use crate::principals;

const OWNER: &str = "Owner";

/// Checks that another Owner of the tenant is left without an assignment.
pub(super) async fn check_other(app: &App, gone: &RoleAssignment) -> Result<(), ApiError> {
    if !is_owner(gone) {
        return Ok(());
    }
    check(app, |other| other.key() != gone.key()).await
}

/// Checks that another Owner of the tenant is left without a principal.
///
/// # Errors
/// `CannotDeleteLastRbacAdminAssignment`; the database fails.
pub async fn check_owner_stays(app: &App, principal: &str) -> Result<(), ApiError> {
    let own = app.store().assignments_of(principal).await?;
    if !own.iter().any(is_owner) {
        return Ok(());
    }
    check(app, |other| !is(&other.principal, principal)).await
}

fn is_owner(row: &RoleAssignment) -> bool {
    let owner = built_in::named(OWNER).map(|role| role.id);
    row.scope.is_empty() && owner.is_some_and(|owner| is(owner, &row.role))
}

async fn check(app: &App, is_other: impl Fn(&RoleAssignment) -> bool) -> Result<(), ApiError> {
    let existing = principals::applications(app).await?;
    let existing: BTreeSet<String> =
        existing.into_iter().map(|one| one.object_id.to_lowercase()).collect();
    let mut select =
        AssignmentSelect { reach: Reach::At, limit: 500, ..AssignmentSelect::default() };
    loop {
        let page = app.store().assignments(&select).await?;
        let mut owners = page.assignments.iter().filter(|row| is_owner(row));
        if owners.any(|row| is_other(row) && existing.contains(&row.principal)) {
            return Ok(());
        }
        select.after = page.next;
        if select.after.is_none() {
            return Err(ApiError::new(
                StatusCode::PRECONDITION_FAILED,
                "CannotDeleteLastRbacAdminAssignment",
                "Cannot delete the last RBAC admin assignment: nobody else is Owner at '/'. Assign that role to another service principal first.",
            ));
        }
    }
}
