//! Restarts, and the three signs of them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use api::ErrorCode;
use guests::windows::restart::Restart;
use images::error::Result;
use tokio::time::Instant;
use vm::fake::{Reaction, Then};

use crate::stage::{Call, Stage, b64, lost};

const TIMEOUT: Duration = Duration::from_secs(300);

fn usual() -> Restart<'static> {
    Restart { command: None, check_command: None, timeout: TIMEOUT }
}

/// A guest that answers the look number n (from 1) after a restart by `look`.
async fn stage(look: impl Fn(&Call, usize) -> Reaction + Send + Sync + 'static) -> Stage {
    let looks = Arc::new(AtomicUsize::new(0));
    let stage = Stage::with(move |call| match call.name.as_str() {
        "boot-id" => call.say(&["boot before"]),
        _ => look(call, looks.fetch_add(1, Ordering::Relaxed) + 1),
    })
    .await;
    stage.fake.on("shutdown /r", Reaction::then(Then::Reset));
    stage
}

async fn run(stage: &mut Stage, restart: Restart<'_>) -> Result<()> {
    let (at, out) = stage.parts();
    restart.run(at, out).await
}

#[tokio::test(start_paused = true)]
async fn restart_is_over_when_all_three_signs_are_there() {
    let mut stage = stage(|call, look| match look {
        1 | 2 => lost(),
        // It is still going down.
        3 => call.say(&["boot before", "settled"]),
        4 => call.say(&["boot after", &format!("incomplete {}", b64("IMAGE_STATE_UNDEPLOYABLE"))]),
        5 => call.say(&["boot after", &format!("busy {}", b64("TiWorker.exe runs"))]),
        _ => call.say(&["boot after", "settled"]),
    })
    .await;
    run(&mut stage, usual()).await.unwrap();
    assert_eq!(stage.fake.commands()[1], r#"shutdown /r /f /t 0 /c "packer restart""#);
    assert_eq!(stage.heard().iter().filter(|name| *name == "settled").count(), 6);
}

#[tokio::test(start_paused = true)]
async fn command_that_restarts_nothing_is_a_timeout_that_names_the_missing_sign() {
    let mut stage = stage(|call, _| call.say(&["boot before", "settled"])).await;
    let started = Instant::now();
    let error = run(&mut stage, Restart { command: Some("ver"), ..usual() }).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::StepTimedOut);
    assert!(error.message.contains("the machine has not been reset"), "{error}");
    assert!(error.hint.unwrap().contains("restartTimeout"));
    assert!(started.elapsed() < TIMEOUT + Duration::from_secs(10), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn each_missing_sign_has_its_own_words() {
    type Look = fn(&Call) -> Reaction;
    let cases: [(Look, &str); 3] = [
        (|_| lost(), "the guest is not back"),
        (|call| call.say(&["boot before", "settled"]), "it answers from the boot of before"),
        (
            |call| {
                call.say(&[
                    "boot after",
                    &format!("incomplete {}", b64("IMAGE_STATE_UNDEPLOYABLE")),
                ])
            },
            "the state of its image is IMAGE_STATE_UNDEPLOYABLE",
        ),
    ];
    for (look, says) in cases {
        let mut stage = stage(move |call, _| look(call)).await;
        let error = run(&mut stage, usual()).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::StepTimedOut);
        assert!(error.message.contains(says), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn windows_that_is_only_busy_when_the_time_is_over_does_not_fail_the_step() {
    let mut stage =
        stage(|call, _| call.say(&["boot after", &format!("busy {}", b64("TiWorker.exe runs"))]))
            .await;
    run(&mut stage, usual()).await.unwrap();
    let tail = stage.out.tail();
    assert!(tail.last().unwrap().contains("not idle: TiWorker.exe runs"), "{tail:?}");
}

#[tokio::test(start_paused = true)]
async fn restart_command_that_fails_is_an_error_and_one_in_progress_is_not() {
    let settled = |call: &Call, _: usize| call.say(&["boot after", "settled"]);
    let mut stage = stage(settled).await;
    stage.fake.on("restart-it", Reaction::exit(5).err("Access is denied.\n"));
    let error =
        run(&mut stage, Restart { command: Some("restart-it"), ..usual() }).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::CustomizerFailed);
    assert_eq!(error.details, ["Access is denied."]);
    // A restart that something else has asked for: its reset comes later, and may never.
    for code in [1115, 1190] {
        stage.fake.on("restart-it", Reaction::exit(code));
        let error =
            run(&mut stage, Restart { command: Some("restart-it"), ..usual() }).await.unwrap_err();
        assert!(error.message.contains("has not been reset"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn check_command_is_sent_until_the_guest_takes_it_whatever_its_exit_code() {
    let mut stage = stage(|call, _| call.say(&["boot after", "settled"])).await;
    let tries = Arc::new(AtomicUsize::new(0));
    let tried = tries.clone();
    stage.fake.on_call("is-it-there", move |_, _| match tried.fetch_add(1, Ordering::Relaxed) {
        0..3 => lost(),
        _ => Reaction::exit(1),
    });
    run(&mut stage, Restart { check_command: Some("is-it-there"), ..usual() }).await.unwrap();
    assert_eq!(tries.load(Ordering::Relaxed), 4);
    stage.fake.on("is-it-there", lost());
    let error = run(&mut stage, Restart { check_command: Some("is-it-there"), ..usual() })
        .await
        .unwrap_err();
    assert!(error.message.contains("the check command cannot be run"), "{error}");
}
