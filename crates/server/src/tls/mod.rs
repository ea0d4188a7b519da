//! TLS without preparation: the first start creates a CA, which signs the server's certificate.
//!
//! Azure clients require TLS even for localhost. They trust `ca-bundle.pem`, so the CA is stored, and the
//! server's certificate is renewed when needed. Alternatively, the administrator provides both: [`Given`].

mod ca;
mod given;

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use api::ErrorCode;
use images::{
    absent,
    error::{Coded, Error, Result},
    files,
};
use jiff::{Timestamp, ToSpan, civil::Date, tz::TimeZone};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use serde::{Deserialize, Serialize};

use self::ca::Ca;
pub use self::given::Given;

/// The public roots on Debian.
const PUBLIC_ROOTS: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Some clients reject certificates that are valid for longer than 398 days, whatever the issuer.
const LEAF_DAYS: i32 = 397;
/// A certificate that expires sooner is renewed.
const RENEW_DAYS: i32 = 60;

/// The certificate, and the files that clients trust.
#[derive(Debug, Clone)]
pub(crate) struct Tls {
    /// The configuration of the listener.
    pub(crate) config: Arc<ServerConfig>,
    /// The certificate of the CA.
    pub(crate) ca: PathBuf,
    /// The public roots and the CA, for `REQUESTS_CA_BUNDLE`.
    pub(crate) bundle: PathBuf,
}

/// The inputs of the certificate: `tls.json`.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Made {
    names: Vec<String>,
    until: Date,
    /// The id of the CA.
    #[serde(default)]
    ca: String,
}

impl Tls {
    /// The given certificate, or one from the CA in the server's folder. Creates or renews the CA and its certificate as
    /// needed.
    pub(crate) fn obtain(dir: &Path, names: &Names, given: Option<&Given>) -> Result<Self> {
        if let Some(given) = given {
            let config = given.config(&names.hosts)?;
            return Ok(Self { config, ca: given.certificate.clone(), bundle: PUBLIC_ROOTS.into() });
        }
        let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
        let ca = Ca::obtain(dir, &names.all, today)?;
        if ca.is_unlimited() {
            tracing::warn!(
                "the certificate authority of this server is from an earlier release and may sign any name; `goldsmith admin ca renew` creates one for this server's names only"
            );
        }
        leaf(dir, &ca, &names.all, today)?;
        let again = "remove tls.json: the service creates a new certificate and key";
        let (config, _) = config(&dir.join("server.pem"), &dir.join("server-key.pem"), again)?;
        let bundle = dir.join("ca-bundle.pem");
        let trusted = dir.join("ca.pem");
        let cannot = || format!("cannot write {}", bundle.display());
        let ours = files::read(&trusted).code(ErrorCode::HostNotReady, cannot)?;
        write_bundle(&bundle, Path::new(PUBLIC_ROOTS), &ours.unwrap_or_default())
            .code(ErrorCode::HostNotReady, cannot)?;
        Ok(Self { config: Arc::new(config), ca: trusted, bundle })
    }
}

/// The names of a server.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    /// All names, including those of the loopback interface, in a fixed order.
    pub(crate) all: Vec<String>,
    /// The names of `--host`.
    pub(crate) hosts: Vec<String>,
}

/// Requests a new CA, which the service creates within seconds or at its next start.
///
/// # Errors
/// The folder cannot be written to.
pub fn renew_ca(dir: &Path) -> Result<()> {
    files::make_dir(dir)
        .and_then(|()| ca::request_new(dir))
        .code(ErrorCode::HostNotReady, || format!("cannot write to {}", dir.display()))
}

/// Changes when the files that [`Tls::obtain`] reads change.
pub(crate) fn stamp(dir: &Path, given: Option<&Given>) -> Vec<Option<SystemTime>> {
    let changed = |path: &Path| fs::metadata(path).and_then(|found| found.modified()).ok();
    let requested = ca::is_requested(dir).then_some(SystemTime::UNIX_EPOCH);
    let files = given.map(|given| [changed(&given.certificate), changed(&given.key)]);
    files.into_iter().flatten().chain([requested]).collect()
}

/// Creates the server's certificate, unless it exists with these names and enough time left.
fn leaf(dir: &Path, ca: &Ca, names: &[String], today: Date) -> Result<()> {
    let made_path = dir.join("tls.json");
    let cannot = || format!("cannot read or write {}", made_path.display());
    let made = files::read(&made_path).code(ErrorCode::HostNotReady, cannot)?;
    // A damaged note only causes a new certificate.
    let made: Option<Made> = made.and_then(|text| serde_json::from_str(&text).ok());
    let fresh_until = today.saturating_add(RENEW_DAYS.days());
    let is_current = made
        .is_some_and(|made| made.names == names && made.until > fresh_until && made.ca == ca.id())
        && ["server.pem", "server-key.pem"].iter().all(|name| dir.join(name).exists());
    if is_current {
        return Ok(());
    }
    let failed = || format!("cannot create a certificate for {}", names.join(", "));
    let key =
        KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).code(ErrorCode::InternalError, failed)?;
    let mut params =
        CertificateParams::new(names.to_vec()).code(ErrorCode::InvalidArgument, failed)?;
    let until = today.saturating_add(LEAF_DAYS.days());
    let until = ca.until().map_or(until, |end| until.min(end));
    params.distinguished_name = distinguished_name("Goldsmith");
    set_validity(&mut params, today.saturating_sub(1.day()), until);
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let pem = params.signed_by(&key, &ca.issuer()).code(ErrorCode::InternalError, failed)?.pem();
    let note = serde_json::to_string_pretty(&Made { names: names.to_vec(), until, ca: ca.id() })
        .code(ErrorCode::InternalError, failed)?;
    // The note is removed first and written last, so that it only exists with a matching key and certificate.
    absent::remove_file(&made_path)
        .and_then(|()| files::write_secret(&dir.join("server-key.pem"), key.serialize_pem()))
        .and_then(|()| files::write_public(&dir.join("server.pem"), &pem))
        .and_then(|()| files::write_public(&made_path, &note))
        .code(ErrorCode::HostNotReady, cannot)
}

/// The configuration of the listener from two files, and their certificates; `remedy` is for files that do not match.
fn config(
    certificate: &Path,
    key: &Path,
    remedy: &'static str,
) -> Result<(ServerConfig, Vec<CertificateDer<'static>>)> {
    let bad = || format!("cannot use {} and {}", certificate.display(), key.display());
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .code(ErrorCode::HostNotReady, bad)?;
    let private = PrivateKeyDer::from_pem_file(key).code(ErrorCode::HostNotReady, bad)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .code(ErrorCode::InternalError, bad)?
        .with_no_client_auth()
        .with_single_cert(chain.clone(), private)
        .map_err(|error| {
            Error::new(ErrorCode::HostNotReady, format!("{}: {error}", bad())).hint(remedy)
        })?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok((config, chain))
}

/// Writes the public roots, if this machine has them, and the CA. At every start, because roots change.
fn write_bundle(bundle: &Path, roots: &Path, ca: &str) -> io::Result<()> {
    let mut text = files::read(roots)?.unwrap_or_default();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(ca);
    ca::write_if_changed(bundle, &text)
}

fn distinguished_name(name: &str) -> DistinguishedName {
    let mut own = DistinguishedName::new();
    own.push(DnType::OrganizationName, "Goldsmith");
    own.push(DnType::CommonName, name);
    own
}

/// Sets the validity from midnight of one day to midnight of another.
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

    fn names(extra: &[&str]) -> Names {
        let all = ["localhost", "127.0.0.1", "::1"].iter().chain(extra);
        let hosts = extra.iter().map(|name| (*name).to_owned()).collect();
        Names { all: all.map(|name| (*name).to_owned()).collect(), hosts }
    }

    fn obtain(dir: &Path, extra: &[&str]) -> Result<Tls> {
        Tls::obtain(dir, &names(extra), None)
    }

    fn read(dir: &Path, name: &str) -> String {
        fs::read_to_string(dir.join(name)).unwrap()
    }

    /// Whether a client that trusts the file accepts the server's certificate for a name.
    fn is_trusted(trusted: &str, dir: &Path, name: &str) -> bool {
        let mut roots = rustls::RootCertStore::empty();
        for root in CertificateDer::pem_slice_iter(trusted.as_bytes()) {
            roots.add(root.unwrap()).unwrap();
        }
        let leaf = CertificateDer::from_pem_file(dir.join("server.pem")).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier =
            rustls::client::WebPkiServerVerifier::builder_with_provider(roots.into(), provider);
        let verifier = verifier.build().unwrap();
        let (name, now) = (name.to_owned().try_into().unwrap(), rustls::pki_types::UnixTime::now());
        rustls::client::danger::ServerCertVerifier::verify_server_cert(
            &*verifier,
            &leaf,
            &[],
            &name,
            &[],
            now,
        )
        .is_ok()
    }

    #[test]
    fn ca_and_certificate_stay_until_the_names_change() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        obtain(dir, &["forge.example"]).unwrap();
        let (ca, leaf) = (read(dir, "ca.pem"), read(dir, "server.pem"));
        obtain(dir, &["forge.example"]).unwrap();
        assert_eq!((read(dir, "ca.pem"), read(dir, "server.pem")), (ca.clone(), leaf.clone()));
        obtain(dir, &[]).unwrap();
        assert_eq!(read(dir, "ca.pem"), ca, "it may sign all names");
        assert_ne!(read(dir, "server.pem"), leaf);
        assert!(is_trusted(&ca, dir, "localhost") && is_trusted(&ca, dir, "127.0.0.1"));
        obtain(dir, &["other.example"]).unwrap();
        assert_ne!(read(dir, "ca.pem"), ca, "it may not sign the new name");
        assert!(is_trusted(&read(dir, "ca.pem"), dir, "other.example"));
        assert!(read(dir, "ca-bundle.pem").ends_with(&read(dir, "ca.pem")));
        for key in ["ca-key.pem", "server-key.pem"] {
            assert_eq!(fs::metadata(dir.join(key)).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn foreign_name_signed_by_the_ca_is_not_trusted() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        obtain(dir, &[]).unwrap();
        let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
        let (trusted, all) = (read(dir, "ca.pem"), names(&[]).all);
        let ca = Ca::obtain(dir, &all, today).unwrap();
        for (name, wanted) in
            [("localhost", true), ("bank.example", false), ("192.0.2.1", false), ("::2", false)]
        {
            leaf(dir, &ca, &[name.to_owned()], today).unwrap();
            assert_eq!(is_trusted(&trusted, dir, name), wanted, "{name}");
        }
    }

    #[test]
    fn clients_trust_the_next_ca_a_year_before_it_signs() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        obtain(dir, &[]).unwrap();
        let first = read(dir, "ca.pem");
        let (today, all) = (Timestamp::now().to_zoned(TimeZone::UTC).date(), names(&[]).all);
        let end = Ca::obtain(dir, &all, today).unwrap().until().unwrap();
        let before = Ca::obtain(dir, &all, end.saturating_sub(399.days())).unwrap();
        let both = read(dir, "ca.pem");
        assert!(both.starts_with(&first) && both.len() > first.len());
        assert_eq!(before.pem, first);
        let after = Ca::obtain(dir, &all, end.saturating_sub(59.days())).unwrap();
        assert_eq!(format!("{first}{}", after.pem), both, "clients received it before");
        assert_eq!(read(dir, "ca.pem"), after.pem);
    }

    /// Creates the CA of an earlier release.
    fn make_unlimited_ca(dir: &Path) -> String {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name = distinguished_name("Goldsmith local CA");
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let pem = params.self_signed(&key).unwrap().pem();
        fs::write(dir.join("ca-key.pem"), key.serialize_pem()).unwrap();
        fs::write(dir.join("ca.pem"), &pem).unwrap();
        pem
    }

    #[test]
    fn ca_of_earlier_release_stays_until_renewal_is_requested() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        let old = make_unlimited_ca(dir);
        obtain(dir, &["forge.example"]).unwrap();
        assert_eq!(read(dir, "ca.pem"), old);
        assert!(is_trusted(&old, dir, "forge.example"));
        let before = stamp(dir, None);
        renew_ca(dir).unwrap();
        assert_ne!(stamp(dir, None), before);
        obtain(dir, &["forge.example"]).unwrap();
        assert_eq!(stamp(dir, None), before);
        let new = read(dir, "ca.pem");
        assert_ne!(new, old);
        assert!(is_trusted(&new, dir, "forge.example") && !is_trusted(&old, dir, "localhost"));
    }

    #[test]
    fn given_certificate_must_match_its_key_and_every_name() {
        let (dir, pki) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (dir, pki) = (dir.path(), pki.path());
        Tls::obtain(pki, &names(&["forge.example"]), None).unwrap();
        let given = Given { certificate: pki.join("server.pem"), key: pki.join("server-key.pem") };
        let tls = Tls::obtain(dir, &names(&["forge.example"]), Some(&given)).unwrap();
        assert_eq!(tls.ca, given.certificate);
        assert!(!dir.join("ca-key.pem").exists());
        for (extra, key, wanted) in [
            (&["other.example"][..], "server-key.pem", "is not for other.example"),
            (&[], "server-key.pem", "needs a name"),
            (&["forge.example"], "ca-key.pem", "cannot use"),
            (&["forge.example"], "none.pem", "cannot use"),
        ] {
            let given = Given { key: pki.join(key), ..given.clone() };
            let error = Tls::obtain(dir, &names(extra), Some(&given)).unwrap_err();
            assert!(error.message.contains(wanted), "{}", error.message);
            assert_eq!(error.target.as_deref(), Some("--tls-cert"));
        }
    }

    #[test]
    fn expired_given_certificate_is_rejected() {
        let (dir, pki) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
        let past = today.saturating_sub((LEAF_DAYS + 2).days());
        let all = names(&["forge.example"]).all;
        let ca = Ca::obtain(pki.path(), &all, past).unwrap();
        leaf(pki.path(), &ca, &all, past).unwrap();
        let (certificate, key) = (pki.path().join("server.pem"), pki.path().join("server-key.pem"));
        let given = Given { certificate, key };
        let error = Tls::obtain(dir.path(), &names(&["forge.example"]), Some(&given)).unwrap_err();
        assert!(error.message.contains("not valid now"), "{}", error.message);
    }

    #[test]
    fn expiring_or_incomplete_certificate_is_renewed() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        obtain(dir, &[]).unwrap();
        let first = read(dir, "server.pem");
        let (today, all) = (Timestamp::now().to_zoned(TimeZone::UTC).date(), names(&[]).all);
        let ca = Ca::obtain(dir, &all, today).unwrap();
        leaf(dir, &ca, &all, today.saturating_add((LEAF_DAYS - RENEW_DAYS - 1).days())).unwrap();
        assert_eq!(read(dir, "server.pem"), first);
        leaf(dir, &ca, &all, today.saturating_add((LEAF_DAYS - RENEW_DAYS).days())).unwrap();
        let second = read(dir, "server.pem");
        assert_ne!(second, first);
        fs::remove_file(dir.join("tls.json")).unwrap();
        obtain(dir, &[]).unwrap();
        assert_ne!(read(dir, "server.pem"), second);
    }

    #[test]
    fn bundle_has_the_public_roots_first() {
        let dir = tempfile::tempdir().unwrap();
        let (roots, bundle) = (dir.path().join("roots"), dir.path().join("bundle"));
        write_bundle(&bundle, &roots, "OURS\n").unwrap();
        assert_eq!(read(dir.path(), "bundle"), "OURS\n");
        fs::write(&roots, "ROOT").unwrap();
        write_bundle(&bundle, &roots, "OURS\n").unwrap();
        assert_eq!(read(dir.path(), "bundle"), "ROOT\nOURS\n");
    }
}
