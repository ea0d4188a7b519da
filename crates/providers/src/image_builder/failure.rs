//! Why a template cannot be created, in the words of its operation.

use images::error::Error;

/// Why a template cannot be created, or changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The code of the operation's error.
    pub(crate) code: &'static str,
    pub(crate) message: String,
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
