//! The keys by which a guest is reached, made for one machine and thrown away with it.

use std::fmt;

use russh::keys::{
    Algorithm, PrivateKey,
    key::safe_rng,
    ssh_key::{self, LineEnding},
};
use serde::{Deserialize, Serialize};

use crate::Error;

/// How to enter a guest, and how to be sure that it is the right one.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// The build user.
    pub user: String,
    /// The user's key, OpenSSH PEM.
    pub private_key: String,
    /// The user's public key, one `authorized_keys` line.
    pub public_key: String,
    /// The guest's own key, OpenSSH PEM.
    pub host_private_key: String,
    /// The guest's own public key, one line.
    pub host_public_key: String,
}

impl Access {
    /// Makes fresh keys (ed25519, as they are small and quick under emulation).
    pub fn generate(user: impl Into<String>) -> Result<Self, Error> {
        let (private_key, public_key) = pair("goldsmith-build")?;
        let (host_private_key, host_public_key) = pair("goldsmith-guest")?;
        Ok(Self { user: user.into(), private_key, public_key, host_private_key, host_public_key })
    }
}

fn pair(comment: &str) -> Result<(String, String), Error> {
    let fail = |e: ssh_key::Error| Error::ssh("a key could not be made", e);
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
    fn keys_are_fresh_ed25519_and_belong_together() {
        let one = Access::generate("builder").unwrap();
        let two = Access::generate("builder").unwrap();
        assert_ne!(one.public_key, two.public_key);
        assert_ne!(one.public_key, one.host_public_key);
        let key = PrivateKey::from_openssh(&one.private_key).unwrap();
        assert_eq!(key.public_key().to_openssh().unwrap(), one.public_key);
        assert!(one.host_public_key.starts_with("ssh-ed25519 "));
    }

    #[test]
    fn debug_output_keeps_the_secrets() {
        let access = Access::generate("builder").unwrap();
        assert!(!format!("{access:?}").contains("PRIVATE"));
    }
}
