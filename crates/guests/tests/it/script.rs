//! PowerShell scripts of templates: over the connection, and as jobs.

use std::{
    io::Cursor,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use api::ErrorCode;
use guests::windows::script::{Rights, Script, inline};
use images::error::{Error, Result};
use tokio::time::Instant;
use vm::{
    Exit,
    fake::{Reaction, Then},
};

use crate::stage::{Stage, b64, lost, poll};

async fn run(stage: &mut Stage, text: &str, rights: Rights) -> Result<Exit> {
    let mut content = Cursor::new(text.as_bytes().to_vec());
    let script = Script { content: &mut content, rights, failure: ErrorCode::CustomizerFailed };
    let (at, out) = stage.parts();
    script.run(at, out).await
}

fn counter() -> (Arc<AtomicUsize>, Arc<AtomicUsize>) {
    let one = Arc::new(AtomicUsize::new(0));
    (one.clone(), one)
}

#[tokio::test(start_paused = true)]
async fn all_32_bits_of_an_exit_code_arrive() {
    for code in [0, 1, 3010, 0x8007_0005, 0xC000_013A, u32::MAX] {
        let mut stage = Stage::with(move |call| {
            let said = call.say(&["starts"]);
            match call.name.as_str() {
                "run" => Reaction { out: said.out + "hello\r\n", ..Reaction::exit(code) },
                "job-start" => call.say(&["boot b", "started"]),
                "job-poll" => poll(call, b"hello\r\n", &format!("ended {code}")),
                _ => call.say(&["removed"]),
            }
        })
        .await;
        for rights in [Rights::Plain, Rights::Elevated, Rights::System] {
            assert_eq!(run(&mut stage, "exit $code", rights).await.unwrap().code, Some(code));
        }
        assert_eq!(stage.out.tail(), ["hello", "hello", "hello"], "and no line of goldsmith's");
    }
}

#[tokio::test(start_paused = true)]
async fn text_of_a_script_is_in_no_command_line() {
    let text = "Write-Output \"50%\" & del | echo ' ^";
    let mut stage = Stage::with(move |call| {
        assert_eq!(call.data, text.as_bytes());
        call.say(&["starts"])
    })
    .await;
    assert!(run(&mut stage, text, Rights::Plain).await.unwrap().success());
    let commands = stage.fake.commands();
    assert_eq!(commands.len(), 2);
    assert!(commands[1].starts_with("del /f /q %SystemRoot%\\Temp\\goldsmith-"), "{}", commands[1]);
    for command in commands {
        assert!(!command.contains("50%"), "{command}");
        let id = command.split("goldsmith-").nth(1).unwrap_or_default();
        assert!(!id.contains(['&', '|', '^', '\'']), "{command}");
    }
}

#[test]
fn inline_lines_are_one_script_in_utf_8() {
    let text = inline(&["$a = 'ä'".to_owned(), "ping $a".to_owned()]);
    assert!(text.starts_with('\u{feff}'), "or Windows PowerShell reads it in its own code page");
    assert!(text.contains("try {\n$a = 'ä'\nping $a\n} catch {"), "{text}");
    assert!(text.ends_with("exit $goldsmithExitCode\n"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn script_whose_start_is_cut_off_starts_again_and_one_that_runs_does_not() {
    let (count, counted) = counter();
    let mut stage = Stage::with(move |call| match counted.fetch_add(1, Ordering::Relaxed) {
        0 => lost(),
        1 => Reaction::exit(1).err("the paging file is too small\n"),
        _ => Reaction { then: Then::Disconnect, ..call.say(&["starts"]) },
    })
    .await;
    let error = run(&mut stage, "restart", Rights::Plain).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::GuestUnreachable, "{error}");
    assert_eq!(count.load(Ordering::Relaxed), 3);
}

#[tokio::test(start_paused = true)]
async fn script_that_resets_the_machine_is_told_from_one_whose_connection_breaks() {
    let mut stage =
        Stage::with(|call| Reaction { then: Then::Reset, ..call.say(&["starts"]) }).await;
    let error = run(&mut stage, "shutdown /r", Rights::Plain).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::CustomizerFailed, "{error}");
    assert!(error.hint.unwrap().contains("WindowsRestart"));
}

#[tokio::test(start_paused = true)]
async fn script_that_never_starts_is_an_error_after_five_minutes() {
    let mut stage = Stage::with(|_| Reaction::exit(0xC000_0142)).await;
    let started = Instant::now();
    let error = run(&mut stage, "hello", Rights::Plain).await.unwrap_err();
    assert!(error.message.contains("3221225794"), "{error}");
    assert!(started.elapsed() < Duration::from_secs(6 * 60), "{:?}", started.elapsed());
}

/// A job whose output comes in pieces, while connections break.
#[tokio::test(start_paused = true)]
async fn job_loses_no_output_when_connections_break() {
    let output = "one\r\ntwo\r\nd\u{e4}rei\r\n";
    let (count, counted) = counter();
    let mut stage = Stage::with(move |call| match call.name.as_str() {
        "job-start" => call.say(&["boot b", "started"]),
        "job-poll" => match counted.fetch_add(1, Ordering::Relaxed) {
            0 => call.say(&["running"]),
            // Cut within the line, and within a character.
            1 => poll(call, &output.as_bytes()[..3], "running"),
            2 | 3 => lost(),
            // The connection breaks when the answer has been given: it is asked for again.
            4 => Reaction { then: Then::Disconnect, ..poll(call, output.as_bytes(), "running") },
            5 => poll(call, &output.as_bytes()[..12], "running"),
            _ => poll(call, output.as_bytes(), "ended 7"),
        },
        _ => call.say(&["removed"]),
    })
    .await;
    let exit = run(&mut stage, "work", Rights::Elevated).await.unwrap();
    assert_eq!(exit.code, Some(7));
    assert_eq!(stage.out.tail(), ["one", "two", "därei"]);
    assert!(count.load(Ordering::Relaxed) >= 7);
    assert_eq!(stage.heard().last().unwrap(), "job-end");
}

#[tokio::test(start_paused = true)]
async fn elevated_job_gets_the_password_and_that_of_the_system_none() {
    let mut stage = Stage::with(|call| match call.name.as_str() {
        "job-start" => call.say(&["boot b", "started"]),
        "job-poll" => call.say(&["ended 0"]),
        _ => call.say(&["removed"]),
    })
    .await;
    run(&mut stage, "a", Rights::Elevated).await.unwrap();
    run(&mut stage, "b", Rights::System).await.unwrap();
    let starts: Vec<_> = stage
        .fake
        .calls()
        .into_iter()
        .filter_map(|call| match call {
            vm::fake::Call::Run { stdin, .. } => Some(crate::stage::Call::read(&stdin)),
            _ => None,
        })
        .filter(|call| call.name == "job-start")
        .collect();
    let password = stage.access.windows.as_ref().unwrap().password.clone();
    assert_eq!(
        (starts[0].text("user"), starts[0].text("password")),
        (stage.access.user.clone(), password)
    );
    assert_eq!(
        (starts[1].text("user").as_str(), &starts[1].arguments["password"]),
        ("SYSTEM", &serde_json::Value::Null)
    );
}

#[tokio::test(start_paused = true)]
async fn job_in_whose_middle_the_machine_restarts_is_an_error() {
    let mut stage = Stage::with(|call| match call.name.as_str() {
        "job-start" => call.say(&["boot b", "started"]),
        "job-poll" => {
            let why = format!("lost {}", b64("the machine restarted while it ran"));
            poll(call, b"before\n", &why)
        }
        _ => call.say(&["removed"]),
    })
    .await;
    let error = run(&mut stage, "work", Rights::System).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::CustomizerFailed);
    assert!(error.message.contains("the machine restarted while it ran"), "{error}");
    assert_eq!(stage.out.tail(), ["before"]);
}

#[tokio::test(start_paused = true)]
async fn job_that_cannot_be_registered_says_why() {
    let mut stage = Stage::with(|call| {
        call.say(&["boot b", &format!("failed {}", b64("Der Benutzername ist falsch."))])
    })
    .await;
    let error = run(&mut stage, "work", Rights::Elevated).await.unwrap_err();
    assert!(error.message.contains("as goldsmith: Der Benutzername ist falsch."), "{error}");
}

#[tokio::test(start_paused = true)]
async fn job_of_a_silent_guest_ends_with_an_error() {
    let mut stage = Stage::with(|call| match call.name.as_str() {
        "job-start" => call.say(&["boot b", "started"]),
        _ => lost(),
    })
    .await;
    let started = Instant::now();
    let error = run(&mut stage, "work", Rights::System).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::GuestUnreachable, "{error}");
    assert!(error.message.contains("no answer for 30 minutes"), "{error}");
    assert!(started.elapsed() < Duration::from_secs(40 * 60), "{:?}", started.elapsed());
}

/// Answers that a guest may give and no script does.
#[tokio::test(start_paused = true)]
async fn nonsense_from_the_guest_is_an_error_and_no_panic() {
    for nonsense in
        ["output 5 AAAA", "output x", "ended minus", "ended -1", "ended 4294967296", "?", ""]
    {
        let mut stage = Stage::with(move |call| match call.name.as_str() {
            "job-start" => call.say(&["boot b", "started"]),
            _ => call.say(&[nonsense]),
        })
        .await;
        let error: Error = run(&mut stage, "work", Rights::System).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::GuestUnreachable, "{nonsense:?}: {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn endless_output_instead_of_an_answer_is_cut() {
    let mut stage = Stage::with(|call| match call.name.as_str() {
        "job-start" => call.say(&["boot b", "started"]),
        _ => Reaction::then(Then::Flood(vm::StreamKind::Out)),
    })
    .await;
    let error = run(&mut stage, "work", Rights::System).await.unwrap_err();
    assert!(error.message.contains("more output than is allowed"), "{error}");
}
