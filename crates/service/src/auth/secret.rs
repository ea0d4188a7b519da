//! Secrets of service principals: always generated, and stored as a salted hash.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Prevents a leading dash, which command lines would take for an option, and lets scanners recognize
/// leaked secrets.
const PREFIX: &str = "gs_";

/// A new secret and its hash.
pub(super) fn make() -> std::io::Result<(String, String)> {
    let (mut random, mut salt) = ([0; 32], [0; 16]);
    getrandom::fill(&mut random)?;
    getrandom::fill(&mut salt)?;
    let secret = format!("{PREFIX}{}", BASE64_URL_SAFE_NO_PAD.encode(random));
    let stored = hash(&salt, &secret);
    Ok((secret, stored))
}

/// `sha256:<salt>:<digest>`.
///
/// One round of SHA-256 is enough: slow hashes protect secrets that can be guessed, and 256 random bits
/// cannot. The salt hides equal secrets.
fn hash(salt: &[u8], secret: &str) -> String {
    let digest = digest(salt, secret);
    format!(
        "sha256:{}:{}",
        BASE64_URL_SAFE_NO_PAD.encode(salt),
        BASE64_URL_SAFE_NO_PAD.encode(digest)
    )
}

fn digest(salt: &[u8], secret: &str) -> [u8; 32] {
    Sha256::new().chain_update(salt).chain_update(secret.as_bytes()).finalize().into()
}

/// Whether a secret has that hash, in a time that does not depend on how it differs.
pub(super) fn verify(stored: &str, secret: &str) -> bool {
    let Some((salt, wanted)) = stored.strip_prefix("sha256:").and_then(|text| text.split_once(':'))
    else {
        return false;
    };
    let (Ok(salt), Ok(wanted)) =
        (BASE64_URL_SAFE_NO_PAD.decode(salt), BASE64_URL_SAFE_NO_PAD.decode(wanted))
    else {
        return false;
    };
    digest(&salt, secret).ct_eq(wanted.as_slice()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_secret_matches_its_hash() {
        let (secret, stored) = make().unwrap();
        assert!(secret.len() > 40 && secret.starts_with(PREFIX));
        assert!(verify(&stored, &secret));
        assert!(!stored.contains(&secret));
        for wrong in ["", "gs_", &secret[..secret.len() - 1], &format!("{secret}x")] {
            assert!(!verify(&stored, wrong), "{wrong}");
        }
        for damaged in ["", "sha256", "sha256::", "sha256:*:*", "md5:AA:AA"] {
            assert!(!verify(damaged, &secret), "{damaged}");
            assert!(!verify(damaged, ""), "{damaged}");
        }
        assert_ne!(hash(b"a", &secret), hash(b"b", &secret));
    }
}
