//! The facts of a deployment that functions of their arguments need.

use std::sync::Arc;

use jiff::Timestamp;

/// Where an expression stands, as far as functions differ by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The default of a parameter: the only place of `utcNow` and `newGuid`.
    ParameterDefault,
    /// A variable.
    Variable,
    /// The body of a user function.
    UserFunction,
    /// A resource.
    Resource,
    /// An output.
    Output,
}

/// The facts that pure functions need.
#[derive(Debug, Clone)]
pub struct Environment {
    /// Where the expression stands.
    pub place: Place,
    /// The instant that `utcNow` gives, the same for the whole deployment.
    pub now: Timestamp,
    /// The tenant's id.
    pub tenant: Arc<str>,
    /// The management group's name; only in its scope.
    pub management_group: Option<Arc<str>>,
    /// The subscription's id; only in its scope or a resource group's.
    pub subscription: Option<Arc<str>>,
    /// The resource group's name, spelled as it is stored; only in its scope.
    pub resource_group: Option<Arc<str>>,
}
