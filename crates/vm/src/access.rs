//! The keys and passwords of one machine. They are generated for it and discarded with it.

use std::fmt;

use russh::keys::{
    Algorithm, PrivateKey,
    key::safe_rng,
    ssh_key::{self, LineEnding},
};
use serde::{Deserialize, Serialize};

use crate::Error;

/// The credentials for a guest, and the host key that proves its identity.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// The build user.
    pub user: String,
    /// The user's private key, OpenSSH PEM.
    pub private_key: String,
    /// The user's public key, one `authorized_keys` line.
    pub public_key: String,
    /// The guest's private host key, OpenSSH PEM.
    pub host_private_key: String,
    /// The guest's public host key, one line.
    pub host_public_key: String,
    /// What a guest with Windows needs beyond that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub windows: Option<WindowsAccess>,
}

/// The credentials for a guest with Windows.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowsAccess {
    /// The user's password.
    pub password: String,
    /// SHA-256 of the guest's certificate (DER), in hexadecimal. The guest makes it at its first
    /// boot, so that it is unknown before.
    #[serde(default)]
    pub certificate: Option<String>,
    /// How goldsmith gets in.
    pub door: Door,
}

/// A service of Windows that takes commands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Door {
    /// WinRM over HTTPS, with the guest's certificate.
    #[default]
    WinrmHttps,
    /// WinRM over HTTP, encrypted by NTLM, for a machine whose settings are not goldsmith's.
    WinrmHttp,
    /// SSH with the keys of [`Access`].
    Ssh,
}

impl Access {
    /// Generates new keys. They are ed25519, which is small and fast under emulation.
    pub fn generate(user: impl Into<String>) -> Result<Self, Error> {
        let (private_key, public_key) = pair("goldsmith-build")?;
        let (host_private_key, host_public_key) = pair("goldsmith-guest")?;
        let user = user.into();
        let windows = None;
        Ok(Self { user, private_key, public_key, host_private_key, host_public_key, windows })
    }
}

fn pair(comment: &str) -> Result<(String, String), Error> {
    let fail = |e: ssh_key::Error| Error::ssh("cannot generate a key", e);
    let mut key = PrivateKey::random(&mut safe_rng(), Algorithm::Ed25519).map_err(fail)?;
    key.set_comment(comment);
    let private = key.to_openssh(LineEnding::LF).map_err(fail)?.to_string();
    let public = key.public_key().to_openssh().map_err(fail)?;
    Ok((private, public))
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access")
            .field("user", &self.user)
            .field("public_key", &self.public_key)
            .field("host_public_key", &self.host_public_key)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_keys_are_distinct_ed25519_pairs() {
        let one = Access::generate("builder").unwrap();
        let two = Access::generate("builder").unwrap();
        assert_ne!(one.public_key, two.public_key);
        assert_ne!(one.public_key, one.host_public_key);
        let key = PrivateKey::from_openssh(&one.private_key).unwrap();
        assert_eq!(key.public_key().to_openssh().unwrap(), one.public_key);
        assert!(one.host_public_key.starts_with("ssh-ed25519 "));
    }

    #[test]
    fn debug_output_omits_private_keys() {
        let access = Access::generate("builder").unwrap();
        assert!(!format!("{access:?}").contains("PRIVATE"));
    }
}
