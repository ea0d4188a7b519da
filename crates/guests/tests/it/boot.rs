//! First contact, the end of a boot, the clock, the disks.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use api::ErrorCode;
use guests::{FirstBoot, Resumed, Synced, System, Within, windows::Windows};
use images::error::Result;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use vm::{
    Access, Door,
    fake::{Fake, Reaction},
};

use crate::stage::{Call, Stage, b64, lost};

async fn meet(lines: &[(&str, &str)]) -> Result<Access> {
    let fake = Fake::new();
    for (word, rest) in lines {
        fake.on_console(format!("goldsmith nonce {word} "), *rest);
    }
    let stage = Stage::on(fake).await;
    let cancel = CancellationToken::new();
    let within = Within { limit: Duration::from_secs(600), cancel: &cancel };
    Windows.meet(stage.at().machine, stage.access.clone(), "nonce", within).await
}

#[tokio::test(start_paused = true)]
async fn guest_tells_its_certificate_and_its_door() {
    let hex = "AB".repeat(32);
    for (door, expected) in [("ssh", Door::Ssh), ("winrm", Door::WinrmHttps)] {
        let access = meet(&[("certificate", &hex), ("door", door)]).await.unwrap();
        let windows = access.windows.unwrap();
        assert_eq!(windows.certificate, Some("ab".repeat(32)));
        assert_eq!(windows.door, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn first_boot_that_fails_says_why() {
    let error = meet(&[("failed", "specialize, line 70: Access is denied.")]).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::GuestUnreachable);
    assert!(error.message.ends_with("specialize, line 70: Access is denied."), "{error}");
    let error = meet(&[("certificate", "not hex")]).await.unwrap_err();
    assert!(error.message.contains("\"not hex\""), "{error}");
    let error = meet(&[]).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::BootTimeout, "{error}");
}

#[tokio::test(start_paused = true)]
async fn guest_that_is_known_is_not_waited_for() {
    let stage = Stage::with(|_| Reaction::exit(1)).await;
    let mut access = stage.access.clone();
    access.windows.as_mut().unwrap().certificate = Some("00".repeat(32));
    let cancel = CancellationToken::new();
    let within = Within { limit: Duration::from_secs(1), cancel: &cancel };
    let met = Windows.meet(stage.at().machine, access.clone(), "nonce", within).await.unwrap();
    assert_eq!(met, access);
}

#[tokio::test]
async fn every_password_is_another_and_none_is_shown() {
    let (one, two) = (Windows.new_access().unwrap(), Windows.new_access().unwrap());
    let password = one.windows.clone().unwrap().password;
    assert_ne!(password, two.windows.unwrap().password);
    assert!(!format!("{one:?}").contains(&password));
    assert!(password.len() >= 40);
}

fn counted(
    answers: impl Fn(&Call, usize) -> Reaction + Send + Sync + 'static,
) -> impl Fn(&Call) -> Reaction + Send + Sync + 'static {
    let looks = Arc::new(AtomicUsize::new(0));
    move |call| match call.name.as_str() {
        "deprovision" => call.say(&["placed"]),
        _ => answers(call, looks.fetch_add(1, Ordering::Relaxed)),
    }
}

#[tokio::test(start_paused = true)]
async fn boot_has_ended_when_setup_is_complete_and_windows_is_idle() {
    let stage = Stage::with(counted(|call, look| match look {
        0..100 => call.say(&["boot b", &format!("incomplete {}", b64("IMAGE_STATE_UNDEPLOYABLE"))]),
        100 => lost(),
        101 => call.say(&["boot b", &format!("busy {}", b64("TiWorker.exe runs"))]),
        _ => call.say(&["boot b", "settled"]),
    }))
    .await;
    assert!(Windows.boot_ended(stage.at(), false).await.unwrap().success());
    assert_eq!(stage.heard().last().unwrap(), "deprovision");
}

#[tokio::test(start_paused = true)]
async fn windows_that_is_never_idle_does_not_hold_the_build_for_ever() {
    let stage = Stage::with(counted(|call, _| {
        call.say(&["boot b", &format!("busy {}", b64("TiWorker.exe runs"))])
    }))
    .await;
    let started = Instant::now();
    let exit = Windows.boot_ended(stage.at(), false).await.unwrap();
    assert_eq!(exit.code, Some(1), "the build goes on with a warning");
    assert!(started.elapsed() < Duration::from_secs(11 * 60), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_written_in_a_machine_that_is_only_examined() {
    let stage = Stage::with(counted(|call, _| call.say(&["boot b", "settled"]))).await;
    Windows.boot_ended(stage.at(), true).await.unwrap();
    assert_eq!(stage.heard(), ["settled"]);
}

#[tokio::test(start_paused = true)]
async fn silent_guest_fails_its_boot() {
    let stage = Stage::with(|_| lost()).await;
    let error = Windows.boot_ended(stage.at(), false).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::GuestUnreachable, "{error}");
}

#[tokio::test(start_paused = true)]
async fn resumed_guest_gets_the_time() {
    let stage = Stage::with(|call| {
        assert_eq!((call.name.as_str(), call.number("now")), ("clock", 1_800_000_000));
        call.say(&["clock"])
    })
    .await;
    let resumed = Resumed { now: 1_800_000_000, entropy: &[1; 64] };
    assert!(Windows.resumed(stage.at(), resumed).await.unwrap().success());
}

#[tokio::test(start_paused = true)]
async fn partition_that_cannot_grow_is_a_warning() {
    let stage = Stage::with(|call| call.say(&[&format!("kept {}", b64("in the way"))])).await;
    let first = |is_larger| FirstBoot { uefi: true, is_larger, is_seeded: true };
    assert_eq!(Windows.prepare(stage.at(), first(true)).await.unwrap().code, Some(1));
    assert!(Windows.prepare(stage.at(), first(false)).await.unwrap().success());
    assert_eq!(stage.heard(), ["extend"], "and only where the disk is larger");
}

#[tokio::test(start_paused = true)]
async fn data_disks_that_do_not_come_online_are_noticed() {
    let stage = Stage::with(|call| call.say(&["online 1"])).await;
    assert!(Windows.name_data_disks(stage.at(), 1).await.unwrap().success());
    assert_eq!(Windows.name_data_disks(stage.at(), 2).await.unwrap().code, Some(1));
}

#[tokio::test(start_paused = true)]
async fn seal_waits_for_installers_and_not_for_a_shutdown() {
    let stage = Stage::with(counted(|call, look| match look {
        0..5 => call.say(&[&format!("busy {}", b64("TiWorker.exe runs"))]),
        _ => call.say(&["synced"]),
    }))
    .await;
    assert_eq!(Windows.sync(stage.at()).await.unwrap(), Synced::Done);
    let stage = Stage::with(|call| call.say(&[&format!("stopping {}", b64("restart"))])).await;
    assert_eq!(Windows.sync(stage.at()).await.unwrap(), Synced::Stopping);
}

#[tokio::test(start_paused = true)]
async fn seal_names_what_keeps_it() {
    let stage =
        Stage::with(|call| call.say(&[&format!("busy {}", b64("TiWorker.exe runs"))])).await;
    let error = Windows.sync(stage.at()).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::StepTimedOut);
    assert!(error.message.contains("TiWorker.exe runs"), "{error}");
    let stage = Stage::with(|call| call.say(&[&format!("failed {}", b64("no room"))])).await;
    let error = Windows.sync(stage.at()).await.unwrap_err();
    assert!(error.message.ends_with("no room"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn address_is_asked_for_until_it_is_there() {
    let stage = Stage::with(counted(|call, look| {
        assert_eq!(call.text("mac"), "02:67:00:00:00:01");
        call.say(&[if look < 3 { "no" } else { "yes" }])
    }))
    .await;
    assert!(Windows.addressed(stage.at(), "02:67:00:00:00:01").await.unwrap().success());
    assert_eq!(stage.heard().len(), 4);
}
