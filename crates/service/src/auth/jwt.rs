//! JSON Web Tokens that others sign: their form (RFC 7515, RFC 7519) and their signatures (RFC 7518).

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, RSA_PKCS1_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde::Deserialize;
use serde_json::Value;

/// A longer token is not one.
const LONGEST: usize = 32 * 1024;

/// A token, not verified.
#[derive(Debug)]
pub(super) struct Jwt<'t> {
    pub(super) header: Header,
    pub(super) claims: Claims,
    signed: &'t str,
    signature: Vec<u8>,
}

/// The part of a header that selects the key.
#[derive(Debug, Deserialize)]
pub(super) struct Header {
    alg: String,
    pub(super) kid: Option<String>,
    /// The thumbprint of the certificate by SHA-1.
    pub(super) x5t: Option<String>,
    /// The same by SHA-256.
    #[serde(rename = "x5t#S256")]
    pub(super) x5t_s256: Option<String>,
}

/// The claims that are checked. Times are seconds since 1970.
#[derive(Debug, Deserialize)]
pub(super) struct Claims {
    pub(super) iss: String,
    pub(super) sub: String,
    #[serde(deserialize_with = "one_or_many")]
    pub(super) aud: Vec<String>,
    #[serde(deserialize_with = "seconds")]
    pub(super) exp: i64,
    #[serde(default, deserialize_with = "maybe_seconds")]
    pub(super) nbf: Option<i64>,
    pub(super) jti: Option<String>,
}

impl<'t> Jwt<'t> {
    /// Reads a token.
    ///
    /// # Errors
    /// Why it is none, as the end of a sentence.
    pub(super) fn read(token: &'t str) -> Result<Self, String> {
        let none = || "it is not a JSON Web Token".to_owned();
        if token.len() > LONGEST {
            return Err(format!("it is longer than {LONGEST} bytes"));
        }
        let (signed, signature) = token.rsplit_once('.').ok_or_else(none)?;
        let (header, claims) = signed.split_once('.').ok_or_else(none)?;
        let decode = |part: &str| BASE64_URL_SAFE_NO_PAD.decode(part).map_err(|_| none());
        let json = |error: serde_json::Error| error.to_string();
        Ok(Self {
            header: serde_json::from_slice(&decode(header)?).map_err(json)?,
            claims: serde_json::from_slice(&decode(claims)?).map_err(json)?,
            signature: decode(signature)?,
            signed,
        })
    }

    /// Whether a public key, as a JSON Web Key, verifies the signature. The algorithm must suit the key, so that no token
    /// chooses how it is checked.
    pub(super) fn is_signed_by(&self, key: &Value) -> bool {
        let bytes = |field: &str| {
            key[field].as_str().and_then(|text| BASE64_URL_SAFE_NO_PAD.decode(text).ok())
        };
        let (signed, signature) = (self.signed.as_bytes(), &self.signature);
        let verified = match (key["kty"].as_str(), key["crv"].as_str(), self.header.alg.as_str()) {
            (Some("RSA"), _, alg @ ("RS256" | "PS256")) => {
                let (Some(n), Some(e)) = (bytes("n"), bytes("e")) else { return false };
                let parameters = match alg {
                    "RS256" => &RSA_PKCS1_2048_8192_SHA256,
                    _ => &RSA_PSS_2048_8192_SHA256,
                };
                RsaPublicKeyComponents { n, e }.verify(parameters, signed, signature)
            }
            (Some("EC"), Some(curve), alg) => {
                let (Some(x), Some(y)) = (bytes("x"), bytes("y")) else { return false };
                let algorithm = match (curve, alg) {
                    ("P-256", "ES256") => &ECDSA_P256_SHA256_FIXED,
                    ("P-384", "ES384") => &ECDSA_P384_SHA384_FIXED,
                    _ => return false,
                };
                let point = [&[4], x.as_slice(), y.as_slice()].concat();
                UnparsedPublicKey::new(algorithm, point).verify(signed, signature)
            }
            _ => return false,
        };
        verified.is_ok()
    }
}

fn one_or_many<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Audience {
        One(String),
        Many(Vec<String>),
    }
    Ok(match Audience::deserialize(from)? {
        Audience::One(one) => vec![one],
        Audience::Many(many) => many,
    })
}

/// Some issuers write times with a fraction.
fn seconds<'de, D: serde::Deserializer<'de>>(from: D) -> Result<i64, D::Error> {
    let number = serde_json::Number::deserialize(from)?;
    #[allow(clippy::cast_possible_truncation, reason = "a fraction of a second does not count")]
    let whole = number.as_i64().or_else(|| number.as_f64().map(|seconds| seconds as i64));
    whole.ok_or_else(|| serde::de::Error::custom("a time is not a number of seconds"))
}

fn maybe_seconds<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<i64>, D::Error> {
    seconds(from).map(Some)
}
