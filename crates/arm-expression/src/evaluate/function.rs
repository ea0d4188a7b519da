//! What a user function is.

use std::{fmt, sync::Arc};

use crate::{error::Fault, json::Node, value::Value};

/// Checks a value against a type; the fault says what does not fit.
pub type Check = Box<dyn Fn(&Value) -> Result<(), Fault> + Send + Sync>;

/// A function that a template defines.
pub struct UserFunction {
    /// The name with its namespace, such as `contoso.uniqueName`.
    pub name: Arc<str>,
    /// The parameters in order.
    pub parameters: Vec<UserParameter>,
    /// What the function returns: a tree with expressions.
    pub body: Node,
    /// The type of the result.
    pub check: Check,
    /// Whether the body sees neither variables nor other user functions, as in templates without `languageVersion`.
    pub isolated: bool,
}

/// A parameter of a user function.
pub struct UserParameter {
    /// The name.
    pub name: Arc<str>,
    /// The type.
    pub check: Check,
}

impl fmt::Debug for UserFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserFunction").field("name", &self.name).finish_non_exhaustive()
    }
}

impl fmt::Debug for UserParameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserParameter").field("name", &self.name).finish_non_exhaustive()
    }
}
