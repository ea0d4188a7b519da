//! The error of all responses, in ARM's shape `{error: {code, message, target, details}}`.

use std::error::Error as StdError;

use api::chain;
use db::Trouble;
use http::StatusCode;
use serde_json::{Value, json};

/// An error for clients. `internal` is for the log only.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiError {
    /// HTTP status.
    pub status: StatusCode,
    /// The public code, such as `ResourceNotFound`.
    pub code: String,
    /// Names the field, the value and the remedy.
    pub message: String,
    /// The path of the field, or the id of the resource.
    pub target: Option<String>,
    /// Several errors of one request.
    pub details: Vec<ApiError>,
    /// `additionalInfo`: objects `{type, info}` that tell a client more, such as the line of a mistake in a template.
    pub additional_info: Vec<Value>,
    /// For the log only.
    pub internal: Option<String>,
    /// Another writer changed a row between the request's read and its commit, which wrote nothing. See
    /// [`retry_overtaken`](crate::retry_overtaken).
    pub is_overtaken: bool,
}

impl ApiError {
    /// An error with that status.
    pub fn new(status: StatusCode, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            status,
            code: code.into(),
            message: message.into(),
            target: None,
            details: Vec::new(),
            additional_info: Vec::new(),
            internal: None,
            is_overtaken: false,
        }
    }

    /// 507 `DiskFull`.
    pub fn disk_full(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INSUFFICIENT_STORAGE, "DiskFull", message)
    }

    /// 503; `why` is a whole sentence.
    pub fn unavailable(why: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", why)
    }

    /// The response to a failure of the database.
    pub fn of_trouble(trouble: Trouble) -> Self {
        let text = trouble.text();
        match trouble {
            Trouble::DiskFull => Self::disk_full(format!(
                "The service cannot write: {text}. Try again once there is room."
            )),
            Trouble::Busy | Trouble::Unavailable | Trouble::OutOfMemory => {
                Self::unavailable(format!("The service cannot do this now: {text}. Try again."))
            }
            Trouble::Internal => Self::internal(text),
        }
    }

    /// Adds an error with all of its causes for the log.
    #[must_use]
    pub fn because(mut self, error: &dyn StdError) -> Self {
        self.internal = Some(chain(error));
        self
    }

    /// 400.
    pub fn bad_request(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// 404.
    pub fn absent(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, message)
    }

    /// 404 `ResourceNotFound` in ARM's wording. `kind` is `Namespace/type`.
    pub fn not_found(kind: &str, name: &str, group: &str) -> Self {
        Self::absent(
            "ResourceNotFound",
            format!(
                "The Resource '{kind}/{name}' under resource group '{group}' was not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix"
            ),
        )
    }

    /// 404 `ResourceGroupNotFound` in ARM's wording.
    pub fn group_not_found(group: &str) -> Self {
        Self::absent(
            "ResourceGroupNotFound",
            format!("Resource group '{group}' could not be found."),
        )
    }

    /// 409.
    pub fn conflict(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, message)
    }

    /// 500; the error and its causes appear only in the log.
    pub fn failed(error: &dyn StdError) -> Self {
        Self::internal(chain(error))
    }

    /// 500; the reason appears only in the log.
    pub fn internal(why: impl std::fmt::Display) -> Self {
        let mut error = Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "InternalServerError",
            "Internal error occurred. The server's log has details under this request id.",
        );
        error.internal = Some(why.to_string());
        error
    }

    /// Sets the field or resource that caused the error.
    #[must_use]
    pub fn target(mut self, target: impl Into<String>) -> Self {
        self.target = Some(target.into());
        self
    }

    /// `{code, message, target, details, additionalInfo}` without the envelope.
    pub fn body(&self) -> Value {
        let mut body = json!({ "code": self.code, "message": self.message });
        if let Some(target) = &self.target {
            body["target"] = json!(target);
        }
        if !self.details.is_empty() {
            body["details"] = self.details.iter().map(Self::body).collect();
        }
        if !self.additional_info.is_empty() {
            body["additionalInfo"] = Value::Array(self.additional_info.clone());
        }
        body
    }
}

impl From<db::Error> for ApiError {
    fn from(error: db::Error) -> Self {
        if matches!(error, db::Error::NotOwner) {
            return Self::unavailable(format!("This server is shutting down: {error}."));
        }
        match error.trouble() {
            None => Self {
                is_overtaken: true,
                ..Self::conflict(
                    "Conflict",
                    "The resource was changed by another request at the same time. Please retry.",
                )
            },
            Some(trouble) => Self::of_trouble(trouble).because(&error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[tokio::test]
    async fn store_error_has_status_and_logs_all_causes() {
        let of = |kind: io::ErrorKind| {
            let cause = io::Error::new(kind, "/srv/goldsmith.db");
            ApiError::from(db::Error::from(cause))
        };
        let full = of(io::ErrorKind::StorageFull);
        assert_eq!((full.status.as_u16(), full.code.as_str()), (507, "DiskFull"));
        let broken = of(io::ErrorKind::Other);
        assert_eq!((broken.status.as_u16(), broken.code.as_str()), (503, "ServiceUnavailable"));
        for error in [full, broken] {
            assert!(!error.body().to_string().contains("/srv"), "{error:?}");
            let log = error.internal.unwrap();
            assert!(
                log.contains("the database failed: error communicating with database: /srv"),
                "{log}"
            );
            assert_eq!(log.matches("/srv").count(), 1, "{log}");
        }
        let odd = ApiError::from(db::Store::open("other://database").await.unwrap_err());
        assert_eq!(odd.status.as_u16(), 500);
    }
}
