//! Measures the service: how soon a template settles, how long a page of 10,000 templates takes, what
//! mixed reads cost, what the idle server weighs. Prints a table, writes `target/bench/api.json`.
//!
//! The server is the release build with the scripted machine: no run is part of this.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "its output is its product")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a measuring program fails loudly and starts the executable"
)]

mod client;
mod measure;
mod server;

use std::path::Path;

use serde_json::json;

use client::Client;
use measure::{mixed_reads, pages, settle};
use server::Server;

/// Templates in the one subscription.
const TEMPLATES: usize = 10_000;
/// Mixed reads a second, and for how many seconds.
const RATE: u32 = 500;
const SECONDS: u32 = 20;

#[tokio::main]
async fn main() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let out = repository.join("target/bench");
    std::fs::create_dir_all(&out).unwrap();
    let log = std::fs::File::create(out.join("api.log")).unwrap();
    let server = Server::start(&repository.join("target/release/goldsmith"), log);
    let client = Client::connect(&server).await;
    let idle_rss_mb = server.rss_mb();

    println!("load: PUT of {TEMPLATES} templates (the first 100 are timed one by one)");
    let settled = settle(&client, 100).await;
    measure::fill(&client, 100, TEMPLATES).await;
    println!("load: every page of the list");
    let pages = pages(&client, TEMPLATES).await;
    println!("load: {RATE} mixed reads a second for {SECONDS} s");
    let (mixed, achieved) = mixed_reads(&client, RATE, SECONDS, TEMPLATES).await;
    let loaded_rss_mb = server.rss_mb();

    row("template settled (server), median", settled.percentile(50), 100.0);
    row("template settled (server), p99", settled.percentile(99), 100.0);
    row("list page, p99", pages.percentile(99), 50.0);
    row("mixed reads, median", mixed.percentile(50), 50.0);
    row("mixed reads, p99", mixed.percentile(99), 50.0);
    println!("{:<36} {achieved:>8.0} /s   limit {RATE}", "mixed reads");
    println!("{:<36} {idle_rss_mb:>8.1} MB   limit 60", "memory, idle");
    println!("{:<36} {loaded_rss_mb:>8.1} MB", "memory, after the load");

    let result = json!({
        "put_settled_ms": settled.percentile(99),
        "list_page_p99_ms": pages.percentile(99),
        "mixed_rps": achieved,
        "mixed_p99_ms": mixed.percentile(99),
        "idle_rss_mb": idle_rss_mb,
    });
    let file = out.join("api.json");
    std::fs::write(&file, format!("{result:#}\n")).unwrap();
    println!("written: {}", file.display());
}

fn row(what: &str, ms: f64, limit: f64) {
    let verdict = if ms <= limit { "ok" } else { "over" };
    println!("{what:<36} {ms:>8.1} ms   limit {limit} {verdict}");
}
