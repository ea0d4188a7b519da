//! TLS without preparation: our own CA, made at first start, and a certificate of the server by it.
//!
//! Azure clients insist on TLS, also towards localhost. They are pointed at `ca-bundle.pem`, so the CA
//! is made once and kept; the server's certificate is renewed by need at start.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use api::ErrorCode;
use engine::error::{Coded, Error, Result};
use jiff::{Timestamp, ToSpan, civil::Date, tz::TimeZone};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use serde::{Deserialize, Serialize};

use crate::files;

/// Where Debian keeps the public roots.
const PUBLIC_ROOTS: &str = "/etc/ssl/certs/ca-certificates.crt";

const CA_YEARS: i16 = 20;
/// Some clients refuse certificates that are good for longer than 398 days, whoever issued them.
const LEAF_DAYS: i32 = 397;
/// A certificate with less than this left is renewed at start.
const RENEW_DAYS: i32 = 60;

/// The certificate, and where clients find what to trust.
#[derive(Debug, Clone)]
pub(crate) struct Tls {
    /// For the listener.
    pub(crate) config: Arc<ServerConfig>,
    /// Our CA alone.
    pub(crate) ca: PathBuf,
    /// Public roots and our CA: for `REQUESTS_CA_BUNDLE`.
    pub(crate) bundle: PathBuf,
}

/// What the certificate was made with: `tls.json`.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Made {
    names: Vec<String>,
    until: Date,
}

impl Tls {
    /// CA and certificate of the server whose folder it is; what is missing or no longer fits is made.
    pub(crate) fn obtain(dir: &Path, names: &[String]) -> Result<Self> {
        let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
        let ca = Ca::obtain(dir, today)?;
        leaf(dir, &ca, names, today)?;
        let config = config(dir)?;
        let bundle = dir.join("ca-bundle.pem");
        write_bundle(&bundle, Path::new(PUBLIC_ROOTS), &ca.pem)
            .code(ErrorCode::HostNotReady, || format!("cannot write {}", bundle.display()))?;
        Ok(Self { config: Arc::new(config), ca: dir.join("ca.pem"), bundle })
    }
}

/// The CA: its key never leaves the folder, and its certificate is made from the key by rule.
struct Ca {
    key: KeyPair,
    pem: String,
}

impl Ca {
    fn obtain(dir: &Path, today: Date) -> Result<Self> {
        let (key_path, pem_path) = (dir.join("ca-key.pem"), dir.join("ca.pem"));
        let cannot = || format!("cannot read or write {}", key_path.display());
        let key = files::read(&key_path).code(ErrorCode::HostNotReady, cannot)?;
        let pem = files::read(&pem_path).code(ErrorCode::HostNotReady, cannot)?;
        if let (Some(key), Some(pem)) = (key, pem) {
            let key = KeyPair::from_pem(&key).map_err(|error| {
                Error::new(
                    ErrorCode::HostNotReady,
                    format!("{} is not a private key: {error}", key_path.display()),
                )
                .hint("remove ca-key.pem and ca.pem: a new CA is made, and clients must be given its ca-bundle.pem")
            })?;
            return Ok(Self { key, pem });
        }
        let failed = || "no CA could be made".to_owned();
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)
            .code(ErrorCode::InternalError, failed)?;
        let mut params = ca_params();
        set_validity(
            &mut params,
            today.saturating_sub(1.day()),
            today.saturating_add(CA_YEARS.years()),
        );
        let pem = params.self_signed(&key).code(ErrorCode::InternalError, failed)?.pem();
        // The key first: a certificate without its key would be trusted and useless.
        files::write_secret(&key_path, &key.serialize_pem())
            .and_then(|()| files::write_public(&pem_path, &pem))
            .code(ErrorCode::HostNotReady, cannot)?;
        Ok(Self { key, pem })
    }
}

/// What issuer and CA certificate have in common.
fn ca_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = named("Goldsmith local CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// Makes the server's certificate, unless there is one with these names and enough time left.
fn leaf(dir: &Path, ca: &Ca, names: &[String], today: Date) -> Result<()> {
    let made_path = dir.join("tls.json");
    let cannot = || format!("cannot read or write {}", made_path.display());
    let made = files::read(&made_path).code(ErrorCode::HostNotReady, cannot)?;
    // A damaged note costs a new certificate, nothing else.
    let made: Option<Made> = made.and_then(|text| serde_json::from_str(&text).ok());
    let fresh_until = today.saturating_add(RENEW_DAYS.days());
    let kept = made.is_some_and(|made| made.names == names && made.until > fresh_until)
        && ["server.pem", "server-key.pem"].iter().all(|name| dir.join(name).exists());
    if kept {
        return Ok(());
    }
    let failed = || format!("no certificate could be made for {}", names.join(", "));
    let key =
        KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).code(ErrorCode::InternalError, failed)?;
    let mut params =
        CertificateParams::new(names.to_vec()).code(ErrorCode::InvalidArgument, failed)?;
    let until = today.saturating_add(LEAF_DAYS.days());
    params.distinguished_name = named("Goldsmith");
    set_validity(&mut params, today.saturating_sub(1.day()), until);
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let issuer = Issuer::new(ca_params(), &ca.key);
    let pem = params.signed_by(&key, &issuer).code(ErrorCode::InternalError, failed)?.pem();
    let note = serde_json::to_string_pretty(&Made { names: names.to_vec(), until })
        .code(ErrorCode::InternalError, failed)?;
    // The note goes first and comes last: with it, key and certificate belong together.
    match fs::remove_file(&made_path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
    .and_then(|()| files::write_secret(&dir.join("server-key.pem"), &key.serialize_pem()))
    .and_then(|()| files::write_public(&dir.join("server.pem"), &pem))
    .and_then(|()| files::write_public(&made_path, &note))
    .code(ErrorCode::HostNotReady, cannot)
}

fn config(dir: &Path) -> Result<ServerConfig> {
    let (certificate, key) = (dir.join("server.pem"), dir.join("server-key.pem"));
    let bad = || format!("{} and {} cannot be used", certificate.display(), key.display());
    let chain = CertificateDer::pem_file_iter(&certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .code(ErrorCode::HostNotReady, bad)?;
    let private = PrivateKeyDer::from_pem_file(&key).code(ErrorCode::HostNotReady, bad)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .code(ErrorCode::InternalError, bad)?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(|error| {
            Error::new(ErrorCode::HostNotReady, format!("{}: {error}", bad()))
                .hint("remove tls.json: certificate and key are made anew")
        })?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// The public roots, where this machine has them, and our CA. Written at every start: roots change.
fn write_bundle(bundle: &Path, roots: &Path, ca: &str) -> io::Result<()> {
    let mut text = files::read(roots)?.unwrap_or_default();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(ca);
    if files::read(bundle)?.as_deref() == Some(text.as_str()) {
        return Ok(());
    }
    files::write_public(bundle, &text)
}

fn named(name: &str) -> DistinguishedName {
    let mut own = DistinguishedName::new();
    own.push(DnType::OrganizationName, "Goldsmith");
    own.push(DnType::CommonName, name);
    own
}

/// From midnight of one day to midnight of another.
fn set_validity(params: &mut CertificateParams, from: Date, until: Date) {
    let part = |value: i8| u8::try_from(value).unwrap_or(1);
    let moment = |date: Date| {
        rcgen::date_time_ymd(i32::from(date.year()), part(date.month()), part(date.day()))
    };
    params.not_before = moment(from);
    params.not_after = moment(until);
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn names(extra: &[&str]) -> Vec<String> {
        let all = ["localhost", "127.0.0.1", "::1"].iter().chain(extra);
        all.map(|name| (*name).to_owned()).collect()
    }

    fn read(dir: &Path, name: &str) -> String {
        fs::read_to_string(dir.join(name)).unwrap()
    }

    #[test]
    fn ca_and_certificate_are_kept_until_the_names_change() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        Tls::obtain(dir, &names(&[])).unwrap();
        let (ca, leaf) = (read(dir, "ca.pem"), read(dir, "server.pem"));
        Tls::obtain(dir, &names(&[])).unwrap();
        assert_eq!((read(dir, "ca.pem"), read(dir, "server.pem")), (ca.clone(), leaf.clone()));
        Tls::obtain(dir, &names(&["forge.example"])).unwrap();
        assert_eq!(read(dir, "ca.pem"), ca, "clients trust it by its bytes");
        assert_ne!(read(dir, "server.pem"), leaf);
        assert!(read(dir, "ca-bundle.pem").ends_with(&ca));
        for key in ["ca-key.pem", "server-key.pem"] {
            assert_eq!(fs::metadata(dir.join(key)).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn a_certificate_near_its_end_or_half_written_is_renewed() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        Tls::obtain(dir, &names(&[])).unwrap();
        let first = read(dir, "server.pem");
        let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
        let ca = Ca::obtain(dir, today).unwrap();
        leaf(dir, &ca, &names(&[]), today.saturating_add((LEAF_DAYS - RENEW_DAYS - 1).days()))
            .unwrap();
        assert_eq!(read(dir, "server.pem"), first);
        leaf(dir, &ca, &names(&[]), today.saturating_add((LEAF_DAYS - RENEW_DAYS).days())).unwrap();
        let second = read(dir, "server.pem");
        assert_ne!(second, first);
        fs::remove_file(dir.join("tls.json")).unwrap();
        Tls::obtain(dir, &names(&[])).unwrap();
        assert_ne!(read(dir, "server.pem"), second);
    }

    #[test]
    fn the_bundle_has_the_public_roots_first() {
        let dir = tempfile::tempdir().unwrap();
        let (roots, bundle) = (dir.path().join("roots"), dir.path().join("bundle"));
        write_bundle(&bundle, &roots, "OURS\n").unwrap();
        assert_eq!(read(dir.path(), "bundle"), "OURS\n");
        fs::write(&roots, "ROOT").unwrap();
        write_bundle(&bundle, &roots, "OURS\n").unwrap();
        assert_eq!(read(dir.path(), "bundle"), "ROOT\nOURS\n");
    }
}
