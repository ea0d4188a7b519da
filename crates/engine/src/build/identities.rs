//! `vmProfile.userAssignedIdentities`: the metadata service for scripts in a run's guests.

use images::error::{Result, machine_error};
use vm::{Access, Machine};

use super::{Plan, Run, power::unless_gone};
use crate::metadata::{self, Relay};

/// The warning about a template that asks for it.
pub(super) const NOT_ON_WINDOWS: &str = "scripts cannot use vmProfile.userAssignedIdentities: \
    guests with Windows have no instance metadata service here; give scripts what they need in \
    another way, such as a SAS token in scriptUri";

/// Starts the metadata service in a guest, if the template requests it and it is available. If the
/// guest cannot run it, the user gets a warning, and the scripts fail on their own.
pub(super) async fn serve_metadata(
    run: &Run<'_>,
    plan: &Plan,
    machine: &dyn Machine,
    access: &Access,
) -> Result<Option<Relay>> {
    let (Some(_), Some(metadata)) = (plan.identities(), &plan.metadata) else { return Ok(None) };
    if access.windows.is_some() {
        return Ok(None);
    }
    let guest = machine.connect(access, run.request.boot_timeout, &run.cx.cancel).await;
    let guest = guest.map_err(machine_error)?;
    let started = Relay::start(&run.cx, guest, metadata.clone(), metadata::WELL_KNOWN);
    match unless_gone(machine, started).await {
        Ok(relay) => Ok(Some(relay)),
        Err(error) => {
            run.cx.events.warn(format!(
                "scripts cannot use vmProfile.userAssignedIdentities: {error} {}",
                error.details.join("; ")
            ));
            Ok(None)
        }
    }
}
