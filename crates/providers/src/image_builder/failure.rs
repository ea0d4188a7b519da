//! Why a template cannot be created, in the words of its operation.

use images::error::Error;

/// Why a template cannot be created, or changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The code of the operation's error.
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

/// Why a step was not done: the database failed, or the step was refused.
#[derive(Debug)]
pub enum Fault<E> {
    /// The same may succeed later.
    Database(db::Error),
    /// It stays refused.
    Refused(E),
}

impl<E> Fault<E> {
    /// The result with the failures of the database apart.
    pub fn split<T>(result: Result<T, Self>) -> Result<Result<T, E>, db::Error> {
        match result {
            Ok(done) => Ok(Ok(done)),
            Err(Self::Refused(error)) => Ok(Err(error)),
            Err(Self::Database(error)) => Err(error),
        }
    }
}

impl<E> From<db::Error> for Fault<E> {
    fn from(error: db::Error) -> Self {
        Self::Database(error)
    }
}

impl<E: From<Error>> From<Error> for Fault<E> {
    fn from(error: Error) -> Self {
        Self::Refused(error.into())
    }
}

impl From<Failure> for Fault<Failure> {
    fn from(failure: Failure) -> Self {
        Self::Refused(failure)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let mut message = error.message;
        if let Some(target) = error.target {
            message = format!("{message} (at '{target}')");
        }
        if let Some(hint) = error.hint {
            message = format!("{}. To fix it: {hint}", message.trim_end_matches('.'));
        }
        for line in error.details {
            message.push_str("; ");
            message.push_str(&line);
        }
        Self { code: error.code.name(), message }
    }
}

impl Failure {
    /// One of the fifteen values that clients know.
    pub(crate) fn provisioning_code(&self) -> &'static str {
        match self.code {
            code @ ("BadSourceType"
            | "BadPIRSource"
            | "BadManagedImageSource"
            | "BadSharedImageVersionSource"
            | "BadCustomizerType"
            | "UnsupportedCustomizerType"
            | "NoCustomizerScript"
            | "BadValidatorType"
            | "UnsupportedValidatorType"
            | "NoValidatorScript"
            | "BadDistributeType"
            | "BadSharedImageDistribute"
            | "BadStagingResourceGroup") => code,
            "InternalError" | "DiskFull" => "ServerError",
            _ => "Other",
        }
    }
}
