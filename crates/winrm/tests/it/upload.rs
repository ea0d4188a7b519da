//! How fast standard input goes, and that it needs no memory.

use std::{fmt::Write as _, time::Instant};

use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncReadExt as _;
use winrm::Input;

use crate::fake::{Fake, run_with};

const MEGABYTE: u64 = 1_000_000;

/// Sends so many bytes and returns the seconds.
async fn upload(fake: &Fake, bytes: u64) -> f64 {
    let begun = Instant::now();
    let mut reader = tokio::io::repeat(b'x').take(bytes);
    let ran = run_with(&fake.client(), "digest", Input::Reader(&mut reader)).await;
    let seconds = begun.elapsed().as_secs_f64();
    let mut digest = Sha256::new();
    for _ in 0..bytes / MEGABYTE {
        digest.update([b'x'; 1_000_000]);
    }
    assert_eq!(ran.out(), format!("{bytes} {}\r\n", hex::encode(digest.finalize())));
    seconds
}

/// The most memory that this process has had, in KiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn long_input_needs_no_memory() {
    let fake = Fake::https(json!({})).await;
    upload(&fake, 2 * MEGABYTE).await;
    let before = peak();
    upload(&fake, 24 * MEGABYTE).await;
    // The kernel counts roughly, and may take some back.
    let grown = peak().saturating_sub(before);
    // Other tests may run in this process.
    assert!(grown < 12 * 1024, "{grown} KiB for 24 MB");
}

/// `make bench-winrm` runs this by itself and optimized.
#[tokio::test]
#[ignore = "takes long, and measures"]
async fn speed_and_memory_of_uploads() {
    let megabytes = 200;
    let mut report = String::new();
    for (name, fake) in
        [("HTTPS", Fake::https(json!({})).await), ("NTLM", Fake::ntlm(json!({})).await)]
    {
        upload(&fake, MEGABYTE).await;
        let before = peak();
        let seconds = upload(&fake, megabytes * MEGABYTE).await;
        let (speed, grown) = (megabytes as f64 / seconds, peak().saturating_sub(before));
        writeln!(
            report,
            "{name}: {megabytes} MB in {seconds:.1} s, {speed:.0} MB/s, {grown} KiB more memory"
        )
        .unwrap();
        assert!(grown < 4 * 1024 && speed > 4.0, "{report}");
    }
    print!("{report}");
}
