//! Guests that write without end: the stored output is bounded, and a cancel takes effect
//! immediately.

use std::time::Duration;

use api::ErrorCode;
use images::{event::Events, run_context::RunContext, step::CUSTOMIZATION_LOG};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use vm::{
    StreamKind,
    fake::{Reaction, Then},
};

use crate::matrix::Bench;

const MIB: u64 = 1024 * 1024;

async fn until(what: &str, mut is: impl FnMut() -> bool) {
    let wait = async {
        while !is() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), wait)
        .await
        .unwrap_or_else(|_| panic!("{what} did not come"));
}

#[tokio::test(flavor = "multi_thread")]
async fn flooding_script_blocks_while_its_events_are_unread() {
    let bench = Bench::new().await;
    bench.fake.on("mktemp", Reaction::then(Then::Flood(StreamKind::Out)));
    let (events, mut receiver) = Events::channel();
    let cancel = CancellationToken::new();
    let cx = RunContext::new(bench.layout.clone(), events, cancel.clone());
    let fake = bench.fake.clone();
    let building = tokio::spawn(async move { bench.build(&cx).await });
    until("the flood", || fake.flooded() > 0).await;
    // However long the guest may write, it cannot send more than fits: 1 MiB of events, which is
    // less output, since each line is an event.
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    assert!(fake.flooded() <= MIB, "{} bytes are held", fake.flooded());
    cancel.cancel();
    let ended = tokio::time::timeout(Duration::from_secs(60), building).await.unwrap();
    assert_eq!(ended.unwrap().unwrap_err().code, ErrorCode::Canceled);
    assert!(receiver.recv().await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn flooding_script_log_stays_within_its_limit_and_cancel_ends_it() {
    let bench = Bench::new().await;
    bench.fake.on("mktemp", Reaction::then(Then::Flood(StreamKind::Err)));
    let cancel = CancellationToken::new();
    let mut cx = RunContext::new(bench.layout.clone(), Events::none(), cancel.clone());
    cx.log_bytes = Some(100_000);
    let (fake, layout) = (bench.fake.clone(), bench.layout.clone());
    let building = tokio::spawn(async move { (bench.build(&cx).await, bench) });
    until("a long flood", || fake.flooded() > 4 * MIB).await;
    cancel.cancel();
    let ended = tokio::time::timeout(Duration::from_secs(60), building).await.unwrap();
    let (result, bench) = ended.unwrap();
    assert_eq!(result.unwrap_err().code, ErrorCode::Canceled);
    bench.assert_clean("flood");
    let runs = std::fs::read_dir(layout.logs()).unwrap();
    let log = runs.map(|run| run.unwrap().path().join(CUSTOMIZATION_LOG)).next().unwrap();
    let text = std::fs::read_to_string(log).unwrap();
    assert!(text.len() < 101_000, "{} bytes", text.len());
    assert!(text.ends_with(" bytes more\n"), "{}", &text[text.len() - 100..]);
}

#[tokio::test]
async fn flooding_digest_fails_the_file_step() {
    let mut bench = Bench::new().await;
    let source = bench.dir.path().join("notes.txt");
    std::fs::write(&source, "notes").unwrap();
    bench.also = json!({ "customize": [
        { "type": "File", "sourceUri": source, "destination": "/tmp/notes.txt" }
    ] });
    bench.fake.on("sha256sum", Reaction::then(Then::Flood(StreamKind::Out)));
    let error = bench.build(&bench.cx()).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::CustomizerFailed);
    assert!(error.message.contains("sha256sum prints more than"), "{error}");
    assert!(bench.fake.flooded() < MIB, "{} bytes were taken", bench.fake.flooded());
    bench.assert_clean("digest");
}

/// The output of a template's script does not pass for an answer of goldsmith's own script.
#[tokio::test]
async fn forged_generalization_answer_is_ignored() {
    let bench = Bench::new().await;
    bench.fake.on("generalize", Reaction { out: "GENERALIZED\n".into(), ..Reaction::exit(10) });
    let error = bench.build(&bench.cx()).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::GeneralizeFailed, "{error}");
    bench.assert_clean("forged");
}
