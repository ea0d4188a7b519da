//! HTTPS: the certificate, the password, the connection.

use std::{net::SocketAddr, sync::Arc};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer},
    server::{ClientHello, ResolvesServerCert},
    sign,
};
use sha2::{Digest as _, Sha256};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

use crate::{
    Client, Endpoint, Error, Fingerprint, Identity, Login, Transport,
    https::Https,
    link::Link,
    soap::{answer::Reply, request},
};

const IDENTITY: &str = "<s:Envelope xmlns:s=\"http://www.w3.org/2003/05/soap-envelope\"><s:Body>\
    <i:IdentifyResponse xmlns:i=\"http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd\">\
    <i:ProductVendor>Microsoft Corporation</i:ProductVendor>\
    <i:ProductVersion>OS: 10.0.17763 SP: 0.0 Stack: 3.0</i:ProductVersion>\
    </i:IdentifyResponse></s:Body></s:Envelope>";

/// One certificate, whether it fits to the key or not.
#[derive(Debug)]
struct Shown(Arc<sign::CertifiedKey>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<sign::CertifiedKey>> {
        Some(self.0.clone())
    }
}

struct Server {
    address: SocketAddr,
    certificate: Fingerprint,
    requests: tokio::sync::mpsc::Receiver<String>,
}

fn certificate() -> CertifiedKey<rcgen::KeyPair> {
    generate_simple_self_signed(["guest".to_owned()]).unwrap()
}

/// Answers each request on each connection with these bytes, then with nothing.
async fn serve(shown: &CertificateDer<'static>, key: &rcgen::KeyPair, answer: &[u8]) -> Server {
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let key = ring::sign::any_supported_type(&key).unwrap();
    let shown = sign::CertifiedKey::new(vec![shown.clone()], key);
    let certificate = Fingerprint(Sha256::digest(&shown.cert[0]).into());
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Shown(Arc::new(shown))));
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, requests) = tokio::sync::mpsc::channel(16);
    let answer = answer.to_vec();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let Ok(tls) = acceptor.accept(tcp).await else { continue };
            let mut tls = BufReader::new(tls);
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") && tls.read_line(&mut head).await.unwrap() > 0 {}
            let length = head.to_lowercase();
            let length = length.split("content-length: ").nth(1).unwrap();
            let mut body = vec![0; length.split('\r').next().unwrap().parse().unwrap()];
            tls.read_exact(&mut body).await.unwrap();
            sender.send(head).await.unwrap();
            let _ = tls.write_all(&answer).await;
            let _ = tls.shutdown().await;
        }
    });
    Server { address, certificate, requests }
}

async fn identify(address: SocketAddr, certificate: Fingerprint) -> Result<Identity, Error> {
    let login = Login { user: "builder".to_owned(), password: "p:w\u{e4}".to_owned() };
    let endpoint = Endpoint { address, transport: Transport::Https { certificate } };
    Client::new(endpoint, login).identify().await
}

async fn answered(answer: &[u8]) -> Result<Identity, Error> {
    let CertifiedKey { cert, signing_key } = certificate();
    let server = serve(cert.der(), &signing_key, answer).await;
    identify(server.address, server.certificate).await
}

fn http(status: &str, more: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{more}\r\n{body}").into_bytes()
}

#[tokio::test]
async fn known_certificate_is_accepted_and_the_password_sent() {
    let CertifiedKey { cert, signing_key } = certificate();
    let mut server = serve(cert.der(), &signing_key, &http("200 OK", "", IDENTITY)).await;
    let identity = identify(server.address, server.certificate).await.unwrap();
    assert_eq!(identity.vendor, "Microsoft Corporation");
    assert_eq!(identity.version, "OS: 10.0.17763 SP: 0.0 Stack: 3.0");
    let request = server.requests.recv().await.unwrap();
    assert!(request.starts_with("POST /wsman HTTP/1.1\r\n"), "{request}");
    // builder:p:w and an a with two dots, in UTF-8.
    assert!(request.contains("authorization: Basic YnVpbGRlcjpwOnfDpA==\r\n"), "{request}");
    assert!(request.contains("content-type: application/soap+xml;charset=UTF-8\r\n"), "{request}");
    assert!(request.contains(&format!("host: {}\r\n", server.address)), "{request}");
}

#[tokio::test]
async fn other_certificate_is_refused_before_the_password_is_sent() {
    let CertifiedKey { cert, signing_key } = certificate();
    let mut server = serve(cert.der(), &signing_key, &http("200 OK", "", IDENTITY)).await;
    let other = Fingerprint([7; 32]);
    match identify(server.address, other).await.unwrap_err() {
        Error::Certificate { expected, actual } => {
            assert_eq!((expected, actual), (other, server.certificate));
        }
        error => panic!("{error}"),
    }
    assert!(server.requests.try_recv().is_err());
}

#[tokio::test]
async fn known_certificate_without_its_key_is_refused() {
    let mut server = {
        let shown = certificate();
        let other = certificate();
        serve(shown.cert.der(), &other.signing_key, &http("200 OK", "", IDENTITY)).await
    };
    let error = identify(server.address, server.certificate).await.unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error:?}");
    assert!(server.requests.try_recv().is_err());
}

#[tokio::test]
async fn wrong_password_is_told_with_what_the_service_offers() {
    let offers = "WWW-Authenticate: Negotiate\r\nWWW-Authenticate: Basic realm=\"WSMAN\"\r\n";
    let error = answered(&http("401 Unauthorized", offers, "")).await.unwrap_err();
    let text =
        "the guest does not accept the password of \"builder\" (it offers: Negotiate, Basic)";
    assert_eq!(error.to_string(), text);
}

#[tokio::test]
async fn connection_that_ends_within_an_answer_is_cut() {
    let whole = http("200 OK", "", IDENTITY);
    for length in [0, 1, 20, whole.len() - 1] {
        let error = answered(&whole[..length]).await.unwrap_err();
        assert!(matches!(error, Error::Cut { .. }), "{length}: {error:?}");
    }
}

#[tokio::test]
async fn answer_that_is_too_large_or_no_http_is_an_error() {
    let large = " ".repeat(600 * 1024);
    let error = answered(&http("200 OK", "", &large)).await.unwrap_err();
    assert!(error.to_string().contains("more than 524288 bytes"), "{error}");
    let error = answered(b"SSH-2.0-OpenSSH\r\n\r\n").await.unwrap_err();
    assert!(matches!(error, Error::Protocol(_)), "{error:?}");
}

#[tokio::test]
async fn other_status_is_an_error_with_its_number() {
    let error = answered(&http("503 Service Unavailable", "", "later")).await.unwrap_err();
    assert!(error.to_string().contains("503 Service Unavailable"), "{error}");
    let error = answered(&http("500 Internal Server Error", "", IDENTITY)).await.unwrap_err();
    assert!(error.to_string().contains("without a fault"), "{error}");
}

#[tokio::test]
async fn connection_that_ends_after_each_answer_is_made_again() {
    let CertifiedKey { cert, signing_key } = certificate();
    let answer = http("200 OK", "Connection: close\r\n", IDENTITY);
    let server = serve(cert.der(), &signing_key, &answer).await;
    let certificate = server.certificate;
    let endpoint =
        Endpoint { address: server.address, transport: Transport::Https { certificate } };
    let login = Login { user: "builder".to_owned(), password: "pw".to_owned() };
    let mut link = Link::new(Arc::new(Https::new(endpoint, login, certificate)));
    for _ in 0..10 {
        let reply = link.ask(request::identify(), "in a test").await.unwrap();
        assert!(matches!(reply, Reply::Body(_)), "{reply:?}");
    }
}

#[tokio::test]
async fn nobody_there_is_an_error_with_the_address() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = identify(address, Fingerprint([0; 32])).await.unwrap_err();
    assert!(error.to_string().contains(&address.to_string()), "{error}");
    assert!(matches!(error, Error::Io { .. }), "{error:?}");
}
