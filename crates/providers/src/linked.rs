//! Rights that the caller of a write needs at other resources than the one it writes: at an identity to assign, at a subnet
//! to join, at an image to copy.

use arm::{ApiError, Call, denied};
use authorization::{Need, Scope, Wanted};

/// An action at a resource by its id.
pub(crate) fn need(action: &'static str, id: &str) -> Need {
    Need::new(Wanted::action(action), Scope::parse(id))
}

/// Checks that the caller has the rights at all that its write names.
///
/// # Errors
/// 403 `LinkedAuthorizationFailed`
pub(crate) fn check(call: &Call, write: &'static str, also: &[Need]) -> Result<(), ApiError> {
    missing(call, &need(write, &call.path.text), also)
}

/// Checks that the caller has the rights that the action of its request needs elsewhere.
///
/// # Errors
/// 403 `LinkedAuthorizationFailed`
pub(crate) fn beside(call: &Call, also: &[Need]) -> Result<(), ApiError> {
    let action = Wanted::Action(call.action().to_owned().into());
    missing(call, &Need::new(action, Scope::parse(&call.path.text)), also)
}

fn missing(call: &Call, of: &Need, also: &[Need]) -> Result<(), ApiError> {
    call.rights().linked(of, also).map_err(|denial| denied(&call.caller, &denial))
}
