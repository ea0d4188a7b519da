//! The failure of a command.

use api::ErrorCode;
use images::error::Error;

/// One or several errors of a command.
#[derive(Debug)]
pub(crate) struct Failure {
    errors: Vec<Error>,
    /// Whether the errors have been printed already, with excerpts of the template.
    printed: bool,
}

impl Failure {
    /// The errors that have not been printed yet.
    pub(crate) fn errors(&self) -> &[Error] {
        if self.printed { &[] } else { &self.errors }
    }

    pub(crate) fn exit_code(&self) -> u8 {
        self.errors.first().map_or(1, |error| error.code.exit_code())
    }

    pub(crate) fn printed(code: ErrorCode) -> Self {
        Self { errors: vec![Error::new(code, String::new())], printed: true }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { errors: vec![error], printed: false }
    }
}

impl From<Vec<Error>> for Failure {
    fn from(errors: Vec<Error>) -> Self {
        Self { errors, printed: false }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        internal(&error).into()
    }
}

/// An unexpected error.
pub(crate) fn internal(error: &dyn std::fmt::Display) -> Error {
    Error::new(ErrorCode::InternalError, error.to_string())
}
