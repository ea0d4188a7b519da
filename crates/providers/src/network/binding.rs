//! Which bridge of this host a subnet means: `goldsmith.toml` says so, which is read each time, so that
//! an administrator's change holds at once.

use api::ResourceId;
use images::config::Config;
use serde_json::{Value, json};
use service::App;

/// What a subnet shows beyond Azure's own properties. It is read-only: what a client sends back is
/// dropped.
pub(super) const FIELD: &str = "goldsmith";

/// Whether builds can be in the subnet of that id, for its [`FIELD`].
pub(super) fn shown(app: &App, id: &str) -> Value {
    let bridge = id.parse().ok().and_then(|id| bridge(app, &id));
    json!({ "bound": bridge.is_some(), "bridge": bridge })
}

/// The bridge that the subnet is bound to. A file that cannot be read binds none: whoever starts a build
/// is told of its mistake.
pub(crate) fn bridge(app: &App, id: &ResourceId) -> Option<String> {
    match Config::load(&app.settings().layout) {
        Ok(config) => config.bridge(id).map(str::to_owned),
        Err(error) => {
            tracing::warn!(error = %error, "goldsmith.toml cannot be read; no subnet is bound");
            None
        }
    }
}
