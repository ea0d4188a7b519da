//! The key that tokens are signed with: ES256, made once, so that tokens outlive a restart.

use std::{fmt, path::Path};

use api::ErrorCode;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use engine::error::{Coded, Error, Result};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::Claims;
use crate::files;

const CURRENT: &str = "signing-key.pem";
const PREVIOUS: &str = "signing-key-previous.pem";

/// Signs with the current key, and verifies what that or the previous one signed.
pub(crate) struct SigningKey {
    own: Pair,
    previous: Option<Pair>,
}

struct Pair {
    id: String,
    x: String,
    y: String,
    sign: EncodingKey,
    verify: DecodingKey,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("ids", &self.ids()).finish_non_exhaustive()
    }
}

impl SigningKey {
    /// The keys of the server whose folder it is; one is made if it has none yet.
    pub(crate) fn obtain(dir: &Path) -> Result<Self> {
        let own = match read(&dir.join(CURRENT))? {
            Some(pair) => pair,
            None => make(&dir.join(CURRENT))?,
        };
        let previous = read(&dir.join(PREVIOUS))?.map(|pair| Pair::of(&pair)).transpose()?;
        Ok(Self { own: Pair::of(&own)?, previous })
    }

    /// Names the keys, to see whether they are others.
    pub(super) fn ids(&self) -> (&str, Option<&str>) {
        (&self.own.id, self.previous.as_ref().map(|pair| pair.id.as_str()))
    }

    /// The public halves.
    pub(super) fn jwks(&self) -> Value {
        let all = [Some(&self.own), self.previous.as_ref()];
        json!({ "keys": all.into_iter().flatten().map(Pair::jwk).collect::<Vec<_>>() })
    }

    pub(crate) fn sign(&self, claims: &Claims) -> String {
        let header = Header { kid: Some(self.own.id.clone()), ..Header::new(Algorithm::ES256) };
        jsonwebtoken::encode(&header, claims, &self.own.sign)
            .expect("the key was checked when it was read, and claims are plain JSON")
    }

    /// The claims of a token with our signature and of that tenant; time is not looked at.
    pub(super) fn verify(&self, token: &str, tenant: &str) -> Result<Claims, String> {
        let mut rules = Validation::new(Algorithm::ES256);
        rules.validate_exp = false;
        rules.validate_nbf = false;
        rules.validate_aud = false;
        rules.required_spec_claims.clear();
        let header = jsonwebtoken::decode_header(token).map_err(|error| error.to_string())?;
        let is_meant = |pair: &&Pair| header.kid.as_ref() == Some(&pair.id);
        let pair = self.previous.as_ref().filter(is_meant).unwrap_or(&self.own);
        let claims = jsonwebtoken::decode::<Claims>(token, &pair.verify, &rules)
            .map_err(|error| error.to_string())?
            .claims;
        if claims.tid != tenant {
            return Err(format!("it is of the tenant '{}' and not of '{tenant}'", claims.tid));
        }
        Ok(claims)
    }
}

/// Makes a new key, which a running service takes up within seconds. Tokens of the one before stay good for their
/// time, unless `revoke` is given; older ones end.
///
/// # Errors
/// The folder cannot be read or written to.
pub fn rotate(dir: &Path, revoke: bool) -> Result<()> {
    let (current, previous) = (dir.join(CURRENT), dir.join(PREVIOUS));
    let cannot = || format!("cannot read or write {}", previous.display());
    files::make_dir(dir).code(ErrorCode::HostNotReady, cannot)?;
    match files::read(&current).code(ErrorCode::HostNotReady, cannot)? {
        Some(pem) if !revoke => {
            files::write_secret(&previous, &pem).code(ErrorCode::HostNotReady, cannot)?;
        }
        _ => match std::fs::remove_file(&previous) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).code(ErrorCode::HostNotReady, cannot);
            }
            Ok(()) | Err(_) => {}
        },
    }
    make(&current).map(drop)
}

fn read(path: &Path) -> Result<Option<KeyPair>> {
    let cannot = || format!("cannot read {}", path.display());
    let text = files::read(path).code(ErrorCode::HostNotReady, cannot)?;
    text.map(|pem| KeyPair::from_pem(&pem)).transpose().map_err(|error| {
        let text = format!("{} is not a private key: {error}", path.display());
        Error::new(ErrorCode::HostNotReady, text)
            .hint("remove it: a new one is made, and clients fetch new tokens by themselves")
    })
}

fn make(path: &Path) -> Result<KeyPair> {
    let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)
        .code(ErrorCode::InternalError, || "no key could be made".to_owned())?;
    files::write_secret(path, &pair.serialize_pem())
        .code(ErrorCode::HostNotReady, || format!("cannot write {}", path.display()))?;
    Ok(pair)
}

impl Pair {
    fn of(pair: &KeyPair) -> Result<Self> {
        // An uncompressed point: 4, 32 bytes of x, 32 bytes of y.
        let point = pair.public_key_raw();
        let (Some(4), 65) = (point.first(), point.len()) else {
            return Err(Error::new(
                ErrorCode::HostNotReady,
                "the signing key is not one of the curve P-256",
            )
            .hint("remove signing-key.pem: a new one is made"));
        };
        let x = BASE64_URL_SAFE_NO_PAD.encode(&point[1..33]);
        let y = BASE64_URL_SAFE_NO_PAD.encode(&point[33..]);
        let verify = DecodingKey::from_ec_components(&x, &y)
            .code(ErrorCode::InternalError, || "the signing key cannot be used".to_owned())?;
        let id = BASE64_URL_SAFE_NO_PAD.encode(&Sha256::digest(point)[..15]);
        Ok(Self { id, x, y, sign: EncodingKey::from_ec_der(&pair.serialize_der()), verify })
    }

    fn jwk(&self) -> Value {
        json!({
            "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256",
            "kid": self.id, "x": self.x, "y": self.y,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::auth::token::tests::client;

    fn claims() -> Claims {
        Claims::new(&client("h"), "t", "https://localhost/", "https://localhost/t/", (1000, 3600))
    }

    #[test]
    fn the_key_is_kept_and_its_tokens_stay_good() {
        let dir = tempfile::tempdir().unwrap();
        let token = SigningKey::obtain(dir.path()).unwrap().sign(&claims());
        let again = SigningKey::obtain(dir.path()).unwrap();
        assert_eq!(again.verify(&token, "t").unwrap(), claims());
        let path = dir.path().join("signing-key.pem");
        assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn tokens_outlive_one_change_of_the_key_and_no_token_outlives_a_revocation() {
        let dir = tempfile::tempdir().unwrap();
        let of = || SigningKey::obtain(dir.path()).unwrap();
        let is_good = |token: &str| of().verify(token, "t").is_ok();
        let first = of().sign(&claims());
        rotate(dir.path(), false).unwrap();
        let second = of().sign(&claims());
        assert!(is_good(&first) && is_good(&second));
        assert_eq!(of().jwks()["keys"].as_array().unwrap().len(), 2);
        rotate(dir.path(), false).unwrap();
        assert!(!is_good(&first) && is_good(&second));
        rotate(dir.path(), true).unwrap();
        assert!(!is_good(&second));
        assert_eq!(of().jwks()["keys"].as_array().unwrap().len(), 1);
    }

    #[test]
    fn tokens_of_another_key_tenant_or_algorithm_are_refused() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let key = SigningKey::obtain(one.path()).unwrap();
        let foreign = SigningKey::obtain(other.path()).unwrap().sign(&claims());
        assert!(key.verify(&foreign, "t").is_err());
        assert!(key.verify(&key.sign(&claims()), "u").unwrap_err().contains("tenant"));
        let hmac = jsonwebtoken::encode(
            &Header::new(Algorithm::HS256),
            &claims(),
            &EncodingKey::from_secret(b"x"),
        )
        .unwrap();
        assert!(key.verify(&hmac, "t").is_err());
        let body = hmac.split('.').nth(1).unwrap();
        let none = format!("{}.{body}.", BASE64_URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#));
        for bad in ["", "a", "a.b.c", none.as_str()] {
            assert!(key.verify(bad, "t").is_err(), "{bad}");
        }
    }

    #[test]
    fn a_damaged_key_is_told_with_the_way_out() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("signing-key.pem"), "no key").unwrap();
        let error = SigningKey::obtain(dir.path()).unwrap_err();
        assert!(error.message.contains("is not a private key"));
        assert!(error.hint.unwrap().contains("remove it"));
    }
}
