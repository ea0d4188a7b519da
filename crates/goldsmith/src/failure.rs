//! Why a command fails.

use api::ErrorCode;
use images::error::Error;

/// Why a command failed: one error, or several mistakes told together.
#[derive(Debug)]
pub(crate) struct Failure {
    errors: Vec<Error>,
    /// All of it has been printed (with source excerpts); only the exit code is left to say.
    printed: bool,
}

impl Failure {
    /// What is still to be printed.
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

/// Something that should not happen.
pub(crate) fn internal(error: &dyn std::fmt::Display) -> Error {
    Error::new(ErrorCode::InternalError, error.to_string())
}
