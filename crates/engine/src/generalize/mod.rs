//! The hidden last customizer: what belongs to one machine, or to its build, is taken out.
//!
//! The template's own script at `/tmp/DeprovisioningScript.sh` takes the place of the default
//! clean-up (contract: generalization). What the build itself brought in (user, keys, seed) is
//! removed whichever script ran, and a leftover fails the build.

use std::collections::BTreeMap;

use api::ErrorCode;
use vm::{Access, Guest, Stdin};

use crate::{
    error::{Error, Result},
    node::digest,
    output::StepOutput,
};

const SCRIPT: &str = include_str!("generalize.sh");

/// What the key of the generalized node covers, beside its parent.
pub(crate) fn inputs() -> BTreeMap<String, String> {
    BTreeMap::from([("script".to_owned(), digest(SCRIPT.as_bytes()))])
}

/// Generalizes the guest and orders it to power off.
pub(crate) async fn run(guest: &dyn Guest, access: &Access, out: &mut StepOutput) -> Result<()> {
    let blob = access.public_key.split_whitespace().nth(1).unwrap_or_default();
    // The command keeps the script in memory only: nothing of it may stay in the image.
    let command = format!("sudo sh -c \"$(cat)\" generalize {} {blob}", access.user);
    let ran = guest
        .run(&command, Stdin::Bytes(SCRIPT.as_bytes()), &mut |stream, bytes| {
            out.write(stream, bytes);
        })
        .await;
    out.flush();
    if out.tail().iter().any(|line| line == "GENERALIZED") {
        return Ok(());
    }
    let exit = ran.map_err(crate::build::guest_error)?;
    let leftovers: Vec<String> = out
        .tail()
        .iter()
        .filter_map(|line| line.strip_prefix("LEFTOVER ").map(str::to_owned))
        .collect();
    match exit.code {
        Some(11) => Err(Error::new(
            ErrorCode::LeftoverFound,
            format!("the image would still contain: {}", leftovers.join("; ")),
        )
        .details(out.tail())
        .hint("remove it in a customizer, or do not copy it there in the first place")),
        _ => Err(Error::new(ErrorCode::GeneralizeFailed, format!("generalization {exit}"))
            .details(out.tail())
            .hint("look at /tmp/DeprovisioningScript.sh if the template writes one")),
    }
}
