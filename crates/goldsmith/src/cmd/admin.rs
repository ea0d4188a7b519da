//! `goldsmith admin`: administration through the database, also while the service runs.

mod issuer;
mod role;
mod sp;
mod subscription;

use api::ErrorCode;
use db::Store;
use images::{error::Error, layout::Layout};
use serde_json::{Value, json};
use server::backup::{self, Manifest};

use super::Result;
use crate::{cli, output::Output};

pub(super) async fn run(command: &cli::Admin, layout: &Layout, output: &Output) -> Result {
    match command {
        cli::Admin::Role(command) => role::run(command, layout, output).await,
        cli::Admin::Subscription(command) => subscription::run(command, layout, output).await,
        cli::Admin::Issuer(command) => issuer::run(command, layout, output).await,
        cli::Admin::Sp(command) => sp::run(command, layout, output).await,
        cli::Admin::Key(cli::Key::Rotate { revoke }) => {
            server::rotate_signing_key(&server::dir(layout), *revoke)?;
            let before =
                if *revoke { "all tokens are revoked" } else { "existing tokens stay valid" };
            output.result("signingKey", &json!({ "rotated": true, "revoked": revoke }), || {
                format!(
                    "created a new signing key; {before}\na running service uses it within seconds"
                )
            });
            Ok(0)
        }
        cli::Admin::Ca(cli::Authority::Renew) => {
            let dir = server::dir(layout);
            server::renew_ca(&dir)?;
            output.result("certificateAuthority", &json!({ "renewed": true }), || {
                format!(
                    "a running service creates a new CA within seconds, a stopped one when it starts\n\
                     then distribute the new {} to clients",
                    dir.join("ca-bundle.pem").display()
                )
            });
            Ok(0)
        }
        cli::Admin::Backup { to, database } => {
            let manifest = backup::backup(layout, database.url.as_deref(), to).await?;
            output.result("backup", &summary(&manifest), || {
                format!("{} in {}", described(&manifest), to.display())
            });
            Ok(0)
        }
        cli::Admin::Restore { from, database } => {
            let restored = backup::restore(layout, database.url.as_deref(), from).await?;
            output.result("restored", &json!(restored), || {
                let rows: u64 = restored.database.tables.values().sum();
                let rest = match restored.is_elsewhere {
                    true => "; the ledger was skipped, since it belongs to another folder",
                    false => "",
                };
                format!("restored {rows} rows and {} files{rest}", restored.files)
            });
            Ok(0)
        }
        cli::Admin::Verify { backup } => {
            let (manifest, faults) = backup::verify(backup).await?;
            if !faults.is_empty() {
                let text = format!("{} is damaged", backup.display());
                return Err(Error::new(ErrorCode::BadImage, text)
                    .hint("create another backup, and check the disk of this one")
                    .details(faults)
                    .into());
            }
            output.result("verified", &summary(&manifest), || {
                format!("{} is complete: {}", backup.display(), described(&manifest))
            });
            Ok(0)
        }
        cli::Admin::Adopt { database } => {
            let adopted = server::adopt(layout, database.url.as_deref()).await?;
            output.result("adopted", &json!(adopted), || {
                format!(
                    "{} and the database now form installation {} with subscription {}\n\
                     goldsmith doctor lists files that the database does not know",
                    layout.data().display(),
                    adopted.installation,
                    adopted.subscription
                )
            });
            Ok(0)
        }
    }
}

fn summary(manifest: &Manifest) -> Value {
    let (rows, bytes) = totals(manifest);
    json!({
        "created": manifest.created,
        "release": manifest.release,
        "dataFolder": manifest.data,
        "rows": rows,
        "files": manifest.files.len(),
        "bytes": bytes,
    })
}

fn described(manifest: &Manifest) -> String {
    let (rows, bytes) = totals(manifest);
    let (files, mib) = (manifest.files.len(), bytes.div_ceil(1024 * 1024));
    format!("{rows} rows and {files} files with {mib} MiB as of {}", seconds(manifest.created))
}

fn totals(manifest: &Manifest) -> (u64, u64) {
    let bytes = manifest.files.iter().map(|file| file.bytes).sum();
    (manifest.database.tables.values().sum(), bytes)
}

async fn open(layout: &Layout, database: &cli::Database) -> Result<Store> {
    Ok(server::open_store(layout, database.url.as_deref()).await?)
}

fn seconds(time: jiff::Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
