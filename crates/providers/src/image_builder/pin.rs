//! Remote scripts and files are fetched once, when the template is created, pinned by their SHA-256 and
//! kept as blobs of the staging account: what is run later is what was there then.
//!
//! ```text
//! shell/customize/0/install.sh   file/customize/1/motd   shell/validate/0/check.sh   shell/optimize/0/warm.sh
//! ```

use std::time::Duration;

use api::ErrorCode;
use images::{cx::Cx, error::Error, event::Events};
use serde_json::{Value, json};
use service::App;
use sources::fetch::{self, Fetched};

/// All scripts of a template must be here by then: while it is created it cannot be deleted.
const TIME: Duration = Duration::from_secs(600);

/// As [`all`], with a limit for the whole.
pub(super) async fn scripts(app: &App, properties: &mut Value) -> Result<Vec<Fetched>, Error> {
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
/// it. The same address is fetched once. What was fetched stays in the cache while the answer lives.
///
/// # Errors
/// `ScriptUnreachable`, `ChecksumMismatch`, with the field as target.
async fn all(app: &App, properties: &mut Value) -> Result<Vec<Fetched>, Error> {
    let layout = app.settings().layout.clone();
    let cx = Cx::new(layout, Events::none(), app.shutdown().child_token());
    let limits = app.fetch_limits();
    let mut done: Vec<(String, String)> = Vec::new();
    let mut held = Vec::new();
    for Place { path, pointer, .. } in places(properties) {
        let Some(step) = properties.pointer_mut(&pointer) else {
            continue;
        };
        for field in FIELDS {
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
                    let fetched =
                        fetched.map_err(|error| error.target(format!("{path}.{field}")))?;
                    let sum = fetched.sha256.clone();
                    held.push(fetched);
                    sum
                }
            };
            step["sha256Checksum"] = json!(sum);
            done.push((uri, sum));
        }
    }
    Ok(held)
}

/// Whether a template's `properties` name a script or a file to fetch.
pub(super) fn names_any(properties: &Value) -> bool {
    places(properties).iter().any(|place| {
        let step = properties.pointer(&place.pointer);
        step.is_some_and(|step| FIELDS.iter().any(|field| step[*field].is_string()))
    })
}

/// A pinned script or file of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    pub sha256: String,
    /// Where the account keeps it.
    pub container: &'static str,
    pub blob: String,
}

/// The pinned scripts and files of a template's `properties`.
pub fn pinned(properties: &Value) -> Vec<Script> {
    let mut all = Vec::new();
    for place in places(properties) {
        let Some(step) = properties.pointer(&place.pointer) else { continue };
        for field in FIELDS {
            let (uri, sum) = (step[field].as_str(), step["sha256Checksum"].as_str());
            let (Some(uri), Some(sha256)) = (uri, sum) else { continue };
            all.push(Script {
                sha256: sha256.to_lowercase(),
                container: container(step, field),
                blob: format!("{}/{}", place.folder, file_name(uri)),
            });
        }
    }
    all
}

/// The container is called after what the step is.
fn container(step: &Value, field: &str) -> &'static str {
    match (field, step["type"].as_str()) {
        ("sourceUri", _) => "file",
        (_, Some("PowerShell")) => "powershell",
        _ => "shell",
    }
}

/// The last part of an address as the name of a file, without what may be secret.
fn file_name(uri: &str) -> String {
    let path = uri.split(['?', '#']).next().unwrap_or_default();
    let last = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let decoded = percent_encoding::percent_decode_str(last).decode_utf8_lossy();
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' };
    let name: String = decoded.chars().map(plain).take(100).collect();
    if name.trim_matches('.').is_empty() { "script".to_owned() } else { name }
}

/// The fields that name a script or a file.
const FIELDS: [&str; 2] = ["scriptUri", "sourceUri"];

/// An object that may name a script.
struct Place {
    /// For people.
    path: String,
    /// For `Value::pointer`.
    pointer: String,
    /// For the account.
    folder: String,
}

fn places(properties: &Value) -> Vec<Place> {
    let count =
        |pointer: &str| properties.pointer(pointer).and_then(Value::as_array).map_or(0, Vec::len);
    let place = |path: &str, pointer: &str, folder: &str| Place {
        path: format!("properties.{path}"),
        pointer: pointer.to_owned(),
        folder: folder.to_owned(),
    };
    let mut all = Vec::new();
    for index in 0..count("/customize") {
        let (path, pointer) = (format!("customize[{index}]"), format!("/customize/{index}"));
        all.push(place(&path, &pointer, &format!("customize/{index}")));
    }
    for index in 0..count("/validate/inVMValidations") {
        let path = format!("validate.inVMValidations[{index}]");
        let pointer = format!("/validate/inVMValidations/{index}");
        all.push(place(&path, &pointer, &format!("validate/{index}")));
    }
    all.push(place("optimize.workload", "/optimize/workload", "optimize/0"));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_have_a_blob_each() {
        let properties = json!({
            "customize": [
                { "type": "Shell", "scriptUri": "https://a/b/install.sh?sig=secret", "sha256Checksum": "AB" },
                { "type": "Shell", "inline": ["true"] },
                { "type": "File", "sourceUri": "https://a/b/%2e%2e", "sha256Checksum": "cd" },
            ],
            "validate": { "inVMValidations": [
                { "type": "PowerShell", "scriptUri": "https://a/x y.ps1", "sha256Checksum": "ef" },
            ] },
        });
        let found = pinned(&properties);
        let all: Vec<_> = found
            .iter()
            .map(|one| (one.container, one.blob.as_str(), one.sha256.as_str()))
            .collect();
        assert_eq!(
            all,
            [
                ("shell", "customize/0/install.sh", "ab"),
                ("file", "customize/2/script", "cd"),
                ("powershell", "validate/0/x-y.ps1", "ef"),
            ]
        );
        assert!(found.iter().all(|one| service::blobs::is_blob(&one.blob)));
    }
}
