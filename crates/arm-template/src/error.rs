//! What can be wrong with a template: [`Fault`] without a place, [`Error`] with one.

use std::fmt;

use crate::position::Position;

/// What a caller can tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The text is not JSON.
    Json,
    /// An expression does not follow the grammar.
    Syntax,
    /// An expression cannot be evaluated: a wrong type, a missing name, a value out of range.
    Evaluation,
    /// The template breaks a rule of the template language.
    Template,
    /// A parameter's value is absent or breaks a rule of its declaration.
    Parameter,
    /// The template needs something that this library or its caller does not offer.
    Unsupported,
    /// A limit of [`Limits`](crate::Limits) was exceeded.
    Limit,
    /// The value exists only after a resource was deployed. Evaluate the expression again then.
    Pending,
}

/// A fault of a function or a name. It has no place: the evaluator knows the place and makes an [`Error`] of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    kind: Kind,
    message: String,
    /// The error of an expression that was evaluated on the way, such as a variable's. It has a place already.
    inner: Option<Box<Error>>,
}

impl Fault {
    /// A fault of evaluation. `message` is a sentence without the full stop.
    pub fn new(message: impl Into<String>) -> Self {
        Self::of(Kind::Evaluation, message)
    }

    /// A fault of the given kind.
    pub fn of(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), inner: None }
    }

    /// What sort of fault it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The text for the user.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The error at the place where it happened. An inner error keeps its own, more exact place.
    pub fn at(self, function: Option<&str>, position: Option<Position>) -> Error {
        if let Some(inner) = self.inner {
            return *inner;
        }
        let message = match function {
            Some(name) if !self.message.contains(&format!("'{name}'")) => {
                format!("Unable to evaluate template language function '{name}': {}", self.message)
            }
            _ => self.message,
        };
        let function = function.map(str::to_owned);
        Error { kind: self.kind, message, function, position, path: String::new() }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self { kind: error.kind, message: error.message.clone(), inner: Some(Box::new(error)) }
    }
}

/// An error with its place.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub struct Error {
    /// What sort of error it is.
    pub kind: Kind,
    /// The text for the user, a sentence without the full stop and without the place.
    pub message: String,
    /// The template function that failed.
    pub function: Option<String>,
    /// Where the value begins that holds the mistake.
    pub position: Option<Position>,
    /// The JSON path of that value, such as `resources[0].name`; empty if unknown.
    pub path: String,
}

impl Error {
    /// An error at a place.
    pub fn new(kind: Kind, message: impl Into<String>, position: Option<Position>) -> Self {
        let path = String::new();
        Self { kind, message: message.into(), function: None, position, path }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some(position) = self.position {
            write!(f, " (at {position})")?;
        }
        if !self.path.is_empty() {
            write!(f, " (path '{}')", self.path)?;
        }
        Ok(())
    }
}
