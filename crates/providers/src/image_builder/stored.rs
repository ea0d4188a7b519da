//! Images that only the image store has: commands on this machine made or imported them.

use images::{config::Config, error::Error};
use service::App;

use super::{exact::blocking, failure::Fault};

/// Whether the subscription sees the image with that id, if the store has it and the service has no row of it. Below the
/// id of another subscription of the service there are only that one's own images.
pub(super) async fn is_seen(app: &App, id: &str) -> Result<bool, Fault<Error>> {
    let of = id.split('/').nth(2).unwrap_or_default().to_lowercase();
    if of == app.subscription().to_lowercase() {
        return Ok(true);
    }
    if app.subscriptions().await?.iter().any(|other| other.id == of) {
        return Ok(false);
    }
    let layout = app.settings().layout.clone();
    let config = blocking(move || Config::load(&layout)).await?;
    Ok(config.sharing.has_local_images_for(app.subscription()))
}
