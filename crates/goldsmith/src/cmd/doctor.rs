//! `goldsmith doctor`: checks this host and shows how to fix problems.

use images::{config::Config, layout::Layout};
use serde_json::json;
use vm::host::Finding;

use super::{Result, Session};
use crate::{cli, setting};

/// How many unknown files are listed individually.
const LISTED: usize = 20;

pub(super) async fn run(database: &cli::Database, session: Session<'_>) -> Result {
    let Session { global, layout, output } = session;
    let probed = setting::probe(global).await;
    let mut findings = vm::host::doctor(&probed).await;
    findings.extend(configured(layout).await);
    findings.extend(unknown(database, layout).await);
    let ready = findings.iter().all(|finding| finding.ok);
    let guests = probed.as_ref().ok().map(guests);
    let value = json!({ "ready": ready, "findings": findings, "guests": guests });
    output.result("doctor", &value, || {
        let mut text = String::new();
        for finding in &findings {
            let mark = match (finding.ok, &finding.remedy) {
                (true, None) => "ok  ",
                (true, Some(_)) => "note",
                (false, _) => "MISS",
            };
            text.push_str(&format!("{mark}  {}: {}\n", finding.what, finding.detail));
            if let Some(remedy) = &finding.remedy {
                text.push_str(&format!("      {remedy}\n"));
            }
        }
        text.push_str(if ready {
            "ready to build"
        } else {
            "not ready: see the lines marked MISS"
        });
        text
    });
    Ok(if ready { 0 } else { api::ErrorCode::HostNotReady.exit_code() })
}

/// The machine that guests see, in QEMU's words.
fn guests(host: &vm::Host) -> serde_json::Value {
    json!({ "accel": host.accel.name(), "cpu": host.cpu_model, "machine": host.machine_type })
}

/// The files of the service that its database does not know.
async fn unknown(database: &cli::Database, layout: &Layout) -> Vec<Finding> {
    let unknown = match server::unknown(layout, database.url.as_deref()).await {
        Ok(unknown) => unknown,
        Err(error) => {
            let (ok, detail, remedy) = (false, error.message, error.hint);
            return vec![Finding { what: "database", ok, detail, remedy }];
        }
    };
    let mib = |bytes: u64| bytes.div_ceil(1024 * 1024);
    let mut findings: Vec<_> = unknown
        .iter()
        .take(LISTED)
        .map(|one| {
            let detail = format!("{} ({} MiB): {}", one.what, mib(one.bytes), one.path.display());
            Finding { what: "unknown to the database", ok: true, detail, remedy: None }
        })
        .collect();
    if !unknown.is_empty() {
        let bytes = unknown.iter().map(|one| one.bytes).sum();
        let detail = format!("{} folders, {} MiB in total", unknown.len(), mib(bytes));
        let remedy = "goldsmith does not delete them: check that the database is the right one, then move \
                      or delete them yourself";
        let (what, remedy) = ("unknown to the database", Some(remedy.to_owned()));
        findings.push(Finding { what, ok: true, detail, remedy });
    }
    findings
}

/// Checks the bridges of the subnets in `goldsmith.toml`.
async fn configured(layout: &Layout) -> Vec<Finding> {
    let config = match Config::load(layout) {
        Ok(config) => config,
        Err(error) => {
            let (ok, detail, remedy) = (false, error.message, error.hint);
            return vec![Finding { what: "goldsmith.toml", ok, detail, remedy }];
        }
    };
    let mut findings = Vec::new();
    for subnet in config.subnets {
        let checked = vm::tap::check(&subnet.bridge).await;
        findings.push(match checked {
            Ok(()) => {
                let detail = format!("{} on {}", subnet.id, subnet.bridge);
                Finding { what: "subnet", ok: true, detail, remedy: None }
            }
            Err(error) => {
                let detail = format!("{}: {error}", subnet.id);
                let remedy = Some(error.remedy().to_owned());
                Finding { what: "subnet", ok: false, detail, remedy }
            }
        });
    }
    findings
}
