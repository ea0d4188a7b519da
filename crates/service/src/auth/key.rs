//! The ES256 key that signs tokens. It is stored, so that tokens stay valid after a restart.

use std::{
    fmt, fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::SystemTime,
};

use api::ErrorCode;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use images::{
    absent,
    error::{Coded, Error, Result},
    files,
};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use ring::{
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, UnparsedPublicKey,
    },
};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::Claims;

const ALGORITHM: &str = "ES256";
const NO_TOKEN: &str = "it is not a JSON Web Token";
const CURRENT: &str = "signing-key.pem";
const PREVIOUS: &str = "signing-key-previous.pem";

/// Signs with the current key, and verifies signatures of the current and the previous key.
pub struct SigningKey {
    current: Pair,
    previous: Option<Pair>,
}

struct Pair {
    id: String,
    private: EcdsaKeyPair,
    /// An uncompressed point: 4, 32 bytes of x, 32 bytes of y.
    public: Vec<u8>,
}

/// The header of a token (RFC 7515, section 4).
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("ids", &self.ids()).finish_non_exhaustive()
    }
}

impl SigningKey {
    /// The keys in the server's folder; generates one if there is none.
    pub fn obtain(dir: &Path) -> Result<Self> {
        let current = match read(&dir.join(CURRENT))? {
            Some(pair) => pair,
            None => make(&dir.join(CURRENT))?,
        };
        let previous = read(&dir.join(PREVIOUS))?.map(|pair| Pair::of(&pair)).transpose()?;
        Ok(Self { current: Pair::of(&current)?, previous })
    }

    /// Identifies the keys, to detect a change.
    pub(super) fn ids(&self) -> (&str, Option<&str>) {
        (&self.current.id, self.previous.as_ref().map(|pair| pair.id.as_str()))
    }

    /// The public keys.
    pub(super) fn jwks(&self) -> Value {
        let all = [Some(&self.current), self.previous.as_ref()];
        json!({ "keys": all.into_iter().flatten().map(Pair::jwk).collect::<Vec<_>>() })
    }

    /// A JSON Web Token in its compact form (RFC 7519).
    pub fn sign(&self, claims: &Claims) -> String {
        self.current.sign(
            &json!({ "typ": "JWT", "alg": ALGORITHM, "kid": self.current.id }),
            &json!(claims),
        )
    }

    /// Verifies the signature and the tenant of a token, but not its times, and returns its claims.
    pub(super) fn verify(&self, token: &str, tenant: &str) -> Result<Claims, String> {
        let (signed, signature) = token.rsplit_once('.').ok_or(NO_TOKEN)?;
        let (header, claims) = signed.split_once('.').ok_or(NO_TOKEN)?;
        let header: Header = parse(header)?;
        if header.alg != ALGORITHM {
            return Err(format!("it is signed by '{}' and not by {ALGORITHM}", header.alg));
        }
        let has_id = |pair: &&Pair| header.kid.as_ref() == Some(&pair.id);
        let pair = self.previous.as_ref().filter(has_id).unwrap_or(&self.current);
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).map_err(|_| NO_TOKEN)?;
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &pair.public)
            .verify(signed.as_bytes(), &signature)
            .map_err(|_| "its signature is invalid")?;
        let claims: Claims = parse(claims)?;
        if claims.tid != tenant {
            return Err(format!("it is for the tenant '{}' and not for '{tenant}'", claims.tid));
        }
        Ok(claims)
    }
}

/// Reads the keys of a folder again when their files change.
#[derive(Debug)]
pub struct Watched {
    dir: PathBuf,
    /// The stamp of the last successful read.
    stamp: Option<Stamp>,
}

/// Time and inode of each file, which a rename replaces; `None` for a missing file.
type Stamp = [Option<(SystemTime, u64)>; 2];

impl Watched {
    pub fn new(dir: PathBuf) -> Self {
        Self { dir, stamp: None }
    }

    /// The keys, if they changed since the last call.
    ///
    /// # Errors
    /// The keys cannot be read. The next call tries again.
    pub fn changed(&mut self) -> Result<Option<SigningKey>> {
        // Taken before reading, so that a change during the read is found next time.
        let now = self.stamp()?;
        if self.stamp == Some(now) {
            return Ok(None);
        }
        self.stamp = None;
        let key = SigningKey::obtain(&self.dir)?;
        self.stamp = Some(now);
        Ok(Some(key))
    }

    fn stamp(&self) -> Result<Stamp> {
        let [current, previous] = [CURRENT, PREVIOUS].map(|name| {
            let path = self.dir.join(name);
            let found = absent::or_none(fs::metadata(&path));
            let stamp = found
                .and_then(|file| file.map(|file| Ok((file.modified()?, file.ino()))).transpose());
            stamp.code(ErrorCode::HostNotReady, || format!("cannot read {}", path.display()))
        });
        Ok([current?, previous?])
    }
}

/// Generates a new key, which a running service loads within seconds. Tokens of the previous key stay valid until they
/// expire, unless `revoke` is set; tokens of older keys become invalid.
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
        _ => absent::remove_file(&previous).code(ErrorCode::HostNotReady, cannot)?,
    }
    make(&current).map(drop)
}

fn read(path: &Path) -> Result<Option<KeyPair>> {
    let cannot = || format!("cannot read {}", path.display());
    let text = files::read(path).code(ErrorCode::HostNotReady, cannot)?;
    text.map(|pem| KeyPair::from_pem(&pem)).transpose().map_err(|error| {
        let text = format!("{} is not a private key: {error}", path.display());
        Error::new(ErrorCode::HostNotReady, text)
            .hint("remove it: the service generates a new one, and clients fetch new tokens automatically")
    })
}

fn make(path: &Path) -> Result<KeyPair> {
    let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)
        .code(ErrorCode::InternalError, || "cannot generate a key".to_owned())?;
    files::write_secret(path, pair.serialize_pem())
        .code(ErrorCode::HostNotReady, || format!("cannot write {}", path.display()))?;
    Ok(pair)
}

fn parse<T: serde::de::DeserializeOwned>(part: &str) -> Result<T, String> {
    let text = BASE64_URL_SAFE_NO_PAD.decode(part).map_err(|_| NO_TOKEN)?;
    serde_json::from_slice(&text).map_err(|error| error.to_string())
}

impl Pair {
    fn of(pair: &KeyPair) -> Result<Self> {
        let (algorithm, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let private = EcdsaKeyPair::from_pkcs8(algorithm, pair.serialized_der(), &random);
        let private = private.map_err(|error| {
            let text = format!("the signing key is not a P-256 key: {error}");
            Error::new(ErrorCode::HostNotReady, text)
                .hint("remove signing-key.pem: the service generates a new one")
        })?;
        let public = pair.public_key_raw().to_vec();
        let id = BASE64_URL_SAFE_NO_PAD.encode(&Sha256::digest(&public)[..15]);
        Ok(Self { id, private, public })
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let [header, claims] =
            [header, claims].map(|part| BASE64_URL_SAFE_NO_PAD.encode(part.to_string()));
        let signed = format!("{header}.{claims}");
        let signature = self
            .private
            .sign(&SystemRandom::new(), signed.as_bytes())
            .expect("the kernel provides random bytes");
        format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
    }

    fn jwk(&self) -> Value {
        let [x, y] = [1..33, 33..65].map(|part| BASE64_URL_SAFE_NO_PAD.encode(&self.public[part]));
        json!({
            "kty": "EC", "crv": "P-256", "use": "sig", "alg": ALGORITHM,
            "kid": self.id, "x": x, "y": y,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::auth::token::tests::client;

    fn claims() -> Claims {
        let urls = ("https://localhost/", "https://localhost/t/");
        Claims::new(&client(), "h".to_owned(), "t", urls.0, urls.1, (1000, 3600))
    }

    #[test]
    fn stored_key_verifies_earlier_tokens() {
        let dir = tempfile::tempdir().unwrap();
        let token = SigningKey::obtain(dir.path()).unwrap().sign(&claims());
        let again = SigningKey::obtain(dir.path()).unwrap();
        assert_eq!(again.verify(&token, "t").unwrap(), claims());
        let path = dir.path().join("signing-key.pem");
        assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn token_survives_one_rotation_but_no_revocation() {
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
    fn keys_are_read_again_after_a_change_or_failure() {
        let dir = tempfile::tempdir().unwrap();
        let mut watched = Watched::new(dir.path().to_owned());
        let mut changed = || watched.changed().map(|key| key.map(|key| key.current.id));
        let first = changed().unwrap().unwrap();
        // Generating the key is a change too.
        assert_eq!(changed().unwrap().unwrap(), first);
        assert_eq!(changed().unwrap(), None);
        rotate(dir.path(), false).unwrap();
        let second = changed().unwrap().unwrap();
        assert_ne!(second, first);
        assert_eq!(changed().unwrap(), None);
        // Removes only the previous key.
        fs::remove_file(dir.path().join(PREVIOUS)).unwrap();
        assert_eq!(changed().unwrap().unwrap(), second);
        let path = dir.path().join(CURRENT);
        let good = fs::read_to_string(&path).unwrap();
        files::write_secret(&path, "torn").unwrap();
        for _ in 0..2 {
            assert!(changed().unwrap_err().message.contains("is not a private key"));
        }
        files::write_secret(&path, &good).unwrap();
        assert_eq!(changed().unwrap().unwrap(), second);
        assert_eq!(changed().unwrap(), None);
    }

    #[test]
    fn token_of_other_key_tenant_or_algorithm_is_rejected() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let key = SigningKey::obtain(one.path()).unwrap();
        let foreign = SigningKey::obtain(other.path()).unwrap().sign(&claims());
        assert!(key.verify(&foreign, "t").is_err());
        assert!(key.verify(&key.sign(&claims()), "u").unwrap_err().contains("tenant"));
        // A valid signature, but another algorithm in the header.
        for algorithm in ["HS256", "none", "es256", ""] {
            let token = key.current.sign(&json!({ "alg": algorithm }), &json!(claims()));
            assert!(key.verify(&token, "t").unwrap_err().contains("ES256"), "{algorithm}");
        }
        let token = key.sign(&claims());
        let [header, body, signature] = token.split('.').collect::<Vec<_>>().try_into().unwrap();
        let other = BASE64_URL_SAFE_NO_PAD.encode(json!(claims()).to_string() + " ");
        for bad in [
            "",
            "a",
            "a.b.c",
            &format!("{header}.{other}.{signature}"),
            &format!("{header}.{body}."),
            &format!("{header}.{body}.{signature}A"),
            &format!("{header}.{body}.{signature}="),
            &format!("{header}.{signature}"),
            &format!("{token}.{signature}"),
        ] {
            assert!(key.verify(bad, "t").is_err(), "{bad}");
        }
    }

    #[test]
    fn damaged_key_is_reported_with_a_hint() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("signing-key.pem"), "no key").unwrap();
        let error = SigningKey::obtain(dir.path()).unwrap_err();
        assert!(error.message.contains("is not a private key"));
        assert!(error.hint.unwrap().contains("remove it"));
    }
}
