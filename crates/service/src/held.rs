//! Rows that clients can only read: the machine of an active run, and the staging account of a template.

use arm::ApiError;
use db::Resource;

/// Hidden in the rows of a machine: the run that holds it.
pub const RUN: &str = "heldByRun";

/// Refuses to change what a run holds, or what the service made for a template.
///
/// # Errors
/// `OperationNotAllowed`, with the way out.
pub fn check_is_clients(held: &Resource) -> Result<(), ApiError> {
    let refuse = |whose: String, way: &str| {
        Err(ApiError::conflict(
            "OperationNotAllowed",
            format!("'{}' {whose} and can only be read. {way}", held.id),
        )
        .target(held.id.clone()))
    };
    if let Some(run) = held.hidden[RUN].as_str() {
        return refuse(
            format!("belongs to the active run '{run}' of an image template"),
            "It goes when the run ends; cancel the run to end it now.",
        );
    }
    if let Some(template) = held.hidden[crate::blobs::TEMPLATE].as_str() {
        return refuse(
            format!("is the staging account of the image template '{template}'"),
            "It goes when the image template is deleted.",
        );
    }
    Ok(())
}
