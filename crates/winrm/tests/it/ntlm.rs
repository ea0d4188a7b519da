//! HTTP with NTLM, judged by pyspnego.

use serde_json::{Value, json};
use winrm::{Error, Input};

use crate::fake::{Fake, PASSWORD, USER, python, run, run_with};

async fn rule(rule: Value) -> Fake {
    Fake::ntlm(json!({ "rules": [rule] })).await
}

#[tokio::test]
async fn commands_run_over_encrypted_messages() {
    let fake = Fake::ntlm(json!({})).await;
    let client = fake.client();
    assert_eq!(client.identify().await.unwrap().vendor, "Microsoft Corporation");
    assert_eq!(run(&client, "both out err").await.all(), (7, "out", "err"));
    assert_eq!(fake.left().await, (0, 0));
}

#[tokio::test]
async fn sequence_numbers_agree_over_hundreds_of_messages() {
    let fake = Fake::ntlm(json!({ "answer": 10_000 })).await;
    let bytes: Vec<u8> = (0_u32..1_000_000).map(|at| at.to_le_bytes()[at as usize % 3]).collect();
    let ran = run_with(&fake.client(), "cat", Input::Bytes(&bytes)).await;
    assert_eq!(ran.code(), 0);
    assert!(ran.bytes().0 == bytes);
}

#[tokio::test]
async fn user_may_be_of_a_domain() {
    let fake = Fake::start(
        &python(),
        json!({}),
        &["--http", "127.0.0.1:0", "--ntlm", "--user", "Bülder", "--domain", "CORP"],
    )
    .await;
    let client = fake.client_of("CORP\\Bülder", PASSWORD);
    assert_eq!(run(&client, "echo hi").await.out(), "hi\r\n");
    let error = run(&fake.client_of("OTHER\\Bülder", PASSWORD), "echo hi").await.error();
    assert!(matches!(error, Error::Unauthorized { .. }), "{error:?}");
}

#[tokio::test]
async fn wrong_password_or_user_is_refused() {
    let fake = Fake::ntlm(json!({})).await;
    for (user, password) in [(USER, "wrong"), ("nobody", PASSWORD), ("", ""), (USER, "")] {
        let error = run(&fake.client_of(user, password), "echo hi").await.error();
        assert!(matches!(error, Error::Unauthorized { .. }), "{user}: {error:?}");
    }
}

/// The password itself is never sent, whatever the service asks for.
#[tokio::test]
async fn service_that_offers_only_basic_is_refused() {
    let arguments = ["--http", "127.0.0.1:0", "--allow-unencrypted"];
    let fake = Fake::start("python3", json!({}), &arguments).await;
    let error = run(&fake.client(), "echo hi").await.error();
    let Error::Unauthorized { offered, .. } = error else { panic!("{error:?}") };
    assert_eq!(offered, "Basic");
}

#[tokio::test]
async fn boundaries_may_have_a_space() {
    let fake = Fake::ntlm(json!({ "space": true })).await;
    assert_eq!(run(&fake.client(), "both out err").await.all(), (7, "out", "err"));
}

#[tokio::test]
async fn changed_or_plain_answers_are_errors() {
    for what in ["tamper", "plain", "garbage"] {
        for operation in ["Create", "Receive"] {
            let fake = rule(json!({ "on": operation, "do": what })).await;
            let error = run(&fake.client(), "echo hi").await.error();
            assert!(matches!(error, Error::Protocol(_)), "{what}, {operation}: {error:?}");
        }
    }
}

#[tokio::test]
async fn new_connections_are_authenticated_again() {
    let fake = rule(json!({ "on": "Receive", "do": "lose", "times": 2 })).await;
    let client = fake.client();
    for _ in 0..2 {
        let error = run(&client, "echo hi").await.error();
        assert!(matches!(error, Error::Cut { .. }), "{error:?}");
    }
    assert_eq!(run(&client, "echo hi").await.out(), "hi\r\n");
    assert!(fake.is_tidy().await);
}

#[tokio::test]
async fn faults_are_encrypted_too() {
    let fake = rule(json!({ "on": "Receive", "do": "fault", "code": 2_150_858_793_u32 })).await;
    assert_eq!(run(&fake.client(), "exit 3").await.code(), 3);
}

#[tokio::test]
async fn refusal_in_mid_connection_is_an_error() {
    let fake = rule(json!({ "on": "Receive", "do": "status", "status": 401 })).await;
    let error = run(&fake.client(), "echo hi").await.error();
    assert!(matches!(error, Error::Unauthorized { .. }), "{error:?}");
}

#[tokio::test]
async fn other_http_statuses_are_errors() {
    for status in [200, 404, 500, 503] {
        let fake = rule(json!({ "on": "Receive", "do": "status", "status": status })).await;
        let error = run(&fake.client(), "echo hi").await.error();
        assert!(matches!(error, Error::Protocol(_)), "{status}: {error:?}");
    }
}
