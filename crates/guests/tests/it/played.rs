//! The scripted guest of dry runs does all that a build asks of a guest.

use std::{io::Cursor, time::Duration};

use api::ErrorCode;
use guests::{
    Copied, System, Traces, Within,
    windows::{Windows, played, restart, script, script::Rights, update},
};
use images::digest::digest;
use tokio_util::sync::CancellationToken;
use vm::fake::{Fake, Reaction, Then};

use crate::{
    copy::{LARGE, copy_file},
    stage::Stage,
};

fn simulate(text: &str) -> Reaction {
    match text.strip_prefix("exit ") {
        Some(code) => Reaction::exit(code.parse().unwrap()),
        None if text == "sleep" => Reaction::then(Then::Sleep(Duration::from_secs(1000))),
        None => Reaction::out(format!("{text}\n")),
    }
}

#[tokio::test(start_paused = true)]
async fn whole_build_is_played() {
    let fake = Fake::new();
    played::install(&fake, simulate);
    let mut stage = Stage::on(fake).await;
    let cancel = CancellationToken::new();
    let within = Within { limit: Duration::from_secs(1), cancel: &cancel };
    Windows.meet(stage.at().machine, stage.access.clone(), "nonce", within).await.unwrap();
    assert!(Windows.boot_ended(stage.at(), false).await.unwrap().success());
    for rights in [Rights::Plain, Rights::Elevated, Rights::System] {
        for (line, code) in [("hello", 0), ("exit 7", 7), ("sleep", 0)] {
            let mut content = Cursor::new(script::inline(&[line.to_owned()]));
            let failure = ErrorCode::CustomizerFailed;
            let (at, out) = stage.parts();
            let ran = script::Script { content: &mut content, rights, failure }.run(at, out).await;
            assert_eq!(ran.unwrap().code, Some(code), "{line} {rights:?}");
        }
    }
    let zeroes = Copied::Arrived(digest(&vec![0; usize::try_from(LARGE).unwrap()]));
    assert_eq!(copy_file(&mut stage, LARGE).await.unwrap(), zeroes);
    assert_eq!(stage.out.tail(), ["hello", "hello", "hello"]);
    let (at, out) = stage.parts();
    let again = restart::Restart { command: None, check_command: None, timeout: restart::TIMEOUT };
    again.run(at, out).await.unwrap();
    update::Update { criteria: None, filters: &[], limit: 0 }.run(at, out).await.unwrap();
    Windows.optimize(at, out).await.unwrap();
    Windows.generalize(at, &Traces { cards: Vec::new() }, out).await.unwrap();
    assert_eq!(at.machine.ended(), Some(vm::Ended::GuestShutdown));
}
