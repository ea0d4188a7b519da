//! Evaluation of expressions.

mod context;

pub use context::{Context, Environment, Evaluated, Place};
