use std::{net::SocketAddr, sync::Arc};

use images::{digest::digest, event::Events, layout::Layout, partition::Partition};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::Mutex,
};
use tokio_util::sync::CancellationToken;

use super::*;

fn cx() -> (tempfile::TempDir, RunContext) {
    let folder = tempfile::tempdir().unwrap();
    let layout = Layout::new(folder.path().join("cache"), folder.path().join("data"));
    (folder, RunContext::new(layout, Events::none(), CancellationToken::new()))
}

fn quick() -> Limits {
    Limits {
        backoff: Duration::from_millis(1),
        connect: Duration::from_secs(5),
        idle: Duration::from_secs(5),
        ..Limits::default()
    }
}

/// Answers each connection with the next response, and repeats the last one forever. The connection
/// stays open unless the response contains `Connection: close`.
struct Server {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start(answers: Vec<String>) -> Self {
        Self::of_bytes(answers.into_iter().map(String::into_bytes).collect()).await
    }

    async fn of_bytes(answers: Vec<Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        tokio::spawn(async move {
            let mut open = Vec::new();
            let mut answers = answers.into_iter().peekable();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    match stream.read_u8().await {
                        Ok(byte) => request.push(byte),
                        Err(_) => break,
                    }
                }
                seen.lock().await.push(String::from_utf8_lossy(&request).into_owned());
                let answer = answers.next().unwrap();
                if answers.peek().is_none() {
                    answers = vec![answer.clone()].into_iter().peekable();
                }
                let _ = stream.write_all(&answer).await;
                if !String::from_utf8_lossy(&answer).contains("Connection: close") {
                    open.push(stream);
                }
            }
        });
        Self { address, requests }
    }

    fn url(&self) -> String {
        format!("http://{}/setup.sh?sig=secret", self.address)
    }

    async fn count(&self) -> usize {
        self.requests.lock().await.len()
    }
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

fn status(line: &str) -> String {
    format!("HTTP/1.1 {line}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
}

fn redirect(to: &str) -> String {
    let head = "HTTP/1.1 302 Found\r\nContent-Length: 0\r\nConnection: close\r\n";
    format!("{head}Location: {to}\r\n\r\n")
}

/// The cache contains only fetched files.
fn assert_tidy(cx: &RunContext) {
    let left: Vec<_> = std::fs::read_dir(cx.layout.sources())
        .map(|entries| entries.map(|e| e.unwrap().file_name()).collect())
        .unwrap_or_default();
    assert!(left.is_empty(), "{left:?}");
}

async fn failing(answers: Vec<String>, limits: &Limits) -> (Error, usize) {
    let (_folder, cx) = cx();
    let server = Server::start(answers).await;
    let error = script(&cx, &server.url(), None, None, limits).await.unwrap_err();
    assert_tidy(&cx);
    assert!(!cx.layout.downloads().exists());
    assert!(!error.message.contains("secret"), "{}", error.message);
    (error, server.count().await)
}

#[tokio::test]
async fn script_is_stored_under_its_digest() {
    let (_folder, cx) = cx();
    let server = Server::start(vec![ok("echo hello\n")]).await;
    let fetched = script(&cx, &server.url(), None, None, &quick()).await.unwrap();
    assert_eq!(fetched.sha256, digest(b"echo hello\n"));
    assert_eq!(fetched.bytes, 11);
    assert_eq!(fetched.path, cx.layout.downloads().join(&fetched.sha256));
    assert_eq!(std::fs::read(&fetched.path).unwrap(), b"echo hello\n");
    assert_tidy(&cx);

    // Without a checksum the script is fetched again, as it may have changed; with a checksum it is
    // not.
    script(&cx, &server.url(), None, None, &quick()).await.unwrap();
    assert_eq!(server.count().await, 2);
    let upper = fetched.sha256.to_uppercase();
    let again = script(&cx, &server.url(), None, Some(&upper), &quick()).await.unwrap();
    assert_eq!((again, server.count().await), (fetched.clone(), 2));

    // A modified file is not trusted.
    std::fs::write(&fetched.path, "echo evil!\n").unwrap();
    script(&cx, &server.url(), None, Some(&fetched.sha256), &quick()).await.unwrap();
    assert_eq!(std::fs::read(&fetched.path).unwrap(), b"echo hello\n");
}

#[tokio::test]
async fn checksum_mismatch_names_both() {
    let (_folder, cx) = cx();
    let server = Server::start(vec![ok("echo hello\n")]).await;
    let wrong = "ab".repeat(32);
    let error = script(&cx, &server.url(), None, Some(&wrong), &quick()).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::ChecksumMismatch);
    assert!(error.details[0].contains(&wrong), "{:?}", error.details);
    assert!(error.details[1].contains(&digest(b"echo hello\n")), "{:?}", error.details);
    assert_tidy(&cx);
    assert!(!cx.layout.downloads().exists());
}

#[tokio::test]
async fn transient_failure_is_retried() {
    let (_folder, cx) = cx();
    let cut = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\nConnection: close\r\n\r\nhalf".to_owned();
    let answers = vec![status("503 Busy"), cut, ok("whole")];
    let server = Server::start(answers).await;
    let fetched = script(&cx, &server.url(), None, None, &quick()).await.unwrap();
    assert_eq!(std::fs::read(fetched.path).unwrap(), b"whole");
    assert_eq!(server.count().await, 3);

    let (error, count) = failing(vec![status("500 Oops")], &quick()).await;
    assert_eq!((error.code, count), (ErrorCode::ScriptUnreachable, 3));
    assert!(error.message.contains("500") && error.message.contains("3 attempts"), "{error}");
    assert!(error.message.contains("/setup.sh"), "{error}");
}

#[tokio::test]
async fn permanent_failure_is_not_retried() {
    for (answer, says) in [
        (status("404 Not Found"), "404"),
        (status("403 Forbidden"), "403"),
        (redirect("ftp://127.0.0.1/x"), "redirect to ftp"),
        (redirect("http://169.254.169.254/latest/meta-data"), "169.254.169.254"),
    ] {
        let (error, count) = failing(vec![answer], &quick()).await;
        assert_eq!((error.code, count), (ErrorCode::ScriptUnreachable, 1), "{error}");
        assert!(error.message.contains(says), "{error}");
    }
}

#[tokio::test]
async fn endless_redirects_fail() {
    let (error, count) = failing(vec![redirect("/again")], &quick()).await;
    assert!(error.message.contains("redirects"), "{error}");
    assert_eq!(count, 6);
}

#[tokio::test]
async fn oversized_content_is_rejected_with_or_without_length() {
    let limits = Limits { max_bytes: 10, ..quick() };
    let (error, count) = failing(vec![ok("more than ten")], &limits).await;
    assert!(error.message.contains("larger than 10 bytes") && count == 1, "{error}");
    let silent = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nmore than ten".to_owned();
    let (error, count) = failing(vec![silent], &limits).await;
    assert!(error.message.contains("larger than 10 bytes") && count == 1, "{error}");
}

#[tokio::test]
async fn silent_server_times_out() {
    let limits = Limits { attempts: 1, idle: Duration::from_millis(50), ..quick() };
    let limits = Limits { connect: Duration::from_millis(50), ..limits };
    let begun = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf".to_owned();
    for answer in [String::new(), begun] {
        let (error, _) = failing(vec![answer], &limits).await;
        assert_eq!(error.code, ErrorCode::ScriptUnreachable);
        assert!(error.message.contains("no answer"), "{error}");
    }
}

#[tokio::test]
async fn refused_connection_is_reported() {
    let (_folder, cx) = cx();
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let uri = format!("http://{free}/x");
    let error = script(&cx, &uri, None, None, &quick()).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::ScriptUnreachable);
    assert!(error.message.contains("refused"), "{error}");
}

#[tokio::test]
async fn cancel_ends_download_immediately() {
    let (_folder, cx) = cx();
    let begun = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf".to_owned();
    let server = Server::start(vec![begun]).await;
    let (url, limits) = (server.url(), Limits { idle: Duration::from_secs(600), ..quick() });
    let fetching = script(&cx, &url, None, None, &limits);
    let cancel = async {
        while server.count().await == 0 {
            tokio::task::yield_now().await;
        }
        cx.cancel.cancel();
    };
    let (fetched, ()) = tokio::join!(fetching, cancel);
    assert_eq!(fetched.unwrap_err().code, ErrorCode::Canceled);
    assert_tidy(&cx);
}

#[tokio::test]
async fn strangers_template_cannot_reach_this_host() {
    let server = Server::start(vec![ok("secret")]).await;
    let limits = Limits { guard: Guard::only(None), ..quick() };
    let by_name = format!("http://localhost:{}/x", server.address.port());
    for uri in [server.url(), by_name] {
        let (_folder, cx) = cx();
        let error = script(&cx, &uri, None, None, &limits).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::ScriptUnreachable);
        assert!(error.message.contains("may not be fetched from"), "{error}");
    }
    assert_eq!(server.count().await, 0);
}

#[tokio::test]
async fn allowed_host_cannot_redirect_to_a_private_one() {
    let inside = Server::start(vec![ok("secret")]).await;
    let port = inside.address.port();
    for to in [
        format!("http://localhost:{port}/x"),
        format!("http://[::1]:{port}/x"),
        format!("http://[::ffff:127.0.0.1]:{port}/x"),
        format!("http://127.0.0.2:{port}/x"),
        format!("http://2130706434:{port}/x"),
        "http://10.0.0.1/x".to_owned(),
        "http://169.254.169.254/latest".to_owned(),
    ] {
        let (_folder, cx) = cx();
        let server = Server::start(vec![redirect(&to)]).await;
        let hosts = ["127.0.0.1".to_owned()];
        let limits = Limits { guard: Guard::only(hosts), ..quick() };
        let error = script(&cx, &server.url(), None, None, &limits).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::ScriptUnreachable);
        assert!(error.message.contains("may not be fetched from"), "{to}: {error}");
        assert_eq!(server.count().await, 1, "{to}: it is not tried again");
        assert_tidy(&cx);
    }
    assert_eq!(inside.count().await, 0);
}

#[tokio::test(start_paused = true)]
async fn limits_for_others_give_ten_attempts_with_growing_pauses() {
    let (_folder, cx) = cx();
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let limits = Limits::for_others(["127.0.0.1".to_owned()]);
    let begun = tokio::time::Instant::now();
    let uri = format!("http://{free}/x");
    let error = script(&cx, &uri, None, None, &limits).await.unwrap_err();
    assert!(error.message.contains("10 attempts"), "{error}");
    // Half a second, doubled up to ten.
    assert!(begun.elapsed() >= Duration::from_millis(500 * (1 + 2 + 4 + 8 + 16) + 4 * 10_000));
}

#[tokio::test]
async fn local_file_is_copied_to_downloads() {
    let (folder, cx) = cx();
    let base = folder.path().join("templates");
    std::fs::create_dir_all(base.join("scripts")).unwrap();
    let file = base.join("scripts/a b.sh");
    std::fs::write(&file, "one").unwrap();
    let uri = reqwest::Url::from_file_path(&file).unwrap().to_string();
    for name in ["scripts/a b.sh", file.to_str().unwrap(), &uri] {
        let fetched = script(&cx, name, Some(&base), None, &quick()).await.unwrap();
        assert_eq!(fetched.sha256, digest(b"one"), "{name}");
        assert_eq!(std::fs::read(fetched.path).unwrap(), b"one");
    }
    std::fs::write(&file, "two").unwrap();
    let fetched = script(&cx, "scripts/a b.sh", Some(&base), None, &quick()).await.unwrap();
    assert_eq!(std::fs::read(fetched.path).unwrap(), b"two");
    assert_tidy(&cx);
}

#[tokio::test]
async fn unavailable_file_is_reported() {
    let (folder, cx) = cx();
    let base = Some(folder.path());
    std::fs::write(folder.path().join("large"), [0; 11]).unwrap();
    let limits = Limits { max_bytes: 10, ..quick() };
    for (uri, base, says) in [
        ("nowhere.sh", base, "there is no"),
        (".", base, "not a file"),
        ("large", base, "larger than"),
        ("s3://bucket/x", base, "\"s3\" is not http"),
        ("file://relative", base, "file:///"),
        ("/etc/hostname", None, "only http and https"),
        ("file:///etc/hostname", None, "only http and https"),
        ("http://", None, "no valid URL"),
    ] {
        let error = script(&cx, uri, base, None, &limits).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::ScriptUnreachable, "{uri}");
        assert!(error.message.contains(says), "{uri}: {error}");
    }
    assert_tidy(&cx);
}

#[tokio::test]
async fn inline_script_is_stored_once() {
    let (_folder, cx) = cx();
    let first = keep(&cx, b"true\n").await.unwrap();
    let changed = std::fs::metadata(&first.path).unwrap().modified().unwrap();
    assert_eq!(keep(&cx, b"true\n").await.unwrap(), first);
    assert_eq!(std::fs::metadata(&first.path).unwrap().modified().unwrap(), changed);
    assert_tidy(&cx);
}

/// A response with a coded body.
fn coded(coding: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nContent-Encoding: {coding}\r\nConnection: close\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut encoder, content).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn coded_content_is_decoded_before_hashing() {
    let script_text = b"#!/bin/sh\necho hello\n".repeat(1000);
    let digest = digest(&script_text);
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut zlib, &script_text).unwrap();
    let zlib = zlib.finish().unwrap();
    // Two members make one gzip file.
    let (first, second) = script_text.split_at(100);
    let members = [gzip(first), gzip(second)].concat();
    for (coding, body) in [
        ("gzip", gzip(&script_text)),
        ("x-gzip", members),
        ("GZIP", gzip(&script_text)),
        ("deflate", zlib),
        ("identity", script_text.clone()),
    ] {
        let (_folder, cx) = cx();
        let server = Server::of_bytes(vec![coded(coding, &body)]).await;
        let fetched = script(&cx, &server.url(), None, Some(&digest), &quick()).await.unwrap();
        assert_eq!((fetched.sha256.as_str(), fetched.bytes), (digest.as_str(), 21_000), "{coding}");
        assert_eq!(std::fs::read(fetched.path).unwrap(), script_text, "{coding}");
    }

    // An archive whose coding the server derives from its extension is stored unchanged.
    let (_folder, cx) = cx();
    let archive = gzip(&script_text);
    let server = Server::of_bytes(vec![coded("x-gzip", &archive)]).await;
    let url = format!("http://{}/app.tar.gz?sig=secret", server.address);
    let fetched = script(&cx, &url, None, None, &quick()).await.unwrap();
    assert_eq!(std::fs::read(fetched.path).unwrap(), archive);
}

#[tokio::test]
async fn unusable_coding_is_rejected_by_name() {
    let limits = Limits { max_bytes: 1 << 20, attempts: 1, ..quick() };
    let zeroes = gzip(&vec![0; 64 << 20]);
    assert!(zeroes.len() < 1 << 17, "{}", zeroes.len());
    let mut cut = gzip(b"echo hello\n");
    cut.truncate(cut.len() - 4);
    for (coding, body, says) in [
        ("br", b"x".to_vec(), "Content-Encoding: br"),
        ("gzip, gzip", gzip(&gzip(b"x")), "Content-Encoding: gzip, gzip"),
        ("gzip", zeroes, "larger than 1.0 MiB"),
        ("gzip", cut, "cannot be decoded"),
        ("gzip", b"echo hello\n".to_vec(), "cannot be decoded"),
        ("deflate", b"echo hello\n".to_vec(), "cannot be decoded"),
    ] {
        let (_folder, cx) = cx();
        let server = Server::of_bytes(vec![coded(coding, &body)]).await;
        let error = script(&cx, &server.url(), None, None, &limits).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::ScriptUnreachable);
        assert!(error.message.contains(says), "{coding}: {error}");
        assert!(!cx.layout.downloads().exists());
    }
}

/// Another tenant of the service names the checksum of a script that is not its own.
#[tokio::test]
async fn checksum_serves_only_what_the_same_part_has_fetched() {
    let (_folder, whole) = cx();
    let within = |id: u128| {
        let partition = Partition::Own(uuid::Uuid::from_u128(id));
        RunContext { partition, ..whole.clone() }
    };
    let (one, other) = (within(1), within(2));
    let private = Server::start(vec![ok("echo private\n")]).await;
    let fetched = script(&one, &private.url(), None, None, &quick()).await.unwrap();
    let sum = Some(fetched.sha256.as_str());

    let closed = Server::start(vec![status("403 Forbidden")]).await;
    let error = script(&other, &closed.url(), None, sum, &quick()).await.unwrap_err();
    assert_eq!((error.code, closed.count().await), (ErrorCode::ScriptUnreachable, 1));
    let shared = RunContext { partition: Partition::Shared, ..whole.clone() };
    let error = script(&shared, &closed.url(), None, sum, &quick()).await.unwrap_err();
    assert_eq!((error.code, closed.count().await), (ErrorCode::ScriptUnreachable, 2));

    // Who can read the script itself fetches it once.
    for _ in 0..2 {
        let got = script(&other, &private.url(), None, sum, &quick()).await.unwrap();
        assert_eq!((got.path, private.count().await), (fetched.path.clone(), 2));
    }
    script(&one, &closed.url(), None, sum, &quick()).await.unwrap();
    script(&whole, &closed.url(), None, sum, &quick()).await.unwrap();
    assert_eq!(closed.count().await, 2);

    // An inline script is as if it were new.
    let text = b"echo private\n";
    keep(&within(3), text).await.unwrap();
    assert!(within(3).partition.has(&whole.layout, Kind::Download, &fetched.sha256));
}
