//! The service's own certificate authority. It may sign only the names of this server, so a stolen key cannot
//! impersonate other servers to clients that trust the CA.
//!
//! ```text
//! ca-key.pem, ca.json            the current CA; ca.json has its certificate and the names that it may sign
//! ca-next-key.pem, ca-next.json  the next CA, in the last year of the current one
//! ca.pem                         the certificates of both, for clients
//! ```

use std::{io, net::IpAddr, path::Path};

use api::ErrorCode;
use images::{
    absent,
    error::{Coded, Error, Result},
    files,
};
use jiff::{ToSpan, civil::Date};
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, GeneralSubtree, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, NameConstraints, PKCS_ECDSA_P256_SHA256,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{RENEW_DAYS, distinguished_name, set_validity};

const YEARS: i16 = 5;
/// How long before the end of a CA clients receive the next one.
const OVERLAP_DAYS: i32 = 400;
/// The subject of CAs of earlier releases, which may sign any name.
const UNLIMITED: &str = "Goldsmith local CA";
/// Requests a new CA; see [`request_new`].
const REQUEST: &str = "ca-renew";

/// A key, and its certificate.
pub(super) struct Ca {
    key: KeyPair,
    subject: String,
    pub(super) pem: String,
    /// `None` if it may sign any name.
    limits: Option<Limits>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Limits {
    names: Vec<String>,
    until: Date,
}

/// `ca.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    subject: String,
    #[serde(flatten)]
    limits: Limits,
    certificate: String,
}

/// The files of one CA in the folder.
struct Files<'a> {
    dir: &'a Path,
    name: &'static str,
}

impl Ca {
    /// The CA in the server's folder for these names. Creates a new one if it is missing, expiring, or not allowed to
    /// sign a name.
    pub(super) fn obtain(dir: &Path, names: &[String], today: Date) -> Result<Self> {
        let (own, following) = (Files { dir, name: "ca" }, Files { dir, name: "ca-next" });
        let current = match own.load()? {
            Some(ca) => Some(ca),
            None => unlimited(dir)?,
        };
        let mut next = following.load()?;
        if next.as_ref().is_some_and(|next| !next.may_sign(names)) {
            following.remove()?;
            next = None;
        }
        let is_requested = dir.join(REQUEST).exists();
        let current = match current {
            Some(ca)
                if !is_requested && ca.may_sign(names) && !ca.ends_within(RENEW_DAYS, today) =>
            {
                ca
            }
            before => {
                if before.is_some() {
                    tracing::warn!(
                        "created a new certificate authority; clients with a copy of ca.pem or ca-bundle.pem need the new file"
                    );
                }
                let new = match next.take().filter(|_| !is_requested) {
                    Some(next) => next,
                    None => Self::make(names, today)?,
                };
                own.store(&new)?;
                following.remove()?;
                remove(&dir.join(REQUEST))?;
                new
            }
        };
        if next.is_none() && current.ends_within(OVERLAP_DAYS, today) {
            let new = Self::make(names, today)?;
            following.store(&new)?;
            next = Some(new);
        }
        let next = next.map(|next| next.pem).unwrap_or_default();
        let trusted = format!("{}{next}", current.pem);
        let path = dir.join("ca.pem");
        write_if_changed(&path, &trusted)
            .code(ErrorCode::HostNotReady, || format!("cannot write {}", path.display()))?;
        Ok(current)
    }

    fn make(names: &[String], today: Date) -> Result<Self> {
        let failed = || "cannot create a CA".to_owned();
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)
            .code(ErrorCode::InternalError, failed)?;
        let subject = format!("{UNLIMITED} {today}");
        let until = today.saturating_add(YEARS.years());
        let mut params = params(&subject);
        set_validity(&mut params, today.saturating_sub(1.day()), until);
        let permitted_subtrees = names.iter().map(|name| subtree(name)).collect();
        params.name_constraints =
            Some(NameConstraints { permitted_subtrees, excluded_subtrees: Vec::new() });
        let pem = params.self_signed(&key).code(ErrorCode::InternalError, failed)?.pem();
        let limits = Some(Limits { names: names.to_vec(), until });
        Ok(Self { key, subject, pem, limits })
    }

    fn may_sign(&self, names: &[String]) -> bool {
        self.limits.as_ref().is_none_or(|own| names.iter().all(|name| own.names.contains(name)))
    }

    fn ends_within(&self, days: i32, today: Date) -> bool {
        self.limits.as_ref().is_some_and(|own| own.until <= today.saturating_add(days.days()))
    }

    /// Whether it may sign any name.
    pub(super) fn is_unlimited(&self) -> bool {
        self.limits.is_none()
    }

    /// Its last day, if known.
    pub(super) fn until(&self) -> Option<Date> {
        self.limits.as_ref().map(|own| own.until)
    }

    /// Identifies the CA.
    pub(super) fn id(&self) -> String {
        let digest = Sha256::digest(self.pem.as_bytes());
        hex::encode(&digest[..8])
    }

    /// The issuer for signing a server's certificate.
    pub(super) fn issuer(&self) -> Issuer<'_, &KeyPair> {
        Issuer::new(params(&self.subject), &self.key)
    }
}

/// Asks for a new CA: the service makes it when it next looks, within seconds or at its start.
pub(super) fn request_new(dir: &Path) -> io::Result<()> {
    files::write_public(&dir.join(REQUEST), "")
}

/// Whether [`request_new`] was called since the last renewal.
pub(super) fn is_requested(dir: &Path) -> bool {
    dir.join(REQUEST).exists()
}

/// The CA of an earlier release, without limits. It stays until a new one is requested, because clients trust it.
fn unlimited(dir: &Path) -> Result<Option<Ca>> {
    let (key_path, pem_path) = (dir.join("ca-key.pem"), dir.join("ca.pem"));
    let (key, pem) = (read(&key_path)?, read(&pem_path)?);
    let (Some(key), Some(pem)) = (key, pem) else { return Ok(None) };
    let key = parse(&key, &key_path)?;
    Ok(Some(Ca { key, subject: UNLIMITED.to_owned(), pem, limits: None }))
}

impl Files<'_> {
    fn key(&self) -> std::path::PathBuf {
        self.dir.join(format!("{}-key.pem", self.name))
    }

    fn note(&self) -> std::path::PathBuf {
        self.dir.join(format!("{}.json", self.name))
    }

    fn load(&self) -> Result<Option<Ca>> {
        let Some(key) = read(&self.key())? else { return Ok(None) };
        let remedy = "restore it from a backup, or remove it with its key and ca.pem: the service creates a new CA, and clients need the new ca-bundle.pem";
        let Some(note) = files::read_json(&self.note(), remedy)? else { return Ok(None) };
        let key = parse(&key, &self.key())?;
        let Note { subject, limits, certificate } = note;
        Ok(Some(Ca { key, subject, pem: certificate, limits: Some(limits) }))
    }

    /// The note is removed first and written last, so that it only exists with a matching key.
    fn store(&self, ca: &Ca) -> Result<()> {
        let cannot = || format!("cannot write {} and its key", self.note().display());
        let Some(limits) = ca.limits.clone() else { return Ok(()) };
        let note = Note { subject: ca.subject.clone(), limits, certificate: ca.pem.clone() };
        let note = serde_json::to_string_pretty(&note).code(ErrorCode::InternalError, cannot)?;
        remove(&self.dir.join("ca.pem"))?;
        remove(&self.note())?;
        files::write_secret(&self.key(), ca.key.serialize_pem())
            .and_then(|()| files::write_public(&self.note(), &note))
            .code(ErrorCode::HostNotReady, cannot)
    }

    fn remove(&self) -> Result<()> {
        remove(&self.note())?;
        remove(&self.key())
    }
}

/// A permitted subtree: a name with its subdomains, or one address.
fn subtree(name: &str) -> GeneralSubtree {
    match name.parse::<IpAddr>() {
        Ok(IpAddr::V4(v4)) => GeneralSubtree::IpAddress(CidrSubnet::V4(v4.octets(), [255; 4])),
        Ok(IpAddr::V6(v6)) => GeneralSubtree::IpAddress(CidrSubnet::V6(v6.octets(), [255; 16])),
        Err(_) => GeneralSubtree::DnsName(name.to_owned()),
    }
}

/// The common parameters of the issuer and the CA certificate.
fn params(subject: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = distinguished_name(subject);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn parse(pem: &str, path: &Path) -> Result<KeyPair> {
    KeyPair::from_pem(pem).map_err(|error| {
        Error::new(
            ErrorCode::HostNotReady,
            format!("{} is not a private key: {error}", path.display()),
        )
        .hint("remove it and ca.pem: the service creates a new CA, and clients need the new ca-bundle.pem")
    })
}

fn read(path: &Path) -> Result<Option<String>> {
    files::read(path).code(ErrorCode::HostNotReady, || format!("cannot read {}", path.display()))
}

fn remove(path: &Path) -> Result<()> {
    absent::remove_file(path)
        .code(ErrorCode::HostNotReady, || format!("cannot remove {}", path.display()))
}

/// Leaves an unchanged file alone, for clients that watch it.
pub(super) fn write_if_changed(path: &Path, text: &str) -> io::Result<()> {
    if files::read(path)?.as_deref() == Some(text) {
        return Ok(());
    }
    files::write_public(path, text)
}
