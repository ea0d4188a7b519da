//! Services that accept and say nothing. The clock of these tests is turned on by hand once the silence
//! has begun.

use std::time::Duration;

use serde_json::{Value, json};
use winrm::{Error, Input};

use crate::fake::{Fake, run_with};

/// Longer than any wait for an answer.
const LONG: Duration = Duration::from_secs(60);

/// What a command ends with when the service falls silent in this way.
async fn error_of(mut fake: Fake, note: &str) -> Error {
    let client = fake.client();
    let command =
        tokio::spawn(async move { run_with(&client, "digest", Input::Bytes(b"hi")).await });
    fake.says(note).await;
    tokio::time::pause();
    tokio::time::advance(LONG).await;
    let ran = command.await.unwrap();
    tokio::time::resume();
    ran.error()
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
        let mut fake = rule(json!({ "on": operation, "do": "silence" })).await;
        let client = fake.client();
        let command = tokio::spawn(async move { run_with(&client, "exit 3", Input::Empty).await });
        fake.says("silence").await;
        tokio::time::pause();
        tokio::time::advance(LONG).await;
        assert_eq!(command.await.unwrap().code(), 3, "{operation}");
        tokio::time::resume();
    }
}
