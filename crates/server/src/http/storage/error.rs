//! Errors of the blob service: a code in a header and in XML.

use axum::response::Response;
use http::StatusCode;
use images::error::chain;
use service::blobs;

use super::{Asked, escaped, xml};
use crate::http::{
    permit::Refused,
    reply::{self, RETRY_AFTER_SECONDS},
};

/// An error of the blob service.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl Refusal {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    pub(super) fn read_only() -> Self {
        let text = "Blobs can only be read here; the service itself writes them.";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "UnsupportedHttpVerb", text)
    }

    /// The caller has no role that permits it.
    pub(super) fn permission() -> Self {
        let text =
            "This request is not authorized to perform this operation using this permission.";
        Self::new(StatusCode::FORBIDDEN, "AuthorizationPermissionMismatch", text)
    }

    pub(super) fn resource_not_found() -> Self {
        let text = "The specified resource does not exist.";
        Self::new(StatusCode::NOT_FOUND, "ResourceNotFound", text)
    }

    pub(super) fn no_account(name: &str) -> Self {
        let text = format!("There is no storage account '{name}'.");
        Self::new(StatusCode::NOT_FOUND, "ResourceNotFound", text)
    }

    /// An error that storage clients retry.
    pub(super) fn busy(why: String) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "ServerBusy", why)
    }

    pub(super) fn no_container() -> Self {
        let text = "The specified container does not exist.";
        Self::new(StatusCode::NOT_FOUND, "ContainerNotFound", text)
    }

    pub(super) fn no_blob() -> Self {
        Self::new(StatusCode::NOT_FOUND, "BlobNotFound", "The specified blob does not exist.")
    }

    pub(super) fn condition() -> Self {
        let text = "The condition specified using HTTP conditional header(s) is not met.";
        Self::new(StatusCode::PRECONDITION_FAILED, "ConditionNotMet", text)
    }

    pub(super) fn range() -> Self {
        let text = "The range specified is invalid for the current size of the resource.";
        Self::new(StatusCode::RANGE_NOT_SATISFIABLE, "InvalidRange", text)
    }

    pub(super) fn parameter(name: &str, value: &str) -> Self {
        let text = format!("The value '{value}' of the query parameter '{name}' cannot be used.");
        Self::new(StatusCode::BAD_REQUEST, "InvalidQueryParameterValue", text)
    }

    /// A query that other services support and this one does not.
    pub(super) fn unknown_query(asked: &Asked) -> Self {
        let (restype, comp) = (asked.parameter("restype"), asked.parameter("comp"));
        let text = format!(
            "There is no answer to restype='{restype}' and comp='{comp}' here: accounts list containers (comp=list), containers list blobs (restype=container&comp=list), blobs have content."
        );
        Self::new(StatusCode::BAD_REQUEST, "InvalidQueryParameterValue", text)
    }

    pub(super) fn into_response(self) -> Response {
        let Self { status, code, message } = self;
        let text = escaped(&message);
        let mut response = xml(format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>{code}</Code><Message>{text}</Message></Error>"
        ));
        *response.status_mut() = status;
        reply::set(&mut response, "x-ms-error-code", code);
        if status == StatusCode::SERVICE_UNAVAILABLE {
            reply::set(&mut response, "retry-after", RETRY_AFTER_SECONDS);
        }
        response
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Denied(_) => Self::permission(),
            Refused::Store(error) => blobs::Error::from(error).into(),
        }
    }
}

impl From<blobs::Error> for Refusal {
    fn from(error: blobs::Error) -> Self {
        tracing::error!(error = %chain(&error), "blobs cannot be read");
        if matches!(&error, blobs::Error::Store(error) if error.is_passing()) {
            // The code of the blob service that clients retry.
            let text = "The server is busy. Please retry your request.";
            return Self::new(StatusCode::SERVICE_UNAVAILABLE, "ServerBusy", text);
        }
        let text = "The server encountered an internal error; its log says more.";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", text)
    }
}
