//! Commands as they should go.

use serde_json::json;
use sha2::{Digest as _, Sha256};
use winrm::{Client, Error, Fingerprint, Input, Login, Transport, clixml};

use crate::fake::{Fake, PASSWORD, USER, run, run_with};

async fn fake() -> Fake {
    Fake::https(json!({})).await
}

/// Bytes that do not repeat soon.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}

#[tokio::test]
async fn service_tells_its_identity() {
    let identity = fake().await.client().identify().await.unwrap();
    assert_eq!(identity.vendor, "Microsoft Corporation");
    assert!(identity.version.contains("Stack: 3.0"), "{identity:?}");
}

#[tokio::test]
async fn exit_code_and_both_streams_come_apart() {
    let fake = fake().await;
    assert_eq!(run(&fake.client(), "both out err").await.all(), (7, "out", "err"));
}

#[tokio::test]
async fn all_32_bits_of_the_exit_code_come_back() {
    let fake = fake().await;
    for code in [0, 1, 259, 2_147_942_501, 3_221_225_786, u32::MAX] {
        assert_eq!(run(&fake.client(), &format!("exit {code}")).await.code(), code);
    }
}

#[tokio::test]
async fn exit_code_with_a_sign_is_the_same_number() {
    let fake = Fake::https(json!({ "signed": true })).await;
    assert_eq!(run(&fake.client(), "exit -1").await.code(), u32::MAX);
    assert_eq!(run(&fake.client(), "exit 3221225786").await.code(), 3_221_225_786);
}

#[tokio::test]
async fn command_reads_the_whole_input_and_its_end() {
    let fake = fake().await;
    let bytes = noise(1_000_003);
    let expected = format!("{} {}\r\n", bytes.len(), hex::encode(Sha256::digest(&bytes)));
    let ran = run_with(&fake.client(), "digest", Input::Bytes(&bytes)).await;
    assert_eq!(ran.all(), (0, expected.as_str(), ""));
    let ran = run_with(&fake.client(), "digest", Input::Reader(&mut bytes.as_slice())).await;
    assert_eq!(ran.all(), (0, expected.as_str(), ""));
}

#[tokio::test]
async fn empty_input_ends_at_once() {
    let fake = fake().await;
    let nothing = format!("0 {}\r\n", hex::encode(Sha256::digest(b"")));
    for stdin in [Input::Empty, Input::Bytes(&[]), Input::Reader(&mut tokio::io::empty())] {
        assert_eq!(
            run_with(&fake.client(), "digest", stdin).await.all(),
            (0, nothing.as_str(), "")
        );
    }
}

/// With more on its way than the pipes of both ends can hold.
#[tokio::test]
async fn command_that_writes_while_it_reads_does_not_get_stuck() {
    let fake = fake().await;
    let bytes = noise(5_000_000);
    let ran = run_with(&fake.client(), "cat", Input::Bytes(&bytes)).await;
    assert_eq!(ran.code(), 0);
    assert!(ran.bytes().0 == bytes);
}

#[tokio::test]
async fn output_of_many_envelopes_is_whole() {
    let fake = fake().await;
    let ran = run(&fake.client(), "flood 3000000").await;
    assert_eq!((ran.code(), ran.bytes().0.len()), (0, 3_000_000));
}

#[tokio::test]
async fn errors_of_powershell_are_text_without_progress() {
    let fake = fake().await;
    let ran = run(&fake.client(), "clixml").await;
    assert_eq!((ran.code(), ran.bytes().0), (1, b"out\r\n".as_slice()));
    let mut decoder = clixml::Decoder::new();
    let mut text = decoder.push(ran.bytes().1);
    text.extend(decoder.finish());
    assert_eq!(String::from_utf8(text).unwrap(), "it broke\r\ncafé & more\r\n");
}

#[tokio::test]
async fn wrong_password_is_refused() {
    let fake = fake().await;
    let client = fake.client_of(USER, "wrong");
    for error in [client.identify().await.unwrap_err(), run(&client, "echo hi").await.error()] {
        let Error::Unauthorized { user, offered } = error else { panic!("{error:?}") };
        assert_eq!((user.as_str(), offered.as_str()), (USER, "Basic"));
    }
}

#[tokio::test]
async fn another_certificate_is_refused_before_the_password_is_sent() {
    let fake = fake().await;
    let expected = Fingerprint([7; 32]);
    let mut endpoint = fake.endpoint();
    endpoint.transport = Transport::Https { certificate: expected };
    let login = Login { user: USER.to_owned(), password: PASSWORD.to_owned() };
    let error = Client::new(endpoint, login).identify().await.unwrap_err();
    let Error::Certificate { expected: of_error, actual } = error else { panic!("{error:?}") };
    assert_eq!((of_error, actual), (expected, fake.fingerprint()));
}

#[tokio::test]
async fn rsa_certificate_that_the_guest_made_is_accepted() {
    let fake = Fake::with_its_own_certificate().await;
    assert_eq!(run(&fake.client(), "echo hi").await.all(), (0, "hi\r\n", ""));
}

#[tokio::test]
async fn no_shell_is_left_after_success_or_failure() {
    let fake = fake().await;
    run(&fake.client(), "echo hi").await.code();
    run(&fake.client(), "exit 5").await.code();
    run_with(&fake.client(), "cat", Input::Bytes(&noise(500_000))).await.code();
    assert_eq!(fake.left().await, (0, 0));
}

#[tokio::test]
async fn commands_run_side_by_side() {
    let fake = fake().await;
    let client = fake.client();
    let ran = futures_util::future::join_all((0..10).map(|at| {
        let client = client.clone();
        async move { (at, run(&client, &format!("echo {at}")).await) }
    }));
    for (at, ran) in ran.await {
        assert_eq!(ran.all(), (0, format!("{at}\r\n").as_str(), ""));
    }
}
