//! `goldsmith doctor`: what this machine can do, and what mends what it cannot.

use serde_json::json;

use super::Result;
use crate::output::Output;

pub(super) async fn run(output: &Output) -> Result {
    let findings = vm::host::doctor(None).await;
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
