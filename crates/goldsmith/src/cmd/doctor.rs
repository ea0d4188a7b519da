//! `goldsmith doctor`: what this machine can do, and what mends what it cannot.

use engine::{config::Config, layout::Layout};
use serde_json::json;
use vm::host::Finding;

use super::Result;
use crate::output::Output;

pub(super) async fn run(layout: &Layout, output: &Output) -> Result {
    let mut findings = vm::host::doctor(None).await;
    findings.extend(configured(layout).await);
    let ready = findings.iter().all(|finding| finding.ok);
    let value = json!({ "ready": ready, "findings": findings });
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

/// What `goldsmith.toml` asks of this machine: bridges for its subnets.
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
