//! A file, written and verified by one PowerShell: small ones come to it in base64, large ones on a CD.

use std::path::Path;

use images::error::{Error, Result, machine_error};
use uuid::Uuid;

use super::{
    call::{Answers, Call},
    scripts,
};
use crate::system::{At, Copied, Copying};

/// The largest file for the connection, in bytes. A CD costs the same seconds for every size, until it is
/// seen; Base64 through PowerShell costs time for each byte. Above the 20 MB that AIB documents for
/// `File`, so that a template that keeps to them needs no CD.
const LARGEST: u64 = 32 * 1024 * 1024;
/// How long the guest looks for the CD, in seconds.
const LOOK: u64 = 120;

pub(super) async fn copy(at: At<'_>, copying: Copying<'_>) -> Result<Copied> {
    let answers = match copying.path {
        Some(path) if copying.bytes > LARGEST => by_cd(at, path, copying).await?,
        _ => by_connection(at, copying).await?,
    };
    if let Some(sha256) = answers.rest("sha256") {
        return Ok(Copied::Arrived(sha256.to_owned()));
    }
    if answers.has("folder") {
        return Ok(Copied::IsFolder);
    }
    match answers.text("failed") {
        Some(why) => Ok(Copied::Failed(why)),
        None => Err(answers.unexpected()),
    }
}

async fn by_connection(at: At<'_>, copying: Copying<'_>) -> Result<Answers> {
    let Copying { mut content, destination, limit, .. } = copying;
    let call = Call::new("copying a file", scripts::UPLOAD, limit)
        .with("path", destination)
        .data(&mut content);
    Ok(call.ask(at.guest).await?)
}

/// The machine itself ejects the CD that a canceled copy leaves behind.
async fn by_cd(at: At<'_>, file: &Path, copying: Copying<'_>) -> Result<Answers> {
    let name = format!("goldsmith-{}", Uuid::new_v4().simple());
    at.machine.insert(file, &name).await.map_err(machine_error)?;
    let call = Call::new("copying a file from a CD", scripts::TAKE, copying.limit)
        .with("path", copying.destination)
        .with("name", name)
        .with("bytes", copying.bytes)
        .with("seconds", LOOK);
    let answers = call.ask(at.guest).await;
    let ejected = at.machine.eject().await.map_err(machine_error);
    let answers = answers?;
    ejected?;
    match answers.has("missing") {
        true => Err(unseen()),
        false => Ok(answers),
    }
}

fn unseen() -> Error {
    let text = format!(
        "the guest does not see the CD with the file, {LOOK} s after it was put in: files of more than {} MiB \
         are copied from one",
        LARGEST >> 20
    );
    Error::new(api::ErrorCode::GuestUnreachable, text).hint(
        "a policy or a disabled driver (cdrom) keeps CDs away from services; or let a script in the guest \
         download the file",
    )
}
