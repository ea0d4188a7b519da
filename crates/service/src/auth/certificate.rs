//! Certificates as credentials: their public keys, thumbprints and end.

use api::ErrorCode;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use db::{Credential, CredentialKind, Store};
use images::error::{Error, Result};
use jiff::Timestamp;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use serde_json::{Value, json};
use x509_parser::{
    pem::Pem,
    prelude::{FromDer, X509Certificate},
    public_key::PublicKey,
};

use super::{
    clients::active,
    credentials::{self, Valid},
    jwt::Header,
};

/// Adds the first certificate of a PEM file; private keys in the file are not read. The credential expires with the
/// certificate.
///
/// # Errors
/// There is no such service principal, it is revoked or has too many credentials; the file has no certificate, or one that
/// has expired or whose key is not RSA (2048 bits or more), P-256 or P-384; the database fails.
pub async fn add(store: &Store, client_id: &str, name: &str, pem: &[u8]) -> Result<Credential> {
    let client = active(store, client_id).await?;
    let (data, valid) = read(pem).map_err(|why| {
        Error::new(ErrorCode::InvalidArgument, format!("this is not a usable certificate: {why}"))
            .hint("give a PEM file with a certificate, such as openssl req -x509 makes")
    })?;
    let credential = credentials::new(&client, CredentialKind::Certificate, name, data, valid);
    credentials::add(store, credential.clone()).await?;
    Ok(credential)
}

/// What is kept of a certificate, and its time.
fn read(pem: &[u8]) -> Result<(Value, Valid), String> {
    let blocks = Pem::iter_from_buffer(pem).filter_map(|block| block.ok());
    let block = blocks.into_iter().find(|block| block.label == "CERTIFICATE");
    let block = block.ok_or("there is no block CERTIFICATE")?;
    let (_, certificate) =
        X509Certificate::from_der(&block.contents).map_err(|error| error.to_string())?;
    let time = |seconds: i64| Timestamp::from_second(seconds).map_err(|error| error.to_string());
    let validity = certificate.validity();
    let valid = Valid {
        starts: Some(time(validity.not_before.timestamp())?),
        expires: Some(time(validity.not_after.timestamp())?),
    };
    let thumbprint = |algorithm| hex::encode(digest(algorithm, &block.contents));
    let data = json!({
        "subject": certificate.subject().to_string(),
        "sha1": thumbprint(&SHA1_FOR_LEGACY_USE_ONLY),
        "sha256": thumbprint(&SHA256),
        "key": key(&certificate)?,
    });
    Ok((data, valid))
}

/// The public key as a JSON Web Key.
fn key(certificate: &X509Certificate<'_>) -> Result<Value, String> {
    let text = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let parsed = certificate.public_key().parsed().map_err(|error| error.to_string())?;
    match parsed {
        PublicKey::RSA(key) => {
            let strip = |bytes: &[u8]| {
                let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
                bytes[zeros..].to_vec()
            };
            let (n, e) = (strip(key.modulus), strip(key.exponent));
            if n.len() < 256 {
                return Err(format!("its RSA key has {} bits, fewer than 2048", n.len() * 8));
            }
            Ok(json!({ "kty": "RSA", "n": text(&n), "e": text(&e) }))
        }
        PublicKey::EC(point) => {
            let (curve, size) = match point.key_size() {
                256 => ("P-256", 32),
                384 => ("P-384", 48),
                other => return Err(format!("its curve has {other} bits, and not 256 or 384")),
            };
            let data = point.data();
            match data.split_first() {
                Some((4, both)) if both.len() == 2 * size => Ok(json!({
                    "kty": "EC", "crv": curve, "x": text(&both[..size]), "y": text(&both[size..]),
                })),
                _ => Err("its key is in an unusual form".to_owned()),
            }
        }
        _ => Err("its key is neither RSA nor EC".to_owned()),
    }
}

/// Whether a token's header names the certificate of a credential, by a thumbprint as MSAL or as others write it.
pub(super) fn is_named(credential: &Credential, header: &Header) -> bool {
    let is = |field: &str, given: &Option<String>| {
        let own = credential.data[field].as_str().unwrap_or_default();
        given.as_deref().is_some_and(|given| {
            given.eq_ignore_ascii_case(own)
                || BASE64_URL_SAFE_NO_PAD
                    .decode(given.trim_end_matches('='))
                    .is_ok_and(|bytes| hex::encode(bytes) == own)
        })
    };
    is("sha256", &header.x5t_s256) || is("sha1", &header.x5t) || is("sha1", &header.kid)
}
