//! A source that was looked up, and the error for a missing one.

use api::ErrorCode;
use engine::OsType;
use images::error::Error;

/// A source that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Exact {
    /// For `exactVersion`; none for a managed image, which has no versions.
    pub(super) version: Option<String>,
    /// The version is the one that will be built upon: one still to be bootstrapped gets a date.
    pub(super) is_dated: bool,
    /// 1 boots by BIOS, 2 by UEFI.
    pub(super) generation: u8,
    /// The system of its guests, where it is known.
    pub(super) os: Option<OsType>,
    /// `x64` or `Arm64`, where it is known.
    pub(super) architecture: Option<String>,
    /// The security type of the image definition that it is a version of.
    pub(super) security: Option<String>,
}

pub(super) fn bad(field: &str, id: &str, why: &str) -> String {
    format!(
        "Validation failed: 'ImageTemplate.properties.source': Field '{field}' has a bad value: '{id}'. {why}"
    )
}

pub(super) fn missing(code: ErrorCode, field: &str, id: &str) -> Error {
    Error::new(code, bad(field, id, "There is no such image"))
        .target(format!("properties.source.{field}"))
        .hint("check the id's spelling, or make the image first: az image list and az sig image-version list show what there is")
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(panic) => {
            Err(Error::new(ErrorCode::InternalError, "looking up the source failed")
                .caused_by(panic))
        }
    }
}
