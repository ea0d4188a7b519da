//! Ends a streamed response when its token becomes invalid: it expires, its principal is revoked, or its secret is
//! rotated; and when the caller loses the right to read.

use std::{io, time::Duration};

use axum::{
    body::{Body, BodyDataStream, Bytes, HttpBody},
    response::Response,
};
use futures_util::{StreamExt, stream};
use http::{HeaderValue, header};
use service::auth::{Audience, Denied};
use tokio::time::Instant;

use super::{Site, permit::Permit};

/// The interval between checks of a stream's token and permission.
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// The credentials of a request, and what they were good for.
pub(super) struct Session {
    pub(super) site: Site,
    pub(super) authorization: Option<HeaderValue>,
    pub(super) base_url: String,
    pub(super) audience: Audience,
    pub(super) permit: Permit,
}

impl Session {
    /// Wraps a response so that a streamed body ends with the session.
    pub(super) fn guard(self, response: Response) -> Response {
        if response.body().size_hint().exact().is_some() {
            return response;
        }
        let kind = response.headers().get(header::CONTENT_TYPE);
        let is_events = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
        response.map(|body| {
            let (content, checked) = (body.into_data_stream(), Instant::now());
            let guarded = Guarded { session: self, content, checked, is_events, is_over: false };
            Body::from_stream(stream::unfold(guarded, |mut guarded| async move {
                let chunk = guarded.next().await?;
                Some((chunk, guarded))
            }))
        })
    }

    /// Whether the token is still valid, and its principal may still read. A failure of the database does not end a stream, but the expiry of
    /// the token still does.
    async fn is_valid(&self) -> bool {
        let header = self.authorization.as_ref().and_then(|header| header.to_str().ok());
        let (auth, names) = (&self.site.auth, &self.site.names);
        match auth.caller(header, self.audience, names, &self.base_url).await {
            Ok(caller) => self.permit.holds(&self.site.app, &caller).await,
            Err(Denied::Store(_)) => true,
            Err(Denied::NoToken | Denied::BadToken { .. }) => false,
        }
    }
}

struct Guarded {
    session: Session,
    content: BodyDataStream,
    checked: Instant,
    is_events: bool,
    is_over: bool,
}

impl Guarded {
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        loop {
            if self.is_over {
                return None;
            }
            let due = self.checked + CHECK_EVERY;
            // First, so that content that is always ready cannot prevent the check.
            let chunk = tokio::select! {
                biased;
                () = tokio::time::sleep_until(due) => None,
                chunk = self.content.next() => Some(chunk),
            };
            if let Some(chunk) = chunk {
                return chunk.map(|chunk| chunk.map_err(io::Error::other));
            }
            self.checked = Instant::now();
            if !self.session.is_valid().await {
                self.is_over = true;
                // Readers of events reconnect for the rest. Other content ends with an error, which
                // marks it as incomplete.
                let cut = io::Error::other(
                    "the access token of this request is no longer valid, or no longer permits to read this",
                );
                return (!self.is_events).then_some(Err(cut));
            }
        }
    }
}
