//! Remote scripts and files are fetched once, when the template is created, pinned by their SHA-256 and
//! stored as blobs of the staging account: every later run uses the content of that time.
//!
//! ```text
//! shell/customize/0/install.sh   file/customize/1/motd   shell/validate/0/check.sh   shell/optimize/0/warm.sh
//! ```

use std::{path::Path, time::Duration};

use api::ErrorCode;
use engine::template::{Download, NamedFile, Template, downloads};
use images::{error::Error, event::Events, partition::Partition, run_context::RunContext};
use serde_json::{Value, json};
use service::{
    App,
    blobs::{self, Account, Blob},
};
use sources::fetch::{self, Fetched};

use crate::storage::own_blob;

/// The limit for fetching all scripts of a template, which cannot be deleted while it is created.
const TIME: Duration = Duration::from_secs(600);

/// The scripts and files of a template. They stay in the cache while this exists.
pub(super) struct Pins {
    pub(super) scripts: Vec<Script>,
    _leases: Vec<Fetched>,
}

/// A pinned script or file of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    pub sha256: String,
    /// The container of its blob in the account.
    pub container: &'static str,
    pub blob: String,
}

/// As [`all`], with a limit for the whole.
pub(super) async fn scripts(
    app: &App,
    partition: Partition,
    template: &Template,
    properties: &mut Value,
) -> Result<Pins, Error> {
    match tokio::time::timeout(TIME, all(app, partition, template, properties)).await {
        Ok(result) => result,
        Err(_) => Err(Error::new(
            ErrorCode::ScriptUnreachable,
            format!("the scripts and files took longer than {} s to fetch", TIME.as_secs()),
        )
        .target("properties.customize")),
    }
}

/// Fetches every script and file that a template names and writes its checksum beside it, in the
/// `properties` of its body. The same address is fetched once.
///
/// # Errors
/// `ScriptUnreachable`, `ChecksumMismatch`, with the field as target.
async fn all(
    app: &App,
    partition: Partition,
    template: &Template,
    properties: &mut Value,
) -> Result<Pins, Error> {
    let layout = app.settings().layout.clone();
    let mut cx = RunContext::new(layout, Events::none(), app.shutdown().child_token());
    cx.partition = partition;
    let limits = app.fetch_limits();
    let mut done: Vec<(&str, String)> = Vec::new();
    let mut pins = Pins { scripts: Vec::new(), _leases: Vec::new() };
    for download in downloads(template) {
        let NamedFile { field, uri, sha256: expected, .. } = download.file;
        let known = done.iter().find(|(other, _)| *other == uri).map(|(_, sum)| sum.clone());
        let sum = match known {
            Some(sum) if expected.is_none_or(|e| e.eq_ignore_ascii_case(&sum)) => sum,
            _ => {
                let fetched = match stored(app, uri).await? {
                    Some(path) => {
                        let (root, limits) = (Some(Path::new("/")), fetch::Limits::default());
                        fetch::script(&cx, &path, root, expected, &limits).await
                    }
                    None => fetch::script(&cx, uri, None, expected, &limits).await,
                };
                let fetched =
                    fetched.map_err(|error| error.target(format!("{}.{field}", download.path)))?;
                let sum = fetched.sha256.clone();
                pins._leases.push(fetched);
                sum
            }
        };
        if let Some(step) = properties.pointer_mut(&pointer(&download.path)) {
            step["sha256Checksum"] = json!(sum);
        }
        pins.scripts.push(script(&download, sum.clone()));
        done.push((uri, sum));
    }
    Ok(pins)
}

/// The file of a script that is a blob of this service. The template's identity has been asked for the right to read it.
async fn stored(app: &App, uri: &str) -> Result<Option<String>, Error> {
    let failed = |error: blobs::Error| {
        let text = format!("the blob at {uri} cannot be read");
        Error::new(ErrorCode::InternalError, text).caused_by(error)
    };
    let own = own_blob(app, uri).await.map_err(blobs::Error::from).map_err(failed)?;
    let Some((_, Blob { account, container, name })) = own else { return Ok(None) };
    let Some(account) = Account::open(app, &account).await.map_err(failed)? else {
        return Ok(None);
    };
    let entry = account.find(app, &container, &name).await.map_err(failed)?;
    Ok(entry.and_then(|entry| entry.path.to_str().map(str::to_owned)))
}

/// The pinned scripts and files of a template.
pub fn pinned(template: &Template) -> Vec<Script> {
    let pinned =
        |download: Download<'_>| download.file.sha256.map(|sum| script(&download, sum.to_owned()));
    downloads(template).into_iter().filter_map(pinned).collect()
}

fn script(download: &Download<'_>, sha256: String) -> Script {
    let Download { folder, file: NamedFile { container, uri, .. }, .. } = download;
    Script { sha256, container, blob: format!("{folder}/{}", file_name(uri)) }
}

/// The pointer below `properties` to the step with that path.
fn pointer(path: &str) -> String {
    path.trim_start_matches("properties").replace(['.', '['], "/").replace(']', "")
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::image_builder::record::RunInput;

    #[test]
    fn scripts_have_a_blob_each() {
        let [first, second, third] = ["AB", "cd", "ef"].map(|digits| digits.repeat(32));
        let template = RunInput::parse(&json!({ "location": "westus2", "identity": { "type": "None" }, "properties": {
            "source": { "type": "PlatformImage", "publisher": "p", "offer": "o", "sku": "s",
                "version": "latest" },
            "customize": [
                { "type": "Shell", "scriptUri": "https://a/b/install.sh?sig=secret", "sha256Checksum": first },
                { "type": "Shell", "inline": ["true"] },
                { "type": "File", "sourceUri": "https://a/b/%2e%2e", "sha256Checksum": second, "destination": "/x" },
            ],
            "validate": { "inVMValidations": [
                { "type": "PowerShell", "scriptUri": "https://a/x%20y.ps1", "sha256Checksum": third },
            ] },
            "optimize": { "workload": { "state": "Enabled", "scriptUri": "https://a/warm.sh" } },
            "distribute": [{ "type": "VHD", "runOutputName": "disk" }],
        } }))
        .unwrap()
        .template;
        let found = pinned(&template);
        let all: Vec<_> =
            found.iter().map(|one| (one.container, one.blob.as_str(), &one.sha256[..2])).collect();
        assert_eq!(
            all,
            [
                ("shell", "customize/0/install.sh", "ab"),
                ("file", "customize/2/script", "cd"),
                ("powershell", "validate/0/x-y.ps1", "ef"),
            ]
        );
        assert!(found.iter().all(|one| service::blobs::is_blob(&one.blob)));
        let places = downloads(&template).into_iter().map(|download| pointer(&download.path));
        assert_eq!(
            Vec::from_iter(places),
            ["/customize/0", "/customize/2", "/validate/inVMValidations/0", "/optimize/workload"]
        );
    }
}
