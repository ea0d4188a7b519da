//! `goldsmith az`: runs az against the service of `goldsmith login`.
//!
//! az gets a configuration folder of its own, so the user's cloud, login, defaults and extensions stay as they are. The
//! folder is set up once for each login, in a folder beside it, and then renamed.

use std::{
    ffi::OsString,
    fs, io,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    time::Duration,
};

use api::ErrorCode;
use images::{
    absent,
    digest::digest,
    error::{Coded, Error},
    files::{self, work_folder::WorkFolder},
};
use vm::{may_wait, proc};

use super::Result;
use crate::{
    cli,
    output::Output,
    remote::{Client, Login},
    signals,
};

const PROGRAM: &str = "az";
/// The name of the cloud in az.
const CLOUD: &str = "goldsmith";
/// Begins the names of folders that are being set up.
const UNFINISHED: &str = "new-";
const BUNDLE: &str = "ca-bundle.pem";
/// Where Debian has the public authorities.
const PUBLIC_ROOTS: &str = "/etc/ssl/certs/ca-certificates.crt";
/// How long one of the commands that connect az may take.
const DEADLINE: Duration = Duration::from_secs(300);

pub(super) async fn run(args: &cli::Az, output: &Output) -> Result {
    let login = may_wait(Login::load)?;
    let folder = connected(&login, output).await?;
    #[expect(clippy::disallowed_methods, reason = "az replaces this process")]
    let mut az = std::process::Command::new(PROGRAM);
    az.args(&args.words).envs(environment(&folder, &login));
    // Returns only on failure: otherwise az replaces this process.
    Err(not_started(&az.exec()).into())
}

/// Removes what earlier logins left: folders with their secrets.
pub(super) fn forget() -> Result<(), Error> {
    let parent = parent()?;
    let failed = || format!("cannot clean up {}", parent.display());
    may_wait(|| remove_others(&parent, Path::new(""))).code(ErrorCode::HostNotReady, failed)
}

/// The configuration folder for the login.
async fn connected(login: &Login, output: &Output) -> Result<PathBuf> {
    let parent = parent()?;
    let failed = || format!("cannot write to {}", parent.display());
    let folder = parent.join(fingerprint(login));
    if may_wait(|| folder.is_dir()) {
        return Ok(folder);
    }
    // Says exactly what is wrong with the login or the service.
    Client::connect(login.clone()).await?;
    output.text(&format!("connecting az to {}", login.url));
    let made = may_wait(|| {
        files::make_dir(&parent)?;
        let made = WorkFolder::make(&parent, UNFINISHED)?;
        write(made.path(), login).map(|()| made)
    });
    let made = made.code(ErrorCode::HostNotReady, failed)?;
    connect(made.path(), login).await?;
    let finished = may_wait(|| {
        fs::remove_file(secret(made.path()))?;
        match fs::rename(made.path(), &folder) {
            // Another command was faster.
            Err(_) if folder.is_dir() => made.remove(),
            Err(e) => Err(e),
            Ok(()) => {
                made.leave();
                remove_others(&parent, &folder)
            }
        }
    });
    finished.code(ErrorCode::HostNotReady, failed)?;
    Ok(folder)
}

/// Registers the service as a cloud, and logs in.
async fn connect(folder: &Path, login: &Login) -> Result<()> {
    let mut password = OsString::from("@");
    password.push(secret(folder));
    let words = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
    let mut log_in = words(&["login", "--service-principal", "--username", &login.client_id]);
    log_in.extend(words(&["--tenant", &login.tenant_id, "--password"]));
    log_in.push(password);
    let register =
        words(&["cloud", "register", "--name", CLOUD, "--endpoint-resource-manager", &login.url]);
    let choose = words(&["account", "set", "--subscription", &login.subscription_id]);
    let cancel = signals::cancel_on_signals();
    for step in [register, words(&["cloud", "set", "--name", CLOUD]), log_in, choose] {
        let command = proc::Command::new(PROGRAM).args(step).fetches();
        let command = environment(folder, login)
            .into_iter()
            .fold(command, |command, (name, value)| command.env(name, value));
        command.run(&cancel, Some(DEADLINE)).await.map_err(|error| not_connected(login, error))?;
    }
    Ok(())
}

fn not_connected(login: &Login, error: proc::Error) -> Error {
    let message = format!("cannot connect az to {}", login.url);
    match error {
        proc::Error::NotFound { .. } => not_started(&io::ErrorKind::NotFound.into()),
        proc::Error::Canceled { .. } => Error::new(ErrorCode::Canceled, message),
        proc::Error::Failed { stderr_tail, .. } => {
            Error::new(ErrorCode::HostNotReady, message).details(stderr_tail)
        }
        error @ (proc::Error::TimedOut { .. } | proc::Error::Io { .. }) => {
            Error::new(ErrorCode::HostNotReady, message).caused_by(error)
        }
    }
}

fn not_started(error: &io::Error) -> Error {
    Error::new(ErrorCode::HostNotReady, format!("cannot run az: {error}")).hint(
        "install the Azure CLI: https://learn.microsoft.com/cli/azure/install-azure-cli-linux",
    )
}

/// The variables that lead az to the service.
fn environment(folder: &Path, login: &Login) -> Vec<(&'static str, OsString)> {
    let mut variables = vec![
        ("AZURE_CONFIG_DIR", folder.into()),
        // Usage data would go to Microsoft.
        ("AZURE_CORE_COLLECT_TELEMETRY", "false".into()),
    ];
    if login.ca.is_some() {
        variables.push(("REQUESTS_CA_BUNDLE", folder.join(BUNDLE).into()));
    }
    if login.is_loopback() {
        // To a proxy, loopback is the proxy's own host.
        for name in ["NO_PROXY", "no_proxy"] {
            variables.push((name, with_loopback(name).into()));
        }
    }
    variables
}

fn with_loopback(name: &str) -> String {
    #[expect(clippy::disallowed_methods, reason = "this is the executable")]
    let own = std::env::var(name).unwrap_or_default();
    let comma = if own.is_empty() { "" } else { "," };
    format!("{own}{comma}localhost,127.0.0.1,::1")
}

/// Writes what az reads beside its own files.
fn write(folder: &Path, login: &Login) -> io::Result<()> {
    files::write_secret(&secret(folder), &login.client_secret)?;
    let Some(ca) = &login.ca else { return Ok(()) };
    let mut bundle = files::read(Path::new(PUBLIC_ROOTS))?.unwrap_or_default();
    if !bundle.is_empty() && !bundle.ends_with('\n') {
        bundle.push('\n');
    }
    files::write_public(&folder.join(BUNDLE), bundle + ca)
}

/// The file from which az reads the secret, because other users can see the arguments of a program.
fn secret(folder: &Path) -> PathBuf {
    folder.join("secret")
}

fn parent() -> Result<PathBuf, Error> {
    Ok(Login::folder()?.join("az"))
}

/// Changes with everything that a folder is set up from.
fn fingerprint(login: &Login) -> String {
    let text = serde_json::to_vec(login).unwrap_or_default();
    digest(&text)
}

/// Removes the folders of other logins, and those of killed commands.
fn remove_others(parent: &Path, kept: &Path) -> io::Result<()> {
    for path in absent::entries(parent)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let is_unfinished = name.starts_with(UNFINISHED);
        if path == kept {
            continue;
        }
        match is_unfinished {
            true => drop(WorkFolder::claim(path)?),
            false => absent::remove_tree(&path)?,
        }
    }
    Ok(())
}
