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
    function: Option<String>,
    /// Whether the message is complete, so that callers further out do not add their names.
    complete: bool,
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
        let message = message.into();
        Self { kind, message, function: None, complete: false, inner: None }
    }

    /// What sort of fault it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The text for the user.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The same fault with a message to which no function's name is added.
    pub fn complete(mut self) -> Self {
        self.complete = true;
        self
    }

    /// The same fault without its message, which may repeat a part of a secure value.
    pub fn without_values(mut self) -> Self {
        if self.inner.is_none() {
            self.message =
                "the value is not valid; it is not shown, since it may be secure".to_owned();
        }
        self
    }

    /// The fault of the function `name`, unless it is that of an inner call. The message gets the name, unless it has
    /// it in single quotes already.
    pub fn in_function(mut self, name: &str) -> Self {
        if self.complete {
            return self;
        }
        if !self.message.contains(&format!("'{name}'")) {
            self.message =
                format!("Unable to evaluate template language function '{name}': {}", self.message);
        }
        self.function = Some(name.to_owned());
        self.complete()
    }

    /// The error at the place where it happened. An inner error keeps its own, more exact place.
    pub fn at(self, position: Option<Position>) -> Error {
        let Self { kind, message, function, inner, .. } = self;
        match inner {
            Some(inner) => Error { position: inner.position.or(position), ..*inner },
            None => Error { function, ..Error::new(kind, message, position) },
        }
    }
}

/// A fault that has a place already: the path is final.
impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        // An error without any place gets that of the expression that asked.
        let rooted = error.rooted || error.position.is_some() || !error.path.is_empty();
        let error = Error { rooted, ..error };
        Self {
            kind: error.kind,
            message: error.message.clone(),
            function: error.function.clone(),
            complete: true,
            inner: Some(Box::new(error)),
        }
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
    /// Whether the path begins at the root of the template.
    rooted: bool,
}

impl Error {
    /// An error at a place.
    pub fn new(kind: Kind, message: impl Into<String>, position: Option<Position>) -> Self {
        let (message, path) = (message.into(), String::new());
        Self { kind, message, function: None, position, path, rooted: false }
    }

    /// The same error seen from the object that has it below `key`.
    pub fn within_key(self, key: &str) -> Self {
        let plain =
            !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || "_$-".contains(c));
        self.within(&if plain { key.to_owned() } else { format!("['{key}']") })
    }

    /// The same error seen from the array that has it at `index`.
    pub fn within_index(self, index: usize) -> Self {
        self.within(&format!("[{index}]"))
    }

    /// The same error seen from the value that has it at a path.
    pub fn within(mut self, segment: &str) -> Self {
        if !self.rooted {
            let dot = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
            self.path = format!("{segment}{dot}{}", self.path);
        }
        self
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
