//! Rounds of Windows Update.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use api::ErrorCode;
use guests::windows::update::Update;
use images::error::Result;
use vm::fake::{Reaction, Then};

use crate::stage::{Call, Stage, b64, poll};

/// What the job of a round prints, with `MARK` for its mark, and its exit code.
type Round = (&'static str, u32);

/// A guest with these rounds; the last one repeats. Each restart is another boot.
async fn stage(rounds: &'static [Round]) -> (Stage, Arc<AtomicUsize>) {
    let (round, boots) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counted, booted, asked) =
        (round.clone(), boots.clone(), std::sync::Mutex::new(String::new()));
    let stage = Stage::with(move |call| match call.name.as_str() {
        "boot-id" => call.say(&[&format!("boot {}", booted.load(Ordering::Relaxed))]),
        "settled" => call.say(&[&format!("boot {}", booted.load(Ordering::Relaxed)), "settled"]),
        "job-start" => {
            assert!(String::from_utf8_lossy(&call.data).starts_with("# goldsmith: update-round"));
            assert_eq!(call.text("user"), "SYSTEM");
            counted.fetch_add(1, Ordering::Relaxed);
            *asked.lock().unwrap() = call.text("arguments");
            call.say(&["boot b", "started"])
        }
        "job-poll" => {
            let number = counted.load(Ordering::Relaxed) - 1;
            let (output, code) = rounds[number.min(rounds.len() - 1)];
            let arguments: serde_json::Value =
                serde_json::from_str(&asked.lock().unwrap()).unwrap();
            let output = output
                .replace("MARK", arguments["mark"].as_str().unwrap())
                .replace("TITLE", &b64("2026-11 für Windows"));
            poll(call, output.as_bytes(), &format!("ended {code}"))
        }
        _ => call.say(&["removed"]),
    })
    .await;
    stage.fake.on_call("shutdown /r", move |_, _| {
        boots.fetch_add(1, Ordering::Relaxed);
        Reaction::then(Then::Reset)
    });
    (stage, round)
}

async fn run(stage: &mut Stage, filters: &[String]) -> Result<()> {
    let (at, out) = stage.parts();
    Update { criteria: None, filters, limit: 0 }.run(at, out).await
}

fn restarts(stage: &Stage) -> usize {
    stage.fake.commands().iter().filter(|command| command.starts_with("shutdown /r")).count()
}

#[tokio::test(start_paused = true)]
async fn rounds_go_on_with_restarts_until_nothing_is_left() {
    let (mut stage, rounds) = stage(&[
        ("a restart is pending\r\n", 101),
        ("MARK update TITLE\r\nMARK found 1\r\nMARK installed 1 failed 0\r\n", 101),
        // As Windows Server 2012 says it.
        ("MARK found 1\r\nMARK installed 1 failed 0\r\n", 0x8007_0065),
        ("MARK found 0\r\n", 0),
    ])
    .await;
    let filters = ["exclude:$_.Title -like '*Preview*'".to_owned(), "include:$true".to_owned()];
    run(&mut stage, &filters).await.unwrap();
    assert_eq!((rounds.load(Ordering::Relaxed), restarts(&stage)), (4, 3));
    let tail = stage.out.tail();
    assert!(tail.contains(&"installs 2026-11 für Windows".to_owned()), "{tail:?}");
    assert!(tail.iter().all(|line| !line.contains("goldsmith-")), "{tail:?}");
    let start = stage.fake.calls().into_iter().find_map(|call| match call {
        vm::fake::Call::Run { stdin, .. } => {
            Some(Call::read(&stdin)).filter(|call| call.name == "job-start")
        }
        _ => None,
    });
    let arguments = start.unwrap().of_job();
    assert_eq!(arguments["criteria"], "BrowseOnly=0 and IsInstalled=0");
    assert_eq!(arguments["filters"], serde_json::json!(filters));
    assert_eq!(arguments["limit"], 1000);
}

#[tokio::test(start_paused = true)]
async fn round_that_fails_is_tried_five_times() {
    let (mut stage, rounds) = stage(&[("the search failed: 0x8024402C\r\n", 1)]).await;
    let error = run(&mut stage, &[]).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::CustomizerFailed);
    assert_eq!((rounds.load(Ordering::Relaxed), restarts(&stage)), (5, 0));
    assert!(error.details.contains(&"the search failed: 0x8024402C".to_owned()), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn updates_that_come_back_forever_are_an_error() {
    let (mut stage, rounds) = stage(&[
        ("MARK installed 1 failed 1\r\n", 101),
        ("not installed: a driver\r\nMARK installed 0 failed 1\r\n", 101),
    ])
    .await;
    let error = run(&mut stage, &[]).await.unwrap_err();
    assert!(error.message.contains("no update could be installed in 3 rounds"), "{error}");
    assert!(error.hint.unwrap().contains("exclude:"));
    assert_eq!(rounds.load(Ordering::Relaxed), 4);
}

#[tokio::test(start_paused = true)]
async fn rounds_without_end_are_an_error() {
    let (mut stage, rounds) = stage(&[("MARK installed 1 failed 0\r\n", 101)]).await;
    let error = run(&mut stage, &[]).await.unwrap_err();
    assert!(error.message.contains("left after 60 rounds"), "{error}");
    assert_eq!(rounds.load(Ordering::Relaxed), 60);
}
