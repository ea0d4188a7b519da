//! A certificate from the administrator: `--tls-cert` and `--tls-key`.

use std::{path::PathBuf, sync::Arc, time::Duration};

use api::ErrorCode;
use images::error::{Error, Result};
use rustls::{
    CertificateError, RootCertStore, ServerConfig,
    client::{verify_server_cert_signed_by_trust_anchor, verify_server_name},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};

use super::config;

/// How long before the end of a certificate a warning is logged.
const WARNED_BEFORE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The files of the certificate and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// PEM: the server's certificate, and the intermediate certificates.
    pub certificate: PathBuf,
    /// PEM: its private key.
    pub key: PathBuf,
}

impl Given {
    /// The configuration of the listener. `hosts` are the names that clients use.
    pub(super) fn config(&self, hosts: &[String]) -> Result<Arc<ServerConfig>> {
        let (config, chain) = config(
            &self.certificate,
            &self.key,
            "use a chain in PEM whose first certificate matches the key",
        )
        .map_err(|error| error.target("--tls-cert"))?;
        let refuse =
            |text: String| Error::new(ErrorCode::InvalidArgument, text).target("--tls-cert");
        let file = self.certificate.display();
        let leaf = chain.first().ok_or_else(|| refuse(format!("{file} has no certificate")))?;
        let parsed = ParsedCertificate::try_from(leaf)
            .map_err(|error| refuse(format!("{file} has no valid certificate: {error}")))?;
        if hosts.is_empty() {
            return Err(refuse(format!(
                "--tls-cert needs a name for clients, and {file} may have several"
            ))
            .hint("add it with --host NAME"));
        }
        for host in hosts {
            let is_valid = ServerName::try_from(host.as_str())
                .is_ok_and(|name| verify_server_name(&parsed, &name).is_ok());
            if !is_valid {
                return Err(refuse(format!("the certificate of {file} is not for {host}")).hint(
                    "use a certificate for each --host, or omit the hosts that it does not name",
                ));
            }
        }
        self.check_time(leaf, &parsed)?;
        Ok(Arc::new(config))
    }

    fn check_time(&self, leaf: &CertificateDer<'_>, parsed: &ParsedCertificate<'_>) -> Result<()> {
        let file = self.certificate.display();
        let now = UnixTime::now();
        if let Some(error) = out_of_time(leaf, parsed, now) {
            let text = format!("the certificate of {file} is not valid now: {error}");
            return Err(Error::new(ErrorCode::InvalidArgument, text)
                .target("--tls-cert")
                .hint("renew it, or check this machine's clock"));
        }
        let soon = Duration::from_secs(now.as_secs()) + WARNED_BEFORE;
        if out_of_time(leaf, parsed, UnixTime::since_unix_epoch(soon)).is_some() {
            tracing::warn!(certificate = %file, "the certificate expires within 30 days");
        }
        Ok(())
    }
}

/// Why it is not valid at that time. Clients check its issuer.
fn out_of_time(
    leaf: &CertificateDer<'_>,
    parsed: &ParsedCertificate<'_>,
    time: UnixTime,
) -> Option<CertificateError> {
    let provider = rustls::crypto::ring::default_provider();
    let algorithms = provider.signature_verification_algorithms.all;
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates([leaf.clone()]);
    // The verification checks the time first.
    match verify_server_cert_signed_by_trust_anchor(parsed, &roots, &[], time, algorithms) {
        Err(rustls::Error::InvalidCertificate(
            error @ (CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. }),
        )) => Some(error),
        Ok(()) | Err(_) => None,
    }
}
