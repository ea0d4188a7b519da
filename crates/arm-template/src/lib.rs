//! The template language of Azure Resource Manager as a pure library: no I/O, no clock, no randomness.

#![warn(missing_docs)]

mod error;
mod evaluate;
mod expression;
mod functions;
mod json;
mod limits;
mod position;
mod value;

pub use error::{Error, Fault, Kind};
pub use evaluate::{
    Check, Context, Environment, Evaluated, Evaluator, Iteration, Place, UserFunction,
    UserParameter,
};
pub use expression::Expression;
pub use json::{Content, Member, Members, Node, Text};
pub use limits::{Budget, Limits};
pub use position::Position;
pub use value::{Array, Object, Value, fold_name, same_name};
