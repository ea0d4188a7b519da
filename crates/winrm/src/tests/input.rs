//! A command's standard input.

use std::{sync::Arc, time::Duration};

use tokio::{io::AsyncWriteExt as _, sync::Notify, time::Instant};

use super::service::{Do, Kept, Service, done, out};
use crate::{Error, Input};

const TIMED_OUT: u32 = 2_150_858_793;
const BUSY: u32 = 170;
const PIPE_CLOSED: u32 = 232;

fn end(after: &Arc<Notify>) -> Do {
    Do::After(after.clone(), Box::new(Do::Answer(done("0"))))
}

/// Runs a command that ends when `pieces` pieces of input have arrived.
async fn run(service: Service, input: Input<'_>, pieces: usize) -> Result<u32, Error> {
    let all = Arc::new(Notify::new());
    let service = service.then("Receive", end(&all));
    let mut kept = Kept::default();
    let mut running = std::pin::pin!(service.run(input, &mut kept));
    loop {
        tokio::select! {
            biased;
            ended = &mut running => return ended,
            () = tokio::time::sleep(Duration::from_millis(1)) => {
                if service.state().pieces.len() >= pieces {
                    all.notify_one();
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn large_input_goes_in_full_envelopes_on_a_second_connection() {
    let input: Vec<u8> = (0..1_000_000_u32).map(|n| (n % 251) as u8).collect();
    let service = Service::new();
    assert_eq!(run(service.clone(), Input::Bytes(&input), 9).await.unwrap(), 0);
    let state = service.state();
    assert_eq!(state.pieces.concat(), input);
    assert_eq!(state.pieces.len(), 9);
    assert!((153_590..=153_600).contains(&state.largest_envelope), "{}", state.largest_envelope);
    assert_eq!(state.connections, 2);
}

#[tokio::test(start_paused = true)]
async fn reader_is_sent_to_its_end() {
    let input = vec![7; 300_000];
    let service = Service::new();
    let mut reader = input.as_slice();
    assert_eq!(run(service.clone(), Input::Reader(&mut reader), 4).await.unwrap(), 0);
    assert_eq!(service.state().pieces.concat(), input);
    assert_eq!(service.state().pieces.last().unwrap().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn part_of_an_input_is_sent_before_the_rest_is_known() {
    let (mut writer, mut reader) = tokio::io::duplex(64);
    let service = Service::new();
    let asked = service.clone();
    let writing = async move {
        writer.write_all(b"question").await.unwrap();
        while asked.state().pieces.is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        writer.write_all(b"thanks").await.unwrap();
    };
    let (code, ()) = tokio::join!(run(service.clone(), Input::Reader(&mut reader), 3), writing);
    assert_eq!(code.unwrap(), 0);
    assert_eq!(service.state().pieces, [&b"question"[..], b"thanks", b""]);
}

#[tokio::test(start_paused = true)]
async fn piece_is_offered_again_while_the_command_does_not_read() {
    let service = Service::new().then("Send", Do::Fault(BUSY)).then("Send", Do::Fault(BUSY));
    let begun = Instant::now();
    assert_eq!(run(service.clone(), Input::Bytes(b"abc"), 3).await.unwrap(), 0);
    assert_eq!(service.state().pieces, [b"abc", b"abc", b"abc"]);
    assert!(begun.elapsed() >= Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn piece_whose_time_limit_has_passed_is_not_sent_twice() {
    let service = Service::new().then("Send", Do::Fault(TIMED_OUT));
    let mut reader = &b"abc"[..];
    assert_eq!(run(service.clone(), Input::Reader(&mut reader), 2).await.unwrap(), 0);
    assert_eq!(service.state().pieces, [&b"abc"[..], b""]);
}

#[tokio::test(start_paused = true)]
async fn command_that_ends_without_reading_decides_by_its_exit_code() {
    let late = Arc::new(Notify::new());
    let service = Service::new().then("Send", Do::Fault(PIPE_CLOSED)).then("Receive", end(&late));
    let mut kept = Kept::default();
    let running = service.run(Input::Bytes(b"abc"), &mut kept);
    let ending = async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        late.notify_one();
    };
    let (code, ()) = tokio::join!(running, ending);
    assert_eq!(code.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn refused_input_is_the_error_when_the_command_does_not_end() {
    let never = Arc::new(Notify::new());
    let mut service = Service::new().then("Send", Do::Fault(PIPE_CLOSED));
    for _ in 0..1000 {
        service = service.then("Receive", Do::Fault(TIMED_OUT));
    }
    let service = service.then("Receive", end(&never));
    let error = service.run(Input::Bytes(b"abc"), &mut Kept::default()).await.unwrap_err();
    assert!(matches!(error, Error::Fault { code: Some(PIPE_CLOSED), .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn connection_that_is_cut_under_the_input_is_an_error() {
    let never = Arc::new(Notify::new());
    let service = Service::new().then("Send", Do::Cut).then("Receive", end(&never));
    let error = service.run(Input::Bytes(b"abc"), &mut Kept::default()).await.unwrap_err();
    assert!(matches!(error, Error::Cut { .. }), "{error}");
    service.until_asked("Delete").await;
}

#[tokio::test(start_paused = true)]
async fn command_that_writes_before_it_reads_does_not_deadlock() {
    let written = Arc::new(Notify::new());
    let read = Do::After(written.clone(), Box::new(Do::Answer("<rsp:SendResponse/>".to_owned())));
    let arrived = Arc::new(Notify::new());
    let writes = Do::After(arrived.clone(), Box::new(out(b"much")));
    let service = Service::new().then("Send", read).then("Receive", writes);
    let mut kept = Kept { tell: Some(written), ..Kept::default() };
    let running = service.run(Input::Bytes(b"abc"), &mut kept);
    let arriving = async {
        service.until_asked("Send").await;
        arrived.notify_one();
    };
    let (code, ()) = tokio::join!(running, arriving);
    assert_eq!(code.unwrap(), 0);
    assert_eq!(service.state().pieces, [b"abc"]);
}

#[tokio::test]
async fn input_that_cannot_be_read_is_an_error() {
    struct Broken;
    impl tokio::io::AsyncRead for Broken {
        fn poll_read(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
            _: &mut tokio::io::ReadBuf<'_>,
        ) -> std::task::Poll<std::io::Result<()>> {
            std::task::Poll::Ready(Err(std::io::Error::other("disk")))
        }
    }
    let never = Arc::new(Notify::new());
    let service = Service::new().then("Receive", end(&never));
    let error = service.run(Input::Reader(&mut Broken), &mut Kept::default()).await.unwrap_err();
    assert!(matches!(error, Error::Input(_)), "{error}");
}
