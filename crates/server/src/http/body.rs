//! Reads request bodies as text, within limits.

use std::time::Duration;

use arm::ApiError;
use axum::body::Body;
use futures_util::StreamExt;
use http::{
    HeaderMap, StatusCode,
    header::{CONTENT_LENGTH, EXPECT},
};

use super::reply;
use crate::limits::{Bodies, Share};

/// ARM's own limit for a request.
pub(super) const OF_ARM: usize = 4 << 20;

/// The limit for unauthenticated requests and for the directory.
pub(super) const SMALL: usize = 16 << 10;

/// How much of a too large body is read and discarded, in multiples of the limit: most clients read the
/// response only after they have sent everything.
const DRAINED_TIMES: usize = 8;

/// The time limit for a body.
const DEADLINE: Duration = Duration::from_secs(30);

/// The whole body as text, with its share of the memory budget. Keep the share as long as the text.
pub(super) async fn read(
    headers: &HeaderMap,
    body: Body,
    limit: usize,
    bodies: &Bodies,
) -> Result<(String, Share), ApiError> {
    let stated = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    // A client that expects `100 Continue` has not sent the body yet.
    if headers.contains_key(EXPECT) && stated.is_some_and(|length: u64| length > limit as u64) {
        return Err(too_large(limit));
    }
    let collected = tokio::time::timeout(DEADLINE, collect(body, limit, bodies.share())).await;
    let (mut bytes, share) = collected.map_err(|_elapsed| {
        let seconds = DEADLINE.as_secs();
        ApiError::new(
            StatusCode::REQUEST_TIMEOUT,
            "RequestTimeout",
            format!("The request content did not arrive within {seconds} s."),
        )
    })??;
    // Some editors add a byte order mark, which JSON does not allow.
    if bytes.starts_with(b"\xef\xbb\xbf") {
        bytes.drain(..3);
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        ApiError::bad_request(
            "InvalidRequestContent",
            format!(
                "The request content was invalid: it is not UTF-8 at byte {}.",
                error.utf8_error().valid_up_to()
            ),
        )
    })?;
    Ok((text, share))
}

async fn collect(body: Body, limit: usize, mut share: Share) -> Result<(Vec<u8>, Share), ApiError> {
    let mut chunks = body.into_data_stream();
    let (mut bytes, mut length) = (Vec::new(), 0_usize);
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| {
            ApiError::bad_request(
                "InvalidRequestContent",
                "The request content could not be read: the connection ended within it.",
            )
        })?;
        length = length.saturating_add(chunk.len());
        if length > limit {
            bytes = Vec::new();
            if length > limit.saturating_mul(DRAINED_TIMES) {
                break;
            }
        } else if share.grow(length) {
            bytes.extend_from_slice(&chunk);
        } else {
            return Err(reply::busy(
                "The server has as much request content in memory as it may. Try again in a few seconds.",
            ));
        }
    }
    if length > limit { Err(too_large(limit)) } else { Ok((bytes, share)) }
}

fn too_large(limit: usize) -> ApiError {
    ApiError::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "RequestContentTooLarge",
        format!("The request content is larger than {limit} bytes, which is the limit."),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn code(length: usize, stated: bool) -> Option<String> {
        let mut headers = HeaderMap::new();
        if stated {
            headers.insert(CONTENT_LENGTH, length.into());
            headers.insert(EXPECT, http::HeaderValue::from_static("100-continue"));
        }
        // A stream has no known length.
        let chunks = vec![Ok::<_, std::io::Error>(vec![b' '; length])];
        let body = Body::from_stream(futures_util::stream::iter(chunks));
        read(&headers, body, OF_ARM, &Bodies::new(8)).await.err().map(|error| error.code)
    }

    #[tokio::test]
    async fn limit_holds_with_and_without_content_length() {
        assert_eq!(code(OF_ARM, true).await, None);
        for stated in [true, false] {
            let code = code(OF_ARM + 1, stated).await;
            assert_eq!(code.as_deref(), Some("RequestContentTooLarge"));
        }
    }

    #[tokio::test]
    async fn text_is_utf8_without_byte_order_mark() {
        let read = |bytes: &'static [u8]| async move {
            super::read(&HeaderMap::new(), Body::from(bytes), SMALL, &Bodies::new(1))
                .await
                .map(|r| r.0)
        };
        assert_eq!(read(b"\xef\xbb\xbf{}").await.unwrap(), "{}");
        assert!(read(b"ab\xff").await.unwrap_err().message.contains("at byte 2"));
    }
}
