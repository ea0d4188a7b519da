//! Where a guest's service is, and who comes.

use std::{fmt, net::SocketAddr, str::FromStr};

/// A guest's WinRM service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The address, as seen from this host.
    pub address: SocketAddr,
    /// How to talk to it.
    pub transport: Transport,
}

/// How messages are protected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transport {
    /// HTTPS with Basic authentication.
    Https {
        /// The only certificate that is accepted.
        certificate: Fingerprint,
    },
    /// HTTP; NTLM authenticates both sides and encrypts each message.
    Http,
}

/// The SHA-256 of a certificate's DER. Shown and parsed as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 32]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

/// The text is not a fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the SHA-256 of a certificate: it has 64 hexadecimal digits")]
pub struct NotAFingerprint(String);

impl FromStr for Fingerprint {
    type Err = NotAFingerprint;

    /// Digits in either case.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut digest = [0; 32];
        hex::decode_to_slice(text, &mut digest)
            .map_err(|_| NotAFingerprint(text.chars().take(80).collect()))?;
        Ok(Self(digest))
    }
}

/// A user of the guest.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The name, or `DOMAIN\name` for NTLM.
    pub user: String,
    /// The password. Not part of the `Debug` output.
    pub password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("user", &self.user).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprint_is_read_in_either_case_and_shown_in_lower_case() {
        let text = "AB".repeat(32);
        let fingerprint: Fingerprint = text.parse().unwrap();
        assert_eq!(fingerprint.to_string(), "ab".repeat(32));
        assert!("ab".parse::<Fingerprint>().is_err());
        assert!("zz".repeat(32).parse::<Fingerprint>().is_err());
    }

    #[test]
    fn password_is_not_shown() {
        let login = Login { user: "packer".to_owned(), password: "secret".to_owned() };
        assert!(!format!("{login:?}").contains("secret"));
    }
}
