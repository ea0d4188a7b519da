//! Commands, from their shell's beginning to its end.

use std::{future::poll_fn, pin::Pin, sync::Arc, task::Poll, time::Duration};

use tokio::{sync::Notify, time::Instant};

use super::service::{Do, Kept, Service, done, out, state, stream};
use crate::{Error, Input, Stream, run::run, soap::request::Letterhead};

const TIMED_OUT: u32 = 2_150_858_793;
const NO_SUCH_SHELL: u32 = 2_150_858_843;
const WHOLE: [&str; 6] = ["Create", "Command", "Send", "Receive", "Signal", "Delete"];

/// Goes on with a future for as long as it can.
async fn is_pending(future: &mut (impl Future + Unpin)) -> bool {
    poll_fn(|context| Poll::Ready(Pin::new(&mut *future).poll(context).is_pending())).await
}

#[tokio::test]
async fn output_comes_in_order_and_the_shell_is_ended() {
    let both = format!(
        "<rsp:ReceiveResponse>{}{}{}<rsp:Stream Name=\"stderr\" CommandId=\"C\" End=\"true\"/>{}</rsp:ReceiveResponse>",
        stream("stdout", b"\xc3"),
        stream("stderr", b"e"),
        stream("stdout", b"\xa4"),
        state("3221225786"),
    );
    let service = Service::new().then("Receive", Do::Answer(both));
    let mut kept = Kept::default();
    let code = service.run(Input::Empty, &mut kept).await.unwrap();
    assert_eq!(code, 3_221_225_786);
    let expected = [
        (Stream::Out, b"\xc3".to_vec()),
        (Stream::Err, b"e".to_vec()),
        (Stream::Out, b"\xa4".to_vec()),
    ];
    assert_eq!(kept.bytes, expected);
    assert_eq!(service.asked(), WHOLE);
    assert_eq!(service.state().connections, 1);
}

#[tokio::test]
async fn output_and_end_may_come_apart() {
    let service = Service::new().then("Receive", out(b"a")).then("Receive", Do::Answer(done("-1")));
    let mut kept = Kept::default();
    assert_eq!(service.run(Input::Empty, &mut kept).await.unwrap(), u32::MAX);
    assert_eq!(kept.bytes, [(Stream::Out, b"a".to_vec())]);
}

#[tokio::test]
async fn end_without_an_exit_code_is_an_error_not_a_success() {
    for code in ["", "no", "4294967296", "0x1"] {
        let service = Service::new().then("Receive", Do::Answer(done(code)));
        let error = service.run(Input::Empty, &mut Kept::default()).await.unwrap_err();
        assert!(matches!(error, Error::Protocol(_)), "{code}: {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn passed_time_limit_means_ask_again() {
    let mut service = Service::new();
    for _ in 0..50 {
        service = service.then("Receive", Do::Fault(TIMED_OUT));
    }
    let begun = Instant::now();
    assert_eq!(service.run(Input::Empty, &mut Kept::default()).await.unwrap(), 0);
    assert_eq!(service.asked().iter().filter(|kind| *kind == "Receive").count(), 51);
    // A service that answers at once is not asked in a busy loop.
    assert!(begun.elapsed() >= Duration::from_secs(5));
}

#[tokio::test]
async fn cut_connection_is_an_error_not_a_success() {
    for kind in ["Create", "Command", "Send", "Receive"] {
        let service = Service::new().then(kind, Do::Cut);
        let error = service.run(Input::Empty, &mut Kept::default()).await.unwrap_err();
        assert!(matches!(error, Error::Cut { .. }), "{kind}: {error}");
    }
}

#[tokio::test]
async fn cut_connection_after_the_end_does_not_matter() {
    for kind in ["Signal", "Delete"] {
        let service = Service::new().then(kind, Do::Cut);
        assert_eq!(service.run(Input::Empty, &mut Kept::default()).await.unwrap(), 0, "{kind}");
    }
}

#[tokio::test]
async fn shell_that_is_gone_is_told_from_other_faults() {
    let service = Service::new().then("Receive", Do::Fault(NO_SUCH_SHELL));
    let error = service.run(Input::Empty, &mut Kept::default()).await.unwrap_err();
    assert!(matches!(error, Error::ShellGone), "{error}");
    let service = Service::new().then("Command", Do::Fault(2_147_942_402));
    let error = service.run(Input::Empty, &mut Kept::default()).await.unwrap_err();
    let text = "the guest's WinRM service refused a request: 2147942402 (0x80070002): refused";
    assert_eq!(error.to_string(), text);
}

#[tokio::test(start_paused = true)]
async fn silent_service_is_given_up_after_30_seconds() {
    for kind in ["Create", "Command", "Send", "Receive"] {
        let service = Service::new().then(kind, Do::Nothing);
        let begun = Instant::now();
        let error = service.run(Input::Empty, &mut Kept::default()).await.unwrap_err();
        assert!(matches!(error, Error::Timeout { .. }), "{kind}: {error}");
        assert_eq!(begun.elapsed().as_secs(), 30);
    }
}

#[tokio::test(start_paused = true)]
async fn silent_service_after_the_end_holds_the_result_up_for_ten_seconds() {
    let service = Service::new().then("Signal", Do::Nothing);
    let begun = Instant::now();
    assert_eq!(service.run(Input::Empty, &mut Kept::default()).await.unwrap(), 0);
    assert_eq!(begun.elapsed().as_secs(), 10);
    service.until_asked("Delete").await;
    assert_eq!(service.asked()[4..], ["Signal", "Signal", "Delete"]);
}

#[tokio::test]
async fn too_much_output_ends_the_command() {
    let service = Service::new().then("Receive", out(b"12345")).then("Receive", out(b"6"));
    let mut kept = Kept { most: 4, ..Kept::default() };
    let error = service.run(Input::Empty, &mut kept).await.unwrap_err();
    assert!(matches!(error, Error::TooMuchOutput), "{error}");
    service.until_asked("Delete").await;
    assert_eq!(service.asked(), WHOLE);
}

#[tokio::test]
async fn nothing_is_asked_while_the_sink_works() {
    let service = Service::new().then("Receive", out(b"a")).then("Receive", out(b"b"));
    let wait = Arc::new(Notify::new());
    let mut kept = Kept { wait: Some(wait.clone()), ..Kept::default() };
    let mut running = std::pin::pin!(service.run(Input::Empty, &mut kept));
    for expected in [1, 2] {
        for _ in 0..100 {
            assert!(is_pending(&mut running).await);
            tokio::task::yield_now().await;
        }
        let asked = service.asked().iter().filter(|kind| *kind == "Receive").count();
        assert_eq!(asked, expected);
        wait.notify_one();
    }
    assert_eq!(running.await.unwrap(), 0);
}

#[tokio::test]
async fn dropped_command_is_signalled_and_its_shell_deleted() {
    let service = Service::new().then("Receive", Do::Nothing);
    {
        let mut kept = Kept::default();
        let mut running = std::pin::pin!(service.run(Input::Empty, &mut kept));
        while !service.asked().contains(&"Receive".to_owned()) {
            assert!(is_pending(&mut running).await);
            tokio::task::yield_now().await;
        }
    }
    service.until_asked("Delete").await;
    assert_eq!(service.asked(), WHOLE);
    // The first connection still waits for output.
    assert_eq!(service.state().connections, 2);
}

#[tokio::test]
async fn shell_that_arrives_too_late_is_deleted() {
    let late = Arc::new(Notify::new());
    let create = "<x:ResourceCreated><a:ReferenceParameters><w:ResourceURI>urn:shell</w:ResourceURI>\
                  <w:SelectorSet><w:Selector Name=\"ShellId\">S</w:Selector></w:SelectorSet>\
                  </a:ReferenceParameters></x:ResourceCreated>";
    let create = Box::new(Do::Answer(create.to_owned()));
    let service = Service::new().then("Create", Do::After(late.clone(), create));
    {
        let mut kept = Kept::default();
        let mut running = std::pin::pin!(service.run(Input::Empty, &mut kept));
        assert!(is_pending(&mut running).await);
        service.until_asked("Create").await;
    }
    late.notify_one();
    service.until_asked("Delete").await;
    assert_eq!(service.asked(), ["Create", "Delete"]);
}

#[tokio::test]
async fn connection_that_ends_between_requests_is_made_again() {
    let service = Service::new().then("Receive", out(b"a"));
    service.state().one_answer_each = true;
    assert_eq!(service.run(Input::Empty, &mut Kept::default()).await.unwrap(), 0);
    assert_eq!(service.state().connections, 7);
}

#[tokio::test]
async fn command_that_cmd_cannot_take_is_refused_before_anything_happens() {
    let service = Service::new();
    for command in ["x".repeat(8192), "a\0b".to_owned(), "a\r\nb".to_owned()] {
        let letterhead = Letterhead::new(String::new(), Duration::from_secs(20));
        let mut kept = Kept::default();
        let ran = run(&service.connect(), letterhead, &command, Input::Empty, &mut kept).await;
        assert!(matches!(ran.unwrap_err(), Error::Command(_)));
    }
    assert_eq!(service.state().connections, 0);
}
