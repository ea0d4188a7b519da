//! Services that misbehave: each case ends, with the right result or the right error.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use winrm::{Error, Input};

use crate::fake::{Fake, Keeper, run, run_with};

/// One rule.
async fn rule(rule: Value) -> Fake {
    Fake::https(json!({ "rules": [rule] })).await
}

fn is_cut(error: &Error) -> bool {
    matches!(error, Error::Cut { .. })
}

#[tokio::test]
async fn end_of_the_time_limit_is_no_error() {
    let fake =
        rule(json!({ "on": "Receive", "do": "fault", "code": 2_150_858_793_u32, "times": 3 }))
            .await;
    assert_eq!(run(&fake.client(), "both out err").await.all(), (7, "out", "err"));
}

/// The service waits for a fifth of a second at most, whatever it is asked for.
async fn impatient() -> Fake {
    Fake::start("python3", json!({}), &["--https", "127.0.0.1:0", "--max-timeout", "0.2"]).await
}

#[tokio::test]
async fn command_that_is_silent_for_longer_than_the_time_limit_goes_on() {
    assert_eq!(run(&impatient().await.client(), "sleep 1.5").await.code(), 0);
}

/// The service has taken a piece of input although its time limit has passed, and refuses the next one
/// until the command reads.
#[tokio::test]
async fn input_is_whole_although_the_command_reads_it_late() {
    let bytes: Vec<u8> = (0_u32..1_500_000).flat_map(u32::to_le_bytes).collect();
    let expected = format!("{} {}\r\n", bytes.len(), hex::encode(Sha256::digest(&bytes)));
    let ran = run_with(&impatient().await.client(), "late 1.5", Input::Bytes(&bytes)).await;
    assert_eq!(ran.out(), expected);
}

#[tokio::test]
async fn envelope_somewhat_above_the_largest_is_read() {
    let fake = rule(json!({ "on": "Receive", "do": "huge", "bytes": 125_000 })).await;
    let ran = run(&fake.client(), "echo hi").await;
    assert_eq!(ran.code(), 0);
    assert_eq!(ran.bytes().0.len(), 125_004);
}

#[tokio::test]
async fn output_and_end_come_in_one_answer_or_in_two() {
    for apart in [false, true] {
        let fake = Fake::https(json!({ "done_apart": apart })).await;
        assert_eq!(run(&fake.client(), "both out err").await.all(), (7, "out", "err"));
    }
}

#[tokio::test]
async fn streams_may_end_with_or_without_a_sign() {
    for without in [false, true] {
        let fake = Fake::https(json!({ "no_ends": without })).await;
        assert_eq!(run(&fake.client(), "both out err").await.all(), (7, "out", "err"));
    }
}

#[tokio::test]
async fn character_in_pieces_is_whole_at_the_end() {
    for shape in [json!({}), json!({ "piece": 1 }), json!({ "piece": 1, "answer": 1 })] {
        let fake = Fake::https(shape).await;
        assert_eq!(run(&fake.client(), "pieces e2 82 ac f09f9880").await.out(), "€😀");
    }
}

#[tokio::test]
async fn end_without_an_exit_code_is_not_taken_for_success() {
    let fake = Fake::https(json!({ "no_code": true })).await;
    assert!(matches!(run(&fake.client(), "exit 0").await.error(), Error::Protocol(_)));
}

#[tokio::test]
async fn answer_that_is_lost_is_an_error_not_a_success() {
    for operation in ["Create", "Command", "Receive", "Send"] {
        for what in ["cut", "lose", "half"] {
            let fake = rule(json!({ "on": operation, "do": what })).await;
            // A command that sleeps does not end before the answer to its input is lost.
            let command = if operation == "Receive" { "echo hi" } else { "sleep 60" };
            let error = run_with(&fake.client(), command, Input::Bytes(b"hi")).await.error();
            assert!(is_cut(&error), "{operation}, {what}: {error:?}");
            // A shell that nobody was told of stays until its time is over.
            assert!(operation == "Create" || fake.is_tidy().await, "{operation}, {what}");
        }
    }
}

/// The command's end is known by then.
#[tokio::test]
async fn cut_while_a_shell_is_ended_is_no_error() {
    for operation in ["Signal", "Delete"] {
        for what in ["cut", "lose", "half"] {
            let fake = rule(json!({ "on": operation, "do": what })).await;
            assert_eq!(run(&fake.client(), "exit 3").await.code(), 3, "{operation}, {what}");
        }
    }
}

/// No output is lost: what was answered is known, and the next question either goes by a new connection
/// or fails.
#[tokio::test]
async fn connection_closed_after_an_answer_loses_nothing_in_silence() {
    for operation in ["Create", "Command", "Receive"] {
        let faults = json!({ "rules": [{ "on": operation, "do": "close" }] });
        for fake in [Fake::https(faults.clone()).await, Fake::ntlm(faults).await] {
            let ran = run(&fake.client(), "flood 300000").await;
            match &ran.result {
                Ok(code) => assert_eq!((*code, ran.bytes().0.len()), (0, 300_000), "{operation}"),
                Err(error) => assert!(is_cut(error), "{operation}: {error:?}"),
            }
        }
    }
}

#[tokio::test]
async fn refusal_of_the_password_in_mid_connection_is_an_error() {
    for operation in ["Command", "Receive", "Send"] {
        let fake = rule(json!({ "on": operation, "do": "status", "status": 401 })).await;
        let error = run_with(&fake.client(), "digest", Input::Bytes(b"hi")).await.error();
        assert!(matches!(error, Error::Unauthorized { .. }), "{operation}: {error:?}");
        assert!(fake.is_tidy().await, "{operation}");
    }
}

#[tokio::test]
async fn other_http_statuses_are_errors() {
    for status in [200, 204, 302, 404, 413, 500, 503] {
        let fake = rule(json!({ "on": "Receive", "do": "status", "status": status })).await;
        let error = run(&fake.client(), "echo hi").await.error();
        assert!(matches!(error, Error::Protocol(_)), "{status}: {error:?}");
    }
}

#[tokio::test]
async fn restart_of_the_guest_cuts_the_command_and_the_next_one_runs() {
    for operation in ["Command", "Receive", "Send"] {
        let fake = rule(json!({ "on": operation, "do": "reboot" })).await;
        let client = fake.client();
        let error = run_with(&client, "digest", Input::Bytes(b"hi")).await.error();
        assert!(is_cut(&error), "{operation}: {error:?}");
        assert_eq!(run(&client, "echo again").await.out(), "again\r\n");
        assert!(fake.is_tidy().await, "{operation}");
    }
}

#[tokio::test]
async fn shell_that_is_gone_is_its_own_error() {
    for operation in ["Command", "Receive", "Send"] {
        let fake = rule(json!({ "on": operation, "do": "forget" })).await;
        let error = run_with(&fake.client(), "sleep 60", Input::Bytes(b"hi")).await.error();
        assert!(matches!(error, Error::ShellGone), "{operation}: {error:?}");
    }
}

#[tokio::test]
async fn signal_to_a_command_that_is_gone_is_no_error() {
    let fake = rule(json!({ "on": "Signal", "do": "fault", "code": 2_150_858_843_u32 })).await;
    assert_eq!(run(&fake.client(), "exit 3").await.code(), 3);
    assert!(fake.is_tidy().await);
}

#[tokio::test]
async fn fault_has_its_number_and_its_text() {
    let fake = rule(json!({ "on": "Create", "do": "fault", "code": 2_150_859_174_u32 })).await;
    let error = run(&fake.client(), "echo hi").await.error();
    let Error::Fault { code, message } = error else { panic!("{error:?}") };
    assert_eq!(code, Some(2_150_859_174));
    assert!(message.contains("maximum number of concurrent shells"), "{message}");
}

#[tokio::test]
async fn answers_that_are_no_envelopes_are_errors() {
    let deep = "<a>".repeat(30_000);
    let entities =
        "<!DOCTYPE a [<!ENTITY b \"bbbbbbbbbb\"><!ENTITY c \"&b;&b;&b;&b;\">]><a>&c;</a>";
    let empty =
        "<s:Envelope xmlns:s=\"http://www.w3.org/2003/05/soap-envelope\"><s:Body/></s:Envelope>";
    for text in ["", "<not xml", "\u{0}", "{}", "<html>Bad Gateway</html>", &deep, entities, empty]
    {
        let fake = rule(json!({ "on": "Receive", "do": "garbage", "text": text })).await;
        let error = run(&fake.client(), "echo hi").await.error();
        let start = text.chars().take(30).collect::<String>();
        assert!(matches!(error, Error::Protocol(_)), "{start}: {error:?}");
        assert!(fake.is_tidy().await, "{start}");
    }
}

#[tokio::test]
async fn chunked_answers_are_read() {
    let fake = rule(json!({ "on": "*", "do": "chunked", "times": -1 })).await;
    assert_eq!(run(&fake.client(), "flood 500000").await.bytes().0.len(), 500_000);
}

#[tokio::test]
async fn answers_without_end_or_far_too_large_are_errors() {
    for what in [
        json!({ "do": "endless" }),
        json!({ "do": "huge" }),
        json!({ "do": "huge", "bytes": 50_000_000 }),
    ] {
        let mut faults = what.clone();
        faults["on"] = "Receive".into();
        let error = run(&rule(faults).await.client(), "echo hi").await.error();
        assert!(matches!(error, Error::Protocol(_)), "{what}: {error:?}");
    }
}

#[tokio::test]
async fn answers_in_drips_are_read() {
    let fake =
        rule(json!({ "on": "*", "do": "drip", "bytes": 16, "seconds": 0.001, "times": -1 })).await;
    assert_eq!(run(&fake.client(), "both out err").await.all(), (7, "out", "err"));
}

#[tokio::test]
async fn output_without_end_is_stopped_by_its_receiver() {
    let fake = Fake::https(json!({})).await;
    let mut keeper = Keeper { out: Vec::new(), err: Vec::new(), limit: 1 << 20 };
    let error = fake.client().run("flood", Input::Empty, &mut keeper).await.unwrap_err();
    assert!(matches!(error, Error::TooMuchOutput), "{error:?}");
    assert!(keeper.out.len() < 2 << 20, "{}", keeper.out.len());
    assert!(fake.is_tidy().await);
}

#[tokio::test]
async fn command_that_ends_before_it_has_read_its_input_has_its_exit_code() {
    let fake = Fake::https(json!({})).await;
    let bytes = vec![7; 8 << 20];
    for command in ["exit 5", "sleep 0.3"] {
        let ran = run_with(&fake.client(), command, Input::Bytes(&bytes)).await;
        assert_eq!(ran.code(), if command == "exit 5" { 5 } else { 0 });
    }
    assert_eq!(fake.left().await, (0, 0));
}

#[tokio::test]
async fn input_that_cannot_be_read_is_an_error_and_the_command_is_ended() {
    let fake = Fake::https(json!({})).await;
    let mut broken = tokio_test_reader();
    let ran = run_with(&fake.client(), "digest", Input::Reader(&mut broken)).await;
    assert!(matches!(ran.error(), Error::Input(_)));
    assert!(fake.is_tidy().await);
}

/// Some bytes, then an error.
fn tokio_test_reader() -> impl tokio::io::AsyncRead + Send + Unpin {
    use tokio::io::AsyncReadExt as _;
    b"some".as_slice().chain(Failing)
}

struct Failing;

impl tokio::io::AsyncRead for Failing {
    fn poll_read(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        _: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Err(std::io::Error::other("the disk is gone")))
    }
}

#[tokio::test]
async fn command_that_is_given_up_is_ended() {
    let mut fake = rule(json!({ "on": "Receive", "do": "silence" })).await;
    let client = fake.client();
    let command = tokio::spawn(async move { run(&client, "sleep 600").await.result });
    fake.says("silence").await;
    command.abort();
    assert!(fake.is_tidy().await);
}

#[tokio::test]
async fn service_that_does_not_listen_or_hangs_up_is_an_error() {
    let fake = rule(json!({ "on": "connect", "do": "cut", "times": -1 })).await;
    let error = fake.client().identify().await.unwrap_err();
    assert!(matches!(error, Error::Io { .. } | Error::Cut { .. }), "{error:?}");
    let client = fake.client();
    drop(fake);
    let error = run(&client, "echo hi").await.error();
    assert!(matches!(error, Error::Io { .. } | Error::Cut { .. }), "{error:?}");
}
