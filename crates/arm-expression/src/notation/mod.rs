//! JSON as a text: a reader that makes any type of it, and a writer of values.

mod read;
mod scan;
mod value;
mod write;

pub(crate) use read::{Build, Field, Scalar, read};
pub(crate) use value::read_value;
pub use write::{Quote, write};
