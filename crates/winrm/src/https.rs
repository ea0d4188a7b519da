//! HTTPS with Basic authentication: the guest's certificate is compared by its bytes.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use sha2::{Digest as _, Sha256};
use tokio_rustls::TlsConnector;

use crate::{
    Endpoint, Error, Fingerprint, Login,
    channel::{Answer, Channel, Connect},
    http::{self as wire, Connection},
};

/// Connects over TLS.
pub(crate) struct Https {
    endpoint: Endpoint,
    login: Login,
    expected: Fingerprint,
}

impl Https {
    pub(crate) fn new(endpoint: Endpoint, login: Login, expected: Fingerprint) -> Self {
        Self { endpoint, login, expected }
    }

    /// The value of the header `Authorization`, which no log shows.
    fn authorization(&self) -> Result<HeaderValue, Error> {
        let Login { user, password } = &self.login;
        let pair = BASE64_STANDARD.encode(format!("{user}:{password}"));
        let mut value = HeaderValue::try_from(format!("Basic {pair}"))
            .map_err(|_| Error::Protocol("the password cannot be written".to_owned()))?;
        value.set_sensitive(true);
        Ok(value)
    }
}

#[async_trait]
impl Connect for Https {
    async fn connect(&self) -> Result<Box<dyn Channel>, Error> {
        let authorization = self.authorization()?;
        let tcp = wire::tcp(&self.endpoint).await?;
        let shown = Arc::new(Mutex::new(None));
        let config = config(self.expected, &shown)?;
        let name = ServerName::from(self.endpoint.address.ip());
        let connected = TlsConnector::from(Arc::new(config)).connect(name, tcp).await;
        let tls = connected.map_err(|source| {
            let actual = *shown.lock().unwrap_or_else(PoisonError::into_inner);
            match actual.filter(|actual| *actual != self.expected) {
                Some(actual) => Error::Certificate { expected: self.expected, actual },
                None => wire::unreachable(&self.endpoint, source),
            }
        })?;
        let connection = Connection::open(tls).await?;
        let (endpoint, user) = (self.endpoint.clone(), self.login.user.clone());
        Ok(Box::new(BasicChannel { connection, endpoint, user, authorization }))
    }
}

struct BasicChannel {
    connection: Connection,
    endpoint: Endpoint,
    user: String,
    authorization: HeaderValue,
}

#[async_trait]
impl Channel for BasicChannel {
    async fn post(&mut self, envelope: Bytes) -> Result<Answer, Error> {
        let mut request = wire::request(&self.endpoint, wire::SOAP, envelope)?;
        request.headers_mut().insert(header::AUTHORIZATION, self.authorization.clone());
        let (head, body) = self.connection.send(request).await?.into_parts();
        if head.status == StatusCode::UNAUTHORIZED {
            let offered = wire::offered(&head.headers);
            return Err(Error::Unauthorized { user: self.user.clone(), offered });
        }
        Ok(Answer { status: head.status, body })
    }

    async fn is_open(&mut self) -> bool {
        self.connection.is_open().await
    }
}

type Shown = Arc<Mutex<Option<Fingerprint>>>;

fn config(expected: Fingerprint, shown: &Shown) -> Result<ClientConfig, Error> {
    let provider = Arc::new(ring::default_provider());
    let pinned = Pinned { expected, shown: shown.clone(), provider: provider.clone() };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::Protocol(format!("TLS cannot be set up: {error}")))?;
    Ok(builder.dangerous().with_custom_certificate_verifier(Arc::new(pinned)).with_no_client_auth())
}

/// Accepts one certificate, whatever is written in it. That the service has its private key is
/// checked as ever.
#[derive(Debug)]
struct Pinned {
    expected: Fingerprint,
    shown: Shown,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let actual = Fingerprint(Sha256::digest(certificate).into());
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = Some(actual);
        if actual == self.expected {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
