//! Services that accept and say nothing. Once the silence has begun, the clock of these tests jumps to
//! the end of each wait.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;
use winrm::{Error, Input};

use crate::fake::{Fake, Ran, run_with};

/// No wait for an answer is longer, with the end of the shell after it.
const LONG: Duration = Duration::from_secs(45);

/// What a command ends with when the service falls silent in this way.
async fn run_in_silence(mut fake: Fake, note: &str, command: &'static str) -> Ran {
    let client = fake.client();
    let command =
        tokio::spawn(async move { run_with(&client, command, Input::Bytes(b"hi")).await });
    fake.says(note).await;
    tokio::time::pause();
    let begun = Instant::now();
    let ran = command.await.unwrap();
    assert!(begun.elapsed() <= LONG, "{:?}", begun.elapsed());
    tokio::time::resume();
    ran
}

async fn error_of(fake: Fake, note: &str) -> Error {
    run_in_silence(fake, note, "digest").await.error()
}

async fn rule(rule: Value) -> Fake {
    Fake::https(json!({ "rules": [rule] })).await
}

fn is_timeout(error: &Error) -> bool {
    matches!(error, Error::Timeout { .. })
}

#[tokio::test]
async fn silence_is_a_timeout_whatever_was_asked() {
    for operation in ["Create", "Command", "Receive", "Send"] {
        let error =
            error_of(rule(json!({ "on": operation, "do": "silence" })).await, "silence").await;
        assert!(is_timeout(&error), "{operation}: {error:?}");
    }
}

#[tokio::test]
async fn connection_that_is_accepted_and_left_is_a_timeout() {
    let silent = json!({ "rules": [{ "on": "connect", "do": "silence" }] });
    for fake in [Fake::https(silent.clone()).await, Fake::ntlm(silent).await] {
        let error = error_of(fake, "silence").await;
        assert!(is_timeout(&error), "{error:?}");
    }
}

#[tokio::test]
async fn answer_that_drips_for_hours_is_a_timeout() {
    let drip = json!({ "on": "Receive", "do": "drip", "seconds": 60 });
    let error = error_of(rule(drip).await, "drip").await;
    assert!(is_timeout(&error), "{error:?}");
}

#[tokio::test]
async fn silence_while_a_shell_is_ended_does_not_hold_up_the_result() {
    for operation in ["Signal", "Delete"] {
        let fake = rule(json!({ "on": operation, "do": "silence" })).await;
        assert_eq!(run_in_silence(fake, "silence", "exit 3").await.code(), 3, "{operation}");
    }
}
