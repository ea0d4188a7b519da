//! Resources that are read-only for clients: the machine of an active run, and the staging account of a template.

use arm::ApiError;
use db::Resource;

/// In the hidden part of a machine's resources: the run that uses them.
pub const RUN: &str = "heldByRun";

/// Rejects changes to resources that a run uses or that the service created for a template.
///
/// # Errors
/// `OperationNotAllowed`, with the remedy.
pub fn check_writable(resource: &Resource) -> Result<(), ApiError> {
    let refuse = |owner: String, remedy: &str| {
        Err(ApiError::conflict(
            "OperationNotAllowed",
            format!("'{}' {owner} and is read-only. {remedy}", resource.id),
        )
        .target(resource.id.clone()))
    };
    if let Some(run) = resource.hidden[RUN].as_str() {
        return refuse(
            format!("belongs to the active run '{run}' of an image template"),
            "The service removes it when the run ends; cancel the run to remove it now.",
        );
    }
    if let Some(template) = resource.hidden[crate::blobs::TEMPLATE].as_str() {
        return refuse(
            format!("is the staging account of the image template '{template}'"),
            "The service removes it with the image template.",
        );
    }
    Ok(())
}
