//! Files that are copied into the guest.

use std::time::Duration;

use api::ErrorCode;
use guests::{Copied, Copying, System, windows::Windows};
use images::{digest::digest, error::Result};
use vm::fake::{Mishap, Point, Reaction, Then};

use crate::stage::{Stage, b64};

async fn copy(stage: &mut Stage, mut content: &[u8]) -> Result<Copied> {
    let bytes = content.len() as u64;
    let copying = Copying {
        content: &mut content,
        bytes,
        path: None,
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

/// More than what goes over the connection; sparse, and the fake guest does not read it.
pub(crate) const LARGE: u64 = 33 * 1024 * 1024;

/// Copies a file of that size from a place on the host.
pub(crate) async fn copy_file(stage: &mut Stage, bytes: u64) -> Result<Copied> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    std::fs::File::create(&path).unwrap().set_len(bytes).unwrap();
    let mut content = tokio::fs::File::open(&path).await.unwrap();
    let copying = Copying {
        content: &mut content,
        bytes,
        path: Some(&path),
        destination: r"C:\large.bin",
        limit: Duration::from_secs(60),
    };
    let (at, out) = stage.parts();
    Windows.copy(at, copying, out).await
}

/// The names under which files were put in, and how often the drive was emptied.
fn media(stage: &Stage) -> (Vec<String>, usize) {
    let calls = stage.fake.calls();
    let name = |call: &vm::fake::Call| match call {
        vm::fake::Call::Insert { name, .. } => Some(name.clone()),
        _ => None,
    };
    let ejects = calls.iter().filter(|call| **call == vm::fake::Call::Eject).count();
    (calls.iter().filter_map(name).collect(), ejects)
}

#[tokio::test(start_paused = true)]
async fn only_a_large_file_comes_on_a_cd() {
    let stage = Stage::with(|call| call.say(&[&format!("sha256 {}", call.name)]));
    let mut stage = stage.await;
    let small = copy_file(&mut stage, LARGE - (1 << 20)).await.unwrap();
    assert_eq!(small, Copied::Arrived("upload".into()));
    assert_eq!(media(&stage), (vec![], 0));
    let large = copy_file(&mut stage, LARGE).await.unwrap();
    assert_eq!(large, Copied::Arrived("take".into()));
    let (names, ejects) = media(&stage);
    assert_eq!((names.len(), ejects), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn guest_is_told_the_random_name_and_the_size() {
    let mut stage = Stage::with(|call| {
        assert_eq!((call.text("path").as_str(), call.number("bytes")), (r"C:\large.bin", LARGE));
        assert!(call.data.is_empty(), "the content does not go over the connection");
        call.say(&[&format!("sha256 {}", call.text("name"))])
    })
    .await;
    let mut told = Vec::new();
    for _ in 0..2 {
        let Copied::Arrived(name) = copy_file(&mut stage, LARGE).await.unwrap() else { panic!() };
        told.push(name);
    }
    assert_eq!(media(&stage), (told.clone(), 2));
    assert_ne!(told[0], told[1]);
}

#[tokio::test(start_paused = true)]
async fn cd_is_taken_out_whatever_the_guest_answers() {
    let mut stage = Stage::with(|call| call.say(&["missing"])).await;
    let error = copy_file(&mut stage, LARGE).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::GuestUnreachable);
    assert!(error.message.contains("does not see the CD"), "{error}");
    assert!(error.hint.unwrap().contains("cdrom"));
    assert_eq!(media(&stage).1, 1);

    let mut stage = Stage::with(|call| call.say(&["folder"])).await;
    assert_eq!(copy_file(&mut stage, LARGE).await.unwrap(), Copied::IsFolder);
    assert_eq!(media(&stage).1, 1);

    let why = "There is not enough space on the disk.";
    let mut stage = Stage::with(move |call| call.say(&[&format!("failed {}", b64(why))])).await;
    assert_eq!(copy_file(&mut stage, LARGE).await.unwrap(), Copied::Failed(why.to_owned()));
    assert_eq!(media(&stage).1, 1);

    for then in [Then::Hang, Then::Disconnect, Then::Exit(1)] {
        let mut stage = Stage::with(move |_| Reaction::then(then.clone())).await;
        copy_file(&mut stage, LARGE).await.unwrap_err();
        assert_eq!(media(&stage).1, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn machine_that_takes_no_cd_or_keeps_it_is_an_error() {
    let mut stage = Stage::with(|call| call.say(&["sha256 00"])).await;
    stage.fake.once_at(Point::Insert, Mishap::Fail("no such device".into()));
    let error = copy_file(&mut stage, LARGE).await.unwrap_err();
    assert!(error.message.contains("no such device"), "{error}");
    assert!(stage.heard().is_empty(), "the guest is not asked");
    stage.fake.once_at(Point::Eject, Mishap::Fail("it is stuck".into()));
    let error = copy_file(&mut stage, LARGE).await.unwrap_err();
    assert!(error.message.contains("it is stuck"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn canceled_copy_leaves_the_cd_to_the_machine() {
    let mut stage = Stage::with(|_| Reaction::then(Then::Hang)).await;
    let soon = Duration::from_secs(1);
    assert!(tokio::time::timeout(soon, copy_file(&mut stage, LARGE)).await.is_err());
    let (names, ejects) = media(&stage);
    assert_eq!((names.len(), ejects), (1, 0), "nobody is there to take it out");
    assert!(stage.fake.media().file(&names[0]).is_some());
    stage.at().machine.eject().await.unwrap();
    assert_eq!(stage.fake.media().file(&names[0]), None);
}
