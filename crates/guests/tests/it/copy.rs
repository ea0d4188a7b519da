//! Files that are copied into the guest.

use std::time::Duration;

use api::ErrorCode;
use guests::{Copied, Copying, System, windows::Windows};
use images::{digest::digest, error::Result};
use vm::fake::{Reaction, Then};

use crate::stage::{Stage, b64};

async fn copy(stage: &mut Stage, mut content: &[u8]) -> Result<Copied> {
    let bytes = content.len() as u64;
    let copying = Copying {
        content: &mut content,
        bytes,
        destination: r"C:\Program Files/it's & 50%.txt",
        limit: Duration::from_secs(60),
    };
    let (at, out) = stage.parts();
    Windows.copy(at, copying, out).await
}

#[tokio::test(start_paused = true)]
async fn file_arrives_whole_under_any_name() {
    let content: Vec<u8> = (0..500_000).map(|i| (i % 251) as u8).collect();
    let sent = content.clone();
    let mut stage = Stage::with(move |call| {
        assert_eq!(call.name, "upload");
        assert_eq!(call.text("path"), r"C:\Program Files/it's & 50%.txt");
        assert!(call.data == sent);
        call.say(&[&format!("sha256 {}", digest(&call.data))])
    })
    .await;
    assert_eq!(copy(&mut stage, &content).await.unwrap(), Copied::Arrived(digest(&content)));
}

#[tokio::test(start_paused = true)]
async fn digest_is_the_guests_so_that_damage_is_seen() {
    let mut stage =
        Stage::with(|call| call.say(&[&format!("sha256 {}", digest(b"something else"))])).await;
    let copied = copy(&mut stage, b"notes").await.unwrap();
    assert_ne!(copied, Copied::Arrived(digest(b"notes")));
}

#[tokio::test(start_paused = true)]
async fn folder_and_failure_are_told_apart() {
    let mut stage = Stage::with(|call| call.say(&["folder"])).await;
    assert_eq!(copy(&mut stage, b"notes").await.unwrap(), Copied::IsFolder);
    let why = "Could not find a part of the path.";
    let mut stage = Stage::with(move |call| call.say(&[&format!("failed {}", b64(why))])).await;
    assert_eq!(copy(&mut stage, b"notes").await.unwrap(), Copied::Failed(why.to_owned()));
}

#[tokio::test(start_paused = true)]
async fn cut_input_slow_guests_and_silence_are_errors() {
    let mut stage = Stage::with(|_| Reaction::exit(90)).await;
    let error = copy(&mut stage, b"notes").await.unwrap_err();
    assert!(error.message.contains("exited with status 90"), "{error}");
    let mut stage = Stage::with(|_| Reaction::then(Then::Hang)).await;
    let error = copy(&mut stage, b"notes").await.unwrap_err();
    assert_eq!(error.code, ErrorCode::StepTimedOut, "{error}");
    let mut stage = Stage::with(|_| Reaction::out("Welcome!\r\n")).await;
    let error = copy(&mut stage, b"notes").await.unwrap_err();
    assert!(error.message.contains("no answer"), "{error}");
}
