//! A file, streamed into the guest and verified there.

use std::ops::ControlFlow;

use async_trait::async_trait;
use images::error::{Result, guest_error};
use vm::{Bounded, Guest, Sink, Stdin, StreamKind};

use super::quote;
use crate::{
    command::within,
    output::StepOutput,
    system::{Copied, Copying},
};

/// Longer than a digest and the longest path.
const DIGEST_LINE: usize = 16 * 1024;

pub(super) async fn copy(
    guest: &dyn Guest,
    copying: Copying<'_>,
    out: &mut StepOutput,
) -> Result<Copied> {
    let target = quote(copying.destination);
    // `--` rather than a path prefix: the destination may begin with a dash and may be
    // relative.
    let command = format!("cat > {target} && sha256sum -- {target}");
    let mut answer = Digest { printed: Bounded::new(DIGEST_LINE), out };
    let work = async {
        let stdin = Stdin::Reader(copying.content);
        match guest.run(&command, stdin, &mut answer).await {
            // With that much output, the digest cannot be right. The caller reports a mismatch.
            Err(vm::Error::TooMuchOutput) => Ok(None),
            ran => ran.map(Some).map_err(guest_error),
        }
    };
    let exit = within(copying.limit, &format!("copying {} bytes", copying.bytes), work).await?;
    let Digest { printed, out } = answer;
    out.flush().await;
    if let Some(exit) = exit.filter(|exit| !exit.success()) {
        let is_folder = out.tail().iter().any(|line| line.ends_with("Is a directory"));
        return Ok(if is_folder { Copied::IsFolder } else { Copied::Failed(exit.to_string()) });
    }
    if printed.cut() > 0 {
        return Ok(Copied::Failed(format!(
            "sha256sum prints more than {DIGEST_LINE} bytes there, which begin with {:?}",
            printed.text().chars().take(80).collect::<String>()
        )));
    }
    let printed = printed.text();
    // sha256sum marks an escaped file name with a backslash before the digest.
    let arrived = printed.trim_start_matches('\\').split_whitespace().next().unwrap_or("");
    Ok(Copied::Arrived(arrived.to_owned()))
}

/// Separates the digest from the log output.
struct Digest<'a> {
    printed: Bounded,
    out: &'a mut StepOutput,
}

#[async_trait]
impl Sink for Digest<'_> {
    async fn take(&mut self, stream: StreamKind, bytes: &[u8]) -> ControlFlow<()> {
        match stream {
            StreamKind::Out => self.printed.add(bytes),
            StreamKind::Err => self.out.take(stream, bytes).await,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::time::Duration;

    use api::ErrorCode;
    use images::{event::Events, layout::Layout, run_context::RunContext};
    use tokio_util::sync::CancellationToken;
    use vm::Exit;

    use super::*;

    /// A guest in which no command ends.
    struct Stuck;

    #[async_trait]
    impl Guest for Stuck {
        async fn run(&self, _: &str, _: Stdin<'_>, _: &mut dyn Sink) -> Result<Exit, vm::Error> {
            std::future::pending().await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn copy_that_hangs_times_out() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path().to_owned(), dir.path().to_owned());
        let cx = RunContext::new(layout, Events::none(), CancellationToken::new());
        let mut out = StepOutput::open("customize[0]", &cx, dir.path()).unwrap();
        let copying = Copying {
            content: &mut &b"notes"[..],
            bytes: 5,
            path: None,
            destination: "/tmp/notes",
            limit: Duration::from_secs(60),
        };
        let error = copy(&Stuck, copying, &mut out).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::StepTimedOut);
        assert!(error.message.contains("copying 5 bytes"), "{error}");
    }
}
