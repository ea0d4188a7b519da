//! The `api-version` of a request, which ARM's contract requires of every one.

use crate::{ApiError, Call, Request, ResourceType, Service};

/// Checks that there is one, in the form `2024-02-01` or `2024-02-01-preview`.
///
/// # Errors
/// `MissingApiVersionParameter`, `InvalidApiVersionParameter`.
pub fn check_form(call: &Request) -> Result<(), ApiError> {
    let text = call.api_version.as_str();
    if text.is_empty() {
        return Err(ApiError::bad_request(
            "MissingApiVersionParameter",
            "The api-version query parameter (?api-version=) is required for all requests.",
        ));
    }
    if well_formed(text) {
        return Ok(());
    }
    Err(ApiError::bad_request(
        "InvalidApiVersionParameter",
        format!(
            "The api-version '{text}' is invalid. It must be a date such as 2024-02-01, optionally followed by '-preview'."
        ),
    )
    .target("api-version"))
}

/// Checks that the type supports the version.
///
/// # Errors
/// `NoRegisteredProviderFound`, with the supported versions.
pub(crate) fn check_supported<S: Service>(
    kind: &dyn ResourceType<S>,
    call: &Call,
) -> Result<(), ApiError> {
    let types = kind.name().split_once('/').map_or("", |(_, types)| types);
    let known = kind.api_versions();
    if !kind.is_strict() || known.contains(&call.api_version.as_str()) {
        return Ok(());
    }
    Err(ApiError::bad_request(
        "NoRegisteredProviderFound",
        format!(
            "No registered resource provider found for API version '{}' for type '{types}'. The supported api-versions are '{}'.",
            call.api_version,
            known.join(", ")
        ),
    )
    .target("api-version"))
}

fn well_formed(text: &str) -> bool {
    let (date, label) = text.split_at_checked(10).unwrap_or((text, ""));
    let suffix = matches!(label, "" | "-preview" | "-alpha" | "-beta" | "-privatepreview");
    suffix && date.is_ascii() && date.parse::<jiff::civil::Date>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::well_formed;

    #[test]
    fn version_must_be_a_date() {
        for good in ["2024-02-01", "2015-08-31-preview"] {
            assert!(well_formed(good), "{good}");
        }
        for bad in ["2024-13-01", "2024-2-1", "latest", "2024-02-01preview", "", "é024-02-01"] {
            assert!(!well_formed(bad), "{bad}");
        }
    }
}
