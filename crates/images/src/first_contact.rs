//! How goldsmith's build user gets into a machine of an image.

use serde::{Deserialize, Serialize};

/// What an image can be relied upon for. Every machine is offered systemd credentials; the
/// question is whether they are enough.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FirstContact {
    /// Credentials are enough: systemd is 252 or newer, the SSH server includes `sshd_config.d`,
    /// and the image sets up any network card by itself. A build does not need cloud-init.
    Credentials,
    /// Cloud-init lets the user in and sets up the network, from a NoCloud seed.
    #[default]
    CloudInit,
}

impl FirstContact {
    /// For `skip_serializing_if`: records of an earlier goldsmith have no such field.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
