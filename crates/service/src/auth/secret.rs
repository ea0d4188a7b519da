//! Secrets of service principals: made here, never chosen by people, kept as a salted hash.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use db::Client;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Never begins with a dash, which command lines would take for an option, and is recognized by
/// scanners that look for leaked secrets.
const PREFIX: &str = "gs_";

/// A new secret and what is stored of it.
pub(super) fn make() -> std::io::Result<(String, String)> {
    let (mut random, mut salt) = ([0; 32], [0; 16]);
    getrandom::fill(&mut random)?;
    getrandom::fill(&mut salt)?;
    let secret = format!("{PREFIX}{}", BASE64_URL_SAFE_NO_PAD.encode(random));
    let stored = hash(&salt, &secret);
    Ok((secret, stored))
}

/// Whether it is the secret of that service principal, and the principal is not revoked.
pub(super) fn fits(client: &Client, secret: &str) -> bool {
    client.revoked.is_none() && verify(&client.secret_hash, secret)
}

/// `sha256:<salt>:<digest>`.
///
/// One round of SHA-256 is enough: slow hashes make up for secrets that can be guessed, and nobody
/// guesses 256 random bits. The salt keeps equal secrets from being seen as equal.
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

fn verify(stored: &str, secret: &str) -> bool {
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
    fn the_secret_fits_its_hash_and_nothing_else_does() {
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
