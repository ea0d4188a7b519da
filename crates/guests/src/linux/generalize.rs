//! The hidden last customizer: it removes what belongs to one machine, or to its build.
//!
//! The template's own script at `/tmp/DeprovisioningScript.sh` replaces the default clean-up
//! (contract: generalization). The build's own additions (user, keys, seed) are removed whichever
//! script ran, and a leftover fails the build.

use std::collections::BTreeMap;

use api::ErrorCode;
use images::{
    digest::digest,
    error::{Error, Result},
};
use vm::{
    Access, Ended, Guest, Stdin,
    fake::{Reaction, Then},
};

use crate::{output::StepOutput, system::Traces};

const SCRIPT: &str = include_str!("generalize.sh");

/// The inputs of the generalized node's key, beside its parent.
pub(super) fn inputs() -> BTreeMap<String, String> {
    BTreeMap::from([("script".to_owned(), digest(SCRIPT.as_bytes()))])
}

/// A scripted guest's generalization: it reports success and powers off. `command` is its input.
pub fn played(command: &str) -> Reaction {
    let mark = command.rsplit(' ').next().unwrap_or_default();
    Reaction { then: Then::Gone(Ended::GuestShutdown), ..Reaction::out(format!("{mark} {DONE}\n")) }
}

const DONE: &str = "GENERALIZED";

/// Generalizes the guest and powers it off.
pub(super) async fn run(
    guest: &dyn Guest,
    access: &Access,
    traces: &Traces,
    out: &mut StepOutput,
) -> Result<()> {
    let cards = &traces.cards;
    let blob = access.public_key.split_whitespace().nth(1).unwrap_or_default();
    let cards = cards.join("|");
    // The template's scripts run meanwhile: their output must not pass for an answer.
    let mark = format!("goldsmith-{}", uuid::Uuid::now_v7().simple());
    out.expect_answers(&mark);
    // The command holds the script in memory only, so that no part of it stays in the image.
    let command =
        format!("sudo sh -c \"$(cat)\" generalize {} {blob} '{cards}' {mark}", access.user);
    let ran = guest.run(&command, Stdin::Bytes(SCRIPT.as_bytes()), out).await;
    out.flush().await;
    if out.answers().iter().any(|answer| answer == DONE) {
        return Ok(());
    }
    let exit = ran.map_err(images::error::guest_error)?;
    let leftovers: Vec<&str> =
        out.answers().iter().filter_map(|answer| answer.strip_prefix("LEFTOVER ")).collect();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn script_removes_what_the_credentials_write() {
        for path in [vm::credentials::SUDO_RULE, vm::credentials::SSH_SETTINGS] {
            let mut words = SCRIPT.split_whitespace();
            let removed = words.any(|word| word == "rm") && words.any(|word| word == path);
            assert!(removed, "{path}");
        }
    }
}
