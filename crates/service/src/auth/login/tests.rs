//! Logins against a database.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jiff::SignedDuration;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;
use crate::auth::{
    credentials::{Valid, add_secret, list, remove},
    principal,
};

fn logins() -> Logins {
    Logins::new(Limits {
        attempts: 1,
        ..Limits::for_others(["localhost".to_owned(), "127.0.0.1".to_owned()])
    })
}

async fn store(folder: &std::path::Path) -> Store {
    Store::open(&format!("sqlite://{}/a.db", folder.display())).await.unwrap()
}

#[tokio::test]
async fn each_secret_works_until_it_expires_or_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path()).await;
    let one = principal::create(&store, "ci").await.unwrap();
    let id = one.client.client_id.clone();
    let login = async |text: &str| {
        logins()
            .check(&store, &id, &Proof::Secret(text))
            .await
            .unwrap()
            .map(|(_, generation)| generation)
    };
    let later = Timestamp::now() + SignedDuration::from_hours(1);
    let valid = Valid { starts: None, expires: Some(later) };
    let (second, text) = add_secret(&store, &id, "second", valid).await.unwrap();
    let (first, other) = (login(&one.secret).await.unwrap(), login(&text).await.unwrap());
    assert_ne!(first, other, "tokens are bound to one of them");
    assert_eq!(in_time(&second, later), Err(Rejected::Expired(later)));
    assert_eq!(in_time(&second, later - SignedDuration::from_nanos(1)), Ok(()));
    let early = Credential { starts: later, expires: None, ..second.clone() };
    assert_eq!(in_time(&early, Timestamp::now()), Err(Rejected::Wrong));
    remove(&store, &id, &second.id).await.unwrap();
    assert_eq!(login(&text).await, Err(Rejected::Wrong));
    assert_eq!(login(&one.secret).await.unwrap(), first);
    assert!(
        add_secret(&store, &id, "over", Valid { expires: Some(Timestamp::now()), ..valid })
            .await
            .is_err()
    );
    assert_eq!(list(&store, &id).await.unwrap().len(), 1);
}

#[tokio::test]
async fn rotation_ends_old_secrets_at_once_or_after_the_overlap() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path()).await;
    let one = principal::create(&store, "ci").await.unwrap();
    let id = one.client.client_id.clone();
    let works =
        async |text: &str| logins().check(&store, &id, &Proof::Secret(text)).await.unwrap().is_ok();
    let day = std::time::Duration::from_secs(86_400);
    let two = principal::rotate(&store, &id, Some(day)).await.unwrap();
    assert!(works(&one.secret).await && works(&two.secret).await);
    let three = principal::rotate(&store, &id, None).await.unwrap();
    assert!(!works(&one.secret).await && !works(&two.secret).await);
    assert!(works(&three.secret).await);
    principal::revoke(&store, &id).await.unwrap();
    assert!(!works(&three.secret).await);
}

/// A key that signs tokens.
struct Signer {
    pair: rcgen::KeyPair,
    header: Value,
}

impl Signer {
    fn new(header: Value) -> Self {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        Self { pair, header }
    }

    /// Its public key.
    fn jwk(&self) -> Value {
        let point = self.pair.public_key_raw();
        json!({
            "kty": "EC", "crv": "P-256", "kid": self.header["kid"],
            "x": BASE64_URL_SAFE_NO_PAD.encode(&point[1..33]),
            "y": BASE64_URL_SAFE_NO_PAD.encode(&point[33..]),
        })
    }

    fn token(&self, claims: &Value) -> String {
        let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&self.header), part(claims));
        let random = ring::rand::SystemRandom::new();
        let key = self.pair.serialize_der();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &key, &random);
        let signature = key.unwrap().sign(&random, signed.as_bytes()).unwrap();
        format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
    }
}

const ENDPOINT: &str = "https://localhost:8443/adfs/oauth2/token";

/// What a login with an assertion ends in: the number of the error.
async fn assertion(logins: &Logins, store: &Store, id: &str, token: &str) -> Result<(), u32> {
    let endpoints = [ENDPOINT.to_owned()];
    let proof = Proof::Assertion(token, &endpoints);
    match logins.check(store, id, &proof).await.unwrap() {
        Ok(_) => Ok(()),
        Err(Rejected::Assertion(code, _)) => Err(code),
        Err(Rejected::Expired(_)) => Err(7_000_222),
        Err(Rejected::Wrong) => Err(7_000_215),
    }
}

fn changed(claims: &Value, field: &str, value: Value) -> Value {
    let mut claims = claims.clone();
    claims[field] = value;
    claims
}

#[tokio::test]
async fn token_of_a_certificate_is_accepted_once_and_only_as_it_must_be() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path()).await;
    let id = principal::register(&store, "ci").await.unwrap().client_id;
    let mut signer = Signer::new(json!({}));
    let made = rcgen::CertificateParams::new(vec!["ci".to_owned()]).unwrap();
    let made = made.self_signed(&signer.pair).unwrap();
    let added =
        crate::auth::certificate::add(&store, &id, "", made.pem().as_bytes()).await.unwrap();
    let sha1 = hex::decode(added.data["sha1"].as_str().unwrap()).unwrap();
    signer.header = json!({ "alg": "ES256", "x5t": BASE64_URL_SAFE_NO_PAD.encode(sha1) });

    let (logins, now) = (logins(), Timestamp::now().as_second());
    let login = async |token: &str| assertion(&logins, &store, &id, token).await;
    let claims = json!({
        "iss": id, "sub": id, "aud": ENDPOINT, "exp": now + 600, "nbf": now, "jti": "1",
    });
    let token = signer.token(&claims);
    assert_eq!(login(&token).await, Ok(()));
    assert_eq!(login(&token).await, Err(REPLAYED), "the same token again");
    let again = |field: &str, value: Value| {
        let claims = changed(&claims, "jti", json!(format!("{field} {value}")));
        signer.token(&changed(&claims, field, value))
    };
    assert_eq!(login(&again("nbf", json!(now - 1))).await, Ok(()));
    for (field, value, code) in [
        ("sub", json!("other"), INVALID_SIGNATURE),
        ("aud", json!("https://elsewhere/token"), WRONG_AUDIENCE),
        ("exp", json!(now - SKEW - 1), NOT_IN_TIME),
        ("exp", json!(now + LONGEST + SKEW + 60), NOT_IN_TIME),
        ("nbf", json!(now + SKEW + 60), NOT_IN_TIME),
        ("jti", Value::Null, REPLAYED),
        ("exp", json!("soon"), MALFORMED),
    ] {
        assert_eq!(login(&again(field, value.clone())).await, Err(code), "{field}: {value}");
    }
    // Another key under the thumbprint, and algorithms that would not check it.
    let fresh = changed(&claims, "jti", json!("2"));
    let stranger = Signer::new(signer.header.clone());
    assert_eq!(login(&stranger.token(&fresh)).await, Err(INVALID_SIGNATURE));
    for algorithm in ["none", "HS256", "RS256", "ES384"] {
        signer.header["alg"] = json!(algorithm);
        assert_eq!(login(&signer.token(&fresh)).await, Err(INVALID_SIGNATURE), "{algorithm}");
    }
    signer.header["alg"] = json!("ES256");
    let good = signer.token(&fresh);
    let unsigned = format!("{}.", good.rsplit_once('.').unwrap().0);
    assert_eq!(login(&unsigned).await, Err(INVALID_SIGNATURE));
    for not_one in ["", "a", "a.b.c", &"x".repeat(40_000)] {
        assert_eq!(login(not_one).await, Err(MALFORMED));
    }
    assert_eq!(login(&good).await, Ok(()), "none of these used it up");

    remove(&store, &id, &added.id).await.unwrap();
    let last = signer.token(&changed(&claims, "jti", json!("3")));
    assert_eq!(login(&last).await, Err(INVALID_SIGNATURE));
    assert_eq!(assertion(&logins, &store, "nobody", &last).await, Err(NO_RECORD));
}

#[tokio::test]
async fn certificate_that_cannot_be_used_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path()).await;
    let id = principal::register(&store, "ci").await.unwrap().client_id;
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let made = rcgen::CertificateParams::new(vec![]).unwrap().self_signed(&pair).unwrap();
    let mut over = rcgen::CertificateParams::new(vec![]).unwrap();
    over.not_after = rcgen::date_time_ymd(2001, 1, 1);
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let over = over.self_signed(&pair).unwrap();
    for (pem, why) in [
        (String::new(), "no block CERTIFICATE"),
        (pair.serialize_pem(), "no block CERTIFICATE"),
        (made.pem(), "neither RSA nor EC"),
        (over.pem(), "would expire before"),
    ] {
        let error = crate::auth::certificate::add(&store, &id, "", pem.as_bytes()).await;
        let message = error.unwrap_err().message;
        assert!(message.contains(why), "{message}");
    }
    assert!(list(&store, &id).await.unwrap().is_empty());
}

/// Serves an issuer's documents, whose keys can be replaced. Returns its address and the count of requests for keys.
async fn issuer(keys: Arc<Mutex<Value>>) -> (String, Arc<AtomicU32>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://localhost:{}", listener.local_addr().unwrap().port());
    let (own, count) = (url.clone(), Arc::new(AtomicU32::new(0)));
    let counted = count.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 4096];
            let read = stream.read(&mut request).await.unwrap_or_default();
            let body = if request[..read].starts_with(b"GET /keys") {
                counted.fetch_add(1, Ordering::SeqCst);
                keys.lock().unwrap().clone()
            } else {
                json!({ "issuer": own, "jwks_uri": format!("{own}/keys") })
            };
            let body = body.to_string();
            let head =
                format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}", body.len());
            let _ = stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).await;
        }
    });
    (url, count)
}

#[tokio::test(flavor = "multi_thread")]
async fn token_of_a_trusted_issuer_is_exchanged_and_its_new_keys_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path()).await;
    let id = principal::register(&store, "ci").await.unwrap().client_id;
    let (one, two) = (signer_named("one"), signer_named("two"));
    let keys = Arc::new(Mutex::new(json!({ "keys": [one.jwk()] })));
    let (url, fetched) = issuer(keys.clone()).await;
    let subject = "repo:me/images:ref:refs/heads/main";
    let add = async || federated::add(&store, &id, "", &url, subject, federated::AUDIENCE).await;
    assert!(add().await.unwrap_err().message.contains("is not trusted"));
    federated::trust(&store, &url, None).await.unwrap();
    let added = add().await.unwrap();

    let (logins, now) = (logins(), Timestamp::now().as_second());
    let login = async |token: &str| assertion(&logins, &store, &id, token).await;
    let claims = json!({
        "iss": url, "sub": subject, "aud": [federated::AUDIENCE], "exp": now + 600, "iat": now,
    });
    for _ in 0..2 {
        assert_eq!(login(&one.token(&claims)).await, Ok(()), "more than once, as in Entra");
    }
    assert_eq!(fetched.load(Ordering::SeqCst), 1, "the keys are kept");
    for (field, value) in [
        ("sub", json!("repo:me/images:ref:refs/heads/other")),
        ("sub", json!(subject.to_uppercase())),
        ("aud", json!("another")),
        ("iss", json!(format!("{url}/"))),
    ] {
        let token = one.token(&changed(&claims, field, value.clone()));
        assert_eq!(login(&token).await, Err(NO_RECORD), "{field}: {value}");
    }
    let late = one.token(&changed(&claims, "exp", json!(now - SKEW - 1)));
    assert_eq!(login(&late).await, Err(NOT_IN_TIME));

    // A new key is not asked for within a minute, then once.
    *keys.lock().unwrap() = json!({ "keys": [two.jwk()] });
    assert_eq!(login(&two.token(&claims)).await, Err(INVALID_SIGNATURE));
    assert_eq!(fetched.load(Ordering::SeqCst), 1);
    // Another process of the service has not asked yet.
    let restarted = super::tests::logins();
    let login = async |token: &str| assertion(&restarted, &store, &id, token).await;
    assert_eq!(login(&two.token(&claims)).await, Ok(()));
    assert_eq!(fetched.load(Ordering::SeqCst), 2);
    assert_eq!(login(&one.token(&claims)).await, Err(INVALID_SIGNATURE), "the old key is gone");

    federated::distrust(&store, &url).await.unwrap();
    assert_eq!(login(&two.token(&claims)).await, Err(INVALID_SIGNATURE));
    // By a file of keys.
    let file = json!({ "keys": [two.jwk()] }).to_string();
    federated::trust(&store, &url, Some(file.as_bytes())).await.unwrap();
    assert_eq!(login(&two.token(&claims)).await, Ok(()));
    remove(&store, &id, &added.id).await.unwrap();
    assert_eq!(login(&two.token(&claims)).await, Err(NO_RECORD));
}

fn signer_named(kid: &str) -> Signer {
    Signer::new(json!({ "alg": "ES256", "kid": kid }))
}
