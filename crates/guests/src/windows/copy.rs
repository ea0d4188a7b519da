//! A file, written by one PowerShell that reads it in base64, and verified there.

use images::error::Result;

use super::{
    call::{Call, Unanswered},
    scripts,
};
use crate::system::{At, Copied, Copying};

pub(super) async fn copy(at: At<'_>, copying: Copying<'_>) -> Result<Copied> {
    let Copying { mut content, destination, limit, .. } = copying;
    let call = Call::new("copying a file", scripts::UPLOAD, limit)
        .with("path", destination)
        .data(&mut content);
    let answers = call.ask(at.guest).await.map_err(|unanswered| match unanswered {
        Unanswered::Lost(error) | Unanswered::Failed(error) => error,
    })?;
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
