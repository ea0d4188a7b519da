//! Refusals of callers without rights, in ARM's wording.

use authorization::{Denial, Need};
use http::StatusCode;

use crate::{ApiError, Caller};

/// The answer to a caller that may not do something: 403 `AuthorizationFailed` or `LinkedAuthorizationFailed`, or 409
/// `ScopeLocked`.
pub fn denied(caller: &Caller, denial: &Denial) -> ApiError {
    let Caller { client_id, object_id, .. } = caller;
    let forbidden = |code: &str, message: String| {
        ApiError::new(
            StatusCode::FORBIDDEN,
            code,
            format!("The client '{client_id}' with object id '{object_id}' {message}"),
        )
    };
    match denial {
        Denial::Missing { need } => forbidden(
            "AuthorizationFailed",
            format!(
                "does not have authorization to perform action '{}' over scope '{}' or the scope is invalid. If access was recently granted, please refresh your credentials.",
                need.wanted.name(),
                shown(need)
            ),
        ),
        Denial::Linked { of, missing } => {
            let listed = |part: &dyn Fn(&Need) -> String| {
                missing.iter().map(part).collect::<Vec<_>>().join(",")
            };
            forbidden(
                "LinkedAuthorizationFailed",
                format!(
                    "has permission to perform action '{}' on scope '{}'; however, it does not have permission to perform action(s) '{}' on the linked scope(s) '{}' (respectively) or the linked scope(s) are invalid.",
                    of.wanted.name(),
                    shown(of),
                    listed(&|need| need.wanted.name().to_owned()),
                    listed(&shown)
                ),
            )
        }
        Denial::Locked { lock, need } => ApiError::conflict(
            "ScopeLocked",
            format!(
                "The scope '{}' cannot perform {} operation because following scope(s) are locked: '{}'. Please remove the lock and try again.",
                shown(need),
                need.wanted.effect().name(),
                lock.scope.as_str()
            ),
        )
        .target(lock.id.clone()),
    }
}

fn shown(need: &Need) -> String {
    match need.scope.as_str() {
        "" => "/".to_owned(),
        scope => scope.to_owned(),
    }
}
