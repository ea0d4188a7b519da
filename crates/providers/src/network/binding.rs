//! Which bridge of this host a subnet means: `goldsmith.toml` says so, which is read each time, so that
//! an administrator's change holds at once.

use api::ResourceId;
use images::config::Config;
use serde_json::{Value, json};
use service::App;

/// A property that Azure's subnets lack. It is read-only: the service drops the value of a client.
pub(super) const FIELD: &str = "goldsmith";

/// Whether builds can be in the subnet of that id, for its [`FIELD`].
pub(super) fn shown(app: &App, id: &str) -> Value {
    let bridge = id.parse().ok().and_then(|id| bridge(app, &id));
    json!({ "bound": bridge.is_some(), "bridge": bridge })
}

/// The bridge that the subnet is bound to. An unreadable file binds none; the next build reports it.
pub(crate) fn bridge(app: &App, id: &ResourceId) -> Option<String> {
    match Config::load(&app.settings().layout) {
        Ok(config) => config.bridge(id).map(str::to_owned),
        Err(error) => {
            tracing::warn!(error = %error, "goldsmith.toml cannot be read; no subnet is bound");
            None
        }
    }
}
