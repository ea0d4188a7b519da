//! The template language of Azure Resource Manager as a pure library: no I/O, no clock, no randomness.

#![warn(missing_docs)]

mod error;
mod evaluate;
mod functions;
mod limits;
mod position;
mod value;

pub use error::{Error, Fault, Kind};
pub use evaluate::{Context, Environment, Evaluated, Place};
pub use limits::{Budget, Limits};
pub use position::Position;
pub use value::{Array, Object, Value, fold_name, same_name};
