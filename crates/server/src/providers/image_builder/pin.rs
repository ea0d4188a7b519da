//! Remote scripts and files are fetched once, when the template is created, and pinned by their
//! SHA-256: what is run later is what was there then.

use std::time::Duration;

use api::ErrorCode;
use engine::{cx::Cx, error::Error, event::Events, fetch};
use serde_json::{Value, json};

use crate::App;

/// All scripts of a template must be here by then: while it is created it cannot be deleted.
const TIME: Duration = Duration::from_secs(600);

/// As [`all`], with a limit for the whole.
pub(super) async fn scripts(app: &App, properties: &mut Value) -> Result<(), Error> {
    match tokio::time::timeout(TIME, all(app, properties)).await {
        Ok(result) => result,
        Err(_) => Err(Error::new(
            ErrorCode::ScriptUnreachable,
            format!("the scripts and files took longer than {} s to fetch", TIME.as_secs()),
        )
        .target("properties.customize")),
    }
}

/// Fetches every script and file that a template's `properties` name and writes its checksum beside
/// it. The same address is fetched once.
///
/// # Errors
/// `ScriptUnreachable`, `ChecksumMismatch`, with the field as target.
async fn all(app: &App, properties: &mut Value) -> Result<(), Error> {
    let layout = app.settings().layout.clone();
    let cx = Cx::new(layout, Events::none(), app.shutdown().child_token());
    let limits = app.fetch_limits();
    let mut done: Vec<(String, String)> = Vec::new();
    for (path, pointer) in places(properties) {
        let Some(step) = properties.pointer_mut(&pointer) else {
            continue;
        };
        for field in ["scriptUri", "sourceUri"] {
            let Some(uri) = step[field].as_str().map(str::to_owned) else {
                continue;
            };
            let expected = step["sha256Checksum"].as_str().map(str::to_owned);
            let known = done.iter().find(|(other, _)| *other == uri).map(|(_, sum)| sum.clone());
            let sum = match known {
                Some(sum) if expected.as_ref().is_none_or(|e| e.eq_ignore_ascii_case(&sum)) => sum,
                _ => {
                    let fetched =
                        fetch::script(&cx, &uri, None, expected.as_deref(), &limits).await;
                    fetched.map_err(|error| error.target(format!("{path}.{field}")))?.sha256
                }
            };
            step["sha256Checksum"] = json!(sum);
            done.push((uri, sum));
        }
    }
    Ok(())
}

/// Every object that may name a script: its path for people and its pointer.
fn places(properties: &Value) -> Vec<(String, String)> {
    let count =
        |pointer: &str| properties.pointer(pointer).and_then(Value::as_array).map_or(0, Vec::len);
    let mut all = Vec::new();
    for index in 0..count("/customize") {
        all.push((format!("properties.customize[{index}]"), format!("/customize/{index}")));
    }
    for index in 0..count("/validate/inVMValidations") {
        let path = format!("properties.validate.inVMValidations[{index}]");
        all.push((path, format!("/validate/inVMValidations/{index}")));
    }
    all.push(("properties.optimize.workload".to_owned(), "/optimize/workload".to_owned()));
    all
}
