//! Measures the service under load. Arguments select scenarios; the default is all:
//!
//! ```text
//! goldsmith-load [templates] [triggers] [accounts] [retention] [queued] [deployments] [roles]
//! ```
//!
//! Prints a table and writes `target/bench/api.json`. The server is the release build with the
//! scripted backend. Each scenario starts its own server.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the output is the result")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a measuring program may panic and starts the executable"
)]

mod client;
mod deployments;
mod measure;
mod roles;
mod scenarios;
mod server;

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use client::Client;
use measure::Times;
use server::Server;

/// Requests per second, and the duration in seconds.
const RATE: u32 = 500;
const SECONDS: u32 = 20;
/// The limit for the 99th percentile of requests.
const LIMIT_MS: f64 = 50.0;

/// The environment of a scenario, and the recorded figures.
struct Bench {
    program: PathBuf,
    log: PathBuf,
    figures: Map<String, Value>,
}

impl Bench {
    /// Starts a server for the scenario, and a client for it.
    async fn serve(&self, args: &[&str]) -> (Server, Client) {
        let server = Server::start(&self.program, &self.log, args);
        let client = Client::connect(&server).await;
        (server, client)
    }

    fn note(&mut self, name: &str, value: f64) {
        self.figures.insert(name.to_owned(), json!(value));
    }

    /// Prints and records the times and the rate of requests, and the memory of the server.
    fn requests(&mut self, scenario: &str, (times, rate): (Times, f64), server: &Server) {
        let (p99, memory) = (times.percentile(99), server.rss_mb());
        row(&format!("{scenario}: requests, median"), times.percentile(50), LIMIT_MS);
        row(&format!("{scenario}: requests, p99"), p99, LIMIT_MS);
        println!("{:<44} {rate:>8.0} /s   target {RATE}", format!("{scenario}: requests"));
        println!("{:<44} {memory:>8.1} MB", format!("{scenario}: memory"));
        self.note(&format!("{scenario}_p99_ms"), p99);
        self.note(&format!("{scenario}_rps"), rate);
        self.note(&format!("{scenario}_rss_mb"), memory);
    }
}

#[tokio::main]
async fn main() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let out = repository.join("target/bench");
    std::fs::create_dir_all(&out).unwrap();
    let log = out.join("api.log");
    let _ = std::fs::remove_file(&log);
    let program = std::env::var_os("GOLDSMITH")
        .map_or_else(|| repository.join("target/release/goldsmith"), PathBuf::from);
    let mut bench = Bench { program, log, figures: Map::new() };
    let chosen: Vec<String> = std::env::args().skip(1).collect();
    const SCENARIOS: [&str; 7] =
        ["templates", "triggers", "accounts", "retention", "queued", "deployments", "roles"];
    if let Some(unknown) = chosen.iter().find(|name| !SCENARIOS.contains(&name.as_str())) {
        eprintln!("unknown scenario '{unknown}'; the scenarios are {}", SCENARIOS.join(", "));
        std::process::exit(2);
    }
    for name in SCENARIOS {
        if !chosen.is_empty() && !chosen.iter().any(|chosen| chosen == name) {
            continue;
        }
        match name {
            "templates" => scenarios::templates(&mut bench).await,
            "triggers" => scenarios::triggers(&mut bench).await,
            "accounts" => scenarios::accounts(&mut bench).await,
            "retention" => scenarios::retention(&mut bench).await,
            "queued" => scenarios::queued(&mut bench).await,
            "deployments" => deployments::deployments(&mut bench).await,
            _ => roles::roles(&mut bench).await,
        }
    }
    let file = out.join("api.json");
    let result = Value::Object(bench.figures);
    std::fs::write(&file, format!("{result:#}\n")).unwrap();
    println!("written: {}", file.display());
}

fn row(what: &str, ms: f64, limit: f64) {
    let verdict = if ms <= limit { "ok" } else { "over" };
    println!("{what:<44} {ms:>8.1} ms   limit {limit} {verdict}");
}
