//! One download over HTTP: streamed, counted, hashed, and retried if that can help.

use std::{error::Error as StdError, io, path::Path, sync::Once, time::Duration};

use api::ErrorCode;
use images::{
    error::{Error, io_fault},
    event::Activity,
    image_file::space::human,
    run_context::RunContext,
};
use reqwest::{Client, Response, StatusCode, Url, redirect};
use sha2::{Digest, Sha256, Sha512};
use tokio::io::AsyncWriteExt;

use super::{
    Failure, LONGEST_PAUSE, Limits,
    coding::{Decoder, PIECE},
    guard::Denied,
};

const REDIRECTS: usize = 5;
/// Smaller downloads end before a progress bar is visible.
const WORTH_A_BAR: u64 = 1 << 20;

/// The URL of a download and its target.
#[derive(Debug)]
pub(crate) struct Download<'a> {
    pub url: &'a str,
    /// A file in a work folder; replaced in each attempt.
    pub to: &'a Path,
    pub limits: &'a Limits,
    pub activity: &'a str,
    /// Whether to compute SHA-512 beside SHA-256.
    pub sha512: bool,
}

/// The result of a download.
#[derive(Debug)]
pub(crate) struct Landed {
    pub sha256: String,
    pub sha512: Option<String>,
    pub bytes: u64,
}

/// Downloads, in up to `limits.attempts` attempts.
pub(crate) async fn download(cx: &RunContext, job: &Download<'_>) -> Result<Landed, Failure> {
    let url = Url::parse(job.url).map_err(|e| Failure::there(format!("no valid URL: {e}")))?;
    job.limits.guard.check(&url).map_err(|e| Failure::there(e.to_string()))?;
    let client = client(job.limits).map_err(|e| Failure::there(reason(&e)))?;
    let activity = cx.events.transfer(job.activity);
    let work = async {
        let mut attempt = 1;
        loop {
            match once(&activity, &client, &url, job).await {
                Ok(landed) => return Ok(landed),
                Err(Trouble::Local(error)) => return Err(Failure::Here(error)),
                Err(Trouble::Remote { reason, again }) => {
                    if !again || attempt >= job.limits.attempts {
                        return Err(Failure::There { reason, attempts: attempt });
                    }
                    tracing::info!(attempt, %reason, "a download will be tried again");
                }
            }
            let pause = job.limits.backoff.saturating_mul(2u32.saturating_pow(attempt - 1));
            tokio::time::sleep(pause.min(LONGEST_PAUSE)).await;
            attempt += 1;
        }
    };
    tokio::select! {
        landed = work => landed,
        () = cx.cancel.cancelled() => {
            Err(Failure::Here(Error::new(ErrorCode::Canceled, "the download was canceled")))
        }
    }
}

enum Trouble {
    Remote { reason: String, again: bool },
    Local(Error),
}

impl Trouble {
    fn again(reason: impl Into<String>) -> Self {
        Self::Remote { reason: reason.into(), again: true }
    }

    fn for_good(reason: impl Into<String>) -> Self {
        Self::Remote { reason: reason.into(), again: false }
    }
}

async fn once(
    activity: &Activity,
    client: &Client,
    url: &Url,
    job: &Download<'_>,
) -> Result<Landed, Trouble> {
    let limits = job.limits;
    let silent = || Trouble::again(format!("no answer for {} s", limits.idle.as_secs_f32()));
    let request = client.get(url.clone()).send();
    let mut response = tokio::time::timeout(limits.connect + limits.idle, request)
        .await
        .map_err(|_| silent())?
        .map_err(|e| trouble(&e))?;
    check(&response)?;
    let mut decoder = Decoder::of(response.headers(), response.url()).map_err(Trouble::for_good)?;
    let total = response.content_length();
    if total.is_some_and(|total| total > limits.max_bytes) {
        return Err(too_large(limits.max_bytes));
    }
    let total = total.filter(|_| decoder.is_identity());
    let mut landing = Landing::create(job).await?;
    let damaged = |e: io::Error| Trouble::again(format!("its content cannot be decoded: {e}"));
    let mut reported = 0;
    while let Some(chunk) = tokio::time::timeout(limits.idle, response.chunk())
        .await
        .map_err(|_| silent())?
        .map_err(|e| trouble(&e))?
    {
        if decoder.is_identity() {
            landing.write(&chunk).await?;
        } else {
            for piece in chunk.chunks(PIECE) {
                landing.write(&decoder.decode(piece).map_err(damaged)?).await?;
            }
        }
        if landing.bytes - reported >= WORTH_A_BAR {
            reported = landing.bytes;
            activity.progress(reported, total);
        }
    }
    landing.write(&decoder.finish().map_err(damaged)?).await?;
    landing.finish().await
}

/// A file that is counted and hashed while it is written.
struct Landing {
    file: tokio::fs::File,
    sha256: Sha256,
    sha512: Option<Sha512>,
    bytes: u64,
    max_bytes: u64,
}

impl Landing {
    async fn create(job: &Download<'_>) -> Result<Self, Trouble> {
        Ok(Self {
            file: tokio::fs::File::create(job.to).await.map_err(local)?,
            sha256: Sha256::new(),
            sha512: job.sha512.then(Sha512::new),
            bytes: 0,
            max_bytes: job.limits.max_bytes,
        })
    }

    async fn write(&mut self, content: &[u8]) -> Result<(), Trouble> {
        self.bytes += content.len() as u64;
        if self.bytes > self.max_bytes {
            return Err(too_large(self.max_bytes));
        }
        self.sha256.update(content);
        if let Some(sha512) = &mut self.sha512 {
            sha512.update(content);
        }
        self.file.write_all(content).await.map_err(local)
    }

    async fn finish(mut self) -> Result<Landed, Trouble> {
        self.file.flush().await.map_err(local)?;
        let sha512 = self.sha512.map(|sha512| hex::encode(sha512.finalize()));
        Ok(Landed { sha256: hex::encode(self.sha256.finalize()), sha512, bytes: self.bytes })
    }
}

fn local(e: io::Error) -> Trouble {
    Trouble::Local(io_fault(e, ErrorCode::InternalError, "write a download".to_owned()))
}

fn check(response: &Response) -> Result<(), Trouble> {
    let status = response.status();
    if status == StatusCode::OK {
        return Ok(());
    }
    let again = status.is_server_error()
        || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS);
    Err(Trouble::Remote { reason: format!("the server answers {status}"), again })
}

fn too_large(limit: u64) -> Trouble {
    Trouble::for_good(format!("it is larger than {}", human(limit)))
}

pub(super) fn client(limits: &Limits) -> reqwest::Result<Client> {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        // An error means that a provider is already installed.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    let guard = limits.guard.clone();
    let redirects = redirect::Policy::custom(move |attempt| {
        let (count, url) = (attempt.previous().len(), attempt.url().clone());
        let downgrade = attempt.previous().last().is_some_and(|from| from.scheme() == "https")
            && url.scheme() != "https";
        if count > REDIRECTS {
            attempt.error(Refused(format!("more than {REDIRECTS} redirects")))
        } else if downgrade || !matches!(url.scheme(), "http" | "https") {
            attempt.error(Refused(format!("a redirect to {}, which is less safe", url.scheme())))
        } else if let Err(denied) = guard.check(&url) {
            attempt.error(denied)
        } else {
            attempt.follow()
        }
    });
    let builder = Client::builder()
        .user_agent(concat!("goldsmith/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(limits.connect)
        .redirect(redirects)
        .dns_resolver(std::sync::Arc::new(limits.guard.clone()))
        .pool_max_idle_per_host(0)
        .tcp_keepalive(Duration::from_secs(15));
    let builder = if limits.proxy { builder } else { builder.no_proxy() };
    builder.build()
}

/// A redirect that was not followed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Refused(String);

/// The innermost text describes the failure. The outer ones repeat the URL, which may contain a
/// secret.
pub(super) fn reason(error: &reqwest::Error) -> String {
    let mut innermost: &dyn StdError = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    if innermost.is::<reqwest::Error>() {
        "the transfer failed".to_owned()
    } else {
        innermost.to_string()
    }
}

fn trouble(error: &reqwest::Error) -> Trouble {
    let mut cause: Option<&dyn StdError> = Some(error);
    while let Some(one) = cause {
        if one.is::<Denied>() || one.is::<Refused>() {
            return Trouble::for_good(one.to_string());
        }
        cause = one.source();
    }
    if error.is_connect() && error.is_timeout() {
        return Trouble::again("the server does not take the connection");
    }
    Trouble::again(reason(error))
}
