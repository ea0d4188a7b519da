//! Streams a run's events and logs.

use std::convert::Infallible;

use axum::{
    body::Body,
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::{Stream, StreamExt};
use http::header;
use tokio::fs::File;
use tokio_util::io::ReaderStream;

/// Server-sent events, each with an id for resuming after it.
pub(super) fn events(events: impl Stream<Item = (u64, String)> + Send + 'static) -> Response {
    let events = events
        .map(|(id, json)| Ok::<_, Infallible>(Event::default().id(id.to_string()).data(json)));
    Sse::new(events).keep_alive(KeepAlive::default()).into_response()
}

/// A log, up to its current end.
pub(super) fn log(file: File) -> Response {
    let kind = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
    (kind, Body::from_stream(ReaderStream::new(file))).into_response()
}
