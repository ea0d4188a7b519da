//! Sysprep, and the end of a build in the guest.

use api::ErrorCode;
use guests::{System, Traces, windows::Windows};
use images::error::Result;
use std::sync::Mutex;
use vm::fake::{Reaction, Then};

use crate::stage::{Stage, b64, poll};

/// A guest whose job prints this, with `MARK` for its mark, and ends with this code. After the job's
/// end it says `word` on the console.
async fn stage(output: &'static str, code: u32, word: Option<&str>) -> Stage {
    let asked = Mutex::new(String::new());
    let stage = Stage::with(move |call| match call.name.as_str() {
        "job-start" => {
            let arguments = call.of_job();
            assert_eq!(arguments["user"], "goldsmith");
            assert!(arguments["finish"].as_str().unwrap().starts_with("# goldsmith: finish"));
            assert_eq!(call.text("user"), "SYSTEM");
            arguments["mark"].as_str().unwrap().clone_into(&mut asked.lock().unwrap());
            call.say(&["boot b", "started"])
        }
        "job-poll" => {
            let output = output.replace("MARK", &asked.lock().unwrap());
            poll(call, output.as_bytes(), &format!("ended {code}"))
        }
        _ => call.say(&["removed"]),
    })
    .await;
    if let Some(word) = word {
        stage.fake.on_console("goldsmith goldsmith-", word);
    }
    stage
}

async fn run(stage: &mut Stage) -> Result<()> {
    let (at, out) = stage.parts();
    Windows.generalize(at, &Traces { cards: Vec::new() }, out).await
}

#[tokio::test(start_paused = true)]
async fn guest_that_is_sealed_and_clean_may_power_off() {
    let mut stage = stage(
        "running C:\\DeprovisioningScript.ps1:\r\nIMAGE_STATE_GENERALIZE_RESEAL_TO_OOBE\r\nMARK sealed\r\n",
        0,
        Some("generalized"),
    )
    .await;
    run(&mut stage).await.unwrap();
    assert_eq!(stage.heard().last().unwrap(), "job-end", "the guest's sign that all has been read");
    assert_eq!(stage.out.tail().last().unwrap(), "IMAGE_STATE_GENERALIZE_RESEAL_TO_OOBE");
}

#[tokio::test(start_paused = true)]
async fn leftovers_fail_the_build() {
    let mut stage = stage("MARK sealed\r\n", 0, Some("leftover user goldsmith; file C:\\x")).await;
    let error = run(&mut stage).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::LeftoverFound);
    assert!(error.message.ends_with("user goldsmith; file C:\\x"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn guest_that_powers_off_without_a_word_passes_only_if_it_never_said_one() {
    for (certificate, is_fine) in [(None, true), (Some("00".repeat(32)), false)] {
        let mut stage = powers_off().await;
        stage.access.windows.as_mut().unwrap().certificate = certificate;
        match run(&mut stage).await {
            Ok(()) => assert!(is_fine),
            Err(error) => {
                assert!(!is_fine && error.code == ErrorCode::GeneralizeFailed, "{error}");
                assert!(error.message.contains("before the guest said"), "{error}");
            }
        }
    }
}

/// A guest that is sealed, and off at the end of its job.
async fn powers_off() -> Stage {
    let stage = stage("MARK sealed\r\n", 0, None).await;
    stage.fake.on_call("-EncodedCommand", {
        let mark = Mutex::new(String::new());
        move |_, stdin| {
            let call = crate::stage::Call::read(stdin);
            match call.name.as_str() {
                "job-start" => {
                    call.of_job()["mark"].as_str().unwrap().clone_into(&mut mark.lock().unwrap());
                    call.say(&["boot b", "started"])
                }
                "job-poll" => {
                    let output = format!("{} sealed\n", mark.lock().unwrap());
                    poll(&call, output.as_bytes(), "ended 0")
                }
                _ => Reaction::then(Then::Gone(vm::Ended::GuestShutdown)),
            }
        }
    });
    stage
}

#[tokio::test(start_paused = true)]
async fn guest_that_stays_on_is_an_error_in_the_end() {
    let mut stage = stage("MARK sealed\r\n", 0, None).await;
    let error = run(&mut stage).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::GeneralizeFailed);
    assert!(error.message.contains("did not power off"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn sysprep_that_refuses_is_an_error_with_its_log_and_advice() {
    for (log, advice) in [
        ("SYSPRP Failed to remove apps: 0x80073cf2.", "Get-AppxPackage"),
        ("SYSPRP BitLocker-Sysprep: 0x80310039", "BitLocker"),
        ("SYSPRP something else", "setuperr.log"),
    ] {
        let why = b64("Sysprep has ended without generalizing");
        let output = format!("setuperr.log: {log}\r\nMARK failed {why}\r\n");
        let mut stage = stage(Box::leak(output.into_boxed_str()), 1, None).await;
        let error = run(&mut stage).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::GeneralizeFailed);
        assert!(error.message.ends_with("Sysprep has ended without generalizing"), "{error}");
        assert_eq!(error.details, [format!("setuperr.log: {log}")]);
        assert!(error.hint.as_ref().unwrap().contains(advice), "{error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn line_of_the_templates_script_does_not_pass_for_an_answer() {
    for output in ["goldsmith-0 sealed\r\nsealed\r\n MARK sealed\r\n", "xMARK sealed\r\n", ""] {
        let mut stage = stage(output, 0, Some("generalized")).await;
        let error = run(&mut stage).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::GeneralizeFailed, "{output:?}");
    }
}
