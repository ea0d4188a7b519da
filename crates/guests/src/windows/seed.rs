//! The CD that lets goldsmith into a new machine. Windows Setup reads `Unattend.xml` from it,
//! cloudbase-init `meta-data` and `user-data`; both run `first.ps1`, which reads `goldsmith.json`.

use std::{path::Path, time::Duration};

use images::{
    digest::digest,
    error::{Coded, Error, Result, machine_error},
};
use serde_json::json;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use vm::{
    Access, Door, Machine, WindowsAccess,
    answer_cd::{self, CdFile},
    seed::Seed,
};

use super::{boot, scripts};
use crate::system::Within;

const UNATTEND: &str = include_str!("unattend.xml");
/// What Windows Setup, and cloudbase-init, run: the medium is found by a file, since its letter is not
/// known. No per cent sign, which Setup would take for a variable.
const LOADER: &str = "foreach($d in [IO.DriveInfo]::GetDrives()){if(Test-Path ($d.Name+'goldsmith.json')){& ($d.Name+'first.ps1');exit 0}}";
/// Where the administrator's password goes in [`UNATTEND`], and the loader.
const PASSWORD: &str = "@PASSWORD@";
const COMMAND: &str = "@LOADER@";
/// How long the word about the door may take after the certificate; it comes before.
const DOOR: Duration = Duration::from_secs(5);

/// The version of all that is on the CD and does not differ between machines.
pub(super) fn version() -> String {
    digest([UNATTEND, LOADER, scripts::FIRST].join("\0").as_bytes())
}

/// Writes the CD.
pub(super) async fn write(path: &Path, seed: &Seed<'_>, cancel: &CancellationToken) -> Result<()> {
    let files = files(seed)?;
    let files: Vec<CdFile<'_>> =
        files.iter().map(|(name, content)| CdFile { name, content: content.as_bytes() }).collect();
    answer_cd::write(path, answer_cd::CLOUDBASE_LABEL, &files, cancel).await.map_err(machine_error)
}

fn files(seed: &Seed<'_>) -> Result<Vec<(&'static str, String)>> {
    let mut files = vec![("Unattend.xml", unattend(&password()?))];
    let Some(access) = seed.access else { return Ok(files) };
    let windows = access.windows.as_ref();
    let settings = json!({
        "nonce": seed.instance_id,
        "user": access.user,
        "password": windows.map(|windows| &windows.password),
        "host_private_key": access.host_private_key,
        "host_public_key": access.host_public_key,
        "public_key": access.public_key,
    });
    files.push(("goldsmith.json", settings.to_string()));
    files.push(("first.ps1", crlf(scripts::FIRST)));
    files.push(("meta-data", json!({ "instance-id": seed.instance_id }).to_string()));
    files.push(("user-data", format!("#ps1_sysnative\r\n{LOADER}\r\n")));
    Ok(files)
}

/// The built-in administrator's password is asked for by Windows Setup, and known to nobody.
fn unattend(password: &str) -> String {
    let text = UNATTEND.replace(PASSWORD, &escaped(password)).replace(COMMAND, &escaped(LOADER));
    crlf(&text)
}

fn crlf(text: &str) -> String {
    text.replace('\n', "\r\n")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// New credentials.
pub(super) fn access(user: &str) -> Result<Access> {
    let windows =
        WindowsAccess { password: password()?, certificate: None, door: Door::WinrmHttps };
    let access = Access::generate(user).map_err(machine_error)?;
    Ok(Access { windows: Some(windows), ..access })
}

/// 160 bits, with all kinds of characters that a policy may ask for.
fn password() -> Result<String> {
    let mut bytes = [0; 20];
    getrandom::fill(&mut bytes)
        .code(api::ErrorCode::InternalError, || "the host gives no random numbers".to_owned())?;
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("Aa1-{digits}"))
}

/// Completes the credentials by what `first.ps1` says on the console.
pub(super) async fn meet(
    machine: &dyn Machine,
    mut access: Access,
    nonce: &str,
    within: Within<'_>,
) -> Result<Access> {
    let Some(windows) = &mut access.windows else { return Ok(access) };
    if windows.certificate.is_some() || windows.door == Door::WinrmHttp {
        return Ok(access);
    }
    let deadline = Instant::now() + within.limit;
    let line = |word: &'static str, limit: Duration| async move {
        let beginning = format!("goldsmith {nonce} {word} ");
        machine.console_line(&beginning, limit, within.cancel).await
    };
    let certificate = tokio::select! {
        biased;
        certificate = line("certificate", within.limit) => certificate.map_err(machine_error)?,
        Ok(why) = line("failed", within.limit) => return Err(boot::failed(why.trim())),
    };
    let certificate = certificate.trim().to_lowercase();
    if certificate.len() != 64 || !certificate.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        let text = format!("the guest's certificate is {certificate:?}, which is no SHA-256");
        return Err(Error::new(api::ErrorCode::GuestUnreachable, text));
    }
    let door = line("door", DOOR.min(deadline - Instant::now())).await;
    windows.certificate = Some(certificate);
    if door.is_ok_and(|door| door.trim() == "ssh") {
        windows.door = Door::Ssh;
    }
    Ok(access)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn content(access: Option<&Access>) -> Vec<(&'static str, String)> {
        let seed = Seed { instance_id: "nonce", access, network: false, bridge: None };
        files(&seed).unwrap()
    }

    #[test]
    fn windows_setup_takes_no_longer_command() {
        let text = unattend("a<b>&\"c");
        assert!(text.contains("<Value>a&lt;b&gt;&amp;&quot;c</Value>"), "{text}");
        let (_, rest) = text.split_once("<Path>").unwrap();
        let (command, _) = rest.split_once("</Path>").unwrap();
        let command = command.replace("&amp;", "&");
        assert!(command.len() < 260 && !command.contains('%'), "{command}");
        assert!(command.ends_with(&format!("\"{LOADER}\"")), "{command}");
        assert!(!LOADER.contains('"'), "it is within quotation marks");
    }

    #[test]
    fn only_one_file_has_secrets() {
        let access = access("goldsmith").unwrap();
        let password = access.windows.clone().unwrap().password;
        let names: Vec<_> = content(Some(&access))
            .into_iter()
            .filter(|(_, text)| text.contains(&password) || text.contains("PRIVATE"))
            .map(|(name, _)| name)
            .collect();
        assert_eq!(names, ["goldsmith.json"]);
        let settings =
            content(Some(&access)).into_iter().find(|(name, _)| *name == "goldsmith.json");
        let settings: serde_json::Value = serde_json::from_str(&settings.unwrap().1).unwrap();
        assert_eq!((&settings["nonce"], &settings["user"]), (&"nonce".into(), &"goldsmith".into()));
    }

    #[test]
    fn machine_without_access_gets_answers_alone() {
        let names: Vec<_> = content(None).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["Unattend.xml"]);
    }

    #[tokio::test]
    async fn cd_is_written_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seed.img");
        let access = access("goldsmith").unwrap();
        let seed =
            Seed { instance_id: "nonce", access: Some(&access), network: false, bridge: None };
        write(&path, &seed, &CancellationToken::new()).await.unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
