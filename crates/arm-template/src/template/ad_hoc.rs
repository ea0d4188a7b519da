//! Expressions that are not in the template.

use super::{plan::Plan, runtime::Runtime};
use arm_expression::{Error, Evaluated, Node, Place};

impl Plan {
    /// Evaluates a tree that is not in the template as if it stood in an output: with its parameters, variables,
    /// functions and resources.
    ///
    /// # Errors
    ///
    /// As for an output; [`Kind::Pending`](crate::Kind::Pending) if the runtime does not know enough yet. The place of
    /// an error whose [path](Error::path) begins with `parameters` or `variables` is one in the template.
    pub fn evaluate(&self, node: &Node, runtime: &dyn Runtime) -> Result<Evaluated, Error> {
        self.0.with_session(Place::Output, runtime, None, |session| session.node(node, &[]))
    }
}
