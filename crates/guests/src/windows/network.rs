//! The address of a guest on a bridge.

use std::time::Duration;

use images::error::Result;
use vm::Exit;

use super::{call::Call, exit, scripts};
use crate::system::At;

/// How long the guest looks before it answers.
const LOOK: u64 = 10;
const CALL: Duration = Duration::from_secs(60);

async fn ask(at: At<'_>, mac: &str, wait: &str) -> Result<bool> {
    let call = Call::new("looking for the machine's address", scripts::ADDRESS, CALL)
        .with("mac", mac)
        .with("wait", wait)
        .with("seconds", LOOK);
    let answers = call.ask(at.guest).await?;
    match answers.has("yes") {
        false if !answers.has("no") => Err(answers.unexpected()),
        yes => Ok(yes),
    }
}

/// Waits until the guest has dropped its old address, but not for long: a guest that keeps it has the
/// link's word that it is unplugged.
pub(super) async fn unplugged(at: At<'_>, mac: &str) -> Result<Exit> {
    ask(at, mac, "gone").await?;
    Ok(exit(0))
}

/// Waits until the guest has an address. The caller limits the time.
pub(super) async fn addressed(at: At<'_>, mac: &str) -> Result<Exit> {
    while !ask(at, mac, "there").await? {}
    Ok(exit(0))
}
